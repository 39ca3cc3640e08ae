use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;

fn records(wal: &LocalWal, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    wal.replay(from, &mut |number, payload| all.push((number, payload.to_vec()))).expect("the log is readable");
    all
}

fn last_segment(dir: &Path) -> PathBuf {
    let first = *list(dir).expect("a directory of segments").keys().next_back().expect("a segment");
    segment::path(dir, first)
}

#[test]
fn records_survive_a_reopen_with_their_numbers() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = LocalWal::open_with(dir.path(), 7, 60).expect("a new log");
    for text in ["one", "two", "three", "four"] {
        wal.append(&[text.as_bytes(), b"!"]).expect("append");
    }
    wal.sync().expect("sync");
    drop(wal);
    let (wal, damage) = LocalWal::open_with(dir.path(), 1, 60).expect("reopen");
    assert_eq!(damage, []);
    assert_eq!(wal.next_record(), 11);
    assert_eq!(records(&wal, 9), [(9, b"three!".to_vec()), (10, b"four!".to_vec())]);
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = LocalWal::open(dir.path(), 1).expect("a new log");
    wal.append(&[b"kept"]).expect("append");
    let whole = wal.end;
    wal.append(&[b"torn away"]).expect("append");
    wal.sync().expect("sync");
    let bytes = fs::read(last_segment(dir.path())).expect("the segment");
    drop(wal);
    for cut in whole as usize..bytes.len() {
        fs::write(last_segment(dir.path()), &bytes[..cut]).expect("cut");
        let (mut wal, damage) = LocalWal::open(dir.path(), 1).expect("a torn log opens");
        assert_eq!(damage, [], "cut at {cut}");
        assert_eq!(records(&wal, 0), [(1, b"kept".to_vec())], "cut at {cut}");
        assert_eq!(wal.append(&[b"next"]).expect("append"), 2);
        assert_eq!(records(&wal, 2), [(2, b"next".to_vec())], "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_in_the_middle_costs_one_record_and_is_reported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = LocalWal::open(dir.path(), 1).expect("a new log");
    for text in ["first", "second", "third"] {
        wal.append(&[text.as_bytes()]).expect("append");
    }
    wal.sync().expect("sync");
    drop(wal);
    let path = last_segment(dir.path());
    let bytes = fs::read(&path).expect("the segment");
    let at = bytes.windows(6).position(|w| w == b"second").expect("the second record") as u64;
    OpenOptions::new().write(true).open(&path).and_then(|f| f.write_all_at(b"S", at)).expect("flip");
    let (wal, damage) = LocalWal::open(dir.path(), 1).expect("a damaged log opens");
    assert_eq!(damage.len(), 1);
    assert_eq!(records(&wal, 0), [(1, b"first".to_vec()), (3, b"third".to_vec())]);
    assert_eq!(wal.next_record(), 4);
}

#[test]
fn a_damaged_length_costs_one_record_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = LocalWal::open(dir.path(), 1).expect("a new log");
    for text in ["first", "second", "third"] {
        wal.append(&[text.as_bytes()]).expect("append");
    }
    wal.sync().expect("sync");
    drop(wal);
    let path = last_segment(dir.path());
    let whole = fs::read(&path).expect("the segment");
    let second = whole.windows(6).position(|w| w == b"second").expect("the second record") - 16;
    for (byte, bit) in (0..4).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let mut bytes = whole.clone();
        bytes[second + byte] ^= 1 << bit;
        fs::write(&path, &bytes).expect("flip");
        let (wal, damage) = LocalWal::open(dir.path(), 1).expect("a damaged log opens");
        assert_eq!(damage.len(), 1, "byte {byte} bit {bit}");
        assert_eq!(records(&wal, 0), [(1, b"first".to_vec()), (3, b"third".to_vec())], "byte {byte} bit {bit}");
    }
}

#[test]
fn only_whole_segments_below_the_mark_are_removed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = LocalWal::open_with(dir.path(), 1, 40).expect("a new log");
    for i in 0..10u8 {
        wal.append(&[&[i; 20]]).expect("append");
    }
    wal.truncate_before(6).expect("truncate");
    let left = records(&wal, 6);
    assert_eq!(left.iter().map(|r| r.0).collect::<Vec<_>>(), [6, 7, 8, 9, 10]);
    assert!(records(&wal, 0).len() < 10);
    wal.truncate_before(100).expect("truncate");
    drop(wal);
    let (wal, _) = LocalWal::open(dir.path(), 1).expect("reopen");
    assert_eq!(wal.next_record(), 11, "an emptied log does not give a number twice");
}

#[test]
fn a_full_disk_refuses_the_record_and_keeps_the_others() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = LocalWal::open(dir.path(), 1).expect("a new log");
    wal.append(&[b"before"]).expect("append");
    wal.sync().expect("sync");
    // Every write to /dev/full fails with ENOSPC; cutting it back fails too, which must poison and not pretend.
    let real = std::mem::replace(&mut wal.file, OpenOptions::new().write(true).open("/dev/full").expect("/dev/full"));
    assert!(matches!(wal.append(&[b"lost"]), Err(WalError::Poisoned(_))));
    wal.file = real;
    assert!(matches!(wal.append(&[b"after"]), Err(WalError::Poisoned(_))));
    assert_eq!(records(&wal, 0), [(1, b"before".to_vec())]);
}

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<u8>),
    Truncate(u64),
    Reopen,
    Tear(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Op::Append),
        1 => (0u64..30).prop_map(Op::Truncate),
        1 => Just(Op::Reopen),
        1 => any::<u16>().prop_map(Op::Tear),
    ]
}

proptest! {
    /// The log against a vector of what was synced.
    #[test]
    fn a_log_is_a_vector(ops in prop::collection::vec(op(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, _) = LocalWal::open_with(dir.path(), 1, 100).unwrap();
        let mut model: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut low = 0;
        for op in ops {
            match op {
                Op::Append(payload) => {
                    let number = wal.append(&[&payload]).unwrap();
                    wal.sync().unwrap();
                    prop_assert!(model.insert(number, payload).is_none(), "number {} twice", number);
                }
                Op::Truncate(at) => {
                    low = low.max(at.min(wal.next_record()));
                    wal.truncate_before(low).unwrap();
                }
                Op::Reopen => wal = LocalWal::open_with(dir.path(), 1, 100).unwrap().0,
                Op::Tear(len) => {
                    // A crash in the middle of an append: some first bytes of an unacknowledged frame.
                    let mut bytes = Vec::new();
                    frame::put(&mut bytes, &[&wal.next.to_le_bytes(), b"never acknowledged"]).expect("small");
                    bytes.truncate(len as usize % bytes.len());
                    wal.file.write_all(&bytes).unwrap();
                    wal = LocalWal::open_with(dir.path(), 1, 100).unwrap().0;
                }
            }
            let want: Vec<_> = model.range(low..).map(|(n, p)| (*n, p.clone())).collect();
            prop_assert_eq!(records(&wal, low), want);
        }
    }
}
