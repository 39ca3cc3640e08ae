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
            STATE   SEVERITY  RULE       SINCE                    IN HAND  SUMMARY               ID
            firing  critical  nginx-5xx  2026-11-20 09:13:36.000           41% of requests fail  a1
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
            GROUP  RULE           STATE  ALERTS  EVALUATED                LEVELS
            nginx  Nginx5xxRatio  ok     1       2026-11-20 09:13:36.000  critical: ratio >= 25%; warning: ratio >= 5%
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
        "agent_lag_bytes":2048,"agent_dropped_lines":3,"gaps":[{"start":10,"end":null,"reason":"deleted while the agent was down"}]}]}"#;
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
        agent on web-1: 2.0 KiB wait to be delivered, 3 lines were lost
        missing from /var/log/nginx/access.log
          byte 10 to an unknown end: deleted while the agent was down
    "#]],
    );
}

const WHY: &str = r#"{"id":"a1","summary":"41% of requests fail","rule":"nginx-5xx","rule_at":"rules/nginx.yaml:8 @ 3f2a91c",
    "severity":"critical","labels":{},"opened":"2026-11-20T09:13:36Z","closed":null,"fired_because":"ratio >= 25% has held for 30s",
    "closed_because":null,"values":{},"first_values":{"ratio":0.41},"flapping":null,"lineage":"like 'no route', first seen 2026-11-19T09:00:00Z",
    "acknowledged":{"by":"ann","at":"2026-11-20T09:20:00Z","until":"2026-11-20T13:20:00Z","comment":"rolling back","holds":true},
    "routes_now":[{"receiver":"ops","route":"route 0","group":{},"quiet":"silenced: silence 01S of ann"}],
    "not_told":{"ops":[{"kind":"silenced","reason":"silence 01S of ann","since":"2026-11-20T09:21:00Z","ended":null}]},"told":{},
    "notifications":[{"id":"msg_1","receiver":"ops","channel":"webhook[0]","state":"sent","created":"2026-11-20T09:13:37Z",
    "finished":"2026-11-20T09:13:38Z","attempts":1,"log":[{"at":"2026-11-20T09:13:38Z","outcome":"status 204"}],"note":null}]}"#;

#[tokio::test]
async fn why_tells_the_whole_story() {
    let server = Server::start(vec![Answer(200, WHY)]).await;
    let (exit, text) = server.run(&["alerts", "why", "a1"]).await;
    // Every line is indented alike, which the snapshot cannot hold.
    let text: Vec<&str> = text.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    let want = expect![[r#"
        alert     critical nginx-5xx: 41% of requests fail
        rule      rules/nginx.yaml:8 @ 3f2a91c
        fired     2026-11-20 09:13:36.000 because ratio >= 25% has held for 30s (ratio = 0.41)
        pattern   like 'no route', first seen 2026-11-19T09:00:00Z
        in hand   of ann since 2026-11-20 09:20:00.000 until 2026-11-20 13:20:00.000: rolling back
        goes to   ops by route 0, but silenced: silence 01S of ann
        not told  ops from 2026-11-20 09:21:00.000, silenced: silence 01S of ann
        message   msg_1 ops by webhook[0]: sent 2026-11-20 09:13:38.000, 1 attempt
                  2026-11-20 09:13:38.000 status 204"#]];
    check(&(exit, text.join("\n")), Exit::Ok, &want);
    check(
        &server.run(&["alerts", "why", "a2"]).await,
        Exit::No,
        &expect![[r#"
        ! error: the server refused (404): none
    "#]],
    );
}

const SILENCE: &str = r#"{"id":"01S","state":"active","matchers":["service=api"],"starts":"2026-11-20T09:00:00Z",
    "ends":"2026-11-20T11:00:00Z","author":"ann","comment":"deploy","created":"2026-11-20T09:00:00Z"}"#;

#[tokio::test]
async fn an_alert_is_acknowledged_and_silenced_and_silences_end() {
    let list: &'static str = Box::leak(format!(r#"{{"silences":[{SILENCE}]}}"#).into_boxed_str());
    let answers = vec![
        Answer(200, r#"{"acknowledged":"a1"}"#),
        Answer(200, r#"{"acknowledged":"a1"}"#),
        Answer(200, SILENCE),
        Answer(200, list),
        Answer(200, SILENCE),
        Answer(200, r#"{"silences":[]}"#),
    ];
    let server = Server::start(answers).await;
    check(
        &server.run(&["alerts", "ack", "a1", "--by", "ann", "--comment", "on it"]).await,
        Exit::Ok,
        &expect![[r#"
        a1 is in hand of ann: nobody is told again unless it gets worse
    "#]],
    );
    check(
        &server.run(&["alerts", "ack", "a1", "--by", "ann", "--for", "4h"]).await,
        Exit::Ok,
        &expect![[r#"
        a1 is in hand of ann for 4h: nobody is told again unless it gets worse
    "#]],
    );
    let line =
        ["alerts", "silence", "service=api", "host=~web-.*", "--for", "2h", "--comment", "deploy", "--author", "ann"];
    check(
        &server.run(&line).await,
        Exit::Ok,
        &expect![[r#"
        01S
        ! silent until 2026-11-20 11:00:00.000; `logweir alerts unsilence 01S` ends it
    "#]],
    );
    check(
        &server.run(&["alerts", "silences"]).await,
        Exit::Ok,
        &expect![[r#"
        STATE   ENDS                     AUTHOR  MATCHERS     ID   COMMENT
        active  2026-11-20 11:00:00.000  ann     service=api  01S  deploy
    "#]],
    );
    check(
        &server.run(&["alerts", "unsilence", "01S"]).await,
        Exit::Ok,
        &expect![[r#"
        01S is over: service=api
    "#]],
    );
    check(
        &server.run(&["alerts", "silences"]).await,
        Exit::No,
        &expect![[r#"
        ! nothing is silenced
    "#]],
    );
    expect![[r#"
        POST /api/v1/alerts/a1/ack {"by":"ann","comment":"on it"}
        POST /api/v1/alerts/a1/ack {"by":"ann","comment":"","for":"4h"}
        POST /api/v1/silences {"matchers":["service=api","host=~web-.*"],"for":"2h","author":"ann","comment":"deploy"}
        GET /api/v1/silences
        DELETE /api/v1/silences/01S
        GET /api/v1/silences"#]]
    .assert_eq(&server.asked());
}

const ROW: &str = r#"{"id":"msg_1","receiver":"ops","channel":"slack[0]","state":"queued","severity":"info","created":"2026-11-20T09:13:37Z",
    "next_try":"2026-11-20T09:14:00Z","finished":null,"attempts":1,"log":[{"at":"2026-11-20T09:13:38Z","outcome":"status 500"}],"note":null}"#;

#[tokio::test]
async fn messages_are_listed_retried_and_tried() {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let sent = ROW.replace("queued", "sent").replace("msg_1", "msg_2").replace("slack[0]", "webhook[0]");
    let answers = vec![
        Answer(200, leak(format!(r#"{{"outbox":[{ROW}],"finished":[],"failing":{{}}}}"#))),
        Answer(200, r#"{"dead":[]}"#),
        Answer(200, r#"{"queued":"msg_1"}"#),
        Answer(200, r#"{"notifications":["msg_1","msg_2"]}"#),
        Answer(200, leak(format!(r#"{{"outbox":[{ROW}],"finished":[{sent}],"failing":{{}}}}"#))),
    ];
    let server = Server::start(answers).await;
    check(
        &server.run(&["notify", "outbox"]).await,
        Exit::Ok,
        &expect![[r#"
        STATE   SEVERITY  RECEIVER  CHANNEL   CREATED                  TRIES  ID     LAST
        queued  info      ops       slack[0]  2026-11-20 09:13:37.000  1      msg_1  status 500; next 2026-11-20 09:14:00.000
    "#]],
    );
    check(
        &server.run(&["notify", "dead"]).await,
        Exit::No,
        &expect![[r#"
        ! no message was given up
    "#]],
    );
    check(
        &server.run(&["notify", "retry", "msg_1"]).await,
        Exit::Ok,
        &expect![[r#"
        msg_1 is sent again now
    "#]],
    );
    check(
        &server.run(&["notify", "test", "ops"]).await,
        Exit::No,
        &expect![[r#"
        webhook[0]: sent
        slack[0]: queued: status 500; next 2026-11-20 09:14:00.000
        ! what waits is tried again: `logweir notify outbox`
    "#]],
    );
    check(
        &server.run(&["notify", "test", "nobody"]).await,
        Exit::No,
        &expect![[r#"
        ! error: the server refused (404): none
    "#]],
    );
}

#[tokio::test]
async fn a_route_is_tried_on_the_server_and_in_a_file() {
    let destinations =
        r#"{"destinations":[{"receiver":"ops","route":"route 0","group":{"alertname":"X"},"quiet":null}]}"#;
    let server = Server::start(vec![Answer(200, destinations), Answer(200, r#"{"destinations":[]}"#)]).await;
    let line = ["route-test", "alertname=X", "severity=critical", "--at", "2026-01-05T03:00:00Z"];
    check(
        &server.run(&line).await,
        Exit::Ok,
        &expect![[r#"
        RECEIVER  TOLD  ROUTE    TOGETHER BY
        ops       yes   route 0  alertname=X
    "#]],
    );
    check(
        &server.run(&["route-test", "alertname=X"]).await,
        Exit::No,
        &expect![[r#"
        ! no routing file is in force: alerts are only listed; name one as alerting.config in logweir.yaml
    "#]],
    );
    expect![[r#"
        POST /api/v1/route-test {"labels":{"alertname":"X","severity":"critical"},"at":"2026-01-05T03:00:00Z"}
        POST /api/v1/route-test {"labels":{"alertname":"X"}}"#]]
    .assert_eq(&server.asked());
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("alerting.yaml");
    let text = "route: {receiver: ops, mute_time_intervals: [night], routes: [{matchers: [severity=critical], receiver: pager}]}\nreceivers: [{name: ops}, {name: pager}]\ntime_intervals: [{name: night, time_intervals: [{times: [{start_time: '22:00', end_time: '06:00'}]}]}]\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("a path");
    let offline =
        async |label: &str| server.run(&["route-test", label, "--config", file, "--at", "2026-01-05T03:00:00Z"]).await;
    check(
        &offline("severity=critical").await,
        Exit::Ok,
        &expect![[r#"
        RECEIVER  TOLD  ROUTE      TOGETHER BY
        pager     yes   route 0.0
    "#]],
    );
    check(
        &offline("severity=info").await,
        Exit::No,
        &expect![[r#"
        RECEIVER  TOLD                                                                         ROUTE    TOGETHER BY
        ops       no, muted: route 0 is muted by 'night' until 2026-01-05T06:00:00.000000000Z  route 0
    "#]],
    );
    std::fs::write(file, "route: {receiver: none}\nreceivers: []\n").expect("a file");
    let (exit, text) = offline("severity=info").await;
    assert!(exit == Exit::Usage && text.contains("alerting.yaml:1:"), "{text}");
}

const EXPLAINED: &str = r#"{"rule":"Nginx5xxRatio","group":"nginx","file":"rules/nginx.yaml:8","at":"2026-11-20T09:13:30Z","summary":"s",
    "signals":[{"name":"errors","query":"(source:nginx status>=500) | stats count as v by host","from":"2026-11-20T09:11:30Z","to":"2026-11-20T09:13:30Z","groups":1,"error":null}],
    "error":null,"instances":[{"labels":{"host":"a"},"values":{"errors":50.0,"ratio":0.41},"texts":{},
    "branches":[{"severity":"critical","when":"ratio >= 25%","for":"30s","holds":true},{"severity":"warning","when":"ratio >= 5%","for":null,"holds":false}],
    "recovers":false,"undecided":null,"no_lines":false,"now":{"state":"firing","severity":"critical","since":"2026-11-20T09:13:00Z","values":{}}}],
    "more_instances":0,"last_evaluation":"2026-11-20T09:13:30Z","notes":["'holds' is for this moment"]}"#;

#[tokio::test]
async fn a_rule_is_explained_branch_by_branch() {
    let missing = r#"{"error":{"code":"not_found","message":"no rule 'Nginx5xx' is in force","hint":"did you mean 'Nginx5xxRatio'?"}}"#;
    let server = Server::start(vec![Answer(200, EXPLAINED), Answer(404, missing)]).await;
    check(
        &server.run(&["rules", "explain", "Nginx5xxRatio", "--at", "2026-11-20T09:13:30Z"]).await,
        Exit::Ok,
        &expect![[r#"
            Nginx5xxRatio of nginx, rules/nginx.yaml:8 at 2026-11-20 09:13:30.000
              errors     (source:nginx status>=500) | stats count as v by host [2026-11-20 09:11:30.000, 2026-11-20 09:13:30.000)

            host=a  firing now, critical, since 2026-11-20 09:13:00.000
              errors = 50  ratio = 0.41
              critical  ratio >= 25% for 30s: holds
              warning   ratio >= 5%: does not hold
              recover   does not hold
            ! note: 'holds' is for this moment
        "#]],
    );
    check(
        &server.run(&["rules", "explain", "Nginx5xx"]).await,
        Exit::No,
        &expect![[r#"
        ! error: the server refused (404): no rule 'Nginx5xx' is in force
        ! hint: did you mean 'Nginx5xxRatio'?
    "#]],
    );
    expect![[r#"
        GET /api/v1/rules/Nginx5xxRatio/explain?at=2026-11-20T09%3A13%3A30Z
        GET /api/v1/rules/Nginx5xx/explain"#]]
    .assert_eq(&server.asked());
}

#[tokio::test]
async fn the_hygiene_of_rules_is_told_by_finding() {
    let body = r#"{"rules":[{"rule":"A","group":"g","file":"a.yaml:3","owner":null,"fired":0,"last_fired":null,"watched_since":null,"findings":
        [{"kind":"never_fired","detail":"it never fired; it is in force since 2026-09-01T00:00:00Z"}]},
        {"rule":"B","group":"g","file":"a.yaml:9","owner":null,"fired":3,"last_fired":null,"watched_since":null,"findings":[]}]}"#;
    let server = Server::start(vec![Answer(200, body), Answer(200, r#"{"rules":[]}"#)]).await;
    check(
        &server.run(&["rules", "list", "--hygiene"]).await,
        Exit::No,
        &expect![[r#"
        RULE  FINDING      FIRED 30D  WHERE     WHAT
        A     never fired  0          a.yaml:3  it never fired; it is in force since 2026-09-01T00:00:00Z
        ! 1 of 2 rules are of no use or a burden
    "#]],
    );
    check(
        &server.run(&["rules", "list", "--hygiene"]).await,
        Exit::Ok,
        &expect![[r#"
        ! nothing is wrong with 0 rules
    "#]],
    );
}

#[tokio::test]
async fn a_backtest_says_which_incidents_are_caught_and_what_a_mistake_in_their_file_is() {
    let report = r#"{"from":0,"to":1,"rules":[],"receivers":{},"judged":{"beyond":1,
        "incidents":[{"name":"db-down","by":{"Errors":-60000000000,"Slow":300000000000}},{"name":"net","by":{}}],
        "rules":{"Errors":{"caught":1,"missed":0,"outside":2},"Idle":{"caught":0,"missed":0,"outside":0}}}}"#;
    let body: &'static str = format!(r#"{{"after":{report},"before":null}}"#).leak();
    let server = Server::start(vec![Answer(200, body)]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a file");
        dir.path().join(name).display().to_string()
    };
    let rules = write("r.yaml", "version: 1\n");
    let good =
        write("i.yaml", "incidents: [{name: db-down, from: '2026-11-01T10:00:00Z', to: '2026-11-01T10:30:00Z'}]\n");
    check(
        &server.run(&["rules", "backtest", &rules, "--incidents", &good]).await,
        Exit::Ok,
        &expect![[r#"
            0 rules, 0 episodes, 0 pages
            INCIDENT  CAUGHT BY
            db-down   Errors 1m before, Slow 5m after
            net       nobody
            RULE    CAUGHT  MISSED  OUTSIDE
            Errors  1       0       2
            incidents caught: 1 of 2; 1 of the file lie outside the time
        "#]],
    );
    let wrong = write("wrong.yaml", "incidents: [{name: db-down}]\n");
    let (exit, text) = server.run(&["rules", "backtest", &rules, "--incidents", &wrong]).await;
    assert!(exit == Exit::Usage && text.contains("wrong.yaml:1:13: an incident needs 'from'"), "{text}");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let error = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert!(error.is_broken_pipe());
}
