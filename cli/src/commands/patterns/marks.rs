//! `patterns mark`, `patterns unmark`, `patterns marks`.

use std::collections::BTreeMap;

use logweir_proto::pattern::PatternId;
use logweir_proto::text::visible;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{ListArgs, ListFormat, PatternsCommand};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Table, json_line};

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    id: Option<String>,
    pattern: Option<String>,
    template: Option<String>,
    mark: String,
    scope: BTreeMap<String, String>,
    ticket: Option<String>,
    comment: String,
    by: String,
    at: Option<String>,
}

pub(super) async fn run(command: &PatternsCommand, console: &mut Console) -> Result<Exit> {
    match command {
        PatternsCommand::Mark { mark, pattern, ticket, scope, comment, by, list } => {
            // What is no id is a template.
            let name = if PatternId::parse(pattern).is_some() { "pattern" } else { "template" };
            let scope: BTreeMap<&String, &String> = scope.iter().map(|(name, value)| (name, value)).collect();
            let body = json!({
                name: pattern, "mark": mark, "ticket": ticket, "scope": scope, "comment": comment, "by": by,
            });
            let made: Mark = Client::new(&list.server)?.post("/api/v1/patterns/marks", &body).await?;
            said(&made, "is", list, console)
        }
        PatternsCommand::Unmark { id, list } => {
            let ended: Mark = Client::new(&list.server)?.delete(&format!("/api/v1/patterns/marks/{id}")).await?;
            said(&ended, "is no longer", list, console)
        }
        PatternsCommand::Marks(list) => show(list, console).await,
    }
}

fn said(mark: &Mark, is: &str, args: &ListArgs, console: &mut Console) -> Result<Exit> {
    match args.output {
        ListFormat::Json => json_line(console, mark)?,
        ListFormat::Pretty => {
            let what = mark.pattern.as_ref().or(mark.template.as_ref()).map_or("", String::as_str);
            let id = mark.id.as_deref().unwrap_or_default();
            console.line(&visible(id))?;
            console.note(&format!("{} {is} marked {}, within seconds", visible(what), visible(&mark.mark)));
        }
    }
    Ok(Exit::Ok)
}

async fn show(args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: Value = client.get("/api/v1/patterns/marks", &[]).await?;
    let marks: Vec<Mark> = entries(answer, "marks", client.shown())?;
    if args.output == ListFormat::Json {
        marks.iter().try_for_each(|mark| json_line(console, mark))?;
    } else if marks.is_empty() {
        console.note("no pattern is marked");
    } else {
        let mut table = Table::new(&["MARK", "PATTERN", "SCOPE", "TICKET", "BY", "ID", "COMMENT"]);
        for mark in &marks {
            let scope: Vec<String> = mark.scope.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let what = mark.pattern.as_ref().or(mark.template.as_ref()).map_or("", String::as_str);
            let (ticket, id) = (mark.ticket.as_deref().unwrap_or_default(), mark.id.as_deref().unwrap_or_default());
            table.push(&[&mark.mark, what, &scope.join(", "), ticket, &mark.by, id, &mark.comment]);
        }
        table.print(console)?;
    }
    Ok(if marks.is_empty() { Exit::No } else { Exit::Ok })
}
