//! When the lines came: one time for each WAL record, by which the `seq` of a row finds its own.
//!
//! A batch is received at one moment, and `seq` begins with the number of its record: so a table of records tells the
//! receive time of every row, costs a few bytes a batch, and comes out of a replay of the WAL as it was. Times are whole
//! milliseconds. Rows of splits before version 7 have none. As a section:
//!
//! | bytes | |
//! |---|---|
//! | … | zstd of the rest; varints |
//! | | number of records |
//! | | for each record its number, as the difference to the one before |
//! | | for each record its time in milliseconds since the epoch, as the zigzag difference to the one before |

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use logweir_proto::record::{SEQ_INDEX_BITS, field};
use logweir_proto::{frame, varint};

use super::segment::Projection;

/// Largest section, decompressed.
pub const RECEIPTS_BYTES_MAX: usize = 64 << 20;

/// What a record takes in memory.
pub const RECEIPT_BYTES: u64 = size_of::<(u64, i64)>() as u64;

const MS: i64 = 1_000_000;

/// Receive times between which rows lie, in nanoseconds, both inside.
pub type Span = (i64, i64);

/// The receive times of some WAL records, by rising number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipts {
    /// Record and milliseconds since the epoch.
    all: Vec<(u64, i64)>,
}

/// What is known of the receive times of some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    pub span: Option<Span>,
    /// Rows of which none is known.
    pub unknown: u64,
}

impl Told {
    /// What is known of these rows and those.
    pub fn join(self, other: Told) -> Told {
        let joined = |a: Span, b: Span| (a.0.min(b.0), a.1.max(b.1));
        let span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some(joined(a, b)),
            (a, b) => a.or(b),
        };
        Told { span, unknown: self.unknown.saturating_add(other.unknown) }
    }
}

/// The WAL record of a row.
#[inline]
const fn record_of(seq: u64) -> u64 {
    seq >> SEQ_INDEX_BITS
}

impl Receipts {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Notes when the record of a row was received. Mostly it is the record of the row before.
    #[inline]
    pub fn note(&mut self, seq: u64, received_ns: i64) {
        let record = record_of(seq);
        match self.all.last() {
            Some((last, _)) if *last == record => {}
            Some((last, _)) if *last > record => {
                if let Err(at) = self.all.binary_search_by_key(&record, |(record, _)| *record) {
                    self.all.insert(at, (record, received_ns.div_euclid(MS)));
                }
            }
            _ => self.all.push((record, received_ns.div_euclid(MS))),
        }
    }

    fn of_record(&self, record: u64) -> Option<i64> {
        let at = self.all.binary_search_by_key(&record, |(record, _)| *record).ok()?;
        Some(self.all[at].1.saturating_mul(MS))
    }

    /// When the line of a row was received.
    pub fn of(&self, seq: u64) -> Option<i64> {
        self.of_record(record_of(seq))
    }

    /// Calls `each` with the rows of one record that stand side by side: the first of them, how many, when they came.
    fn each_run(&self, seqs: &[u64], mut each: impl FnMut(usize, usize, Option<i64>)) {
        let mut from = 0;
        for run in seqs.chunk_by(|a, b| record_of(*a) == record_of(*b)) {
            each(from, run.len(), run.first().and_then(|seq| self.of(*seq)));
            from += run.len();
        }
    }

    /// The receive times of rows.
    pub fn column(&self, seqs: &[u64]) -> ArrayRef {
        let mut times: Vec<Option<i64>> = Vec::with_capacity(seqs.len());
        self.each_run(seqs, |_, rows, time| times.extend(std::iter::repeat_n(time, rows)));
        Arc::new(Int64Array::from(times))
    }

    /// What is known of rows.
    pub fn told(&self, seqs: &[u64]) -> Told {
        let mut told = Told::default();
        self.each_run(seqs, |_, rows, time| {
            let unknown = if time.is_none() { rows as u64 } else { 0 };
            told = told.join(Told { span: time.map(|time| (time, time)), unknown });
        });
        told
    }

    /// The part of it that rows need.
    pub fn only(&self, seqs: &[u64]) -> Receipts {
        let mut records: Vec<u64> = Vec::new();
        self.each_run(seqs, |from, _, _| records.push(record_of(seqs[from])));
        records.sort_unstable();
        records.dedup();
        let own = |record: u64| {
            let at = self.all.binary_search_by_key(&record, |(record, _)| *record).ok()?;
            Some(self.all[at])
        };
        Receipts { all: records.into_iter().filter_map(own).collect() }
    }

    /// All of several; parts that are shared are looked at once.
    pub fn union<'a>(parts: impl Iterator<Item = &'a Arc<Receipts>>) -> Arc<Receipts> {
        let mut distinct: Vec<&Arc<Receipts>> = Vec::new();
        for part in parts.filter(|part| !part.is_empty()) {
            if !distinct.iter().any(|known| Arc::ptr_eq(known, part)) {
                distinct.push(part);
            }
        }
        if let [one] = distinct[..] {
            return Arc::clone(one);
        }
        let mut all: Vec<(u64, i64)> = distinct.into_iter().flat_map(|part| part.all.iter().copied()).collect();
        all.sort_unstable();
        all.dedup_by_key(|(record, _)| *record);
        Arc::new(Receipts { all })
    }

    /// The section; without bytes when there is nothing to tell.
    pub fn encode(&self) -> std::io::Result<Vec<u8>> {
        if self.all.is_empty() {
            return Ok(Vec::new());
        }
        let mut out = Vec::with_capacity(self.all.len() * 4 + 10);
        varint::put(&mut out, self.all.len() as u64);
        let mut before = 0u64;
        for (record, _) in &self.all {
            varint::put(&mut out, record.wrapping_sub(before));
            before = *record;
        }
        let mut before = 0i64;
        for (_, ms) in &self.all {
            varint::put(&mut out, varint::zigzag(ms.wrapping_sub(before)));
            before = *ms;
        }
        if out.len() > RECEIPTS_BYTES_MAX {
            return Err(std::io::Error::other(format!("receive times of {} records are too many", self.all.len())));
        }
        zstd::bulk::compress(&out, 3)
    }

    /// Reads a section; `None` when it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Receipts> {
        if bytes.is_empty() {
            return Some(Receipts::default());
        }
        let bytes = frame::decompress(bytes, RECEIPTS_BYTES_MAX).ok()?;
        let mut input = &bytes[..];
        let len = usize::try_from(varint::take(&mut input)?).ok()?;
        // Each record takes two bytes at least.
        if len > input.len() / 2 {
            return None;
        }
        let (mut all, mut record, mut ms) = (Vec::with_capacity(len), 0u64, 0i64);
        for place in 0..len {
            let more = varint::take(&mut input)?;
            record = record.checked_add(more).filter(|_| place == 0 || more > 0)?;
            all.push((record, 0));
        }
        for (_, own) in &mut all {
            ms = ms.wrapping_add(varint::unzigzag(varint::take(&mut input)?));
            *own = ms;
        }
        input.is_empty().then_some(Receipts { all })
    }
}

/// Whether a reader asks for the receive time.
pub fn is_wanted(projection: &Projection) -> bool {
    matches!(projection, Projection::Fields(names) if names.iter().any(|name| name == field::INGESTED))
}

/// The column as readers get it.
pub fn schema_field() -> Field {
    Field::new(field::INGESTED, DataType::Int64, true)
}

/// A batch with the receive times of its rows as one more column.
pub fn with_column(batch: &RecordBatch, times: ArrayRef) -> Result<RecordBatch, ArrowError> {
    let mut fields = batch.schema_ref().fields().to_vec();
    fields.push(Arc::new(schema_field()));
    let mut columns = batch.columns().to_vec();
    columns.push(times);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use logweir_proto::record::seq_of;
    use proptest::prelude::*;

    use super::*;

    fn receipts(all: &[(u64, i64)]) -> Receipts {
        let mut receipts = Receipts::default();
        all.iter().for_each(|(record, time)| receipts.note(seq_of(*record, 7), *time));
        receipts
    }

    #[test]
    fn every_row_has_the_time_of_its_record() {
        let receipts = receipts(&[(5, 50_999_999), (5, 1), (7, 70_000_000), (6, -1), (6, 0)]);
        let seqs = [seq_of(5, 0), seq_of(5, 9), seq_of(7, 1), seq_of(5, 2), seq_of(8, 0), seq_of(6, 0)];
        let times: Vec<Option<i64>> = seqs.iter().map(|seq| receipts.of(*seq)).collect();
        assert_eq!(
            times,
            [Some(50_000_000), Some(50_000_000), Some(70_000_000), Some(50_000_000), None, Some(-1_000_000)]
        );
        assert_eq!(&*receipts.column(&seqs), &Int64Array::from(times.clone()) as &dyn arrow::array::Array);
        assert_eq!(receipts.told(&seqs), Told { span: Some((-1_000_000, 70_000_000)), unknown: 1 });
        assert_eq!(receipts.told(&seqs[4..5]), Told { span: None, unknown: 1 });
        let only = receipts.only(&seqs[1..4]);
        assert_eq!((only.all.len(), only.of(seqs[0]), only.of(seqs[5])), (2, times[0], None));
        let (all, none) = (Arc::new(receipts.clone()), Arc::new(Receipts::default()));
        assert!(Arc::ptr_eq(&Receipts::union([&all, &none, &all].into_iter()), &all));
        assert_eq!(*Receipts::union([&all, &Arc::new(only)].into_iter()), receipts);
    }

    #[test]
    fn a_batch_costs_two_bytes() {
        let steady: Vec<(u64, i64)> =
            (1..=1000).map(|i| (i, 1_795_132_800_000_000_000 + i as i64 * 203 * MS)).collect();
        assert!(receipts(&steady).encode().expect("small").len() < 60);
        let restless = |i: u64| 1_795_132_800_000_000_000 + (i as i64 * 200 + (i * i % 97) as i64) * MS;
        let restless: Vec<(u64, i64)> = (1..=1000).map(|i| (i, restless(i))).collect();
        assert!(receipts(&restless).encode().expect("small").len() < 2_000);
    }

    proptest! {
        #[test]
        fn a_section_comes_back(all in proptest::collection::vec((0u64..1 << 40, any::<i64>()), 0..50)) {
            let receipts = receipts(&all);
            prop_assert_eq!(Receipts::decode(&receipts.encode().expect("small")), Some(receipts));
        }

        #[test]
        fn hostile_bytes_are_no_section(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            let _ = Receipts::decode(&bytes);
            let _ = Receipts::decode(&zstd::bulk::compress(&bytes, 1).expect("small"));
        }
    }
}
