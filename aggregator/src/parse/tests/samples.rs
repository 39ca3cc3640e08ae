//! The recorded logs of `tests/fixtures/samples`, each through its parser.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use expect_test::expect;

use super::super::*;
use super::fixture::Fixture;

pub(in crate::parse) fn sample(name: &str) -> Vec<Vec<u8>> {
    let path = root().join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/samples")
}

/// The `log_format` of this name in the recorded `nginx.conf`, as the agent sends it.
fn log_format(name: &str) -> String {
    let text = std::fs::read_to_string(root().join("nginx/nginx.conf")).expect("the configuration is there");
    let line = text.lines().find(|line| line.contains(&format!("log_format {name} "))).expect("the format is there");
    let escape = line.split_whitespace().find(|word| word.starts_with("escape="));
    let body = &line[line.find('\'').expect("a quote") + 1..line.rfind('\'').expect("a quote")];
    escape.map(|escape| format!("{escape};")).unwrap_or_default() + body
}

/// `lines, lines with a time, lines that print back, lines with FIELD`.
fn count(fixture: &mut Fixture, name: &str, field: &str) -> String {
    let lines = sample(name);
    let (mut timed, mut back, mut with) = (0, 0, 0);
    for text in &lines {
        timed += usize::from(fixture.parse(text).time_ns.is_some());
        back += usize::from(fixture.prints_back(text));
        with += usize::from(fixture.field(text, field).is_some());
    }
    format!("{name}: {} lines, {timed} with time, {back} print back, {with} with {field}", lines.len())
}

#[test]
fn nginx_access_logs_are_read_by_their_format() {
    let mut out = Vec::new();
    for (file, format) in [
        ("nginx/access-buffered.log", String::new()),
        ("nginx/access-main.log", log_format("main")),
        ("nginx/access-timed.log", log_format("timed")),
        ("nginx/access-json.log", log_format("jsonl")),
        ("nginx/access-json-default-escape.log", log_format("jsonbad")),
    ] {
        let mut fixture = Fixture::with(SourceKind::NginxAccess, &format, &[]);
        out.push(count(&mut fixture, file, "status"));
    }
    expect![[r#"
        nginx/access-buffered.log: 43 lines, 43 with time, 36 print back, 43 with status
        nginx/access-main.log: 43 lines, 43 with time, 36 print back, 43 with status
        nginx/access-timed.log: 43 lines, 43 with time, 36 print back, 43 with status
        nginx/access-json.log: 43 lines, 43 with time, 38 print back, 43 with status
        nginx/access-json-default-escape.log: 43 lines, 43 with time, 37 print back, 43 with status"#]]
    .assert_eq(&out.join("\n"));
}

#[test]
fn nginx_lines_have_the_fields_of_the_document() {
    let mut combined = Fixture::new(SourceKind::NginxAccess);
    let lines = sample("nginx/access-buffered.log");
    let find = |what: &str| {
        let found = lines.iter().find(|line| String::from_utf8_lossy(line).contains(what));
        found.unwrap_or_else(|| panic!("{what} is there")).clone()
    };
    expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        client_ip "127.0.0.1" |
        message "GET /search?q=%22quoted%22&x=a%20b%00c HTTP/1.1" |
        method "GET"
        path "/search"
        query "q=%22quoted%22&x=a%20b%00c"
        protocol "HTTP/1.1"
        status 404 |
        bytes 153 |
        user_agent "curl/7.88.1" |
        route "/search""#]]
    .assert_eq(&combined.show(find("/search?q")));
    expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        client_ip "127.0.0.1" |
        remote_user "user one" |
        message "GET /auth/ HTTP/1.1" |
        method "GET"
        path "/auth/"
        protocol "HTTP/1.1"
        status 404 |
        bytes 153 |
        user_agent "curl/7.88.1" |
        route "/auth/""#]]
    .assert_eq(&combined.show(find("user one")));
    expect![[r#"
        time 2026-11-20T09:14:52.000Z |
        client_ip "127.0.0.1" |
        message "\u{16}\u{3}\u{1}\0\\xEE\u{1}\0\0\\xEA\u{3}\u{3}\0\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\t" *
        request "\u{16}\u{3}\u{1}\0\\xEE\u{1}\0\0\\xEA\u{3}\u{3}\0\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\t"
        status 400 |
        bytes 157 |"#]]
    .assert_eq(&combined.show(find(r"\x16\x03\x01\x00\xEE")));
    expect![[r#"
        time 2026-11-20T09:14:52.000Z |
        client_ip "127.0.0.1" |
        status 400 |
        bytes 0 |
        message "127.0.0.1 - - [20/Nov/2026:09:14:52 +0000] \"\" 400 0 \"-\" \"-\"""#]]
    .assert_eq(&combined.show(find(r#"] "" 400"#)));
    expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        client_ip "127.0.0.1" |
        message "GET /x HTTP/1.1" |
        method "GET"
        path "/x"
        protocol "HTTP/1.1"
        status 404 |
        bytes 153 |
        user_agent "tab\there \u{1}\u{7f} café \\xFF\\xFE" *
        route "/x""#]]
    .assert_eq(&combined.show(find("caf")));
}

#[test]
fn nginx_upstreams_and_json_formats() {
    let mut timed = Fixture::with(SourceKind::NginxAccess, &log_format("timed"), &[]);
    let lines = sample("nginx/access-timed.log");
    let slow = lines.iter().find(|line| String::from_utf8_lossy(line).contains("504, 502")).expect("a retried request");
    expect![[r#"
        time 2026-11-20T09:14:47.000Z |
        client_ip "127.0.0.1" |
        message "GET /up/slow HTTP/1.1" |
        method "GET"
        path "/up/slow"
        protocol "HTTP/1.1"
        status 502 |
        bytes 157 |
        user_agent "curl/7.88.1" |
        duration_ms 1000.0 |
        upstream_connect_time.list "0.000, -" |
        upstream_connect_time 0.0
        upstream_header_time.list "-, -" |
        upstream_response_time.list "1.001, 0.000" |
        upstream_response_time 1.001
        upstream_status.list "504, 502" |
        upstream_status 502
        upstream "127.0.0.1:18011, app" |
        http_host "127.0.0.1" |
        request_id "6dc0d950be7e84d7deff1100c686ba7c" |
        route "/up/slow""#]]
    .assert_eq(&timed.show(slow));
    let mut json = Fixture::with(SourceKind::NginxAccess, &log_format("jsonl"), &[]);
    expect![[r#"
        time 2026-11-20T09:14:45.314Z |
        time_iso8601 "2026-11-20T09:14:45+00:00" |
        client_ip "127.0.0.1" |
        message "GET /search?q=%22quoted%22&x=a%20b%00c HTTP/1.1" |
        method "GET" |
        path "/search" |
        query "q=%22quoted%22&x=a%20b%00c" |
        protocol "HTTP/1.1" |
        status 404 |
        bytes 153 |
        duration_ms 0.0 |
        user_agent "curl/7.88.1" |
        http_host "127.0.0.1" |
        request_id "25d1118b41eaa34ac26ae827ee89a6d5" |
        route "/search""#]]
    .assert_eq(&json.show(&sample("nginx/access-json.log")[3]));
    let mut bad = Fixture::with(SourceKind::NginxAccess, &log_format("jsonbad"), &[]);
    expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        message "GET /search?q=%22quoted%22&x=a%20b%00c HTTP/1.1" |
        method "GET"
        path "/search"
        query "q=%22quoted%22&x=a%20b%00c"
        protocol "HTTP/1.1"
        status 404 |
        user_agent "curl/7.88.1" |
        route "/search""#]]
    .assert_eq(&bad.show(&sample("nginx/access-json-default-escape.log")[3]));
}

#[test]
fn the_nginx_error_log() {
    let mut error = Fixture::new(SourceKind::NginxError);
    expect!["nginx/error.log: 94 lines, 94 with time, 89 print back, 94 with pid"].assert_eq(&count(
        &mut error,
        "nginx/error.log",
        "pid",
    ));
    let lines = sample("nginx/error.log");
    let find = |what: &str| {
        let found = lines.iter().find(|line| String::from_utf8_lossy(line).contains(what));
        found.unwrap_or_else(|| panic!("{what} is there")).clone()
    };
    expect![[r#"
        time 2026-11-20T09:14:43.000Z |
        level info
        pid 387 |
        tid 387 |
        message "using the \"epoll\" event method" |"#]]
    .assert_eq(&error.show(find("epoll")));
    expect![[r#"
        time 2026-11-20T09:14:47.000Z |
        level error
        pid 398 |
        tid 398 |
        connection 19 |
        http_host "127.0.0.1:18000" |
        upstream_uri "http://127.0.0.1:18011/up/slow" |
        upstream "127.0.0.1:18011"
        request "GET /up/slow HTTP/1.1" |
        method "GET"
        path "/up/slow"
        protocol "HTTP/1.1"
        server "localhost" |
        client_ip "127.0.0.1" |
        message "upstream timed out (110: Connection timed out) while reading response header from upstream" |
        errno 110
        route "/up/slow""#]]
    .assert_eq(&error.show(find("110: Connection timed out")));
    expect![[r#"
        time 2026-11-20T09:14:48.000Z |
        level fatal
        pid 399 |
        tid 399 |
        connection 25 |
        http_host "127.0.0.1:18000" |
        upstream_uri "http://unix:/nonexistent.sock:/unix/" |
        upstream "unix:/nonexistent.sock"
        request "GET /unix/ HTTP/1.1" |
        method "GET"
        path "/unix/"
        protocol "HTTP/1.1"
        server "localhost" |
        client_ip "127.0.0.1" |
        message "connect() to unix:/nonexistent.sock failed (2: No such file or directory) while connecting to upstream" |
        errno 2
        route "/unix/""#]].assert_eq(&error.show(find("unix:/nonexistent")));
    expect![[r#"
        time 2026-11-20T09:14:52.000Z |
        level info
        pid 399 |
        tid 399 |
        connection 40 |
        request "GET /\\xFF\\xFE\0\"\\ HTTP/1.1" *
        method "GET"
        path "/\\xFF\\xFE\0\"\\"
        protocol "HTTP/1.1"
        server "localhost" |
        client_ip "127.0.0.1" |
        message "client sent invalid request while reading client request line" |
        route "/\\xFF\\xFE\0\"\\""#]]
    .assert_eq(&error.show(find("GET /\u{fffd}")));
}

#[test]
fn pm2_logs_of_every_mode() {
    let mut out = Vec::new();
    let mut names: Vec<String> = std::fs::read_dir(root().join("pm2"))
        .expect("the samples are there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".log") && name != "pm2.log" && !name.starts_with("pm2-logrotate"))
        .collect();
    names.sort();
    for name in names {
        let stream = if name.contains("error") { "stderr" } else { "stdout" };
        let mut fixture = Fixture::with(SourceKind::Pm2, "", &[("stream", stream), ("pm2_app", "api")]);
        out.push(count(&mut fixture, &format!("pm2/{name}"), "exception.type"));
    }
    expect![[r#"
        pm2/api-dated-error.log: 250 lines, 250 with time, 250 print back, 55 with exception.type
        pm2/api-dated-out.log: 250 lines, 250 with time, 242 print back, 0 with exception.type
        pm2/api-error.log: 250 lines, 0 with time, 250 print back, 55 with exception.type
        pm2/api-json-error.log: 250 lines, 250 with time, 250 print back, 173 with exception.type
        pm2/api-json-out.log: 250 lines, 250 with time, 199 print back, 0 with exception.type
        pm2/api-jsondate-error.log: 250 lines, 250 with time, 250 print back, 159 with exception.type
        pm2/api-jsondate-out.log: 250 lines, 250 with time, 197 print back, 0 with exception.type
        pm2/api-out.log: 250 lines, 15 with time, 242 print back, 0 with exception.type
        pm2/api-time-error.log: 250 lines, 250 with time, 250 print back, 53 with exception.type
        pm2/api-time-out.log: 250 lines, 250 with time, 242 print back, 0 with exception.type
        pm2/clu-error-5.log: 250 lines, 0 with time, 250 print back, 53 with exception.type
        pm2/clu-error-8.log: 250 lines, 0 with time, 250 print back, 53 with exception.type
        pm2/clu-merged-error.log: 250 lines, 83 with time, 250 print back, 53 with exception.type
        pm2/clu-merged-out.log: 250 lines, 145 with time, 242 print back, 0 with exception.type
        pm2/clu-out-5.log: 250 lines, 13 with time, 242 print back, 0 with exception.type
        pm2/clu-out-8.log: 250 lines, 13 with time, 242 print back, 0 with exception.type
        pm2/combined.log: 250 lines, 11 with time, 244 print back, 12 with exception.type
        pm2/crashy-error.log: 52 lines, 0 with time, 52 print back, 4 with exception.type
        pm2/crashy-out.log: 4 lines, 0 with time, 4 print back, 0 with exception.type
        pm2/py-worker-error.log: 250 lines, 0 with time, 250 print back, 50 with exception.type
        pm2/py-worker-out.log: 250 lines, 0 with time, 250 print back, 0 with exception.type
        pm2/withlog-all.log: 250 lines, 11 with time, 244 print back, 13 with exception.type
        pm2/withlog-error.log: 250 lines, 0 with time, 250 print back, 53 with exception.type
        pm2/withlog-out.log: 250 lines, 14 with time, 242 print back, 0 with exception.type"#]]
    .assert_eq(&out.join("\n"));
}

#[test]
fn pm2_lines_have_the_fields_of_the_document() {
    let mut dated = Fixture::with(SourceKind::Pm2, "", &[("pm2_app", "api")]);
    expect![[r#"
        time 2026-11-20T09:10:00.000Z |
        message "GET /api/items/1 200 7ms" |
        pm2_app "api"
        service "api""#]]
    .assert_eq(&dated.show(&sample("pm2/api-dated-out.log")[1]));
    expect![[r#"
        time 2026-11-20T09:11:07.488Z |
        level info
        pid 23617 |
        hostname "web1" |
        message "request done" |
        reqId "r1524" |
        pm2_time "2026-11-20T09:11:07" |
        pm2_app "api"
        service "api""#]]
    .assert_eq(&dated.show(&sample("pm2/api-time-out.log")[2]));
    expect![[r#"
        time 2026-11-20T09:10:04.624Z |
        level error
        message "TypeError: Cannot read properties of null (reading 'x')" |
        exception.type "TypeError"
        pm2_app "api"
        service "api""#]]
    .assert_eq(&dated.show(&sample("pm2/clu-merged-error.log")[0]));
    expect![[r#"
        time 2026-11-20T09:11:00.813Z |
        level info
        pid 26635 |
        hostname "web1" |
        message "request done" |
        reqId "r6" |
        pm2_app "api"
        service "api""#]]
    .assert_eq(&dated.show(&sample("pm2/api-out.log")[7]));
    let colour = sample("pm2/api-out.log").into_iter().find(|line| line.contains(&0x1b)).expect("a coloured line");
    expect![[r#"
        message "colour naïve café 日本語 🚀 tab\there" *
        pm2_app "api"
        service "api""#]]
    .assert_eq(&dated.show(colour));
    let mut json = Fixture::new(SourceKind::Pm2);
    expect![[r#"
        time 2026-11-20T09:10:03.439Z |
        type "out" |
        service "api-json" |
        pm_id 3 |
        stream "stdout"
        pm2_app "api-json"
        message "GET /api/items/1 200 7ms" |"#]]
    .assert_eq(&json.show(&sample("pm2/api-json-out.log")[1]));
    expect![[r#"
        time 2026-11-20T09:10:03.638Z |
        level error
        type "err" |
        service "api-json" |
        pm_id 3 |
        stream "stderr"
        pm2_app "api-json"
        message "TypeError: Cannot read properties of null (reading 'x')"
        exception.stack "TypeError: Cannot read properties of null (reading 'x')\n    at Timeout.work [as _onTimeout] (/srv/shop/api.js:8:33)\n    at listOnTimeout (node:internal/timers:581:17)\n    at process.processTimers (node:internal/timers:519:7)" |
        exception.type "TypeError""#]].assert_eq(&json.show(&sample("pm2/api-json-error.log")[0]));
    expect![[r#"
        time 2026-11-20T09:10:03.702Z |
        level warn
        type "err" |
        service "api-jsondate" |
        pm_id 4 |
        stream "stderr"
        pm2_app "api-jsondate"
        message "warn: pool exhausted { active: 10, idle: 0, waiting: 7 }" |"#]]
    .assert_eq(&json.show(&sample("pm2/api-jsondate-error.log")[1]));
    let inner = sample("pm2/api-json-out.log").into_iter().find(|line| line.starts_with(b"{\"message\":\"{\\\"level"));
    expect![[r#"
        time 2026-11-20T09:10:09.594Z |
        level info
        type "out" |
        service "api-json" |
        pm_id 3 |
        stream "stdout"
        pm2_app "api-json"
        pid 23995
        hostname "web1"
        message "request done" *
        reqId "r6""#]]
    .assert_eq(&json.show(inner.expect("a pino line")));
}

#[test]
fn the_daemon_of_pm2_tells_restarts_and_crash_loops() {
    let mut daemon = Fixture::new(SourceKind::Pm2Daemon);
    expect!["pm2/pm2.log: 1110 lines, 1039 with time, 1110 print back, 916 with event"].assert_eq(&count(
        &mut daemon,
        "pm2/pm2.log",
        "event",
    ));
    let lines = sample("pm2/pm2.log");
    let find = |what: &str| {
        let found = lines.iter().find(|line| String::from_utf8_lossy(line).contains(what));
        found.unwrap_or_else(|| panic!("{what} is there")).clone()
    };
    expect![[r#"
        time 2026-11-20T09:10:05.000Z |
        level error
        message "App [api:0] exited with code [1] via signal [SIGINT]" |
        event "exit"
        pm2_app "api"
        signal "SIGINT"
        pm_id 0
        exit_code 1"#]]
    .assert_eq(&daemon.show(find("App [api:0] exited")));
    expect![[r#"
        time 2026-11-20T09:10:04.000Z |
        level info
        message "App [py worker:11] starting in -fork mode-" |
        event "restart"
        pm2_app "py worker"
        pm_id 11"#]]
    .assert_eq(&daemon.show(find("[py worker:")));
    expect![[r#"
        time 2026-11-20T09:10:08.000Z |
        level error
        message "Script /srv/shop/crashy.js had too many unstable restarts (4). Stopped. \"errored\"" |
        event "errored"
        script "/srv/shop/crashy.js""#]]
    .assert_eq(&daemon.show(find("too many unstable")));
    expect![[r#"
        time 2026-11-20T09:10:20.000Z |
        level info
        message "App name:clu id:_old_5 disconnected" |
        event "disconnect"
        pm2_app "clu"
        pm_id "_old_5""#]]
    .assert_eq(&daemon.show(find("id:_old_")));
}

/// What was written to a container's log, without what Docker put around it.
fn docker_texts() -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(root().join("docker")).expect("the samples are there") {
        let dir = entry.expect("a directory").path();
        for file in std::fs::read_dir(dir).expect("a directory").filter_map(|file| Some(file.ok()?.path())) {
            if !file.to_string_lossy().contains("-json.log") {
                continue;
            }
            let mut bytes = std::fs::read(&file).expect("readable");
            if file.extension().is_some_and(|extension| extension == "gz") {
                let packed = std::mem::take(&mut bytes);
                flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("a whole gzip file");
            }
            for record in bytes.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
                let record: serde_json::Value = serde_json::from_slice(record).expect("Docker writes JSON");
                texts.push(record["log"].as_str().expect("text").trim_end_matches('\n').as_bytes().to_vec());
            }
        }
    }
    texts
}

#[test]
fn container_logs_carry_any_format() {
    let mut docker = Fixture::with(SourceKind::Docker, "", &[("container", "web"), ("image", "shop:1")]);
    let texts = docker_texts();
    expect!["5649"].assert_eq(&texts.len().to_string());
    for text in texts {
        docker.parse_stream(&text, Stream::Stdout);
        assert_eq!(docker.field(&text, "stream").as_deref(), Some("stdout"));
        assert_eq!(docker.field(&text, "service").as_deref(), Some("web"));
        let message = docker.field(&text, "message").expect("every line has a message");
        assert!(text.contains(&0x1b) || message.as_bytes() == text.trim_ascii_end());
    }
    expect![[r#"
        message "tab\there \"quoted\" red" *
        container "web"
        image "shop:1"
        service "web""#]]
    .assert_eq(&docker.show("tab\there \"quoted\" \u{1b}[31mred\u{1b}[0m\r"));
}

#[test]
fn cri_logs_carry_any_bytes() {
    let mut cri = Fixture::with(SourceKind::Cri, "", &[("container", "web")]);
    let mut lines = 0;
    for record in sample("cri/c1.log").into_iter().chain(sample("cri/c2.log")) {
        // Time, stream, tags and one space stand before the text.
        let text = record.splitn(4, |byte| *byte == b' ').nth(3).expect("four parts");
        cri.parse(text);
        lines += 1;
    }
    expect!["177"].assert_eq(&lines.to_string());
    expect![[r#"
        message "bad \\xFF\\xFE utf8" *
        container "web"
        service "web""#]]
    .assert_eq(&cri.show(b"bad \xff\xfe utf8"));
}
