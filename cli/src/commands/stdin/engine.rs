//! The server's own parser and search over what comes in on a pipe.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_aggregator::api::query::event_frame;
use logweir_aggregator::config::QUERY_MEMORY_BYTES_DEFAULT;
use logweir_aggregator::offline::Offline;
use logweir_aggregator::search::execute::{self, LIMIT_MAX};
use logweir_aggregator::search::rows::names;
use logweir_proto::api::{ErrorCode, ErrorDetail, Frame, QueryRequest};
use logweir_proto::batch::{LINE_BYTES_MAX, SourceInfo, SourceKind, Stream};
use logweir_proto::query::parse::parse;
use logweir_proto::query::value::parse_time;
use logweir_proto::text::parse_duration;
use logweir_runtime::clock::Clock;

use super::{FrameSink, StdinEngine};
use crate::args::StdinFormat;
use crate::error::{CliError, Result};

/// A query over a pipe runs as long as it needs, unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Everything in memory, nothing on disk.
pub(super) struct InMemory {
    pub(super) clock: Clock,
}

impl StdinEngine for InMemory {
    fn search(
        &self,
        input: &mut dyn Read,
        format: StdinFormat,
        request: &QueryRequest,
        sink: FrameSink<'_>,
    ) -> Result<()> {
        let query = parse(&request.query).map_err(|errors| query_error(&request.query, errors.first()))?;
        let now_ns = self.clock.now_ns();
        let bounds = [("from", &request.from, i64::MIN), ("to", &request.to, i64::MAX)];
        let [from_ns, to_ns] = bounds.map(|(name, text, open)| bound(name, text.as_deref(), open, now_ns));
        let mut offline = read(input, format, now_ns)?;
        let segments = offline.segments().map_err(|error| CliError::Usage(error.to_string()))?;
        let cancel = AtomicBool::new(false);
        let timeout = request.timeout.as_deref().and_then(parse_duration).unwrap_or(PATIENCE);
        let begun = Instant::now();
        let mut asked = execute::Request {
            from_ns: Some(from_ns?),
            to_ns: Some(to_ns?),
            limit: request.limit.unwrap_or(LIMIT_MAX).max(1),
            order: request.order.unwrap_or_default(),
            cursor: None,
            fields: request.fields.as_deref().map(names),
            now_ns,
            deadline: begun + timeout,
            memory_bytes: QUERY_MEMORY_BYTES_DEFAULT,
            cancel: &cancel,
        };
        loop {
            let mut failed = None;
            let outcome =
                execute::run(&query, &asked, &segments, &mut |event| match sink(event_frame(event, "stdin")) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                });
            if let Some(error) = failed {
                return Err(error);
            }
            let outcome = outcome.map_err(|error| refused(&request.query, &error))?;
            // `--all`: without a limit every page follows.
            match outcome.cursor {
                Some(cursor) if request.limit.is_none() => asked.cursor = Some(cursor),
                _ => return sink(Frame::End(outcome.into_end(begun.elapsed().as_secs_f64() * 1000.0))),
            }
        }
    }
}

fn bound(name: &str, text: Option<&str>, open: i64, now_ns: i64) -> Result<i64> {
    let Some(text) = text else { return Ok(open) };
    parse_time(text, now_ns).ok_or_else(|| CliError::Usage(format!("--{name}: '{text}' is no time")))
}

fn read(input: &mut dyn Read, format: StdinFormat, now_ns: i64) -> Result<Offline> {
    let source = source(format);
    let mut offline = Offline::default();
    let mut reader = BufReader::with_capacity(1 << 20, input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX as u64);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|source| CliError::Read { path: "stdin".into(), source })? == 0 {
            return Ok(offline);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            let pushed = offline.push(&source, "", Stream::None, text, now_ns);
            pushed.map_err(|error| CliError::Usage(error.to_string()))?;
        }
    }
}

fn source(format: StdinFormat) -> SourceInfo {
    let kind = match format {
        StdinFormat::Auto | StdinFormat::Plain => SourceKind::File,
        StdinFormat::Nginx => SourceKind::NginxAccess,
        StdinFormat::NginxError => SourceKind::NginxError,
        StdinFormat::Json => SourceKind::Json,
        StdinFormat::Docker => SourceKind::Docker,
    };
    SourceInfo { id: "stdin".to_owned(), kind, path: String::new(), format: String::new(), labels: BTreeMap::new() }
}

fn query_error(query: &str, error: Option<&logweir_proto::query::parse::ParseError>) -> CliError {
    match error {
        Some(error) => CliError::Query { query: query.to_owned(), detail: error.detail(query) },
        None => CliError::Usage("the query cannot be read".to_owned()),
    }
}

fn refused(query: &str, error: &logweir_aggregator::search::Error) -> CliError {
    let code = error.code();
    let detail = ErrorDetail { code, message: error.to_string(), pos: None, len: None, hint: None };
    match code {
        ErrorCode::ParseError | ErrorCode::BadRequest => CliError::Query { query: query.to_owned(), detail },
        _ => CliError::Refused { status: code.status(), detail },
    }
}
