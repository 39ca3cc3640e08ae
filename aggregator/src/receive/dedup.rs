//! What of a batch is new. A pure decision over the stored ranges, the same when the log is replayed.

use logweir_proto::batch::{Gap, Header, RecordRef};

use crate::ranges::{Coverage, RangeSet, SourceKey, SourceRanges};

/// What becomes of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkPlan {
    /// None of it is stored.
    Take,
    /// All of it is stored.
    Skip,
    /// Records within these ranges are stored.
    Trim(RangeSet),
}

/// Takes a batch into `ranges`: decides for every chunk, and leaves only the gaps in the header that are news. The
/// writer and the replay of the log both come through here, so they cannot differ.
pub fn apply(ranges: &mut SourceRanges, header: &mut Header, received_ns: i64) -> Vec<ChunkPlan> {
    ranges.set_time(received_ns);
    let plans = decide(ranges, header);
    let mut news = new_gaps(ranges, header).into_iter();
    header.gaps.retain(|_| news.next().unwrap_or(true));
    plans
}

/// Decides for every chunk of a batch and adds its ranges to `ranges`.
///
/// An agent without an id (one-off requests without an idempotency key) is not accounted: everything is taken.
pub fn decide(ranges: &mut SourceRanges, header: &Header) -> Vec<ChunkPlan> {
    let mut plans = Vec::with_capacity(header.chunks.len());
    for (chunk, key) in header.chunks.iter().zip(chunk_keys(header)) {
        let Some(key) = key else {
            plans.push(ChunkPlan::Take);
            continue;
        };
        let coverage = ranges.get(&key).map_or(Coverage::Nothing, |set| set.coverage(chunk.start, chunk.end));
        plans.push(match coverage {
            Coverage::Nothing => ChunkPlan::Take,
            Coverage::Whole => ChunkPlan::Skip,
            Coverage::Part => ChunkPlan::Trim(ranges.get(&key).cloned().unwrap_or_default()),
        });
        ranges.insert(&key, chunk.start, chunk.end);
    }
    plans
}

/// Which gaps of a batch are news, added to `ranges` as ranges of their own: a retry reports them again.
fn new_gaps(ranges: &mut SourceRanges, header: &Header) -> Vec<bool> {
    let mut news = Vec::with_capacity(header.gaps.len());
    for gap in &header.gaps {
        news.push(is_new_gap(ranges, header, gap));
        let (key, end) = gap_key(header, gap);
        ranges.insert(&key, gap.start, end);
    }
    news
}

/// Whether nobody has reported this gap yet.
pub fn is_new_gap(ranges: &SourceRanges, header: &Header, gap: &Gap) -> bool {
    let (key, end) = gap_key(header, gap);
    ranges.get(&key).is_none_or(|set| !set.contains(gap.start, end))
}

fn gap_key(header: &Header, gap: &Gap) -> (SourceKey, u64) {
    // The id of a source has no slash, so this is nobody else's key.
    let key = SourceKey::new(&header.agent.id, &format!("{}/gaps", gap.source));
    (key, gap.end.unwrap_or(0).max(gap.start.saturating_add(1)))
}

/// The ranges that a batch adds, for the record of the split that will cover it.
pub fn ranges_of(header: &Header, received_ns: i64) -> SourceRanges {
    let mut ranges = SourceRanges::default();
    ranges.set_time(received_ns);
    for (chunk, key) in header.chunks.iter().zip(chunk_keys(header)) {
        if let Some(key) = key {
            ranges.insert(&key, chunk.start, chunk.end);
        }
    }
    new_gaps(&mut ranges, header);
    ranges
}

fn chunk_keys(header: &Header) -> impl Iterator<Item = Option<SourceKey>> + '_ {
    header.chunks.iter().map(|chunk| {
        let source = header.sources.get(chunk.source as usize)?;
        (!header.agent.id.is_empty()).then(|| SourceKey::new(&header.agent.id, &source.id))
    })
}

/// What becomes of one record of a chunk that is partly stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPlan {
    Take,
    Skip,
    /// Its first bytes are stored: what follows them is new. Only plain lines can be cut.
    TakeFrom(usize),
}

/// Cuts a record against what is stored.
pub fn trim(stored: &RangeSet, record: &RecordRef<'_>) -> RecordPlan {
    let end = record.start + record.advance;
    match stored.coverage(record.start, end) {
        Coverage::Nothing => RecordPlan::Take,
        Coverage::Whole => RecordPlan::Skip,
        Coverage::Part => {
            let cut = (stored.end_of(record.start) - record.start) as usize;
            let plain = record.advance == record.text.len() as u64 + 1;
            if plain && cut > 0 && cut < record.text.len() { RecordPlan::TakeFrom(cut) } else { RecordPlan::Take }
        }
    }
}

/// Records taken and records skipped, for the answer.
pub fn count(
    header: &Header,
    plans: &[ChunkPlan],
    mut trimmed: impl FnMut(usize, &RangeSet) -> (u64, u64),
) -> (u64, u64) {
    let mut accepted = 0;
    let mut duplicate = 0;
    for (i, (chunk, plan)) in header.chunks.iter().zip(plans).enumerate() {
        match plan {
            ChunkPlan::Take => accepted += u64::from(chunk.records),
            ChunkPlan::Skip => duplicate += u64::from(chunk.records),
            ChunkPlan::Trim(stored) => {
                let (taken, skipped) = trimmed(i, stored);
                accepted += taken;
                duplicate += skipped;
            }
        }
    }
    (accepted, duplicate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use logweir_proto::batch::{AgentInfo, ChunkInfo, Heartbeat, SourceInfo, SourceKind, Stream};

    use super::*;

    fn header(agent: &str, chunks: &[(u64, u64)]) -> Header {
        Header {
            agent: AgentInfo { id: agent.into(), host: "h".into(), version: "0".into(), utc_offset_minutes: 0 },
            seq: 1,
            sources: vec![SourceInfo {
                id: "s".into(),
                kind: SourceKind::File,
                path: "/x".into(),
                format: String::new(),
                labels: BTreeMap::new(),
            }],
            chunks: chunks
                .iter()
                .map(|&(start, end)| ChunkInfo { source: 0, start, end, records: 1, bytes: 1 })
                .collect(),
            watermarks: Vec::new(),
            gaps: Vec::new(),
            heartbeat: Heartbeat::default(),
        }
    }

    #[test]
    fn a_repeat_is_skipped_an_overlap_is_trimmed_and_the_rest_is_taken() {
        let mut ranges = SourceRanges::default();
        assert_eq!(decide(&mut ranges, &header("a", &[(0, 100)])), [ChunkPlan::Take]);
        assert_eq!(decide(&mut ranges, &header("a", &[(0, 100)])), [ChunkPlan::Skip]);
        assert_eq!(decide(&mut ranges, &header("a", &[(200, 300)])), [ChunkPlan::Take], "a hole is not stored");
        let plans = decide(&mut ranges, &header("a", &[(100, 200), (90, 210)]));
        assert_eq!(plans, [ChunkPlan::Take, ChunkPlan::Skip], "the first chunk closes the hole for the second");
        assert!(matches!(decide(&mut ranges, &header("a", &[(250, 350)]))[..], [ChunkPlan::Trim(_)]));
        assert_eq!(decide(&mut ranges, &header("b", &[(0, 100)])), [ChunkPlan::Take], "another agent");
    }

    #[test]
    fn requests_without_an_identity_are_never_duplicates() {
        let mut ranges = SourceRanges::default();
        for _ in 0..2 {
            assert_eq!(decide(&mut ranges, &header("", &[(0, 10)])), [ChunkPlan::Take]);
        }
        assert!(ranges.is_empty());
    }

    #[test]
    fn a_plain_record_is_cut_where_the_stored_bytes_end() {
        let stored = RangeSet::from(vec![(0, 14)]);
        let record = |start: u64, advance, text: &'static [u8]| RecordRef {
            start,
            advance,
            time_ns: None,
            stream: Stream::None,
            truncated: false,
            text,
        };
        assert_eq!(trim(&stored, &record(0, 10, b"123456789")), RecordPlan::Skip);
        assert_eq!(trim(&stored, &record(10, 10, b"abcdefghi")), RecordPlan::TakeFrom(4));
        assert_eq!(trim(&stored, &record(20, 10, b"abcdefghi")), RecordPlan::Take);
        assert_eq!(trim(&stored, &record(10, 80, b"docker")), RecordPlan::Take, "an envelope cannot be cut");
    }
}
