//! A segment made of JSON rows. Its index is computed naively and answers as strictly as the trait allows, so that a
//! probe that asks too much loses rows in a test and not in production.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use logweir_proto::api::{Order, Row};
use logweir_proto::query::ast;
use logweir_proto::record::{EventId, field};

use super::cell::{EXTRA, Value, field_of_column};
use super::execute::{self, Event, Outcome, Request};
use super::table::{arrays_of, batch};
use crate::store::segment::{BlockStat, FieldStat, Probe, Projection, Segment, SegmentError};
use crate::store::token::{WORD_BYTES_MAX, fold, for_each_word};

/// Noon of some day; tests give times in seconds from here.
pub(crate) const NOW_NS: i64 = 1_795_176_000_000_000_000;

const COUNTED: [&str; 5] = ["level", "status", "service", "host", "source"];

/// One event of a test.
#[derive(Debug, Clone)]
pub(crate) struct TestRow {
    pub id: EventId,
    pub fields: serde_json::Map<String, serde_json::Value>,
    pub raw: Vec<u8>,
}

impl TestRow {
    /// `time` is in seconds before [`NOW_NS`].
    pub(crate) fn new(seconds_ago: i64, seq: u64, fields: serde_json::Value) -> TestRow {
        let raw = fields.to_string().into_bytes();
        let serde_json::Value::Object(fields) = fields else { panic!("a row is an object") };
        TestRow { id: EventId { time_ns: NOW_NS - seconds_ago * 1_000_000_000, seq }, fields, raw }
    }
}

#[derive(Debug, Default)]
struct BlockIndex {
    words: BTreeSet<String>,
    has_long_word: bool,
    values: BTreeSet<(String, String)>,
    exists: BTreeSet<String>,
    counts: BTreeMap<String, Vec<(String, u32)>>,
}

pub(crate) struct MemorySegment {
    name: String,
    blocks: Vec<BlockStat>,
    batches: Vec<RecordBatch>,
    index: Vec<BlockIndex>,
    raws: Vec<Vec<Vec<u8>>>,
    fields: BTreeMap<String, FieldStat>,
    /// Blocks that cannot be read.
    pub(crate) broken: Mutex<BTreeSet<usize>>,
    pub(crate) reads: AtomicUsize,
    /// After so many reads, raises the flag.
    pub(crate) cancel_after: Mutex<Option<(usize, Arc<AtomicBool>)>>,
    bytes: AtomicU64,
}

impl MemorySegment {
    /// Rows cut into blocks of `block_rows`; the fields named in `overflow` are kept in the overflow column.
    pub(crate) fn new(name: &str, mut rows: Vec<TestRow>, block_rows: usize, overflow: &[&str]) -> MemorySegment {
        rows.sort_by_key(|row| row.id);
        let mut segment = MemorySegment {
            name: name.to_owned(),
            blocks: Vec::new(),
            batches: Vec::new(),
            index: Vec::new(),
            raws: Vec::new(),
            fields: BTreeMap::new(),
            broken: Mutex::default(),
            reads: AtomicUsize::new(0),
            cancel_after: Mutex::default(),
            bytes: AtomicU64::new(0),
        };
        for rows in rows.chunks(block_rows.max(1)) {
            segment.blocks.push(BlockStat {
                rows: rows.len() as u32,
                min_time_ns: rows[0].id.time_ns,
                max_time_ns: rows[rows.len() - 1].id.time_ns,
            });
            segment.index.push(index_of(rows));
            segment.raws.push(rows.iter().map(|row| row.raw.clone()).collect());
            segment.batches.push(batch_of(rows, overflow));
            segment.count_fields(rows);
        }
        segment
    }

    fn count_fields(&mut self, rows: &[TestRow]) {
        for (name, value) in rows.iter().flat_map(|row| &row.fields) {
            let kind = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::Bool(_) => "bool",
                serde_json::Value::Number(number) if number.is_i64() => "int",
                serde_json::Value::Number(_) => "float",
                _ => "str",
            };
            let stat = self.fields.entry(name.clone()).or_default();
            stat.rows += 1;
            if !stat.types.contains(&kind) {
                stat.types.push(kind);
            }
        }
    }

    pub(crate) fn batch(&self, block: usize) -> &RecordBatch {
        &self.batches[block]
    }
}

fn index_of(rows: &[TestRow]) -> BlockIndex {
    let mut index = BlockIndex::default();
    let mut counts: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (name, value) in rows.iter().flat_map(|row| &row.fields).filter(|(_, value)| !value.is_null()) {
        index.exists.insert(name.clone());
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if COUNTED.contains(&name.as_str()) {
            *counts.entry(name.clone()).or_default().entry(text.clone()).or_default() += 1;
        }
        let Some(text) = value.as_str() else { continue };
        let mut folded = String::new();
        fold(text, &mut folded);
        index.values.insert((name.clone(), folded));
        if matches!(name.as_str(), "message" | "exception.stack") {
            for_each_word(text, &mut String::new(), |word| {
                index.has_long_word |= word.len() > WORD_BYTES_MAX;
                index.words.insert(word.to_owned());
            });
        }
    }
    index.counts = counts.into_iter().map(|(name, counts)| (name, counts.into_iter().collect())).collect();
    index
}

fn batch_of(rows: &[TestRow], overflow: &[&str]) -> RecordBatch {
    let mut columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new(field::TIME, DataType::Int64, false),
            Arc::new(rows.iter().map(|row| row.id.time_ns).collect::<Int64Array>()),
        ),
        (
            Field::new(field::SEQ, DataType::UInt64, false),
            Arc::new(rows.iter().map(|row| row.id.seq).collect::<UInt64Array>()),
        ),
    ];
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.fields.keys()).collect();
    for name in names.into_iter().filter(|name| !overflow.contains(&name.as_str())) {
        let values: Vec<Value> = rows
            .iter()
            .map(|row| Value::of_json(name, row.fields.get(name).unwrap_or(&serde_json::Value::Null)))
            .collect();
        columns.extend(arrays_of(name, &values.iter()));
    }
    if !overflow.is_empty() {
        let extra: StringArray = rows
            .iter()
            .map(|row| {
                let rest: serde_json::Map<_, _> =
                    row.fields.clone().into_iter().filter(|(name, _)| overflow.contains(&name.as_str())).collect();
                (!rest.is_empty()).then(|| serde_json::Value::Object(rest).to_string())
            })
            .collect();
        columns.push((Field::new(EXTRA, DataType::Utf8, true), Arc::new(extra)));
    }
    let (fields, arrays) = columns.into_iter().unzip();
    batch(fields, arrays, rows.len()).expect("columns of one length")
}

impl BlockIndex {
    fn may_match(&self, probe: &Probe) -> bool {
        match probe {
            Probe::Any => true,
            Probe::None => false,
            Probe::And(probes) => probes.iter().all(|probe| self.may_match(probe)),
            Probe::Or(probes) => probes.iter().any(|probe| self.may_match(probe)),
            Probe::Word(word) => self.words.contains(word),
            Probe::WordPrefix(prefix) => {
                self.has_long_word || self.words.iter().any(|word| word.starts_with(prefix.as_str()))
            }
            Probe::Value { field, folded } => self.values.contains(&(field.clone(), folded.clone())),
            Probe::Exists { field } | Probe::Part { field, .. } => self.exists.contains(field),
        }
    }
}

impl Segment for MemorySegment {
    fn name(&self) -> &str {
        &self.name
    }

    fn blocks(&self) -> &[BlockStat] {
        &self.blocks
    }

    fn fields(&self) -> &BTreeMap<String, FieldStat> {
        &self.fields
    }

    fn candidates(&self, probe: &Probe) -> Result<Vec<bool>, SegmentError> {
        Ok(self.index.iter().map(|block| block.may_match(probe)).collect())
    }

    fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, SegmentError> {
        let reads = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((after, flag)) = &*self.cancel_after.lock().expect("not poisoned") {
            flag.store(reads >= *after, Ordering::SeqCst);
        }
        if self.broken.lock().expect("not poisoned").contains(&block) {
            return Err(SegmentError { segment: self.name.clone(), reason: "broken on purpose".to_owned() });
        }
        self.bytes.fetch_add(1000, Ordering::SeqCst);
        let batch = &self.batches[block];
        let wanted: Vec<usize> = (0..batch.num_columns())
            .filter(|index| {
                let column = batch.schema_ref().field(*index).name();
                let name = field_of_column(column);
                match projection {
                    Projection::All => true,
                    Projection::Fields(names) => names.iter().any(|wanted| wanted == name),
                }
            })
            .collect();
        let mut batch = batch.project(&wanted).expect("columns that are there");
        if let Some(rows) = rows {
            let take = UInt32Array::from(rows.to_vec());
            batch = arrow::compute::take_record_batch(&batch, &take).expect("rows that are there");
        }
        Ok(batch)
    }

    fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, SegmentError> {
        Ok(rows.iter().map(|row| self.raws[block][*row as usize].clone()).collect())
    }

    fn counts(&self, block: usize, field: &str) -> Option<&[(String, u32)]> {
        self.index[block].counts.get(field).map(Vec::as_slice)
    }

    /// Eight bytes a value.
    fn stored_bytes(&self, block: usize, projection: &Projection) -> u64 {
        self.read(block, projection, None).map_or(0, |batch| 8 * (batch.num_rows() * batch.num_columns()) as u64)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// Everything until now, without limits of time.
pub(crate) fn request(limit: usize) -> Request<'static> {
    Request {
        from_ns: Some(i64::MIN),
        to_ns: None,
        limit,
        order: Order::Desc,
        cursor: None,
        fields: None,
        now_ns: NOW_NS,
        deadline: Instant::now() + Duration::from_secs(600),
        memory_bytes: 64 << 20,
        cancel: &NEVER,
    }
}

pub(crate) struct Answer {
    pub columns: Vec<String>,
    pub events: bool,
    pub rows: Vec<(Option<EventId>, Row)>,
    pub outcome: Outcome,
}

impl Answer {
    pub(crate) fn ids(&self) -> Vec<EventId> {
        self.rows.iter().filter_map(|(id, _)| *id).collect()
    }

    /// The rows as JSON lines.
    pub(crate) fn text(&self) -> String {
        let lines = self.rows.iter().map(|(_, row)| serde_json::to_string(row).expect("a row is JSON") + "\n");
        lines.collect()
    }
}

pub(crate) fn ask(query: &ast::Query, request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Answer {
    let (mut columns, mut events, mut rows) = (Vec::new(), false, Vec::new());
    let outcome = execute::run(query, request, segments, &mut |event| {
        match event {
            Event::Meta { columns: names, events: is_events, .. } => (columns, events) = (names, is_events),
            Event::Row { id, row } => rows.push((id, row)),
            Event::Progress { .. } => {}
        }
        ControlFlow::Continue(())
    })
    .expect("the query runs");
    assert_eq!(outcome.rows, rows.len());
    Answer { columns, events, rows, outcome }
}

pub(crate) fn query(filter: ast::Filter, pipes: Vec<ast::PipeKind>) -> ast::Query {
    let pipes = pipes.into_iter().map(|kind| ast::Pipe { kind, span: ast::Span::default() }).collect();
    ast::Query { filter, since: None, until: None, pipes }
}

pub(crate) fn literal(text: &str) -> ast::Literal {
    ast::Literal { text: text.to_owned(), quoted: false, span: ast::Span::default() }
}

pub(crate) fn name(text: &str) -> ast::Field {
    ast::Field { name: text.to_owned(), span: ast::Span::default() }
}
