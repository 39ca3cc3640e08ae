//! A real Chromium on a page of ours, driven by `tests/node/page.mjs`.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;

use super::{Scratch, process, programs};

/// What the script found on the page.
#[derive(Debug, Deserialize)]
pub struct PageReport {
    pub title: String,
    /// Texts of the rows of the first answer.
    pub rows: Vec<String>,
    /// Texts of the rows after the query was typed and sent.
    pub found: Vec<String>,
    /// What unfolded below the first row when it was clicked.
    pub details: String,
    /// What the page says of a query that does not parse.
    pub query_error: String,
    /// Errors of the console, uncaught exceptions and requests that failed.
    pub errors: Vec<String>,
    /// Violations of the content security policy.
    pub violations: Vec<String>,
    /// Requests to anywhere but the server itself.
    pub foreign_requests: Vec<String>,
}

/// Opens the page, searches, unfolds a row, and takes a picture.
pub async fn visit(scratch: &Scratch, url: &str, query: &str, picture: &Path) -> anyhow::Result<PageReport> {
    let folder = programs::node_folder()?;
    let mut command = Command::new(programs::installed("node")?);
    command.current_dir(&folder).arg("page.mjs").arg(url).arg(query).arg(picture);
    command.arg(scratch.folder("chromium")?).arg(programs::installed("chromium")?);
    command.env("TMPDIR", scratch.folder("chromium-tmp")?);
    let report = process::succeed(command).await?;
    serde_json::from_slice(&report.stdout).with_context(|| format!("page.mjs printed {}", report.text()))
}
