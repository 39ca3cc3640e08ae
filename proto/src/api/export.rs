//! Shapes of `/api/v1/exports`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MissingRange, Warning};

/// `POST /api/v1/exports`: all that a query finds, as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    #[serde(default)]
    pub query: String,
    /// As in a query. Default: `now-1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Default: the moment of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ExportFormat>,
    /// Comma-separated; `raw` asks for the line as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    #[default]
    Ndjson,
    Csv,
}

impl ExportFormat {
    pub const fn as_str(self) -> &'static str {
        match self {
            ExportFormat::Ndjson => "ndjson",
            ExportFormat::Csv => "csv",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportState {
    /// Another export runs.
    Queued,
    Running,
    /// The file is there; `complete` says whether it has everything.
    Done,
    /// There is no file; `error` says why.
    Failed,
}

/// One export, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    pub id: String,
    pub state: ExportState,
    pub query: String,
    /// RFC 3339; the range is fixed when the export is made.
    pub from: String,
    pub to: String,
    pub format: ExportFormat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
    pub rows: u64,
    /// Size of the file so far, compressed.
    pub bytes: u64,
    /// Everything before this time is in the file.
    pub covered_to: String,
    /// `false` while it runs, and when a part of the time could not be read.
    pub complete: bool,
    /// Parts of the time that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingRange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// When the file is deleted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// `GET /api/v1/exports`, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exports {
    pub exports: Vec<Export>,
}
