//! `logweir fields`: what fields there are, or the values of one.

use logweir_proto::text::visible;
use serde_json::Value;

use crate::args::{FieldsArgs, OutputFormat, SearchArgs};
use crate::client::Client;
use crate::commands::{entries, search};
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Shape, printer};

/// Values that are shown of one field.
const VALUES_MAX: usize = 50;

pub(super) async fn run(args: &FieldsArgs, console: &mut Console) -> Result<Exit> {
    match &args.name {
        Some(name) => values(args, name, console).await,
        None => names(args, console).await,
    }
}

async fn names(args: &FieldsArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let (from, to) = search::range(&args.range, true, None);
    let mut parameters = Vec::new();
    parameters.extend(from.as_deref().map(|from| ("from", from)));
    parameters.extend(to.as_deref().map(|to| ("to", to)));
    let answer: Value = client.get("/api/v1/fields", &parameters).await?;
    let rows: Vec<logweir_proto::api::Row> = entries(answer, "fields", client.shown())?;
    if args.output == OutputFormat::Raw {
        for name in rows.iter().filter_map(|row| row.get("name")?.as_str()) {
            console.line(&visible(name))?;
        }
        return Ok(if rows.is_empty() { Exit::No } else { Exit::Ok });
    }
    let columns = rows.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
    let mut printer = printer(args.output, &[], "");
    printer.start(&Shape { columns, events: false }, console)?;
    for row in &rows {
        printer.row(None, row, console)?;
    }
    printer.finish(console)?;
    Ok(if rows.is_empty() { Exit::No } else { Exit::Ok })
}

/// The values are a query like any other.
async fn values(args: &FieldsArgs, name: &str, console: &mut Console) -> Result<Exit> {
    let query = format!("* | top {VALUES_MAX} `{}`", name.replace('`', ""));
    let search = SearchArgs::of(query, args.range.clone(), VALUES_MAX as u64, args.output, args.server.clone());
    search::run(&search, console).await
}
