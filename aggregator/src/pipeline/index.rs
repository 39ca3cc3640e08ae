//! From durable batches to searchable blocks: parse every record, build columns, publish.
//!
//! One thread. What waits in the queue is published together, so a busy server makes large blocks and an idle one
//! shows a single line at once. A WAL record is never split over two publications.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};

use logweir_proto::batch::{Gap, Header, RecordRef, SourceInfo, SourceKind, Stream};
use logweir_proto::record::{field, seq_of};

use crate::live::Live;
use crate::names::Names;
use crate::parse::line::Line;
use crate::parse::{Input, Parser};
use crate::ranges::{SourceKey, SourceRanges};
use crate::receive::admission::Ticket;
use crate::receive::dedup::{self, ChunkPlan, RecordPlan};
use crate::receive::writer::Durable;
use crate::store::block::{Block, BlockBuilder};
use crate::store::segment::BLOCK_ROWS_MAX;
use crate::store::service::Store;

/// Parsers that are kept, one a source; when there are more, all are forgotten and learn again.
pub const PARSERS_MAX: usize = 20_000;

/// Rows that are published together at the most.
const PUBLISH_ROWS_MAX: usize = 16 * BLOCK_ROWS_MAX;

/// Names that one interner may collect before it is replaced, between two publications.
const NAMES_RESET: usize = 50_000;

/// The parse stage.
pub struct Indexer {
    names: Names,
    parsers: HashMap<SourceKey, Parser>,
    line: Line,
    builder: BlockBuilder,
    blocks: Vec<Arc<Block>>,
    rows: usize,
    ranges: SourceRanges,
    tickets: Vec<Ticket>,
    last_record: Option<u64>,
    store: Store,
    live: Live,
}

impl Indexer {
    pub fn new(store: Store, live: Live) -> Indexer {
        Indexer {
            names: Names::default(),
            parsers: HashMap::new(),
            line: Line::default(),
            builder: BlockBuilder::default(),
            blocks: Vec::new(),
            rows: 0,
            ranges: SourceRanges::default(),
            tickets: Vec::new(),
            last_record: None,
            store,
            live,
        }
    }

    /// Works until the queue's other end is gone, and publishes what it holds.
    pub fn run(mut self, queue: &mpsc::Receiver<Durable>) {
        while let Ok(durable) = queue.recv() {
            self.index(durable);
            while self.rows < PUBLISH_ROWS_MAX {
                match queue.try_recv() {
                    Ok(durable) => self.index(durable),
                    Err(_) => break,
                }
            }
            self.publish();
        }
    }

    /// Parses a batch. It is searchable after [`Indexer::publish`].
    pub fn index(&mut self, durable: Durable) {
        let Durable { record, received_ns, tenant: _, header, body, plans, ticket } = durable;
        let mut index = 0u32;
        let walked = body.for_each(&header, |chunk, input| {
            let seq = seq_of(record, index);
            index += 1;
            let Some(source) = header.chunks.get(chunk).and_then(|c| header.sources.get(c.source as usize)) else {
                return;
            };
            let text = match plans.get(chunk) {
                Some(ChunkPlan::Skip) => return,
                Some(ChunkPlan::Trim(stored)) => match dedup::trim(stored, &input) {
                    RecordPlan::Skip => return,
                    RecordPlan::Take => input.text,
                    RecordPlan::TakeFrom(cut) => &input.text[cut..],
                },
                Some(ChunkPlan::Take) | None => input.text,
            };
            self.add(&header, source, &RecordRef { text, ..input }, received_ns, seq);
        });
        if let Err(error) = walked {
            // The door checked the body; only damage of the log can bring this here.
            tracing::error!(record, error = %error, "a durable batch cannot be read");
            metrics::counter!("logweir_damaged_batches_total").increment(1);
        }
        for gap in &header.gaps {
            self.add_gap(&header, gap, received_ns, seq_of(record, index));
            index += 1;
        }
        self.ranges.merge(&dedup::ranges_of(&header, received_ns));
        self.tickets.extend(ticket);
        self.last_record = Some(record);
    }

    fn add(&mut self, header: &Header, source: &SourceInfo, record: &RecordRef<'_>, received_ns: i64, seq: u64) {
        let key = SourceKey::new(&header.agent.id, &source.id);
        if self.parsers.len() >= PARSERS_MAX && !self.parsers.contains_key(&key) {
            self.parsers.clear();
        }
        let names = &mut self.names;
        let parser = self.parsers.entry(key).or_insert_with(|| {
            Parser::new(source, &header.agent.host, names).with_utc_offset(header.agent.utc_offset_minutes)
        });
        let input = Input { text: record.text, time_ns: record.time_ns, stream: record.stream, received_ns };
        self.line.clear();
        parser.parse(names, input, &mut self.line);
        let time_ns = self.line.time_ns.or(record.time_ns).unwrap_or(received_ns);
        self.builder.push(names, &self.line, record.text, time_ns, seq);
        self.rows += 1;
        if self.builder.is_full() {
            self.close_block();
        }
    }

    /// A gap becomes an event: it is found by search, kept as long as the rest, and can be alerted on.
    fn add_gap(&mut self, header: &Header, gap: &Gap, received_ns: i64, seq: u64) {
        let path =
            header.sources.iter().find(|source| source.id == gap.source).map_or(&*gap.path, |source| &source.path);
        let lost =
            gap.end.map_or_else(|| "an unknown number of".to_owned(), |end| (end - gap.start.min(end)).to_string());
        let text = serde_json::json!({
            field::LEVEL: "error",
            field::MESSAGE: format!("{lost} bytes of {path} were lost: {}", gap.reason),
            field::SERVICE: "logweir",
            field::FILE: path,
            "event": "gap",
            "gap.start": gap.start,
            "gap.end": gap.end,
        })
        .to_string();
        let source = SourceInfo {
            id: "gaps".to_owned(),
            kind: SourceKind::Json,
            path: String::new(),
            format: String::new(),
            labels: [(field::SOURCE.to_owned(), "logweir".to_owned())].into(),
        };
        let record = RecordRef {
            start: 0,
            advance: text.len() as u64 + 1,
            time_ns: None,
            stream: Stream::None,
            truncated: false,
            text: text.as_bytes(),
        };
        self.add(header, &source, &record, received_ns, seq);
        metrics::counter!("logweir_gaps_total").increment(1);
    }

    fn close_block(&mut self) {
        if self.builder.is_empty() {
            return;
        }
        let builder = std::mem::take(&mut self.builder);
        self.blocks.push(Arc::new(builder.finish()));
    }

    /// Makes everything that was indexed visible in one step.
    pub fn publish(&mut self) {
        self.close_block();
        let Some(record) = self.last_record.take() else { return };
        let blocks = std::mem::take(&mut self.blocks);
        let ranges = std::mem::take(&mut self.ranges);
        // Into the view first: who subscribes in between finds the rows there, and knows them by their record.
        self.store.append(blocks.clone(), record, ranges);
        for block in &blocks {
            self.live.publish(block);
        }
        self.rows = 0;
        self.tickets.clear();
        if self.names.len() > NAMES_RESET {
            // Parsers hold numbers of the old names, so they go with them.
            self.names = Names::default();
            self.parsers.clear();
        }
    }
}
