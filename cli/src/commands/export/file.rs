//! The file that an export writes, and beside it `FILE.state`, which says how far it is.
//!
//! Each page is a zstd frame of its own (or plain text without `.zst`), so the file is whole at the end of every page.
//! A page is written and synced before the state tells of it: what is beyond the state's `bytes` is cut off when the
//! export is resumed, and comes again. `FILE.state` is one JSON object, [`State`]; it goes when the export has ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use logweir_proto::api::{MissingRange, Row};
use logweir_proto::record::EventId;
use logweir_runtime::durable;
use serde::{Deserialize, Serialize};

use crate::args::OutputFormat;
use crate::error::{CliError, Result};
use crate::output::{Console, Printer, Shape, Style, printer};

const STATE_VERSION: u32 = 1;
const ZSTD_LEVEL: i32 = 3;

/// What is asked: an export is resumed only by the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub query: String,
    pub since: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub fields: Vec<String>,
}

/// How far an export is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    pub asked: Asked,
    /// The range as it was when the export began, RFC 3339.
    pub from: String,
    pub to: String,
    /// The last row that is in the file.
    pub cursor: Option<String>,
    pub rows: u64,
    /// Bytes of the file that count.
    pub bytes: u64,
    /// All pages are there.
    pub done: bool,
    /// A warning said that something was left out.
    pub cut: bool,
    pub missing: Vec<MissingRange>,
}

impl State {
    pub(super) fn new(asked: Asked, from: String, to: String) -> State {
        State {
            version: STATE_VERSION,
            asked,
            from,
            to,
            cursor: None,
            rows: 0,
            bytes: 0,
            done: false,
            cut: false,
            missing: Vec::new(),
        }
    }
}

/// How an export may begin.
pub(super) enum Found {
    Nothing,
    /// An export of these words was interrupted.
    State(Box<State>),
    /// The file is there and no export is under way.
    Whole,
}

/// Looks at what there is of the file.
pub(super) fn find(path: &Path, asked: &Asked) -> Result<Found> {
    let state = match std::fs::read(state_path(path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if path.exists() { Found::Whole } else { Found::Nothing });
        }
        Err(source) => return Err(CliError::Read { path: state_path(path), source }),
    };
    let state: State = serde_json::from_slice(&state)
        .map_err(|error| CliError::Usage(format!("{}: {error}", state_path(path).display())))?;
    if state.bytes == 0 {
        // Nothing was written: it may as well begin.
        return Ok(Found::Nothing);
    }
    if state.version != STATE_VERSION || state.asked != *asked {
        let mend = "give the same query, range and fields, or remove both files";
        return Err(CliError::Usage(format!("{} is of another export: {mend}", state_path(path).display())));
    }
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    if size < state.bytes {
        let (path, shown) = (path.display(), state_path(path));
        return Err(CliError::Usage(format!("{path} is shorter than {} says: remove both", shown.display())));
    }
    Ok(Found::State(Box::new(state)))
}

pub(super) fn state_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

/// The format by the name of the file, and whether it is compressed.
pub(super) fn format_of(path: &Path) -> Result<(OutputFormat, bool)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (plain, zstd) = name.strip_suffix(".zst").map_or((name, false), |plain| (plain, true));
    let format = match plain.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ndjson" | "jsonl" | "json") => OutputFormat::Json,
        Some("csv") => OutputFormat::Csv,
        Some("logfmt") => OutputFormat::Logfmt,
        Some("log" | "txt") => OutputFormat::Raw,
        _ => {
            let mend = "end it in .ndjson, .csv, .logfmt or .log, and .zst to compress";
            return Err(CliError::Usage(format!("-o {}: what shall the file hold? {mend}", path.display())));
        }
    };
    Ok((format, zstd))
}

/// Text that a printer makes, until it is taken.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes rows to the file, one page after the other.
pub(super) struct Output {
    path: PathBuf,
    zstd: bool,
    printer: Box<dyn Printer>,
    console: Console,
    buffer: Buffer,
    /// The shape is known: a CSV file has its header.
    started: bool,
}

/// One page on its way.
pub(super) enum Page {
    Plain(File),
    Zstd(zstd::stream::Encoder<'static, File>),
}

impl Output {
    pub(super) fn new(path: &Path, fields: &[String]) -> Result<Output> {
        let (format, zstd) = format_of(path)?;
        let buffer = Buffer::default();
        let style = Style { on: false };
        let console = Console {
            out: Box::new(buffer.clone()),
            err: Box::new(io::sink()),
            style,
            err_style: style,
            zone: TimeZone::UTC,
            interactive: false,
            talkative: false,
        };
        let printer = printer(format, fields, "");
        Ok(Output { path: path.to_owned(), zstd, printer, console, buffer, started: false })
    }

    /// Begins a page behind what counts so far.
    pub(super) fn page(&self, state: &State) -> Result<Page> {
        let file = OpenOptions::new().append(true).create(true).open(&self.path).map_err(|error| self.failed(error))?;
        file.set_len(state.bytes).map_err(|error| self.failed(error))?;
        if self.zstd {
            zstd::stream::Encoder::new(file, ZSTD_LEVEL).map(Page::Zstd).map_err(|error| self.failed(error))
        } else {
            Ok(Page::Plain(file))
        }
    }

    pub(super) fn start(&mut self, shape: &Shape, page: &mut Page, state: &State) -> Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        self.printer.start(shape, &mut self.console)?;
        let head = self.buffer.take();
        // What is resumed has its header.
        if state.bytes == 0 { self.write(page, &head) } else { Ok(()) }
    }

    pub(super) fn row(&mut self, id: Option<EventId>, row: &Row, page: &mut Page) -> Result<()> {
        self.printer.row(id, row, &mut self.console)?;
        let text = self.buffer.take();
        self.write(page, &text)
    }

    /// Makes the page durable and writes down how far the export is.
    pub(super) fn end_page(&mut self, page: Page, state: &mut State) -> Result<()> {
        let end = || -> io::Result<u64> {
            let file = match page {
                Page::Plain(file) => file,
                Page::Zstd(encoder) => encoder.finish()?,
            };
            file.sync_data()?;
            Ok(file.metadata()?.len())
        };
        state.bytes = end().map_err(|error| self.failed(error))?;
        self.save(state)
    }

    /// A header belongs to the file only with the first page that was kept.
    pub(super) fn drop_page(&mut self, state: &State) {
        self.started &= state.bytes > 0;
    }

    pub(super) fn save(&self, state: &State) -> Result<()> {
        let save = || durable::replace(&state_path(&self.path), &serde_json::to_vec(state).map_err(io::Error::from)?);
        save().map_err(|error| self.failed(error))
    }

    /// The export has ended: the file speaks for itself.
    pub(super) fn finish(&self) -> Result<()> {
        let remove = || {
            std::fs::remove_file(state_path(&self.path))?;
            durable::sync_parent(&self.path)
        };
        remove().map_err(|error| self.failed(error))
    }

    fn write(&self, page: &mut Page, text: &[u8]) -> Result<()> {
        let written = match page {
            Page::Plain(file) => file.write_all(text),
            Page::Zstd(encoder) => encoder.write_all(text),
        };
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> CliError {
        CliError::Usage(format!("cannot write {}: {error}", self.path.display()))
    }
}
