//! `logweir route-test`: whom an alert would be told to, from the server or from a file.

use std::collections::BTreeMap;
use std::path::Path;

use logweir_alerting::route::decide::destinations;
use logweir_alerting::route::file;
use logweir_alerting::route::standing::Surroundings;
use logweir_proto::text::visible;
use logweir_runtime::clock::Clock;
use logweir_runtime::text_file;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{self, ListFormat, RouteTestArgs};
use crate::client::Client;
use crate::commands::entries;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Table, json_line};

#[derive(Debug, Serialize, Deserialize)]
struct Destination {
    receiver: String,
    route: String,
    group: BTreeMap<String, String>,
    quiet: Option<String>,
}

pub(super) async fn run(args: &RouteTestArgs, console: &mut Console) -> Result<Exit> {
    let labels: BTreeMap<String, String> = args.labels.iter().cloned().collect();
    let found = match &args.config {
        Some(path) => match offline(path, &labels, args, console)? {
            Some(found) => found,
            None => return Ok(Exit::Usage),
        },
        None => {
            let client = Client::new(&args.list.server)?;
            let mut body = json!({"labels": labels});
            if let Some(at) = args.at {
                body["at"] = json!(at.to_string());
            }
            let answer: Value = client.post("/api/v1/route-test", &body).await?;
            entries(answer, "destinations", client.shown())?
        }
    };
    if args.list.output == ListFormat::Json {
        found.iter().try_for_each(|one: &Destination| json_line(console, one))?;
    } else if found.is_empty() {
        console
            .note("no routing file is in force: alerts are only listed; name one as alerting.config in logweir.yaml");
    } else {
        let mut table = Table::new(&["RECEIVER", "TOLD", "ROUTE", "TOGETHER BY"]);
        for Destination { receiver, route, group, quiet } in &found {
            let told = quiet.as_ref().map_or("yes".to_owned(), |quiet| format!("no, {quiet}"));
            let group: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value}")).collect();
            table.push(&[receiver, &told, route, &group.join(" ")]);
        }
        table.print(console)?;
    }
    Ok(if found.iter().any(|one| one.quiet.is_none()) { Exit::Ok } else { Exit::No })
}

/// What a file says; `None` after its mistakes were printed.
fn offline(
    path: &Path,
    labels: &BTreeMap<String, String>,
    args: &RouteTestArgs,
    console: &mut Console,
) -> Result<Option<Vec<Destination>>> {
    let name = path.display().to_string();
    let text = text_file::read_file(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let routing = match file::load(&name, &text, &args::environment) {
        Ok(routing) => routing,
        Err(problems) => {
            problems.iter().for_each(|problem| console.note(&visible(&problem.to_string())));
            return Ok(None);
        }
    };
    let at = args.at.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    let at_wall = at.unwrap_or_else(|| Clock::system().now_ns());
    let found = destinations(&routing, &Surroundings::default(), "", labels, at_wall);
    let one = |one: logweir_alerting::route::decide::Destination| Destination {
        receiver: one.receiver,
        route: one.route,
        group: one.group,
        quiet: one.quiet,
    };
    Ok(Some(found.into_iter().map(one).collect()))
}
