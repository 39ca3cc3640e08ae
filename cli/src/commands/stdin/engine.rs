//! The server's own parser and search over what comes in on a pipe.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_agent::decode::sink::Told;
use logweir_agent::decode::{Format as AgentFormat, Multiline, cri, docker};
use logweir_agent::preview;
use logweir_aggregator::api::query::event_frame;
use logweir_aggregator::config::QUERY_MEMORY_BYTES_DEFAULT;
use logweir_aggregator::config::parsers::Settings;
use logweir_aggregator::offline::Offline;
use logweir_aggregator::parse::Input;
use logweir_aggregator::parse::formats::{Formats, file};
use logweir_aggregator::search::execute::{self, LIMIT_MAX};
use logweir_aggregator::search::rows::names;
use logweir_proto::api::{ErrorCode, ErrorDetail, Frame, QueryRequest};
use logweir_proto::batch::{LINE_BYTES_MAX, SourceInfo, SourceKind};
use logweir_proto::formats::{FORMAT_SEPARATOR, NGINX_MAIN};
use logweir_proto::query::parse::parse;
use logweir_proto::query::value::parse_time;
use logweir_proto::text::{did_you_mean, parse_duration};
use logweir_runtime::clock::Clock;

use super::{FrameSink, StdinEngine};
use crate::args::StdinFormat;
use crate::error::{CliError, Result};

/// A query over a pipe runs as long as it needs, unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Of the first line, by which `auto` knows what is around lines.
const SNIFFED_BYTES_MAX: u64 = 64 << 10;

/// Formats that are no parsers: what is around lines, and other names of parsers.
const AROUND: [&str; 7] = ["docker", "cri", "pm2", "syslog", "journald", "nginx-error", "plain"];

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
        let mut offline = read(input, format, self.formats(format)?, now_ns)?;
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
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let more = problems.len().saturating_sub(1);
            let rest =
                if more > 0 { format!(" (and {more} more: `logweir check FILE` lists them)") } else { String::new() };
            CliError::Usage(format!("{first}{rest}"))
        })?;
        if let StdinFormat::Named(name) = format {
            let known = formats.all_names();
            if !known.contains(&name.as_str()) {
                let known: Vec<&str> = known.into_iter().chain(AROUND).collect();
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

fn read(input: &mut dyn Read, format: &StdinFormat, formats: Arc<Formats>, now_ns: i64) -> Result<Offline> {
    let mut offline = Offline::with_formats(formats);
    let failed = |source| CliError::Read { path: "stdin".into(), source };
    let mut head = Vec::new();
    let mut reader = BufReader::with_capacity(1 << 20, input);
    (&mut reader).take(SNIFFED_BYTES_MAX).read_until(b'\n', &mut head).map_err(failed)?;
    let source = source(format, &head);
    let mut whole = head.as_slice().chain(reader);
    let joined = AgentFormat::new(source.kind, &source.format, &Multiline::Auto, LINE_BYTES_MAX);
    let read = preview::records(joined, &mut whole, &mut |record| {
        let Told { text, time_ns, stream, .. } = record.told;
        if text.is_empty() {
            return Ok(());
        }
        let input = Input { text, time_ns: *time_ns, stream: *stream, received_ns: now_ns };
        offline.push_input(&source, "", input).map_err(io::Error::other)
    });
    read.map_err(failed)?;
    Ok(offline)
}

/// The source that the lines are of; what is around the lines of `auto` is told by the first of them.
fn source(format: &StdinFormat, head: &[u8]) -> SourceInfo {
    let kind = match format {
        StdinFormat::Auto => around(head),
        StdinFormat::Plain | StdinFormat::Named(_) => SourceKind::File,
        StdinFormat::Nginx => SourceKind::NginxAccess,
        StdinFormat::NginxError => SourceKind::NginxError,
        StdinFormat::Json => SourceKind::Json,
        StdinFormat::Docker => SourceKind::Docker,
        StdinFormat::Cri => SourceKind::Cri,
        StdinFormat::Pm2 => SourceKind::Pm2,
        StdinFormat::Syslog => SourceKind::Syslog,
        StdinFormat::Journald => SourceKind::Journald,
    };
    let name = match format {
        StdinFormat::Named(name) => name.clone(),
        // The configuration is not known here: what is not `main` is combined.
        StdinFormat::Nginx => format!("{NGINX_MAIN}{FORMAT_SEPARATOR}"),
        _ => String::new(),
    };
    SourceInfo { id: "stdin".to_owned(), kind, path: String::new(), format: name, labels: BTreeMap::new() }
}

/// What is around a line, if the line cannot be anything else.
fn around(line: &[u8]) -> SourceKind {
    let line = line.trim_ascii_end();
    let mut text = Vec::new();
    if docker::open(line, &mut text).is_some() {
        return SourceKind::Docker;
    }
    text.clear();
    if cri::open(line, &mut text).is_some() {
        return SourceKind::Cri;
    }
    if line.starts_with(b"{") && String::from_utf8_lossy(line).contains("\"__REALTIME_TIMESTAMP\"") {
        return SourceKind::Journald;
    }
    if is_pm2(line) {
        return SourceKind::Pm2;
    }
    let digits = line.strip_prefix(b"<").map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    if (1..=3).contains(&digits) && line.get(digits + 1) == Some(&b'>') { SourceKind::Syslog } else { SourceKind::File }
}

/// A line of PM2 with `log_type: "json"`.
fn is_pm2(line: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(keys)) = serde_json::from_slice(line) else { return false };
    let kind = keys.get("type").and_then(serde_json::Value::as_str);
    matches!(kind, Some("out" | "err" | "process_event"))
        && keys.contains_key("process_id")
        && keys.contains_key("app_name")
}

fn query_error(query: &str, error: Option<&logweir_proto::query::parse::ParseError>) -> CliError {
    match error {
        Some(error) => CliError::Query { query: query.to_owned(), detail: Box::new(error.detail(query)) },
        None => CliError::Usage("the query cannot be read".to_owned()),
    }
}

fn refused(query: &str, error: &logweir_aggregator::search::Error) -> CliError {
    let code = error.code();
    let detail = ErrorDetail { code, message: error.to_string(), pos: None, len: None, hint: None, missing: None };
    match code {
        ErrorCode::ParseError | ErrorCode::BadRequest => {
            CliError::Query { query: query.to_owned(), detail: Box::new(detail) }
        }
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

    /// `time`, `level`, `stream` and `message` of what is read, oldest first.
    fn rows(format: &str, lines: &str) -> Vec<String> {
        columns(format, lines, ["time", "level", "stream", "message"])
    }

    fn columns<const N: usize>(format: &str, lines: &str, names: [&str; N]) -> Vec<String> {
        let engine = InMemory { clock: Clock::system(), parsers: Vec::new() };
        let query = format!("* | sort time | fields {}", names.join(", "));
        let request = QueryRequest { query, ..QueryRequest::default() };
        let mut rows = Vec::new();
        let mut sink = |frame: Frame| {
            if let Frame::Row { row, .. } = frame {
                let text = |name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or("-");
                let values = names.map(text);
                rows.push(values.join(" ").replace(":02.000000000Z", ":02Z"));
            }
            Ok(())
        };
        let format = crate::args::stdin_format(format).expect("any name");
        engine.search(&mut lines.as_bytes(), &format, &request, &mut sink).expect("an answer");
        rows
    }

    #[test]
    fn what_is_around_lines_is_taken_off_and_pieces_and_traces_are_joined() {
        let docker = concat!(
            r#"{"log":"level=warn msg=\"a b\" n=1\n","stream":"stderr","time":"2026-11-20T09:10:02Z"}"#,
            "\n",
            r#"{"log":"half a ","stream":"stdout","time":"2026-11-20T09:11:02Z"}"#,
            "\n",
            r#"{"log":"line\n","stream":"stdout","time":"2026-11-20T09:11:02Z"}"#,
            "\n",
        );
        let docker_rows = ["2026-11-20T09:10:02Z warn stderr a b", "2026-11-20T09:11:02Z - stdout half a line"];
        let cri = concat!(
            "2026-11-20T09:10:02+00:00 stdout P {\"level\":\"error\",\n",
            "2026-11-20T09:10:02+00:00 stdout F \"msg\":\"boom\"}\n",
        );
        let syslog = "<11>1 2026-11-20T09:10:02Z web cron 7 - - done\n";
        let journald = concat!(
            r#"{"__REALTIME_TIMESTAMP":"1795165802000000","PRIORITY":"4","_HOSTNAME":"web","MESSAGE":"dry"}"#,
            "\n"
        );
        let pm2 = concat!(
            r#"{"message":"warn: low\n","timestamp":"2026-11-20T09:10:02Z","type":"err","process_id":3,"app_name":"api"}"#,
            "\n"
        );
        for (format, lines, want) in [
            ("docker", docker, &docker_rows[..]),
            ("auto", docker, &docker_rows[..]),
            ("cri", cri, &["2026-11-20T09:10:02Z error stdout boom"]),
            ("auto", cri, &["2026-11-20T09:10:02Z error stdout boom"]),
            ("syslog", syslog, &["2026-11-20T09:10:02Z error - done"]),
            ("auto", syslog, &["2026-11-20T09:10:02Z error - done"]),
            ("journald", journald, &["2026-11-20T09:10:02Z warn - dry"]),
            ("auto", journald, &["2026-11-20T09:10:02Z warn - dry"]),
            ("pm2", pm2, &["2026-11-20T09:10:02Z warn stderr warn: low"]),
            ("auto", pm2, &["2026-11-20T09:10:02Z warn stderr warn: low"]),
            ("pm2", "2026-11-20T09:10:02: hello\n", &["2026-11-20T09:10:02Z - - hello"]),
        ] {
            assert_eq!(rows(format, lines), want, "{format} {lines}");
        }
        let trace = "Traceback (most recent call last):\n  File \"w.py\", line 7, in <module>\nKeyError: 'x'\n";
        let read = rows("auto", &format!("{trace}{trace}"));
        assert_eq!(read.len(), 2, "{read:?}");
        assert!(read[0].ends_with("error - KeyError: 'x'"), "{read:?}");
    }

    #[test]
    fn the_usual_log_format_of_nginx_is_not_taken_for_combined() {
        let lines = concat!(
            "127.0.0.1 - - [20/Nov/2026:09:14:45 +0000] \"GET / HTTP/1.1\" 200 3 \"-\" \"curl 7\" \"10.0.0.9\"\n",
            "127.0.0.1 - - [20/Nov/2026:09:14:46 +0000] \"GET / HTTP/1.1\" 200 3 \"-\" \"curl 8\" \"-\"\n",
            "127.0.0.1 - - [20/Nov/2026:09:14:47 +0000] \"GET / HTTP/1.1\" 200 3 \"-\" \"curl 9\"\n",
        );
        for format in ["nginx", "auto"] {
            let read = columns(format, lines, ["user_agent", "http_x_forwarded_for"]);
            assert_eq!(read, ["curl 7 10.0.0.9", "curl 8 -", "curl 9 -"], "{format}");
        }
    }
}
