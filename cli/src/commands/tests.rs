//! The commands against a server of canned answers: what is asked, what is printed, how it ends.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use clap::Parser;
use expect_test::{Expect, expect};

use crate::args::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::output::tests::console;

/// What a request gets, by its turn.
#[derive(Clone)]
pub(crate) struct Answer(pub(crate) u16, pub(crate) &'static str);

pub(crate) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<Answer>) -> Server {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let router = Router::new().fallback(move |request: Request| {
            let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
            async move {
                let mut line = format!("{} {}", request.method(), request.uri());
                if let Some(id) = request.headers().get("last-event-id") {
                    line.push_str(&format!(" after {}", id.to_str().unwrap_or("?")));
                }
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
                line.push_str(&format!(" {}", String::from_utf8_lossy(&body)));
                seen.lock().expect("not poisoned").push(line.trim_end().to_owned());
                let next = answers.lock().expect("not poisoned").next();
                let Answer(status, text) =
                    next.unwrap_or(Answer(404, r#"{"error":{"code":"not_found","message":"none"}}"#));
                let status = StatusCode::from_u16(status).expect("a status");
                Response::builder().status(status).body(Body::from(text)).expect("a response")
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { url, asked }
    }

    /// Runs a command line; returns its end and what it printed, stderr marked with `! `.
    pub(crate) async fn run(&self, line: &[&str]) -> (Exit, String) {
        run(&self.url, line).await
    }

    pub(crate) fn asked(&self) -> String {
        self.asked.lock().expect("not poisoned").join("\n")
    }
}

async fn run(url: &str, line: &[&str]) -> (Exit, String) {
    let line = ["logweir"].iter().chain(line).copied().chain(["--url", url]);
    let cli = Cli::try_parse_from(line).expect("parses");
    let (mut console, out, err) = console();
    let exit = match super::dispatch(cli.command, &mut console).await {
        Ok(exit) => exit,
        Err(error) => {
            output::problem::print(&mut console, &error);
            error.exit()
        }
    };
    let mut text = out.text().replace(url, "URL");
    for line in err.text().replace(url, "URL").lines() {
        text.push_str(&format!("! {line}\n"));
    }
    (exit, text)
}

fn check((exit, text): &(Exit, String), want_exit: Exit, want: &Expect) {
    want.assert_eq(text);
    assert_eq!(*exit, want_exit);
}

pub(crate) const ROWS: &str = r#"{"t":"meta","query_id":"q","columns":[],"events":true,"warnings":[]}
{"t":"row","id":"40000000000000000000000002","time":"2026-11-20T09:13:37Z","level":"error","service":"api","message":"two"}
{"t":"progress","splits_done":1,"splits_total":2,"bytes":10}
{"t":"row","id":"40000000000000000000000001","time":"2026-11-20T09:13:36Z","level":"info","service":"api","message":"one"}
{"t":"end","complete":true,"rows":2,"cursor":"next","stats":{"ms":1.5,"splits_opened":1,"splits_pruned":0,"blocks_read":1,"rows_scanned":2,"bytes":10}}
"#;

pub(crate) const LAST: &str = r#"{"t":"meta","query_id":"q","columns":[],"events":true,"warnings":[]}
{"t":"row","id":"40000000000000000000000000","time":"2026-11-20T09:13:35Z","level":"warn","service":"api","message":"zero"}
{"t":"end","complete":true,"rows":1,"stats":{"ms":1.5,"splits_opened":1,"splits_pruned":0,"blocks_read":1,"rows_scanned":2,"bytes":10}}
"#;

const NONE: &str = r#"{"t":"meta","query_id":"q","columns":[],"events":true,"warnings":[{"warn":"unknown_field","field":"statuss","did_you_mean":"status","pos":1,"message":"no event has the field 'statuss'"}]}
{"t":"end","complete":true,"rows":0,"stats":{"ms":1.5,"splits_opened":1,"splits_pruned":0,"blocks_read":1,"rows_scanned":2,"bytes":10}}
"#;

const PARTIAL: &str = r#"{"t":"meta","query_id":"q","columns":["count"],"events":false,"warnings":[]}
{"t":"row","count":7}
{"t":"end","complete":false,"reason":"timeout","missing":[{"from":"2026-11-20T06:00:00Z","to":"2026-11-20T07:00:00Z","splits":3}],"rows":1,"stats":{"ms":1.5,"splits_opened":1,"splits_pruned":0,"blocks_read":1,"rows_scanned":2,"bytes":10}}
"#;

#[tokio::test]
async fn a_search_prints_the_newest_first_and_ends_with_0() {
    let server = Server::start(vec![Answer(200, ROWS)]).await;
    check(
        &server.run(&["search", "level>=info", "-n", "2"]).await,
        Exit::Ok,
        &expect![[r#"
        2026-11-20 09:13:37.000 E api two
        2026-11-20 09:13:36.000 I api one
    "#]],
    );
    expect![[r#"POST /api/v1/query {"query":"level>=info","from":"now-3600000ms","limit":2}"#]]
        .assert_eq(&server.asked());
}

#[tokio::test]
async fn all_pages_are_one_answer_over_one_range() {
    let server = Server::start(vec![Answer(200, ROWS), Answer(200, LAST)]).await;
    let line = ["search", "x", "--all", "--from", "now-1h", "-o", "json", "--fields", "message"];
    check(
        &server.run(&line).await,
        Exit::Ok,
        &expect![[r#"
        {"id":"40000000000000000000000002","time":"2026-11-20T09:13:37Z","level":"error","service":"api","message":"two"}
        {"id":"40000000000000000000000001","time":"2026-11-20T09:13:36Z","level":"info","service":"api","message":"one"}
        {"id":"40000000000000000000000000","time":"2026-11-20T09:13:35Z","level":"warn","service":"api","message":"zero"}
    "#]],
    );
    expect![[r#"
        POST /api/v1/query {"query":"x","from":"now-1h","limit":10000,"fields":"message"}
        POST /api/v1/query {"query":"x","from":"now-1h","limit":10000,"cursor":"next","fields":"message"}"#]]
    .assert_eq(&server.asked());
}

#[tokio::test]
async fn no_hits_is_1_and_a_mistyped_field_is_named() {
    let server = Server::start(vec![Answer(200, NONE)]).await;
    check(
        &server.run(&["search", "statuss:500"]).await,
        Exit::No,
        &expect![[r#"
            ! warning: no event has the field 'statuss': did you mean 'status'?
            !   --> query:1:1
            !    | statuss:500
            !    | ^^^^^^^
        "#]],
    );
}

#[tokio::test]
async fn no_row_is_asked_for_to_see_whether_a_query_is_right() {
    let server = Server::start(vec![Answer(200, LAST), Answer(200, NONE)]).await;
    check(&server.run(&["search", "x", "-n", "0", "-o", "raw"]).await, Exit::Ok, &expect![""]);
    let (exit, text) = server.run(&["search", "statuss:500", "-n", "0"]).await;
    assert!(exit == Exit::No && text.contains("did you mean 'status'?"), "{text}");
    assert!(server.asked().contains(r#""limit":1,"#), "{}", server.asked());
}

#[tokio::test]
async fn a_partial_count_is_4_and_says_what_is_missing() {
    let server = Server::start(vec![Answer(200, PARTIAL)]).await;
    check(
        &server.run(&["search", "", "--count"]).await,
        Exit::Partial,
        &expect![[r#"
        7
        ! warning: partial result: timeout
        !   missing 2026-11-20T06:00:00Z to 2026-11-20T07:00:00Z (3 splits)
    "#]],
    );
    expect![[r#"POST /api/v1/query {"query":"*\n| count","from":"now-3600000ms","limit":10000}"#]]
        .assert_eq(&server.asked());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_partial_and_never_0() {
    let cut = ROWS.split("{\"t\":\"end\"").next().expect("a part");
    let server = Server::start(vec![Answer(200, cut)]).await;
    check(
        &server.run(&["search", "x"]).await,
        Exit::Partial,
        &expect![[r#"
        2026-11-20 09:13:37.000 E api two
        2026-11-20 09:13:36.000 I api one
        ! error: the answer broke off after 2 rows: the connection was closed
        ! hint: what was printed is only a part of the answer
    "#]],
    );
}

#[tokio::test]
async fn a_query_error_is_underlined_and_ends_with_2() {
    let body = r#"{"error":{"code":"parse_error","message":"unknown pipe 'bogus'","pos":5,"len":5,"hint":"did you mean 'top'?"}}"#;
    let server = Server::start(vec![Answer(400, body)]).await;
    check(
        &server.run(&["search", "* | bogus 5"]).await,
        Exit::Usage,
        &expect![[r#"
        ! error: unknown pipe 'bogus'
        !   --> query:1:5
        !    | * | bogus 5
        !    |     ^^^^^
        ! hint: did you mean 'top'?
    "#]],
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_3() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    check(
        &run(&url, &["search", "x"]).await,
        Exit::Unreachable,
        &expect![[r#"
        ! error: cannot reach URL: Connection refused (os error 111)
        ! hint: is the server running? `logweir up` starts one; --url or LOGWEIR_URL names another
    "#]],
    );
    check(
        &run(&url, &["tail"]).await,
        Exit::Unreachable,
        &expect![[r#"
        ! error: cannot reach URL: Connection refused (os error 111)
        ! hint: is the server running? `logweir up` starts one; --url or LOGWEIR_URL names another
    "#]],
    );
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    for (status, body, exit) in [
        (401, r#"{"error":{"code":"unauthorized","message":"a token is needed"}}"#, Exit::Usage),
        (503, r#"{"error":{"code":"unavailable","message":"the disk is full"}}"#, Exit::Unreachable),
        (502, "<html>bad gateway</html>", Exit::Unreachable),
    ] {
        let server = Server::start(vec![Answer(status, body)]).await;
        let (ended, text) = server.run(&["search", "x"]).await;
        assert_eq!(ended, exit, "{text}");
        assert!(text.contains("! hint: ") && !text.contains('\u{1b}'), "{text}");
    }
}

#[tokio::test]
async fn a_tail_continues_behind_the_last_event_it_showed() {
    let first = "id: 40000000000000000000000001\ndata: {\"t\":\"row\",\"id\":\"40000000000000000000000001\",\"time\":\"2026-11-20T09:13:36Z\",\"message\":\"one\"}\n\n";
    let second = "data: {\"t\":\"dropped\",\"n\":531}\n\ndata: {\"t\":\"later_kind\"}\n\n";
    let gone = r#"{"error":{"code":"forbidden","message":"the token was revoked"}}"#;
    let server = Server::start(vec![Answer(200, first), Answer(200, second), Answer(403, gone)]).await;
    check(
        &server.run(&["tail", "a b", "--start", "10m"]).await,
        Exit::Usage,
        &expect![[r#"
        2026-11-20 09:13:36.000 ·  one
        ! warning: the connection was closed; reconnecting
        ! warning: 531 events were left out here: they came faster than they could be shown
        ! warning: the connection was closed; reconnecting
        ! error: the server refused (403): the token was revoked
    "#]],
    );
    expect![[r#"
        GET /api/v1/tail?query=a+b&start_offset=10m
        GET /api/v1/tail?query=a+b after 40000000000000000000000001
        GET /api/v1/tail?query=a+b after 40000000000000000000000001"#]]
    .assert_eq(&server.asked());
}

#[tokio::test]
async fn a_tail_of_an_aggregation_is_a_table_a_window() {
    let windows = "id: 40000000000000000000000001\ndata: {\"t\":\"window\",\"from\":\"2026-11-20T09:13:00Z\",\"to\":\"2026-11-20T09:14:00Z\",\"columns\":[\"status\",\"count\"],\"rows\":[{\"status\":200,\"count\":7},{\"status\":502,\"count\":1}],\"warnings\":[]}\n\ndata: {\"t\":\"error\",\"error\":{\"code\":\"limit_exceeded\",\"message\":\"too much\"}}\n\n";
    let server = Server::start(vec![Answer(200, windows), Answer(200, windows)]).await;
    check(
        &server.run(&["tail", "* | stats count by status", "--every", "1m"]).await,
        Exit::Usage,
        &expect![[r#"
        2026-11-20 09:13:00.000 to 2026-11-20 09:14:00.000
        status  count
           200      7
           502      1
        ! error: the server refused (422): too much
    "#]],
    );
    check(
        &server.run(&["tail", "* | stats count by status", "-o", "logfmt"]).await,
        Exit::Usage,
        &expect![[r#"
        window=2026-11-20T09:13:00Z status=200 count=7
        window=2026-11-20T09:13:00Z status=502 count=1
        ! error: the server refused (422): too much
    "#]],
    );
    expect![[r#"
        GET /api/v1/tail?query=*+%7C+stats+count+by+status&every=1m
        GET /api/v1/tail?query=*+%7C+stats+count+by+status"#]]
    .assert_eq(&server.asked());
}

#[tokio::test]
async fn names_of_fields_complete_a_query() {
    let fields = r#"{"fields":[{"name":"level","types":["str"],"rows":1,"coverage":100.0},{"name":"a b","types":["str"],"rows":1,"coverage":100.0}]}"#;
    let server = Server::start(vec![Answer(200, fields)]).await;
    check(
        &server.run(&["fields", "-o", "raw"]).await,
        Exit::Ok,
        &expect![[r#"
        level
        a b
    "#]],
    );
    for (shell, live) in
        [("bash", "complete -F _logweir_query"), ("zsh", "compdef _logweir_query"), ("fish", "fields -o raw")]
    {
        let cli = Cli::try_parse_from(["logweir", "completions", shell]).expect("parses");
        let (mut console, out, _) = console();
        assert_eq!(super::dispatch(cli.command, &mut console).await.expect("a script"), Exit::Ok);
        assert!(out.text().contains(live), "{shell}");
    }
}

#[tokio::test]
async fn a_context_marks_its_event_and_reads_downwards() {
    let body = r#"{"rows":[
        {"id":"40000000000000000000000002","time":"2026-11-20T09:13:37Z","level":"error","service":"api","message":"two"},
        {"id":"40000000000000000000000001","time":"2026-11-20T09:13:36Z","level":"info","service":"api","message":"one"}]}"#;
    let server = Server::start(vec![Answer(200, body)]).await;
    let line = ["context", "40000000000000000000000002", "-B", "5"];
    check(
        &server.run(&line).await,
        Exit::Ok,
        &expect![[r#"
          2026-11-20 09:13:36.000 I api one
        ▶ 2026-11-20 09:13:37.000 E api two
    "#]],
    );
    expect!["GET /api/v1/events/40000000000000000000000002/context?before=5&after=20&by=service%2Chost"]
        .assert_eq(&server.asked());
    check(
        &server.run(&line).await,
        Exit::No,
        &expect![[r#"
        ! error: the server refused (404): none
    "#]],
    );
}

const ALERTS: &str = r#"[{"id":"a1","rule":"nginx-5xx","group":"nginx","state":"firing","severity":"critical",
    "labels":{"service":"nginx"},"annotations":{"summary":"s","runbook":"look at the upstream"},
    "summary":"41% of requests fail","since":"2026-11-20T09:13:36Z","values":{"ratio":0.41},
    "samples":[{"id":"40000000000000000000000002","time":"2026-11-20T09:13:36Z","line":"GET / 502 \u001b[2J"}],
    "query":"status>=500","link":"http://127.0.0.1:7171/?q=status%3E%3D500","resolved_at":null}]"#;

#[tokio::test]
async fn alerts_are_listed_and_shown_with_their_evidence() {
    let shown = ALERTS.trim_start_matches('[').trim_end_matches(']');
    let shown = format!(
        r#"{{"alert":{shown},"why":null,"notifications":[{{"id":"m1","receiver":"ops","channel":"webhook","state":"delivered",
        "created":"2026-11-20T09:13:37Z","finished":"2026-11-20T09:13:38Z","attempts":2,"note":null}}]}}"#
    );
    let shown: &'static str = Box::leak(shown.into_boxed_str());
    let server = Server::start(vec![Answer(200, ALERTS), Answer(200, shown), Answer(200, "[]")]).await;
    check(
        &server.run(&["alerts", "list"]).await,
        Exit::Ok,
        &expect![[r#"
        STATE   SEVERITY  RULE       SINCE                    SUMMARY               ID
        firing  critical  nginx-5xx  2026-11-20 09:13:36.000  41% of requests fail  a1
    "#]],
    );
    check(
        &server.run(&["alerts", "show", "a1"]).await,
        Exit::Ok,
        &expect![[r#"
            firing nginx-5xx  41% of requests fail
              since     2026-11-20 09:13:36.000
              group     nginx
              query     status>=500
              severity  critical
              link      http://127.0.0.1:7171/?q=status%3E%3D500
              label     service=nginx
              value     ratio=0.41
              runbook   look at the upstream

              2026-11-20 09:13:36.000 GET / 502 ␛[2J

              message   ops by webhook: delivered 2026-11-20 09:13:38.000, 2 attempts
        "#]],
    );
    check(
        &server.run(&["alerts", "list"]).await,
        Exit::No,
        &expect![[r#"
        ! nothing is firing
    "#]],
    );
}

#[tokio::test]
async fn rules_are_listed_with_their_levels_and_what_is_wrong() {
    let body = r#"{"groups":[{"name":"nginx","rules":[{"name":"Nginx5xxRatio","levels":{"critical":["ratio >= 25%"],"warning":["ratio >= 5%"]},
        "last_evaluation":"2026-11-20T09:13:36Z","error":null,"instances":1}]}],"problems":["a.yaml:3: no such key"]}"#;
    let server = Server::start(vec![Answer(200, body), Answer(200, body), Answer(200, r#"{"groups":[]}"#)]).await;
    check(
        &server.run(&["rules", "list"]).await,
        Exit::Ok,
        &expect![[r#"
        GROUP  RULE           STATE  EVALUATED                LEVELS
        nginx  Nginx5xxRatio  ok     2026-11-20 09:13:36.000  critical: ratio >= 25%; warning: ratio >= 5%
        ! warning: a.yaml:3: no such key
    "#]],
    );
    check(
        &server.run(&["rules", "list", "-o", "json"]).await,
        Exit::Ok,
        &expect![[r#"
        {"name":"Nginx5xxRatio","levels":{"critical":["ratio >= 25%"],"warning":["ratio >= 5%"]},"last_evaluation":"2026-11-20T09:13:36Z","error":null,"instances":1,"group":"nginx"}
        ! warning: a.yaml:3: no such key
    "#]],
    );
    check(
        &server.run(&["rules", "list"]).await,
        Exit::No,
        &expect![[r#"
        ! no rules are in force
    "#]],
    );
}

#[tokio::test]
async fn status_counts_what_matters_even_when_the_server_is_not_ready() {
    let sources = r#"{"sources":[{"agent":"a","host":"web-1","source":"s","kind":"nginx","path":"/var/log/nginx/access.log",
        "service":"nginx","parser":"nginx","lines":40,"lines_read":38,"ranges":[[0,5000]],"last_seen":"2026-11-20T09:13:36Z",
        "gaps":[{"start":10,"end":null,"reason":"deleted while the agent was down"}]}]}"#;
    let health = r#"{"ok":false,"parts":{"wal":"fsync failed","store":"ok"}}"#;
    let answers = vec![Answer(503, health), Answer(200, sources), Answer(200, ALERTS), Answer(200, sources)];
    let server = Server::start(answers).await;
    check(
        &server.run(&["status"]).await,
        Exit::No,
        &expect![[r#"
            URL not ready
              store        ok
              wal          fsync failed
              sources      1, 1 with gaps: `logweir sources --gaps`
              alerts       1 firing: `logweir alerts list`
        "#]],
    );
    check(
        &server.run(&["sources", "--gaps"]).await,
        Exit::Ok,
        &expect![[r#"
        HOST   KIND   SERVICE  PARSER  READ      STORED   GAPS  LAST SEEN                PATH
        web-1  nginx  nginx    nginx   38 of 40  4.9 KiB  1     2026-11-20 09:13:36.000  /var/log/nginx/access.log
        missing from /var/log/nginx/access.log
          byte 10 to an unknown end: deleted while the agent was down
    "#]],
    );
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let error = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert!(error.is_broken_pipe());
}
