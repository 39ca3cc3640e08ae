use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use logweir_runtime::clock::Clock;
use tokio::sync::mpsc;

use super::*;
use crate::listen::State;

/// A journalctl that keeps the documented contract: `--after-cursor` skips up to and with that entry, `--lines=1` gives
/// the last one, `--follow` ends here after what is there, as it does when journald restarts.
fn fake(dir: &Path) -> Journald {
    let program = dir.join("journalctl");
    let script = r#"#!/bin/sh
after= lines= follow=
for a in "$@"; do case "$a" in
  --after-cursor=*) after="${a#*=}" ;; --lines=1) lines=1 ;; --follow) follow=1 ;;
  --output=json|--all|--quiet|--no-tail|--unit=*) ;; *) echo "unknown option $a" >&2; exit 1 ;;
esac; done
echo "$*" >> DIR/calls
[ -n "$lines" ] && { tail -n 1 DIR/journal; exit 0; }
if [ -n "$after" ]; then sed "1,/\"$after\"/d" DIR/journal; else cat DIR/journal; fi
[ -n "$follow" ] && echo "journal rotated away" >&2
exit 1
"#;
    fs::write(&program, script.replace("DIR", &dir.display().to_string())).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be run");
    Journald { program, units: vec!["shop.service".into()], ..Journald::default() }
}

fn entry(number: usize) -> String {
    format!(
        "{{\"__CURSOR\":\"s=1;i={number}\",\"__REALTIME_TIMESTAMP\":\"1795166139687150\",\"MESSAGE\":\"m{number}\"}}\n"
    )
}

fn inbox() -> (Inbox, mpsc::Receiver<Vec<Message>>) {
    let (sender, receiver) = mpsc::channel(8);
    let inbox =
        Inbox { name: "journald", sender, clock: Clock::manual(7), state: std::sync::Arc::new(State::default()) };
    (inbox, receiver)
}

#[tokio::test]
async fn each_entry_comes_once_over_restarts_of_both_sides() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = fake(dir.path());
    let journal = dir.path().join("journal");
    fs::write(&journal, [entry(1), entry(2)].concat()).expect("a journal");
    let (inbox, mut receiver) = inbox();
    // First start: what is there is left alone, but for the last, whose cursor is pinned.
    let mut after = newest(&settings, &inbox).await;
    assert_eq!(after.as_deref(), Some("s=1;i=2"));
    fs::write(&journal, (1..=4).map(entry).collect::<String>()).expect("it grows");
    let (taken, why) = run(&settings, &mut after, &inbox).await;
    assert!(taken && why == "journal rotated away", "{why}");
    // Nothing new, then half an entry, which is read again when it is whole.
    assert!(!run(&settings, &mut after, &inbox).await.0);
    let half = (1..=4).map(entry).collect::<String>() + &entry(5)[..30];
    fs::write(&journal, half).expect("half");
    run(&settings, &mut after, &inbox).await;
    fs::write(&journal, (1..=6).map(entry).collect::<String>()).expect("it grows");
    run(&settings, &mut after, &inbox).await;
    drop(inbox);
    let mut cursors = Vec::new();
    while let Some(batch) = receiver.recv().await {
        cursors.extend(batch.iter().filter_map(|message| cursor_of(&message.text)));
    }
    assert_eq!(cursors, ["s=1;i=2", "s=1;i=3", "s=1;i=4", "s=1;i=5", "s=1;i=6"]);
    let calls = fs::read_to_string(dir.path().join("calls")).expect("calls");
    assert!(
        calls.contains("--output=json --all --quiet --unit=shop.service --follow --no-tail --after-cursor=s=1;i=2")
    );
}

#[tokio::test]
async fn a_missing_journalctl_says_so() {
    let settings = Journald { program: "/nonexistent/journalctl".into(), ..Journald::default() };
    let (taken, why) = run(&settings, &mut None, &inbox().0).await;
    assert!(!taken && why.starts_with("cannot start /nonexistent/journalctl: "), "{why}");
}

#[test]
fn cursors_and_long_entries() {
    assert_eq!(cursor_of(br#"{ "__CURSOR" : "s=a;i=1", "MESSAGE":"x" }"#).as_deref(), Some("s=a;i=1"));
    assert_eq!(cursor_of(br#"{"MESSAGE":"\"__CURSOR\":\"s=forged\"","__CURSOR":"s=b"}"#).as_deref(), Some("s=b"));
    for text in ["{}", r#"{"__CURSOR":null}"#, r#"{"__CURSOR":""}"#, r#"{"__CURSOR":"a b"}"#, r#"{"__CURSOR":"#] {
        assert_eq!(cursor_of(text.as_bytes()), None, "{text}");
    }
    let long =
        serde_json::json!({ "__CURSOR": "s=c", "COREDUMP": "x".repeat(SPOOLED_BYTES_MAX), "MESSAGE": vec![1; 99_999] });
    let fitted = fit(long.to_string().as_bytes());
    assert!(fitted.len() < SPOOLED_BYTES_MAX);
    assert_eq!(cursor_of(&fitted).as_deref(), Some("s=c"));
    let many: serde_json::Map<String, Value> = (0..99).map(|at| (format!("F{at}"), "y".repeat(9_999).into())).collect();
    assert_eq!(fit(&serde_json::to_vec(&many).expect("json")), b"{}");
}
