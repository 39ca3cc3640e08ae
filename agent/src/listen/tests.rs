use super::*;
use crate::decode::frames::Part;
use crate::spool::segments;

fn message(text: &[u8]) -> Message {
    Message { time_ns: 1, text: text.to_vec(), part: Part::Whole }
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_makes_readers_wait_and_drops_datagrams() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut listeners = Listeners::default();
    let spool = Spool::open(dir.path(), "syslog", None, 4_000).expect("a spool");
    let inbox = listeners.inbox("syslog", spool, &Clock::manual(7));
    // More than the spool and the queue hold.
    let sender = inbox.clone();
    let waiting = tokio::spawn(async move {
        for _ in 0..40 {
            assert!(sender.send(vec![message(&[b'x'; 300])]).await);
        }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!waiting.is_finished());
    inbox.send_or_drop(vec![message(b"a"), message(b"b")], Duration::from_millis(200)).await;
    assert_eq!((listeners.take_dropped(), listeners.take_dropped()), (2, 0));
    // The server takes something, again and again: everything that waited arrives.
    let root = crate::spool::root(dir.path()).join("syslog");
    let mut stored = 0;
    for _ in 0..200 {
        if waiting.is_finished() {
            break;
        }
        for segment in segments(&root).iter().filter(|segment| segment.closed) {
            stored += std::fs::read(&segment.path).expect("a segment").len();
            std::fs::remove_file(&segment.path).expect("removed");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    assert!(waiting.is_finished());
    drop(inbox);
    for _ in 0..20 {
        for segment in segments(&root).iter().filter(|segment| segment.closed) {
            stored += std::fs::read(&segment.path).expect("a segment").len();
            std::fs::remove_file(&segment.path).expect("removed");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    listeners.end(Duration::from_secs(5)).await;
    let rest: usize =
        segments(&root).iter().map(|segment| std::fs::read(&segment.path).expect("a segment").len()).sum();
    assert_eq!((stored + rest) % 40, 0);
    assert_eq!((stored + rest) / 40, 8 + 2 + 3 + 300);
}

#[test]
fn what_must_not_leave_does_not_touch_the_spool_and_the_cursor_stays() {
    let patterns = vec![("number".to_owned(), "[0-9]+".to_owned(), redact::Action::Mask)];
    let settings = redact::Settings { patterns, ..redact::Settings::default() };
    let state = State { redactor: RwLock::new(redactor(&settings).expect("a pattern")), ..State::default() };
    let mut batch =
        vec![message(b"card 4111"), message(b"nothing"), message(br#"{"__CURSOR":"s=1;i=22","MESSAGE":"7"}"#)];
    state.redact(&mut batch, true);
    let texts: Vec<String> = batch.iter().map(|m| String::from_utf8_lossy(&m.text).into_owned()).collect();
    assert!(!texts[0].contains("4111") && texts[1] == "nothing", "{texts:?}");
    assert_eq!(journald::cursor_of(&batch[2].text).as_deref(), Some("s=1;i=22"));
    assert!(!texts[2].contains("\"7\""), "{texts:?}");
}
