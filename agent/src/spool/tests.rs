use super::*;

fn message(text: &[u8]) -> Message {
    Message { time_ns: 7, text: text.to_vec(), part: Part::Whole }
}

fn names(spool: &Spool) -> Vec<String> {
    segments(&spool.dir).iter().map(|s| s.path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn segments_follow_each_other_and_a_restart_begins_another() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spool = Spool::open(dir.path(), "syslog", None, 8_000).expect("a spool");
    assert!(names(&spool).is_empty() && spool.last().is_none());
    spool.append(&mut vec![message(b"one"), message(b"two")]).expect("written");
    spool.append(&mut vec![message(&[b'x'; 990])]).expect("written");
    assert_eq!(names(&spool), ["0000000001.spool", "0000000002.spool"]);
    drop(spool);
    let mut spool = Spool::open(dir.path(), "syslog", None, 8_000).expect("a spool");
    assert_eq!(spool.last().map(<[u8]>::len), Some(990));
    spool.append(&mut vec![message(b"three")]).expect("written");
    let all = segments(&spool.dir);
    assert_eq!(all.iter().map(|s| (s.number, s.closed)).collect::<Vec<_>>(), [(1, true), (2, true), (3, false)]);
    // When all but the newest are gone, the last message is still known.
    for segment in &all {
        fs::remove_file(&segment.path).expect("removed");
    }
    let spool = Spool::open(dir.path(), "syslog", None, 8_000).expect("a spool");
    assert_eq!(spool.last().map(<[u8]>::len), Some(990));
}

#[test]
fn a_torn_message_is_cut_off() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spool = Spool::open(dir.path(), "stdin", Some("shop".into()), 1 << 20).expect("a spool");
    spool.append(&mut vec![message(b"one"), message(b"two")]).expect("written");
    let path = segments(&spool.dir)[0].path.clone();
    assert!(path.ends_with("0000000001.shop.spool"));
    let whole = fs::read(&path).expect("the segment");
    for torn in 1..whole.len() / 2 {
        fs::write(&path, &whole[..whole.len() - torn]).expect("a crash");
        let spool = Spool::open(dir.path(), "stdin", None, 1 << 20).expect("a spool");
        assert_eq!((spool.last(), spool.used()), (Some(&b"one"[..]), whole.len() as u64 / 2));
    }
    // Blocks that were never written read as zeros.
    fs::write(&path, [&whole[..], &[0; 4096]].concat()).expect("a crash");
    let spool = Spool::open(dir.path(), "stdin", None, 1 << 20).expect("a spool");
    assert_eq!((spool.last(), spool.used()), (Some(&b"two"[..]), whole.len() as u64));
    assert_eq!(segments(&spool.dir)[0].service.as_deref(), Some("shop"));
}

#[test]
fn a_full_spool_takes_nothing_until_something_is_removed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spool = Spool::open(dir.path(), "syslog", None, 2_000).expect("a spool");
    let big = message(&[b'x'; 300]);
    while spool.append(&mut vec![big.clone()]).is_ok() {}
    assert!(spool.used() <= 2_000 && spool.used() > 1_600);
    let mut waiting = vec![big];
    assert!(matches!(spool.append(&mut waiting), Err(SpoolError::Full(_))));
    assert_eq!(waiting.len(), 1);
    fs::remove_file(&segments(&spool.dir)[0].path).expect("removed");
    spool.append(&mut waiting).expect("there is room again");
    assert!(waiting.is_empty());
}

#[test]
fn more_than_a_segment_at_once_and_a_spool_that_is_all_newest() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spool = Spool::open(dir.path(), "syslog", None, 4_000).expect("a spool");
    let mut waiting = vec![message(&[b'x'; 180]); 40];
    assert!(matches!(spool.append(&mut waiting), Err(SpoolError::Full(_))));
    // Two a segment; the newest is empty, so that every full one can be removed.
    let mut rounds = 0;
    while !waiting.is_empty() {
        let closed: Vec<Segment> = segments(&spool.dir).into_iter().filter(|segment| segment.closed).collect();
        assert!(!closed.is_empty());
        closed.iter().for_each(|segment| fs::remove_file(&segment.path).expect("removed"));
        let _ = spool.append(&mut waiting);
        rounds += 1;
        assert!(rounds < 10);
    }
}
