//! `logweir explain`: what a query would read, without running it.

use logweir_proto::api::{Row, Warning};
use serde_json::Value;

use crate::args::{ExplainArgs, ListFormat};
use crate::client::{Client, about_query};
use crate::commands::search;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Table, cell, json_line, problem};

pub(super) async fn run(args: &ExplainArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let (from, to) = search::range(&args.range, true, None);
    let mut parameters = vec![("query", args.query.as_str())];
    parameters.extend(from.as_deref().map(|from| ("from", from)));
    parameters.extend(to.as_deref().map(|to| ("to", to)));
    let answer = client.get("/api/v1/explain", &parameters).await;
    let mut answer: Row = answer.map_err(|error| about_query(error, &args.query))?;
    if args.output == ListFormat::Json {
        json_line(console, &answer)?;
        return Ok(Exit::Ok);
    }
    let warnings = answer.shift_remove("warnings").unwrap_or_default();
    for warning in serde_json::from_value::<Vec<Warning>>(warnings).unwrap_or_default() {
        problem::warn(console, &args.query, &warning);
    }
    let mut table = Table::new(&["WHAT", "VALUE"]);
    let tree = answer.shift_remove("tree").and_then(|tree| serde_json::from_value::<Vec<String>>(tree).ok());
    for (at, line) in tree.iter().flatten().enumerate() {
        table.push(&[if at == 0 { "understood as" } else { "" }, line]);
    }
    for (name, value) in &answer {
        let value = match value {
            Value::Array(items) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
            other => cell(Some(other)),
        };
        table.push(&[&name.replace('_', " "), &value]);
    }
    table.print(console)?;
    Ok(Exit::Ok)
}
