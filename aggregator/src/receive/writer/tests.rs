use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use logweir_proto::batch::{
    AgentInfo, BodyBuilder, ChunkBuilder, Gap, Header, Heartbeat, SourceInfo, SourceKind, Stream,
};

use super::*;
use crate::receive::admission::Admission;
use crate::wal::Damage;

/// A log in memory whose append or sync fails when told.
#[derive(Default)]
struct FaultyWal {
    records: Vec<Vec<u8>>,
    fail_append: Arc<AtomicBool>,
    fail_sync: Arc<AtomicBool>,
}

impl Wal for FaultyWal {
    fn next_record(&self) -> u64 {
        self.records.len() as u64 + 1
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<u64, WalError> {
        if self.fail_append.load(Ordering::SeqCst) {
            return Err(WalError::Append(std::io::Error::other("no space left on device")));
        }
        self.records.push(parts.concat());
        Ok(self.records.len() as u64)
    }

    fn sync(&mut self) -> Result<(), WalError> {
        if self.fail_sync.load(Ordering::SeqCst) {
            return Err(WalError::Poisoned("input/output error".to_owned()));
        }
        Ok(())
    }

    fn truncate_before(&mut self, _record: u64) -> Result<(), WalError> {
        Ok(())
    }

    fn replay(&self, _from: u64, _each: &mut dyn FnMut(u64, &[u8])) -> Result<Vec<Damage>, WalError> {
        Ok(Vec::new())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

fn received(start: u64, lines: &[&str], gaps: Vec<Gap>) -> Received {
    let mut chunk = ChunkBuilder::new(start);
    for line in lines {
        chunk.push(line.as_bytes(), line.len() as u64 + 1, None, Stream::None, false);
    }
    batch(&chunk, gaps)
}

fn batch(chunk: &ChunkBuilder, gaps: Vec<Gap>) -> Received {
    let header = Header {
        agent: AgentInfo { id: "a".into(), host: "h".into(), version: "0".into(), utc_offset_minutes: 0 },
        seq: 1,
        sources: vec![SourceInfo {
            id: "s".into(),
            kind: SourceKind::File,
            path: "/x".into(),
            format: String::new(),
            labels: BTreeMap::new(),
        }],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps,
        heartbeat: Heartbeat::default(),
    };
    let mut body = BodyBuilder::default();
    body.push(0, chunk);
    let bytes = Bytes::from(body.finish(header, 1).expect("a batch"));
    let ticket = Admission::new(u64::MAX).enter(0).expect("room");
    Received::decode("default".into(), 5, bytes, ticket).expect("a batch")
}

fn writer(wal: FaultyWal) -> (WriterHandle, mpsc::Receiver<Durable>) {
    let (next, durables) = mpsc::sync_channel(16);
    let (handle, _) = start(Box::new(wal), SharedRanges::default(), next).expect("a thread");
    (handle, durables)
}

#[tokio::test]
async fn a_repeat_is_acknowledged_and_not_stored() {
    let (handle, durables) = writer(FaultyWal::default());
    let first = handle.append(received(0, &["one", "two"], Vec::new())).await.expect("durable");
    assert_eq!((first.accepted, first.duplicate, first.offsets["s"]), (2, 0, 8));
    let again = handle.append(received(0, &["one", "two"], Vec::new())).await.expect("known");
    assert_eq!((again.accepted, again.duplicate, again.offsets["s"]), (0, 2, 8));
    let overlap = handle.append(received(4, &["two", "three"], Vec::new())).await.expect("durable");
    assert_eq!((overlap.accepted, overlap.duplicate, overlap.offsets["s"]), (1, 1, 14));
    drop(handle);
    let records: Vec<u64> = durables.iter().map(|d| d.record).collect();
    assert_eq!(records, [1, 2]);
}

#[tokio::test]
async fn a_range_without_lines_is_remembered_once() {
    let (handle, durables) = writer(FaultyWal::default());
    let mut left_out = ChunkBuilder::new(0);
    left_out.skip(100);
    for _ in 0..2 {
        let answer = handle.append(batch(&left_out, Vec::new())).await.expect("durable");
        assert_eq!((answer.accepted, answer.duplicate, answer.offsets["s"]), (0, 0, 100));
    }
    let mut kept = ChunkBuilder::new(100);
    kept.skip(10);
    kept.push(b"kept", 5, None, Stream::None, false);
    kept.skip(20);
    let answer = handle.append(batch(&kept, Vec::new())).await.expect("durable");
    assert_eq!((answer.accepted, answer.offsets["s"]), (1, 135));
    drop(handle);
    assert_eq!(durables.iter().map(|durable| durable.record).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_failed_append_is_no_promise_and_its_retry_is_taken() {
    let wal = FaultyWal::default();
    let fail = Arc::clone(&wal.fail_append);
    let (handle, _durables) = writer(wal);
    fail.store(true, Ordering::SeqCst);
    let error = handle.append(received(0, &["one"], Vec::new())).await.expect_err("no space");
    assert!(matches!(error, WriteError::Failed(_)));
    assert!(handle.health().is_err());
    fail.store(false, Ordering::SeqCst);
    let answer = handle.append(received(0, &["one"], Vec::new())).await.expect("space again");
    assert_eq!((answer.accepted, answer.duplicate), (1, 0));
    assert_eq!(handle.health(), Ok(()));
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nobody_not_even_a_repeat() {
    let wal = FaultyWal::default();
    let fail = Arc::clone(&wal.fail_sync);
    let (handle, durables) = writer(wal);
    fail.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = handle.append(received(0, &["one"], Vec::new())).await.expect_err("the sync failed");
        assert!(matches!(error, WriteError::Poisoned(_)));
    }
    assert!(durables.try_recv().is_err(), "nothing that is not durable is searchable");
}

#[tokio::test]
async fn a_gap_is_kept_even_when_its_lines_are_known() {
    let (handle, durables) = writer(FaultyWal::default());
    handle.append(received(0, &["one"], Vec::new())).await.expect("durable");
    let gap = Gap { source: "s".into(), path: "/x".into(), start: 4, end: Some(9), reason: "truncated".into() };
    for _ in 0..2 {
        let answer = handle.append(received(0, &["one"], vec![gap.clone()])).await.expect("durable");
        assert_eq!((answer.accepted, answer.duplicate), (0, 1));
    }
    drop(handle);
    let gaps: Vec<usize> = durables.iter().map(|durable| durable.header.gaps.len()).collect();
    assert_eq!(gaps, [0, 1], "it is kept once, however often it is reported");
}
