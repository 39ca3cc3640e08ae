//! The server's own parser and search over what comes in on a pipe.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_aggregator::api::query::event_frame;
use logweir_aggregator::config::QUERY_MEMORY_BYTES_DEFAULT;
use logweir_aggregator::config::parsers::Settings;
use logweir_aggregator::offline::Offline;
use logweir_aggregator::parse::formats::{Formats, file};
use logweir_aggregator::search::execute::{self, LIMIT_MAX};
use logweir_aggregator::search::rows::names;
use logweir_proto::api::{ErrorCode, ErrorDetail, Frame, QueryRequest};
use logweir_proto::batch::{LINE_BYTES_MAX, SourceInfo, SourceKind, Stream};
use logweir_proto::query::parse::parse;
use logweir_proto::query::value::parse_time;
use logweir_proto::text::{did_you_mean, parse_duration};
use logweir_runtime::clock::Clock;

use super::{FrameSink, StdinEngine};
use crate::args::StdinFormat;
use crate::error::{CliError, Result};

/// A query over a pipe runs as long as it needs, unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Everything in memory, nothing on disk.
pub(super) struct InMemory {
    pub(super) clock: Clock,
    /// Files of parsers of one's own.
    pub(super) parsers: Vec<PathBuf>,
}

impl StdinEngine for InMemory {
    fn search(
        &self,
        input: &mut dyn Read,
        format: &StdinFormat,
        request: &QueryRequest,
        sink: FrameSink<'_>,
    ) -> Result<()> {
        let query = parse(&request.query).map_err(|errors| query_error(&request.query, errors.first()))?;
        let now_ns = self.clock.now_ns();
        let bounds = [("from", &request.from, i64::MIN), ("to", &request.to, i64::MAX)];
        let [from_ns, to_ns] = bounds.map(|(name, text, open)| bound(name, text.as_deref(), open, now_ns));
        let mut offline = read(input, &source(format), self.formats(format)?, now_ns)?;
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

impl InMemory {
    /// Those of this build and of the files; a name that none of them has is a mistake.
    fn formats(&self, format: &StdinFormat) -> Result<Arc<Formats>> {
        let settings = Settings { files: self.parsers.clone(), ..Settings::default() };
        let formats = file::load(&settings).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            CliError::Usage(lines.join("\n"))
        })?;
        if let StdinFormat::Named(name) = format {
            let known = formats.all_names();
            if !known.contains(&name.as_str()) {
                let meant = did_you_mean(name, known.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
                let hint = meant.unwrap_or_else(|| format!(": one of {}", known.join(", ")));
                return Err(CliError::Usage(format!("--stdin: '{name}' is not a format{hint}")));
            }
        }
        Ok(formats)
    }
}

fn bound(name: &str, text: Option<&str>, open: i64, now_ns: i64) -> Result<i64> {
    let Some(text) = text else { return Ok(open) };
    parse_time(text, now_ns).ok_or_else(|| CliError::Usage(format!("--{name}: '{text}' is no time")))
}

fn read(input: &mut dyn Read, source: &SourceInfo, formats: Arc<Formats>, now_ns: i64) -> Result<Offline> {
    let mut offline = Offline::with_formats(formats);
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
            let pushed = offline.push(source, "", Stream::None, text, now_ns);
            pushed.map_err(|error| CliError::Usage(error.to_string()))?;
        }
    }
}

fn source(format: &StdinFormat) -> SourceInfo {
    let kind = match format {
        StdinFormat::Auto | StdinFormat::Plain | StdinFormat::Named(_) => SourceKind::File,
        StdinFormat::Nginx => SourceKind::NginxAccess,
        StdinFormat::NginxError => SourceKind::NginxError,
        StdinFormat::Json => SourceKind::Json,
        StdinFormat::Docker => SourceKind::Docker,
    };
    let name = if let StdinFormat::Named(name) = format { name.clone() } else { String::new() };
    SourceInfo { id: "stdin".to_owned(), kind, path: String::new(), format: name, labels: BTreeMap::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = "parsers:\n  - name: orders\n    pattern: '{time} {level} order={order_id:int} took {duration_ms:float}ms: {message}'\n";

    fn search(parsers: &str, format: &str, lines: &str) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("own.yaml");
        std::fs::write(&file, parsers).expect("a file");
        let engine = InMemory { clock: Clock::system(), parsers: vec![file] };
        let query = "order_id:4711 | fields order_id, duration_ms, message".to_owned();
        let request = QueryRequest { query, ..QueryRequest::default() };
        let mut rows = Vec::new();
        let mut sink = |frame: Frame| {
            if let Frame::Row { row, .. } = frame {
                rows.push(serde_json::to_string(&row).expect("JSON"));
            }
            Ok(())
        };
        engine.search(&mut lines.as_bytes(), &StdinFormat::Named(format.to_owned()), &request, &mut sink)?;
        Ok(rows)
    }

    #[test]
    fn lines_on_a_pipe_are_read_by_parsers_of_ones_own() {
        let lines =
            "2026-11-20 09:10:02 WARN order=4711 took 12.5ms: low\n2026-11-20 09:10:02 INFO order=1 took 1ms: x\n";
        let rows = search(ORDERS, "orders", lines).expect("an answer");
        assert_eq!(rows, [r#"{"order_id":4711,"duration_ms":12.5,"message":"low"}"#]);
        assert!(search(ORDERS, "logfmt", lines).expect("an answer").is_empty());
    }

    #[test]
    fn a_format_that_nobody_has_and_a_file_that_is_wrong_are_mistakes() {
        let error = |parsers, format| search(parsers, format, "").expect_err("a mistake").to_string();
        assert!(error(ORDERS, "order").contains("'order' is not a format; did you mean orders?"));
        assert!(error("parsers: [{ name: x, pattern: '{a:nubmer}' }]", "x").contains("own.yaml:1:"));
    }
}
