//! From durable batches to searchable blocks: parse every record, build columns, publish.
//!
//! One thread. What waits in the queue is published together, so a busy server makes large blocks and an idle one
//! shows a single line at once. A WAL record is never split over two publications.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use logweir_proto::batch::{Gap, Header, RecordRef, SourceInfo, SourceKind, Stream};
use logweir_proto::record::{field, seq_of};

use crate::live::Live;
use crate::names::{NameId, Names};
use crate::parse::formats::Formats;
use crate::parse::line::{Line, Value};
use crate::parse::{Input, Parser, Reading};
use crate::ranges::{SourceKey, SourceRanges};
use crate::receive::admission::Ticket;
use crate::receive::dedup::{self, ChunkPlan, RecordPlan};
use crate::receive::sources::{Ahead, Sources};
use crate::receive::writer::Durable;
use crate::spans::LineSpans;
use crate::store::block::{Block, BlockBuilder};
use crate::store::segment::BLOCK_ROWS_MAX;
use crate::store::service::Store;

/// Parsers that are kept, one a source; when there are more, all are forgotten and learn again.
pub const PARSERS_MAX: usize = 20_000;

/// With so many rows no further batch is waited for: they are published. Until then they are memory beside the head.
const PUBLISH_ROWS: usize = 2 * BLOCK_ROWS_MAX;

/// Names that one interner may collect before it is replaced, between two publications.
const NAMES_RESET: usize = 50_000;

/// A time that is further ahead than this is wrong; the line then counts from when it was received.
pub const FUTURE_MAX_NS: i64 = 300 * 1_000_000_000;

/// Marks an event whose line was cut at the limit of a line, or ended without its end.
const TRUNCATED: &str = "_truncated";

/// Fills a line from one record: [`Parser::read`], or what a test puts in its place.
type Parse = fn(&mut Parser, &mut Names, Input<'_>, Option<LineSpans<'_>>, &mut Line);

/// The parse stage.
pub struct Indexer {
    names: Names,
    parsers: HashMap<SourceKey, Learned>,
    /// The source of the records at hand; it is not among the others.
    current: Option<(SourceKey, Learned)>,
    parse: Parse,
    formats: Arc<Formats>,
    sources: Sources,
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

/// A parser and what it was made for.
struct Learned {
    info: SourceInfo,
    host: String,
    utc_offset_minutes: i16,
    /// Made with the first line, and again after a panic.
    parser: Option<Box<Parser>>,
}

impl Learned {
    fn new(header: &Header, source: &SourceInfo) -> Learned {
        let agent = &header.agent;
        let (host, utc_offset_minutes) = (agent.host.clone(), agent.utc_offset_minutes);
        Learned { info: source.clone(), host, utc_offset_minutes, parser: None }
    }

    /// Labels can change while a source goes on, and so does the offset of its zone.
    fn is_of(&self, header: &Header, source: &SourceInfo) -> bool {
        let agent = &header.agent;
        self.info == *source && self.host == agent.host && self.utc_offset_minutes == agent.utc_offset_minutes
    }

    fn parser(&mut self, formats: &Arc<Formats>, names: &mut Names) -> &mut Parser {
        let Learned { info, host, utc_offset_minutes, parser } = self;
        parser.get_or_insert_with(|| {
            Box::new(Parser::with_formats(info, host, formats, names).with_utc_offset(*utc_offset_minutes))
        })
    }
}

impl Indexer {
    pub fn new(store: Store, live: Live) -> Indexer {
        Indexer {
            names: Names::default(),
            parsers: HashMap::new(),
            current: None,
            parse: Parser::read,
            formats: Formats::built_in(),
            sources: Sources::default(),
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

    /// Reads by these formats, and tells `sources` what reads each of them.
    #[must_use]
    pub fn with_formats(mut self, formats: Arc<Formats>, sources: Sources) -> Indexer {
        (self.formats, self.sources) = (formats, sources);
        self
    }

    /// Works until the queue's other end is gone, and publishes what it holds.
    pub fn run(mut self, queue: &mpsc::Receiver<Durable>) {
        while let Ok(durable) = queue.recv() {
            self.index(durable);
            while self.rows < PUBLISH_ROWS {
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
        let Durable { record, received_ns, tenant: _, header, body, spans, plans, ticket } = durable;
        let mut index = 0u32;
        let mut selected = None;
        let mut lines = spans.lines();
        let walked = body.for_each(&header, |chunk, input| {
            let seq = seq_of(record, index);
            index += 1;
            let found = lines.next_line();
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
            if selected != Some(chunk) {
                self.select(&header, source);
                selected = Some(chunk);
            }
            // What was found is of the whole record.
            let found = found.filter(|_| text.len() == input.text.len());
            self.add(&RecordRef { text, ..input }, found, received_ns, seq);
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

    /// Takes out the parser of the source whose records come next.
    fn select(&mut self, header: &Header, source: &SourceInfo) {
        let key = parser_key(header, source);
        if let Some((before, learned)) = self.current.take_if(|(current, _)| *current != key) {
            if self.parsers.len() >= PARSERS_MAX {
                self.parsers.clear();
            }
            self.tell(&before, &learned);
            self.parsers.insert(before, learned);
        }
        let learned = self.current.take().map(|(_, learned)| learned).or_else(|| self.parsers.remove(&key));
        let learned = learned.filter(|learned| learned.is_of(header, source));
        self.current = Some((key, learned.unwrap_or_else(|| Learned::new(header, source))));
    }

    /// Shows what reads a source.
    fn tell(&self, key: &SourceKey, learned: &Learned) {
        if let Some(parser) = &learned.parser {
            let Reading { around, inner, lines, lines_read } = parser.reading();
            self.sources.is_read(key, [around, inner], lines, lines_read);
        }
    }

    /// Adds a record of the source that was selected.
    fn add(&mut self, record: &RecordRef<'_>, found: Option<LineSpans<'_>>, received_ns: i64, seq: u64) {
        let input = Input { text: record.text, time_ns: record.time_ns, stream: record.stream, received_ns };
        self.builder.receive(seq, received_ns);
        self.add_line(&input, found, record.truncated, seq);
        self.rows += 1;
        if self.builder.is_full() {
            self.close_block();
        }
    }

    fn add_line(&mut self, input: &Input<'_>, found: Option<LineSpans<'_>>, truncated: bool, seq: u64) {
        let Indexer { names, current: Some((key, learned)), line, parse, formats, sources, builder, .. } = self else {
            return;
        };
        let parse: Parse =
            if truncated { |parser, names, input, _, line| parser.parse(names, input, line) } else { *parse };
        let parsed =
            catch_unwind(AssertUnwindSafe(|| parse(learned.parser(formats, names), names, *input, found, line)));
        if parsed.is_err() {
            // What the parser has learned may be half done. The log keeps the line, so a replay meets it again.
            learned.parser = None;
            let Learned { info, host, .. } = &*learned;
            tracing::error!(host, source = info.id, path = info.path, seq, "a parser panicked");
            metrics::counter!("logweir_parser_panics_total").increment(1);
            fill_plain(line, names, input.text, info, host);
        }
        if truncated && let Some(name) = names.intern(TRUNCATED) {
            line.push(name, Value::Bool(true), None);
        }
        if line.fields_dropped > 0 {
            metrics::counter!("logweir_fields_dropped_total").increment(u64::from(line.fields_dropped));
        }
        let time_ns = believed(line.time_ns.or(input.time_ns), input.received_ns, sources, key);
        builder.push(names, line, input.text, time_ns, seq);
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
        self.select(header, &source);
        self.add(&record, None, received_ns, seq);
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
        self.store.append(blocks.clone(), record, ranges);
        // After the store: who subscribes and then reads the store must find a row in at least one of them.
        let now_ns = self.store.now_ns();
        for block in &blocks {
            self.live.arrivals.note(block, now_ns);
            self.live.publish(block);
        }
        if let Some((key, learned)) = &self.current {
            self.tell(key, learned);
        }
        self.rows = 0;
        self.tickets.clear();
        if self.names.len() > NAMES_RESET {
            // Parsers hold numbers of the old names, so they go with them.
            self.names = Names::default();
            self.parsers.clear();
            self.current = None;
        }
    }
}

/// The time of a line that tells this one. Where the clock of the host is wrong, nobody would find the line where it
/// says that it is.
#[inline]
fn believed(told_ns: Option<i64>, received_ns: i64, sources: &Sources, key: &SourceKey) -> i64 {
    let time_ns = told_ns.unwrap_or(received_ns);
    if time_ns <= received_ns.saturating_add(FUTURE_MAX_NS) {
        return time_ns;
    }
    metrics::counter!("logweir_future_times_total").increment(1);
    sources.is_ahead(key, Ahead { received_ns, by_ns: time_ns.saturating_sub(received_ns) });
    received_ns
}

/// Requests without an identity are all one source, but each sender's labels are its own.
fn parser_key(header: &Header, source: &SourceInfo) -> SourceKey {
    if !header.agent.id.is_empty() {
        return SourceKey::new(&header.agent.id, &source.id);
    }
    let mut id = source.id.clone();
    for (label, value) in &source.labels {
        id.extend(["\n", label, "=", value]);
    }
    SourceKey::new("", &id)
}

/// A line that no parser could read: its text, and the labels of its source.
fn fill_plain(line: &mut Line, names: &mut Names, text: &[u8], source: &SourceInfo, host: &str) {
    line.clear();
    let message = line.scratch(String::from_utf8_lossy(text.trim_ascii_end()).as_bytes());
    line.push(NameId::MESSAGE, Value::Text(message), None);
    for (label, value) in &source.labels {
        if let Some(name) = names.intern(label) {
            let value = line.scratch(value.as_bytes());
            line.push_default(name, Value::Text(value));
        }
    }
    if !host.is_empty() {
        let host = line.scratch(host.as_bytes());
        line.push_default(NameId::HOST, Value::Text(host));
    }
}

#[cfg(test)]
mod tests;
