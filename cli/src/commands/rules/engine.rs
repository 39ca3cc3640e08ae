//! The store in memory for tests of rules: the parser and the search of the server, without one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_aggregator::config::QUERY_MEMORY_BYTES_DEFAULT;
use logweir_aggregator::offline::Offline;
use logweir_aggregator::search::execute::{self, Event, LIMIT_MAX};
use logweir_aggregator::store::segment::Segment;
use logweir_alerting::check::cases::LineEngine;
use logweir_alerting::check::lines::TestLine;
use logweir_proto::api::{Order, Row};
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use logweir_proto::query::parse::parse;

/// One question of a test; far more than any takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct InMemory {
    segments: Vec<Arc<dyn Segment>>,
}

impl LineEngine for InMemory {
    fn load(&mut self, lines: Vec<TestLine>) -> Result<(), String> {
        let mut offline = Offline::default();
        let mut sources: BTreeMap<String, SourceInfo> = BTreeMap::new();
        for line in lines {
            let kind = kind(&line)?;
            // Lines of one origin share a parser, as the lines of a file do.
            let id = format!("{kind:?} {:?}", line.set);
            let source = sources.entry(id).or_insert_with_key(|id| SourceInfo {
                id: id.clone(),
                kind,
                path: String::new(),
                format: String::new(),
                labels: line.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            });
            let host = source.labels.get("host").cloned().unwrap_or_default();
            offline
                .push(source, &host, Stream::None, line.text.as_bytes(), line.at_ns)
                .map_err(|error| error.to_string())?;
        }
        self.segments = offline.segments().map_err(|error| error.to_string())?;
        Ok(())
    }

    fn query(&self, query: &str, from_ns: i64, to_ns: i64) -> Result<Vec<Row>, String> {
        let parsed = parse(query).map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?;
        let request = execute::Request {
            from_ns: Some(from_ns),
            to_ns: Some(to_ns),
            limit: LIMIT_MAX,
            order: Order::Desc,
            cursor: None,
            fields: None,
            now_ns: to_ns,
            deadline: Instant::now() + PATIENCE,
            memory_bytes: QUERY_MEMORY_BYTES_DEFAULT,
            cancel: &AtomicBool::new(false),
        };
        let mut rows = Vec::new();
        let outcome = execute::run(&parsed, &request, &self.segments, &mut |event| {
            if let Event::Row { row, .. } = event {
                rows.push(row);
            }
            ControlFlow::Continue(())
        });
        outcome.map_err(|error| error.to_string()).map(|_| rows)
    }
}

/// The kind that a test names with `parser:`.
fn kind(line: &TestLine) -> Result<SourceKind, String> {
    if line.json {
        return Ok(SourceKind::Json);
    }
    Ok(match line.parser.as_deref() {
        None | Some("auto" | "plain") => SourceKind::File,
        Some("nginx_access" | "nginx") => SourceKind::NginxAccess,
        Some("nginx_error") => SourceKind::NginxError,
        Some("pm2") => SourceKind::Pm2,
        Some("pm2_daemon") => SourceKind::Pm2Daemon,
        Some("docker") => SourceKind::Docker,
        Some("json") => SourceKind::Json,
        Some(other) => {
            let known = "auto, plain, nginx_access, nginx_error, pm2, pm2_daemon, docker, json";
            return Err(format!("there is no parser '{other}': known are {known}"));
        }
    })
}
