//! The parser and the search without a server: lines in, rows out. For `search --stdin` and for tests of rules.
//!
//! The same code as in the server, so that what is found here is found there.

use std::collections::HashMap;
use std::sync::Arc;

use logweir_proto::batch::{SourceInfo, Stream};
use logweir_proto::record::seq_of;

use crate::names::Names;
use crate::parse::formats::Formats;
use crate::parse::line::Line;
use crate::parse::{Input, Parser};
use crate::store::block::BlockBuilder;
use crate::store::head::Head;
use crate::store::segment::Segment;

/// Raw bytes that are held at the most.
pub const OFFLINE_BYTES_MAX: u64 = 4 << 30;

/// Why a line was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error("the input is over {OFFLINE_BYTES_MAX} bytes: filter it before, or send it to a server")]
    TooMuch,
    #[error("cannot build a block: {0}")]
    Block(#[from] arrow::error::ArrowError),
}

/// Events in memory.
#[derive(Default)]
pub struct Offline {
    names: Names,
    /// Those of this build when nothing is said.
    formats: Option<Arc<Formats>>,
    parsers: HashMap<String, Parser>,
    line: Line,
    builder: BlockBuilder,
    head: Head,
    record: u64,
    bytes: u64,
}

impl Offline {
    /// Reads by these formats, those of users among them.
    pub fn with_formats(formats: Arc<Formats>) -> Offline {
        Offline { formats: Some(formats), ..Offline::default() }
    }

    /// Parses one line of `source`; `received_ns` is its time if it tells none.
    pub fn push(
        &mut self,
        source: &SourceInfo,
        host: &str,
        stream: Stream,
        text: &[u8],
        received_ns: i64,
    ) -> Result<(), OfflineError> {
        self.push_input(source, host, Input { text, time_ns: None, stream, received_ns })
    }

    /// The same for a record that may have had an envelope with a time.
    pub fn push_input(&mut self, source: &SourceInfo, host: &str, input: Input<'_>) -> Result<(), OfflineError> {
        let Input { text, received_ns, .. } = input;
        self.bytes += text.len() as u64;
        if self.bytes > OFFLINE_BYTES_MAX {
            return Err(OfflineError::TooMuch);
        }
        if !self.parsers.contains_key(&source.id) {
            let formats = self.formats.get_or_insert_with(Formats::built_in);
            let parser = Parser::with_formats(source, host, formats, &mut self.names);
            self.parsers.insert(source.id.clone(), parser);
        }
        let Some(parser) = self.parsers.get_mut(&source.id) else { return Ok(()) };
        self.line.clear();
        parser.parse(&mut self.names, input, &mut self.line);
        let time_ns = self.line.time_ns.or(input.time_ns).unwrap_or(received_ns);
        self.record += 1;
        self.builder.receive(seq_of(self.record, 0), received_ns);
        self.builder.push(&self.names, &self.line, text, time_ns, seq_of(self.record, 0));
        if self.builder.is_full() { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> Result<(), OfflineError> {
        let builder = std::mem::take(&mut self.builder);
        self.head.append(builder.finish())?;
        Ok(())
    }

    /// What was pushed so far, ready to be searched.
    pub fn segments(&mut self) -> Result<Vec<Arc<dyn Segment>>, OfflineError> {
        if !self.builder.is_empty() {
            self.close_block()?;
        }
        Ok(vec![Arc::new(self.head.snapshot("input"))])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use logweir_proto::api::Order;
    use logweir_proto::batch::SourceKind;

    use super::*;
    use crate::search::execute::{Event, Request, run};

    #[test]
    fn lines_are_parsed_and_found() {
        let mut offline = Offline::default();
        let source = SourceInfo {
            id: "stdin".into(),
            kind: SourceKind::NginxAccess,
            path: "stdin".into(),
            format: String::new(),
            labels: BTreeMap::new(),
        };
        for status in [200, 502, 200] {
            let line = format!(
                "10.0.0.1 - - [20/Nov/2026:09:10:02 +0000] \"GET /cart/{status} HTTP/1.1\" {status} 12 \"-\" \"curl\""
            );
            offline.push(&source, "h", Stream::None, line.as_bytes(), 0).expect("a line");
        }
        let query = logweir_proto::query::parse::parse("status>=500").expect("a query");
        let request = Request {
            from_ns: Some(i64::MIN),
            to_ns: Some(i64::MAX),
            limit: 10,
            order: Order::Desc,
            cursor: None,
            fields: None,
            now_ns: 0,
            deadline: Instant::now() + Duration::from_secs(60),
            memory_bytes: 64 << 20,
            cancel: &AtomicBool::new(false),
        };
        let mut rows = Vec::new();
        let segments = offline.segments().expect("blocks");
        let outcome = run(&query, &request, &segments, &mut |event| {
            if let Event::Row { row, .. } = event {
                rows.push(row);
            }
            ControlFlow::Continue(())
        });
        assert!(outcome.expect("an answer").is_complete());
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["path"], "/cart/502");
        assert_eq!(rows[0]["time"], "2026-11-20T09:10:02.000000000Z");
    }
}
