//! `alerts silence`, `alerts unsilence`, `alerts silences`.

use logweir_proto::text::visible;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{ListArgs, ListFormat, SilenceArgs};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Table, json_line, local_time};

#[derive(Debug, Serialize, Deserialize)]
struct Silence {
    id: String,
    state: String,
    matchers: Vec<String>,
    starts: String,
    ends: String,
    author: String,
    comment: String,
}

pub(super) async fn add(args: &SilenceArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.list.server)?;
    let SilenceArgs { matchers, lasts, comment, author, .. } = args;
    let body = json!({"matchers": matchers, "for": lasts, "author": author, "comment": comment});
    let made: Silence = client.post("/api/v1/silences", &body).await?;
    match args.list.output {
        ListFormat::Json => json_line(console, &made)?,
        ListFormat::Pretty => {
            // The id alone on stdout: `id=$(logweir alerts silence …)`.
            console.line(&visible(&made.id))?;
            let ends = local_time(&made.ends, &console.zone);
            console.note(&format!("silent until {ends}; `logweir alerts unsilence {}` ends it", visible(&made.id)));
        }
    }
    Ok(Exit::Ok)
}

pub(super) async fn end(id: &str, args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let ended: Silence = client.delete(&format!("/api/v1/silences/{id}")).await?;
    match args.output {
        ListFormat::Json => json_line(console, &ended)?,
        ListFormat::Pretty => {
            console.line(&visible(&format!("{} is over: {}", ended.id, ended.matchers.join(", "))))?
        }
    }
    Ok(Exit::Ok)
}

pub(super) async fn list(all: bool, args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: Value = client.get("/api/v1/silences", &[]).await?;
    let mut silences: Vec<Silence> = entries(answer, "silences", client.shown())?;
    silences.retain(|silence| all || silence.state != "expired");
    if args.output == ListFormat::Json {
        silences.iter().try_for_each(|silence| json_line(console, silence))?;
    } else if silences.is_empty() {
        console.note("nothing is silenced");
    } else {
        let mut table = Table::new(&["STATE", "ENDS", "AUTHOR", "MATCHERS", "ID", "COMMENT"]);
        for silence in &silences {
            let ends = local_time(&silence.ends, &console.zone);
            let matchers = silence.matchers.join(", ");
            table.push(&[&silence.state, &ends, &silence.author, &matchers, &silence.id, &silence.comment]);
        }
        table.print(console)?;
    }
    Ok(if silences.is_empty() { Exit::No } else { Exit::Ok })
}
