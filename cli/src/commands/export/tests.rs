//! Exports against a server of canned pages: what is in the file after every kind of end.

use std::path::Path;

use expect_test::expect;

use crate::commands::tests::{Answer, LAST, ROWS, Server};
use crate::exit::Exit;

async fn export(server: &Server, file: &Path, more: &[&str]) -> (Exit, String) {
    let file = file.to_str().expect("a path");
    let line = ["export", "x", "--from", "2026-11-20T09:00Z", "--to", "2026-11-20T10:00Z", "-o", file];
    server.run(&[&line[..], more].concat()).await
}

fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("a file");
    if path.extension().is_some_and(|extension| extension == "zst") {
        let bytes = logweir_proto::frame::decompress(&bytes, 1 << 20);
        return String::from_utf8(bytes.expect("zstd")).expect("text");
    }
    String::from_utf8(bytes).expect("text")
}

const BROKEN: &str = r#"{"t":"meta","query_id":"q","columns":[],"events":true,"warnings":[]}
{"t":"row","id":"40000000000000000000000000","time":"2026-11-20T09:13:35Z","level":"warn","service":"api","message":"zero"}
"#;

const LOST: &str = r#"{"t":"meta","query_id":"q","columns":[],"events":true,"warnings":[]}
{"t":"end","complete":false,"reason":"unreadable","missing":[{"from":"2026-11-20T09:20:00Z","to":"2026-11-20T09:30:00Z","splits":1}],"rows":0,"stats":{"ms":1.5,"splits_opened":1,"splits_pruned":0,"blocks_read":1,"rows_scanned":2,"bytes":10}}
"#;

#[tokio::test]
async fn pages_become_one_file() {
    let server = Server::start(vec![Answer(200, ROWS), Answer(200, LAST)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("all.csv");
    assert_eq!(export(&server, &file, &["--fields", "message"]).await, (Exit::Ok, String::new()));
    assert_eq!(text(&file), "message\r\ntwo\r\none\r\nzero\r\n");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "the state is gone");
    expect![[r#"
        POST /api/v1/query {"query":"x","from":"2026-11-20T09:00:00.000000000Z","to":"2026-11-20T10:00:00.000000000Z","limit":10000,"order":"asc","fields":"message"}
        POST /api/v1/query {"query":"x","from":"2026-11-20T09:00:00.000000000Z","to":"2026-11-20T10:00:00.000000000Z","limit":10000,"order":"asc","cursor":"next","fields":"message"}"#]]
    .assert_eq(&server.asked());
    let (exit, said) = export(&server, &file, &[]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(export(&server, &file, &["--resume"]).await.0, Exit::Ok);
}

#[tokio::test]
async fn what_was_interrupted_goes_on_behind_its_last_whole_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("all.ndjson.zst");
    // The second page cannot be had, in no attempt that is made.
    let refused = Answer(400, r#"{"error":{"code":"bad_request","message":"no"}}"#);
    let server = Server::start(vec![Answer(200, ROWS), refused]).await;
    assert_eq!(export(&server, &file, &[]).await.0, Exit::Usage);
    // A crash left half a page.
    let mut torn = std::fs::read(&file).expect("a file");
    torn.extend_from_slice(b"half a page");
    std::fs::write(&file, torn).expect("written");
    let again = Server::start(vec![Answer(200, LAST)]).await;
    let (exit, said) =
        again.run(&["export", "y", "--since", "1h", "-o", file.to_str().expect("a path"), "--resume"]).await;
    assert_eq!(exit, Exit::Usage);
    assert!(said.contains("another export"), "{said}");
    assert_eq!(export(&again, &file, &["--resume"]).await, (Exit::Ok, String::new()));
    let messages: Vec<String> = text(&file)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["message"].to_string())
        .collect();
    assert_eq!(messages, ["\"two\"", "\"one\"", "\"zero\""]);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_breaks_off_comes_again_and_is_there_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("all.log");
    let server = Server::start(vec![Answer(200, ROWS), Answer(200, BROKEN), Answer(200, LAST)]).await;
    let (exit, said) = export(&server, &file, &[]).await;
    assert_eq!(exit, Exit::Ok, "{said}");
    assert_eq!(text(&file), "two\none\nzero\n");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_exit_says_partial() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("all.ndjson");
    let server = Server::start(vec![Answer(200, ROWS), Answer(200, LOST)]).await;
    let (exit, said) = export(&server, &file, &[]).await;
    assert_eq!(exit, Exit::Partial);
    expect![[r#"
        ! warning: missing 2026-11-20T09:20:00Z to 2026-11-20T09:30:00Z: it cannot be read
    "#]]
    .assert_eq(&said);
}
