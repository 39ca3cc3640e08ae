//! A real Chromium on a page of ours, driven by the scripts of `tests/node`.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::{Scratch, process, programs};

/// What `tests/node/page.mjs` found on the page.
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

/// What `tests/node/silence.mjs` saw.
#[derive(Debug, Deserialize)]
pub struct SilenceReport {
    /// What had the focus: in the form as it opens, after a Tab, and in the form of the acknowledgement.
    pub focused: Vec<String>,
    /// What has it when Escape has closed the form.
    pub after_escape: String,
    /// What the form says of its matchers.
    pub matched: Vec<String>,
    /// What it says of matchers that the server refuses.
    pub refusal: String,
    /// The line of the alert after the silence was made, or ended.
    pub silenced: String,
    pub acknowledged: String,
    /// The silences in force.
    pub list: Vec<String>,
    pub errors: Vec<String>,
    pub violations: Vec<String>,
    pub foreign_requests: Vec<String>,
}

/// Opens the page, searches, unfolds a row, and takes a picture.
pub async fn visit(scratch: &Scratch, url: &str, query: &str, picture: &Path) -> anyhow::Result<PageReport> {
    drive(scratch, "page.mjs", &[url, query], picture).await
}

/// Opens the page and silences the one alert that fires, or with `end` ends that silence.
pub async fn silence(scratch: &Scratch, url: &str, step: &str, picture: &Path) -> anyhow::Result<SilenceReport> {
    drive(scratch, "silence.mjs", &[url, step], picture).await
}

async fn drive<T: DeserializeOwned>(
    scratch: &Scratch,
    script: &str,
    arguments: &[&str],
    picture: &Path,
) -> anyhow::Result<T> {
    let folder = programs::node_folder()?;
    let mut command = Command::new(programs::installed("node")?);
    command.current_dir(&folder).arg(script).args(arguments).arg(picture);
    command.arg(scratch.folder("chromium")?).arg(programs::installed("chromium")?);
    command.env("TMPDIR", scratch.folder("chromium-tmp")?);
    let report = process::succeed(command).await?;
    serde_json::from_slice(&report.stdout).with_context(|| format!("{script} printed {}", report.text()))
}
