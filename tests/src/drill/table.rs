//! The table of `docs/delivery.md`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use super::{Figures, Row};
use crate::bench::report::{commit, machine};
use crate::tidy::workspace_root;

/// Whose figures stand beside ours.
pub const PEERS: [&str; 5] = ["Fluent Bit", "Promtail", "rsyslog", "syslog-ng", "Vector"];

const HEAD: &str = "\
# Delivery

What was lost and what was stored twice when log files were rotated, processes killed and answers broken on purpose.

A writer appends numbered lines to a real file, 5,000 a second unless a row says otherwise; the agent, with its default
configuration, ships them through a door that can misbehave to a server (`logweir serve`); then every number is looked
for in the server. `tests/src/drill.rs` is the drill, and the end-to-end tests run each row in a shorter form.

- *Lost* and *repeated* are lines. *Bytes lost* and *bytes told* compare what is missing with the gaps that the agent
  reported: where a row destroys bytes before anybody could read them, both must be the same number.
- The others were measured on another day with the safest configuration found for each: lost / repeated, of 150,000
  lines unless a row says otherwise. An empty cell was not measured.
- A rotation here waits for the writer, so it destroys nothing by itself.

";

/// Grows by a row at a time.
#[derive(Debug)]
pub struct Table {
    text: String,
}

impl Table {
    pub fn new(command: &str) -> anyhow::Result<Table> {
        let mut text = HEAD.to_owned();
        writeln!(text, "- command: `{command}`")?;
        writeln!(text, "- commit: {}", commit())?;
        writeln!(text, "- machine: {}", machine())?;
        write!(text, "\n| drill | lines | lost | repeated | bytes lost | bytes told |")?;
        for peer in PEERS {
            write!(text, " {peer} |")?;
        }
        writeln!(text, "\n|---|---|---|---|---|---|{}", "---|".repeat(PEERS.len()))?;
        Ok(Table { text })
    }

    pub fn add(&mut self, row: &Row, figures: &anyhow::Result<Figures>) -> anyhow::Result<()> {
        let cells = match figures {
            Ok(Figures { lines, lost, repeated, lost_bytes, gap_bytes }) => {
                format!("{lines} | **{lost}** | **{repeated}** | {lost_bytes} | {gap_bytes}")
            }
            Err(error) => format!("failed: {} | | | |", error.root_cause().to_string().replace(['\n', '|'], " ")),
        };
        writeln!(self.text, "| {} | {cells} | {} |", row.title, row.peers.join(" | "))?;
        Ok(())
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn write(&self) -> anyhow::Result<PathBuf> {
        let path = workspace_root().join("docs/delivery.md");
        fs::write(&path, &self.text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}
