//! Every format with lines of its program: recorded ones where the program could be run, else those of its manual.

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::parse::Reading;
use crate::parse::tests::fixture::Fixture;
use crate::parse::tests::samples::sample;

/// Lines that are joined by the agent: a line that begins as `begins` says begins a record.
fn records(name: &str, begins: impl Fn(&str) -> bool) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    for line in sample(name) {
        let line = String::from_utf8(line).expect("the sample is text");
        match records.last_mut() {
            Some(last) if !begins(&line) => *last = format!("{last}\n{line}"),
            _ => records.push(line),
        }
    }
    records
}

/// What is made of the records of a sample, all of them by one parser.
fn summary(name: &str, records: &[String]) -> String {
    let mut fixture = Fixture::new(SourceKind::File);
    let (mut timed, mut leveled, mut back) = (0, 0, 0);
    for record in records {
        let line = fixture.parse(record.as_bytes());
        timed += usize::from(line.time_ns.is_some());
        leveled += usize::from(line.level.is_some());
        back += usize::from(fixture.prints_back(record.as_bytes()));
    }
    let Reading { inner, lines_read, lines, .. } = fixture.parser.reading();
    let format = inner.unwrap_or("none");
    format!("{name}: {format} reads {lines_read} of {lines}, {timed} times, {leveled} levels, {back} print back")
}

fn begins_with_digit(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit())
}

const LOGS: [&str; 14] = [
    "postgresql/postgresql.log",
    "postgresql/postgresql.csv",
    "postgresql/postgresql.json",
    "redis/redis.log",
    "apache/error.log",
    "apache/common.log",
    "apache/combined.log",
    "apache/vhost.log",
    "haproxy/haproxy.log",
    "mariadb/error.log",
    "python/brackets.log",
    "python/dashes.log",
    "python/http.server.log",
    "python/basic.log",
];

fn log(name: &str) -> Vec<String> {
    match name {
        "postgresql/postgresql.json" => records(name, |line| line.starts_with('{')),
        "apache/error.log" => records(name, |line| line.starts_with('[')),
        "apache/vhost.log" => records(name, |_| true),
        "python/basic.log" => records(name, |line| {
            line.starts_with(|c: char| c.is_ascii_uppercase())
                && !line.starts_with("Traceback")
                && !line.starts_with("KeyError")
        }),
        "mariadb/slow.log" => records(name, |line| line.starts_with("# Time") || line.starts_with("# User@Host")),
        "java/jul.log" => records(name, |line| line.starts_with("Nov ")),
        _ => records(name, begins_with_digit),
    }
}

#[test]
fn recorded_logs_are_recognised_and_read() {
    let names = LOGS.iter().chain(&["mariadb/slow.log", "java/jul.log"]);
    let shown: Vec<String> = names.map(|name| summary(name, &log(name))).collect();
    expect![[r#"
        postgresql/postgresql.log: postgresql reads 42 of 42, 42 times, 42 levels, 42 print back
        postgresql/postgresql.csv: postgresql reads 38 of 38, 38 times, 38 levels, 32 print back
        postgresql/postgresql.json: json reads 38 of 38, 38 times, 38 levels, 38 print back
        redis/redis.log: redis reads 40 of 40, 40 times, 40 levels, 40 print back
        apache/error.log: apache_error reads 9 of 9, 9 times, 9 levels, 9 print back
        apache/common.log: nginx reads 6 of 6, 6 times, 0 levels, 6 print back
        apache/combined.log: nginx reads 6 of 6, 6 times, 0 levels, 5 print back
        apache/vhost.log: apache reads 6 of 6, 6 times, 0 levels, 6 print back
        haproxy/haproxy.log: haproxy reads 6 of 6, 6 times, 0 levels, 6 print back
        mariadb/error.log: mysql reads 32 of 32, 32 times, 32 levels, 32 print back
        python/brackets.log: python reads 7 of 7, 7 times, 7 levels, 7 print back
        python/dashes.log: python reads 7 of 7, 7 times, 7 levels, 7 print back
        python/http.server.log: apache reads 6 of 8, 6 times, 0 levels, 8 print back
        python/basic.log: python reads 7 of 7, 0 times, 7 levels, 7 print back
        mariadb/slow.log: mysql_slow reads 10 of 11, 10 times, 0 levels, 11 print back
        java/jul.log: java reads 3 of 3, 3 times, 3 levels, 3 print back"#]]
    .assert_eq(&shown.join("\n"));
}

/// Each line through a parser of its own, as if it were the first of its source.
fn first_lines(lines: &[&str]) -> String {
    let shown = lines.iter().map(|line| {
        let mut fixture = Fixture::new(SourceKind::File);
        let shown = fixture.show(line);
        let format = fixture.parser.reading().inner.unwrap_or("text").to_owned();
        format!("{format}: {}\n{shown}\n", line.escape_debug())
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_pattern_of_this_build_is_right() {
    let mut formats = Formats::compile_built_in();
    for (name, patterns) in built_in::FORMATS {
        for pattern in *patterns {
            assert!(formats.compile(pattern).is_ok(), "{name}: {pattern}: {:?}", formats.compile(pattern));
        }
    }
    for name in built_in::FORMATS[..built_in::BEFORE_NGINX].iter().map(|(name, _)| *name) {
        assert!(["haproxy", "traefik", "envoy"].contains(&name));
    }
}

#[test]
fn agents_know_the_names_of_the_formats() {
    let formats = Formats::built_in();
    let mut here = formats.all_names();
    // These are kinds of sources.
    here.retain(|name| !["auto", "nginx", "nginx_error"].contains(name));
    let mut there = logweir_proto::formats::TEXT_FORMATS;
    here.sort_unstable();
    there.sort_unstable();
    assert_eq!(here, there);
}

#[test]
fn proxies() {
    let lines = [
        r#"127.0.0.1:46308 [20/Nov/2026:15:54:36.342] web app/a1 0/0/0/2/2 404 500 - - ---- 1/1/0/0/0 0/0 {127.0.0.1:18580} {SimpleHTTP/0.6 Pytho} "GET /nope?a=b%20c HTTP/1.1""#,
        r#"Nov 20 12:14:14 lb1 haproxy[14389]: 10.0.1.2:33317 [20/Nov/2026:12:14:14.655] http-in~ static/<NOSRV> 10/-1/-1/-1/+109 503 212 - - SC-- 1/1/1/1/0 0/0 "<BADREQ>""#,
        "127.0.0.1:49188 [20/Nov/2026:15:54:36.397] raw rawb/r1 1/0/1 187 -- 1/1/0/0/0 0/0",
        "::1:50012 [20/Nov/2026:15:54:36.397] web/1: SSL handshake failure",
        r#"192.0.2.7 - bob [20/Nov/2026:09:10:02 +0000] "GET /cart/17 HTTP/2.0" 200 512 "-" "curl/8" 42 "cart@docker" "http://10.0.0.5:8080" 12ms"#,
        r#"[2026-11-20T09:10:02.123Z] "POST /api/v1/orders?dry=1 HTTP/2" 503 UH 0 91 4 - "192.0.2.7" "grpc-go/1.6" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "shop" "-""#,
        r#"[2026-11-20T09:10:02.123Z] "GET /x HTTP/1.1" 200 - via_upstream - "-" 0 13 5 4 "-" "curl" "id-1" "shop:80" "10.0.0.5:80" outbound|80||shop 10.0.0.4:5 10.0.0.3:80 10.0.0.9:44 - default"#,
        "[2026-11-20 09:10:02.123][1][warning][main] [source/server/server.cc:404] starting hot restart: 0",
        r#"{"ClientHost":"192.0.2.7","DownstreamStatus":200,"DownstreamContentSize":5,"RequestMethod":"GET","RequestPath":"/p","ServiceAddr":"10.0.0.5:80","level":"info","msg":"","time":"2026-11-20T09:10:02Z"}"#,
    ];
    expect![[r#"
        haproxy: 127.0.0.1:46308 [20/Nov/2026:15:54:36.342] web app/a1 0/0/0/2/2 404 500 - - ---- 1/1/0/0/0 0/0 {127.0.0.1:18580} {SimpleHTTP/0.6 Pytho} \"GET /nope?a=b%20c HTTP/1.1\"
        time 2026-11-20T15:54:36.342Z |
        client_ip "127.0.0.1" |
        client_port 46308 |
        frontend "web" |
        backend "app" |
        upstream "a1" |
        request_ms 0 |
        queue_ms 0 |
        connect_ms 0 |
        response_ms 2 |
        duration_ms 2.0 |
        status 404 |
        bytes 500 |
        termination "----" |
        active 1 |
        frontend_active 1 |
        backend_active 0 |
        server_active 0 |
        retries 0 |
        server_queue 0 |
        backend_queue 0 |
        request_headers "127.0.0.1:18580" |
        response_headers "SimpleHTTP/0.6 Pytho" |
        message "GET /nope?a=b%20c HTTP/1.1" |
        method "GET"
        path "/nope"
        query "a=b%20c"
        protocol "HTTP/1.1"
        route "/nope"

        haproxy: Nov 20 12:14:14 lb1 haproxy[14389]: 10.0.1.2:33317 [20/Nov/2026:12:14:14.655] http-in~ static/<NOSRV> 10/-1/-1/-1/+109 503 212 - - SC-- 1/1/1/1/0 0/0 \"<BADREQ>\"
        time 2026-11-20T12:14:14.655Z |
        syslog_time "Nov 20 12:14:14" |
        host "lb1" |
        service "haproxy" |
        procid 14389 |
        client_ip "10.0.1.2" |
        client_port 33317 |
        frontend "http-in~" |
        backend "static" |
        upstream "<NOSRV>" |
        request_ms 10 |
        queue_ms -1 |
        connect_ms -1 |
        response_ms -1 |
        duration_ms 109.0 *
        status 503 |
        bytes 212 |
        termination "SC--" |
        active 1 |
        frontend_active 1 |
        backend_active 1 |
        server_active 1 |
        retries 0 |
        server_queue 0 |
        backend_queue 0 |
        message "<BADREQ>" |
        request "<BADREQ>"

        haproxy: 127.0.0.1:49188 [20/Nov/2026:15:54:36.397] raw rawb/r1 1/0/1 187 -- 1/1/0/0/0 0/0
        time 2026-11-20T15:54:36.397Z |
        client_ip "127.0.0.1" |
        client_port 49188 |
        frontend "raw" |
        backend "rawb" |
        upstream "r1" |
        queue_ms 1 |
        connect_ms 0 |
        duration_ms 1.0 |
        bytes 187 |
        termination "--" |
        active 1 |
        frontend_active 1 |
        backend_active 0 |
        server_active 0 |
        retries 0 |
        server_queue 0 |
        backend_queue 0 |
        message "127.0.0.1:49188 [20/Nov/2026:15:54:36.397] raw rawb/r1 1/0/1 187 -- 1/1/0/0/0 0/0"

        haproxy: ::1:50012 [20/Nov/2026:15:54:36.397] web/1: SSL handshake failure
        time 2026-11-20T15:54:36.397Z |
        client_ip "::1" |
        client_port 50012 |
        frontend "web" |
        bind "1" |
        message "SSL handshake failure" |

        traefik: 192.0.2.7 - bob [20/Nov/2026:09:10:02 +0000] \"GET /cart/17 HTTP/2.0\" 200 512 \"-\" \"curl/8\" 42 \"cart@docker\" \"http://10.0.0.5:8080\" 12ms
        time 2026-11-20T09:10:02.000Z |
        client_ip "192.0.2.7" |
        remote_user "bob" |
        message "GET /cart/17 HTTP/2.0" |
        method "GET"
        path "/cart/17"
        protocol "HTTP/2.0"
        status 200 |
        bytes 512 |
        user_agent "curl/8" |
        request_count 42 |
        router "cart@docker" |
        upstream "http://10.0.0.5:8080" |
        duration_ms 12.0 |
        route "/cart/:id"

        envoy: [2026-11-20T09:10:02.123Z] \"POST /api/v1/orders?dry=1 HTTP/2\" 503 UH 0 91 4 - \"192.0.2.7\" \"grpc-go/1.6\" \"cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2\" \"shop\" \"-\"
        time 2026-11-20T09:10:02.123Z |
        message "POST /api/v1/orders?dry=1 HTTP/2" |
        method "POST"
        path "/api/v1/orders"
        query "dry=1"
        protocol "HTTP/2"
        status 503 |
        response_flags "UH" |
        bytes_received 0 |
        bytes 91 |
        duration_ms 4.0 |
        forwarded_for "192.0.2.7" |
        user_agent "grpc-go/1.6" |
        request_id "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" |
        authority "shop" |
        route "/api/v1/orders"

        envoy: [2026-11-20T09:10:02.123Z] \"GET /x HTTP/1.1\" 200 - via_upstream - \"-\" 0 13 5 4 \"-\" \"curl\" \"id-1\" \"shop:80\" \"10.0.0.5:80\" outbound|80||shop 10.0.0.4:5 10.0.0.3:80 10.0.0.9:44 - default
        time 2026-11-20T09:10:02.123Z |
        message "GET /x HTTP/1.1" |
        method "GET"
        path "/x"
        protocol "HTTP/1.1"
        status 200 |
        response_details "via_upstream" |
        bytes_received 0 |
        bytes 13 |
        duration_ms 5.0 |
        upstream_ms 4 |
        user_agent "curl" |
        request_id "id-1" |
        authority "shop:80" |
        upstream "10.0.0.5:80" |
        upstream_cluster "outbound|80||shop" |
        upstream_local "10.0.0.4:5" |
        downstream_local "10.0.0.3:80" |
        downstream_remote "10.0.0.9:44" |
        route_name "default" |
        route "/x"

        envoy: [2026-11-20 09:10:02.123][1][warning][main] [source/server/server.cc:404] starting hot restart: 0
        time 2026-11-20T09:10:02.123Z |
        level warn
        tid 1 |
        logger "main" |
        caller "source/server/server.cc:404" |
        message "starting hot restart: 0" |

        json: {\"ClientHost\":\"192.0.2.7\",\"DownstreamStatus\":200,\"DownstreamContentSize\":5,\"RequestMethod\":\"GET\",\"RequestPath\":\"/p\",\"ServiceAddr\":\"10.0.0.5:80\",\"level\":\"info\",\"msg\":\"\",\"time\":\"2026-11-20T09:10:02Z\"}
        time 2026-11-20T09:10:02.000Z |
        level info
        client_ip "192.0.2.7" |
        status 200 |
        bytes 5 |
        method "GET" |
        path "/p" |
        upstream "10.0.0.5:80" |
        message "" |
        route "/p"
    "#]].assert_eq(&first_lines(&lines));
}

#[test]
fn web_servers() {
    let lines = [
        r#"192.0.2.7 - frank [20/Nov/2026:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#,
        r#"shop.example:443 192.0.2.7 - - [20/Nov/2026:13:55:36 -0700] "GET / HTTP/1.1" 200 23 "http://ref.example/" "my \"agent\"""#,
        r#"INFO:     127.0.0.1:53124 - "GET /items/5?q=x HTTP/1.1" 200 OK"#,
        r#"[20/Nov/2026 09:10:02] "GET /admin/ HTTP/1.1" 302 0"#,
        "[Fri Nov 20 15:54:32.092110 2026] [authz_core:error] [pid 2108:tid 2114] [client 127.0.0.1:43702] AH01630: client denied by server configuration: /srv/x, referer: http://ref.example/",
        "[Fri Nov 20 15:54:32.121026 2026] [proxy:error] [pid 2108:tid 2116] (111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:1 failed",
        "[Fri Nov 20 15:54:32 2026] [error] [client 192.0.2.7] File does not exist: /srv/favicon.ico",
        "2026-11-20 09:10:02 10.0.0.1 GET /default.htm a=b 80 - 192.0.2.7 Mozilla/5.0+(X11) - 200 0 0 15",
    ];
    expect![[r#"
        nginx: 192.0.2.7 - frank [20/Nov/2026:13:55:36 -0700] \"GET /apache_pb.gif HTTP/1.0\" 200 2326
        time 2026-11-20T20:55:36.000Z |
        client_ip "192.0.2.7" |
        remote_user "frank" |
        message "GET /apache_pb.gif HTTP/1.0" |
        method "GET"
        path "/apache_pb.gif"
        protocol "HTTP/1.0"
        status 200 |
        bytes 2326 |
        route "/apache_pb.gif"

        apache: shop.example:443 192.0.2.7 - - [20/Nov/2026:13:55:36 -0700] \"GET / HTTP/1.1\" 200 23 \"http://ref.example/\" \"my \\\"agent\\\"\"
        time 2026-11-20T20:55:36.000Z |
        vhost "shop.example" |
        port 443 |
        client_ip "192.0.2.7" |
        message "GET / HTTP/1.1" |
        method "GET"
        path "/"
        protocol "HTTP/1.1"
        status 200 |
        bytes 23 |
        http_referer "http://ref.example/" |
        user_agent "my \\\"agent\\\"" |
        route "/"

        apache: INFO:     127.0.0.1:53124 - \"GET /items/5?q=x HTTP/1.1\" 200 OK
        level info
        client_ip "127.0.0.1" |
        client_port 53124 |
        message "GET /items/5?q=x HTTP/1.1" |
        method "GET"
        path "/items/5"
        query "q=x"
        protocol "HTTP/1.1"
        status 200 |
        reason "OK" |
        route "/items/:id"

        apache: [20/Nov/2026 09:10:02] \"GET /admin/ HTTP/1.1\" 302 0
        time 2026-11-20T09:10:02.000Z |
        message "GET /admin/ HTTP/1.1" |
        method "GET"
        path "/admin/"
        protocol "HTTP/1.1"
        status 302 |
        bytes 0 |
        route "/admin/"

        apache_error: [Fri Nov 20 15:54:32.092110 2026] [authz_core:error] [pid 2108:tid 2114] [client 127.0.0.1:43702] AH01630: client denied by server configuration: /srv/x, referer: http://ref.example/
        time 2026-11-20T15:54:32.092Z |
        level error
        module "authz_core" |
        pid 2108 |
        tid 2114 |
        client_ip "127.0.0.1" |
        client_port 43702 |
        message "AH01630: client denied by server configuration: /srv/x" |
        http_referer "http://ref.example/" |

        apache_error: [Fri Nov 20 15:54:32.121026 2026] [proxy:error] [pid 2108:tid 2116] (111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:1 failed
        time 2026-11-20T15:54:32.121Z |
        level error
        module "proxy" |
        pid 2108 |
        tid 2116 |
        errno 111 |
        error "Connection refused" |
        message "AH00957: http: attempt to connect to 127.0.0.1:1 failed" |

        apache_error: [Fri Nov 20 15:54:32 2026] [error] [client 192.0.2.7] File does not exist: /srv/favicon.ico
        time 2026-11-20T15:54:32.000Z |
        level error
        client_ip "192.0.2.7" |
        message "File does not exist: /srv/favicon.ico" |

        iis: 2026-11-20 09:10:02 10.0.0.1 GET /default.htm a=b 80 - 192.0.2.7 Mozilla/5.0+(X11) - 200 0 0 15
        time 2026-11-20T09:10:02.000Z |
        s_ip "10.0.0.1" |
        method "GET" |
        path "/default.htm" |
        query "a=b" |
        s_port 80 |
        client_ip "192.0.2.7" |
        user_agent "Mozilla/5.0+(X11)" |
        status 200 |
        sc_substatus 0 |
        sc_win32_status 0 |
        duration_ms 15.0 |
        message "GET /default.htm"
        route "/default.htm"
    "#]].assert_eq(&first_lines(&lines));
    let mut iis = Fixture::new(SourceKind::File);
    iis.show("#Software: Microsoft Internet Information Services 10.0");
    iis.show("#Fields: date time cs-method cs-uri-stem sc-status time-taken cs-host x-edge");
    expect![[r#"
        time 2026-11-20T09:10:02.000Z |
        method "POST" |
        path "/cart" |
        status 500 |
        duration_ms 1203.0 |
        http_host "shop.example" |
        x_edge "AMS-1" |
        message "POST /cart"
        route "/cart""#]]
    .assert_eq(&iis.show("2026-11-20 09:10:02 POST /cart 500 1203 shop.example AMS-1\r"));
}

#[test]
fn databases() {
    let lines = [
        "2026-11-20 16:54:22.946 CET [1737] shop@postgres LOG:  duration: 0.261 ms  statement: select 1",
        "2026-11-20 16:54:23.055 CET [1743] shop@postgres ERROR:  duplicate key value violates unique constraint \"orders_pkey\"",
        "2026-11-20 16:54:23.055 CET [1743] STATEMENT:  insert into orders\n\tvalues (1,'b')",
        "2026-11-20 16:54:23.055 -03 [1743] FATAL:  the database system is starting up",
        "2026-11-20 16:54:23.055 CET,\"shop\",\"postgres\",1743,\"127.0.0.1:55078\",6b006d2f.6cf,3,\"INSERT\",2026-11-20 16:54:23 CET,3/4,0,ERROR,23505,\"duplicate key, \"\"x\"\"\",\"Key (id)=(1) already exists.\",,,,,,,,\"psql\",\"client backend\",,0",
        "2026-11-20T09:10:02.123456Z 0 [System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 8.0.30) starting as process 1",
        "2026-11-20  9:10:02 12 [Warning] Aborted connection 12 to db: 'shop'",
        "261120  9:10:02 [Note] InnoDB: ready",
        "1790:M 20 Nov 2026 15:54:23.832 # Server initialized",
        "# Time: 261120 15:54:53\n# User@Host: root[root] @ localhost [127.0.0.1]\n# Thread_id: 3  Schema: shop  QC_hit: No\n# Query_time: 2.000181  Lock_time: 0.000004  Rows_sent: 1  Rows_examined: 7\n# Rows_affected: 0  Bytes_sent: 66\nuse shop;\nSET timestamp=1795190093;\nselect sleep(2)\nfrom orders;",
    ];
    expect![[r#"
        postgresql: 2026-11-20 16:54:22.946 CET [1737] shop@postgres LOG:  duration: 0.261 ms  statement: select 1
        time 2026-11-20T15:54:22.946Z |
        level info
        pid 1737 |
        user "shop" |
        database "postgres" |
        severity "LOG" |
        duration_ms 0.261 |
        message "statement: select 1" |

        postgresql: 2026-11-20 16:54:23.055 CET [1743] shop@postgres ERROR:  duplicate key value violates unique constraint \"orders_pkey\"
        time 2026-11-20T15:54:23.055Z |
        level error
        pid 1743 |
        user "shop" |
        database "postgres" |
        severity "ERROR" |
        message "duplicate key value violates unique constraint \"orders_pkey\"" |

        postgresql: 2026-11-20 16:54:23.055 CET [1743] STATEMENT:  insert into orders\n\tvalues (1,\'b\')
        time 2026-11-20T15:54:23.055Z |
        level info
        pid 1743 |
        severity "STATEMENT" |
        message "insert into orders\n\tvalues (1,'b')" |

        postgresql: 2026-11-20 16:54:23.055 -03 [1743] FATAL:  the database system is starting up
        time 2026-11-20T19:54:23.055Z |
        level fatal
        pid 1743 |
        severity "FATAL" |
        message "the database system is starting up" |

        postgresql: 2026-11-20 16:54:23.055 CET,\"shop\",\"postgres\",1743,\"127.0.0.1:55078\",6b006d2f.6cf,3,\"INSERT\",2026-11-20 16:54:23 CET,3/4,0,ERROR,23505,\"duplicate key, \"\"x\"\"\",\"Key (id)=(1) already exists.\",,,,,,,,\"psql\",\"client backend\",,0
        time 2026-11-20T15:54:23.055Z |
        level error
        user "shop" |
        database "postgres" |
        pid 1743 |
        client "127.0.0.1:55078" |
        session_id "6b006d2f.6cf" |
        line 3 |
        command "INSERT" |
        session_start "2026-11-20 16:54:23 CET" |
        transaction "3/4" |
        xid 0 |
        severity "ERROR" |
        sqlstate "23505" |
        message "duplicate key, \"x\"" *
        rest "\"Key (id)=(1) already exists.\",,,,,,,,\"psql\",\"client backend\",,0" |

        mysql: 2026-11-20T09:10:02.123456Z 0 [System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 8.0.30) starting as process 1
        time 2026-11-20T09:10:02.123Z |
        level info
        thread 0 |
        code "MY-010116" |
        subsystem "Server" |
        message "/usr/sbin/mysqld (mysqld 8.0.30) starting as process 1" |

        mysql: 2026-11-20  9:10:02 12 [Warning] Aborted connection 12 to db: \'shop\'
        time 2026-11-20T09:10:02.000Z |
        level warn
        thread 12 |
        message "Aborted connection 12 to db: 'shop'" |

        leveled: 261120  9:10:02 [Note] InnoDB: ready
        time 2026-11-20T09:10:02.000Z |
        level info
        message "InnoDB: ready" |

        redis: 1790:M 20 Nov 2026 15:54:23.832 # Server initialized
        time 2026-11-20T15:54:23.832Z |
        level warn
        pid 1790 |
        role "M" |
        message "Server initialized" |

        mysql_slow: # Time: 261120 15:54:53\n# User@Host: root[root] @ localhost [127.0.0.1]\n# Thread_id: 3  Schema: shop  QC_hit: No\n# Query_time: 2.000181  Lock_time: 0.000004  Rows_sent: 1  Rows_examined: 7\n# Rows_affected: 0  Bytes_sent: 66\nuse shop;\nSET timestamp=1795190093;\nselect sleep(2)\nfrom orders;
        time 2026-11-20T15:54:53.000Z |
        user "root" |
        client_host "localhost" |
        client_ip "127.0.0.1" |
        thread_id 3 |
        database "shop" |
        duration_ms 2000.181 |
        lock_ms 0.004 |
        rows_sent 1 |
        rows_examined 7 |
        rows_affected 0 |
        bytes 66 |
        timestamp "1795190093" |
        message "select sleep(2)\nfrom orders;" |
    "#]].assert_eq(&first_lines(&lines));
}

#[test]
fn loggers_of_programs() {
    let lines = [
        "09:10:02.123 [main] INFO  shop.Cart -- order placed",
        "2026-11-20 09:10:02,123 [http-nio-1] WARN  shop.Cart - slow",
        "2026-11-20T09:10:02.123Z  INFO 1 --- [shop] [           main] s.cart.CartApplication   : started in 1.2 s",
        "[2026-11-20 09:10:02,123] INFO [Log partition=x] rolled (kafka.log.Log)",
        "[2026-11-20T09:10:02,123][INFO ][o.e.n.Node               ] [node-1] started",
        "20-Nov-2026 09:10:02.123 SEVERE [main] org.apache.catalina.core.StandardService.start Failed",
        "Nov 20, 2026 4:09:23 PM shop.Cart main\nWARNING: stock is low: A-1",
        "CRITICAL:shop.cart:out of disk",
        "2026-11-20 09:10:02.123 | WARNING  | shop.cart:place:12 - slow",
        "2026-11-20 09:10:02.123 | SUCCESS  | __main__:<module>:3 - done",
        "[2026-11-20 09:10:02,123: ERROR/ForkPoolWorker-1] task failed",
        "[2026-11-20 09:10:02 +0000] [7] [INFO] Listening at: http://0.0.0.0:8000 (7)",
        "2026-11-20T09:10:02.123+0100\tINFO\tcart\tcart/cart.go:42\torder placed\t{\"order_id\": 7, \"user\": \"ann\"}",
        "2026-11-20T09:10:02.123Z\tERROR\tpayment refused",
        "INFO[0012] order placed                                  order_id=7 user=\"ann b\"",
        "2026/11/20 09:10:02.123456 main.go:23: listening",
        "I1120 09:10:02.123456       1 main.go:12] started",
        "time=2026-11-20T09:10:02.123Z level=ERROR msg=\"payment \\\"x\\\" refused\" order_id=7 took=1.50 ok=true err=timeout",
        "ts=2026-11-20T09:10:02.123Z caller=main.go:12 level=warn component=cart dry",
        "\u{1b}[90m2026-11-20T09:10:02Z\u{1b}[0m \u{1b}[32mINF\u{1b}[0m order placed \u{1b}[36morder_id=\u{1b}[0m7",
        "2026-11-20T09:10:02.123456Z  WARN shop::cart: slow took_ms=12",
        "[2026-11-20T09:10:02.123456+01:00] production.ERROR: no such order {\"order\":7} []",
        "Nov  6 09:10:02 web1 kernel: [12.3] eth0 up",
        "2026-11-20T09:10:02.123456+01:00 web1 cron[77]: (root) CMD (true)",
        "Fri, 20 Nov 2026 09:10:02 +0000 hello",
        "20.11.2026 09:10:02 hallo",
    ];
    expect![[r#"
        java: 09:10:02.123 [main] INFO  shop.Cart -- order placed
        time 2026-11-20T09:10:02.123Z |
        level info
        thread "main" |
        logger "shop.Cart" |
        message "order placed" |

        java: 2026-11-20 09:10:02,123 [http-nio-1] WARN  shop.Cart - slow
        time 2026-11-20T09:10:02.123Z |
        level warn
        thread "http-nio-1" |
        logger "shop.Cart" |
        message "slow" |

        java: 2026-11-20T09:10:02.123Z  INFO 1 --- [shop] [           main] s.cart.CartApplication   : started in 1.2 s
        time 2026-11-20T09:10:02.123Z |
        level info
        pid 1 |
        application "shop" |
        thread "main" |
        logger "s.cart.CartApplication" |
        message "started in 1.2 s" |

        java: [2026-11-20 09:10:02,123] INFO [Log partition=x] rolled (kafka.log.Log)
        time 2026-11-20T09:10:02.123Z |
        level info
        message "[Log partition=x] rolled" |
        logger "kafka.log.Log" |

        java: [2026-11-20T09:10:02,123][INFO ][o.e.n.Node               ] [node-1] started
        time 2026-11-20T09:10:02.123Z |
        level info
        logger "o.e.n.Node" |
        node "node-1" |
        message "started" |

        java: 20-Nov-2026 09:10:02.123 SEVERE [main] org.apache.catalina.core.StandardService.start Failed
        time 2026-11-20T09:10:02.123Z |
        level error
        thread "main" |
        logger "org.apache.catalina.core.StandardService.start" |
        message "Failed" |

        java: Nov 20, 2026 4:09:23 PM shop.Cart main\nWARNING: stock is low: A-1
        time 2026-11-20T16:09:23.000Z |
        level warn
        logger "shop.Cart" |
        function "main" |
        message "stock is low: A-1" |

        python: CRITICAL:shop.cart:out of disk
        level fatal
        logger "shop.cart" |
        message "out of disk" |

        python: 2026-11-20 09:10:02.123 | WARNING  | shop.cart:place:12 - slow
        time 2026-11-20T09:10:02.123Z |
        level warn
        logger "shop.cart:place:12" |
        message "slow" |

        python: 2026-11-20 09:10:02.123 | SUCCESS  | __main__:<module>:3 - done
        time 2026-11-20T09:10:02.123Z |
        level info
        logger "__main__" |
        function "module" |
        line 3 |
        message "done" |

        python: [2026-11-20 09:10:02,123: ERROR/ForkPoolWorker-1] task failed
        time 2026-11-20T09:10:02.123Z |
        level error
        process "ForkPoolWorker-1" |
        message "task failed" |

        python: [2026-11-20 09:10:02 +0000] [7] [INFO] Listening at: http://0.0.0.0:8000 (7)
        time 2026-11-20T09:10:02.000Z |
        level info
        pid 7 |
        message "Listening at: http://0.0.0.0:8000 (7)" |

        go: 2026-11-20T09:10:02.123+0100\tINFO\tcart\tcart/cart.go:42\torder placed\t{\"order_id\": 7, \"user\": \"ann\"}
        time 2026-11-20T08:10:02.123Z |
        level info
        logger "cart" |
        caller "cart/cart.go:42" |
        message "order placed" |
        order_id 7 |
        user "ann" |

        go: 2026-11-20T09:10:02.123Z\tERROR\tpayment refused
        time 2026-11-20T09:10:02.123Z |
        level error
        message "payment refused" |

        go: INFO[0012] order placed                                  order_id=7 user=\"ann b\"
        level info
        uptime "0012" |
        message "order placed" |
        order_id 7 |
        user "ann b" |

        go: 2026/11/20 09:10:02.123456 main.go:23: listening
        time 2026-11-20T09:10:02.123Z |
        caller "main.go:23" |
        message "listening" |

        go: I1120 09:10:02.123456       1 main.go:12] started
        time 2026-11-20T09:10:02.123Z |
        level info
        tid 1 |
        caller "main.go:12" |
        message "started" |

        logfmt: time=2026-11-20T09:10:02.123Z level=ERROR msg=\"payment \\\"x\\\" refused\" order_id=7 took=1.50 ok=true err=timeout
        time 2026-11-20T09:10:02.123Z |
        level error
        message "payment \"x\" refused" |
        order_id 7 |
        took 1.5 |
        ok true |
        err "timeout" |

        logfmt: ts=2026-11-20T09:10:02.123Z caller=main.go:12 level=warn component=cart dry
        time 2026-11-20T09:10:02.123Z |
        level warn
        caller "main.go:12" |
        component "cart" |
        message "ts=2026-11-20T09:10:02.123Z caller=main.go:12 level=warn component=cart dry"

        leveled: \u{1b}[90m2026-11-20T09:10:02Z\u{1b}[0m \u{1b}[32mINF\u{1b}[0m order placed \u{1b}[36morder_id=\u{1b}[0m7
        time 2026-11-20T09:10:02.000Z
        level info
        message "order placed" *
        order_id 7

        leveled: 2026-11-20T09:10:02.123456Z  WARN shop::cart: slow took_ms=12
        time 2026-11-20T09:10:02.123Z |
        level warn
        logger "shop::cart" |
        message "slow" |
        duration_ms 12.0 |

        leveled: [2026-11-20T09:10:02.123456+01:00] production.ERROR: no such order {\"order\":7} []
        time 2026-11-20T08:10:02.123Z |
        level error
        logger "production" |
        message "no such order {\"order\":7} []" |

        syslog_file: Nov  6 09:10:02 web1 kernel: [12.3] eth0 up
        time 2026-11-06T09:10:02.000Z |
        host "web1" |
        service "kernel" |
        message "[12.3] eth0 up" |

        syslog_file: 2026-11-20T09:10:02.123456+01:00 web1 cron[77]: (root) CMD (true)
        time 2026-11-20T08:10:02.123Z |
        host "web1" |
        service "cron" |
        procid 77 |
        message "(root) CMD (true)" |

        text: Fri, 20 Nov 2026 09:10:02 +0000 hello
        time 2026-11-20T09:10:02.000Z |
        message "hello" |

        text: 20.11.2026 09:10:02 hallo
        time 2026-11-20T09:10:02.000Z |
        message "hallo" |
    "#]].assert_eq(&first_lines(&lines));
}

#[test]
fn what_only_looks_like_a_format_is_text() {
    for line in [
        "Error: Cannot find module 'x'",
        "note: run with RUST_BACKTRACE=1",
        "a=1 then b",
        "see http://x/?a=b&c=d for more",
        "2026-11-20 09:10:02 failed: no route to host",
        "1790:M 20 Nov 2026",
        "127.0.0.1:46308 [20/Nov/2026:15:54:36.342] web",
        "# Time to go",
        "#Fields are green",
        "[12] [error] no time",
        "Nov 20 09:10:02",
        "error:0A000126:SSL routines::unexpected eof while reading",
    ] {
        let mut fixture = Fixture::new(SourceKind::File);
        fixture.parse(line.as_bytes());
        assert_eq!(fixture.parser.reading().lines_read, 0, "{line}");
        assert!(fixture.prints_back(line.as_bytes()), "{line}");
    }
}

#[test]
fn text_within_syslog_json_and_pm2_is_read_too() {
    let show = |kind, text: &str| Fixture::new(kind).show(text);
    expect![[r#"
        time 2026-11-20T12:14:14.655Z |
        level info
        syslog_pri 134 |
        facility "local0"
        host "lb1" |
        service "haproxy" |
        procid 14389 |
        client_ip "10.0.1.2" |
        client_port 33317 |
        frontend "web" |
        backend "app" |
        upstream "a1" |
        request_ms 0 |
        queue_ms 0 |
        connect_ms 0 |
        response_ms 2 |
        duration_ms 2.0 |
        status 200 |
        bytes 5 |
        termination "----" |
        active 1 |
        frontend_active 1 |
        backend_active 0 |
        server_active 0 |
        retries 0 |
        server_queue 0 |
        backend_queue 0 |
        message "GET / HTTP/1.1" |
        method "GET"
        path "/"
        protocol "HTTP/1.1"
        syslog_time "Nov 20 12:14:14" |
        route "/""#]].assert_eq(&show(
        SourceKind::Syslog,
        r#"<134>Nov 20 12:14:14 lb1 haproxy[14389]: 10.0.1.2:33317 [20/Nov/2026:12:14:14.655] web app/a1 0/0/0/2/2 200 5 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1""#,
    ));
    expect![[r#"
        time 2026-11-20T09:11:07.000Z |
        level info
        logger "root" |
        message "ready" |"#]]
    .assert_eq(&show(SourceKind::Pm2, "2026-11-20T09:11:07: INFO:root:ready"));
    expect![[r#"
        time 2026-11-20T09:10:03.404Z |
        level warn
        type "out" |
        service "a" |
        pm_id 3 |
        stream "stdout"
        pm2_app "a"
        message "low" *"#]].assert_eq(&show(
        SourceKind::Pm2,
        r#"{"message":"level=warn msg=\"low\"\n","timestamp":"2026-11-20T09:10:03.404Z","type":"out","process_id":3,"app_name":"a"}"#,
    ));
    expect![[r#"
        time 2026-11-20T09:11:00.813Z |
        level error
        PRIORITY "6" |
        _SYSTEMD_UNIT "shop.service" |
        service "shop"
        logged_time "2026-11-20 09:10:02,123" |
        logger "app" |
        message "boom" |"#]].assert_eq(&show(
        SourceKind::Journald,
        r#"{"__REALTIME_TIMESTAMP":"1795165860813000","MESSAGE":"2026-11-20 09:10:02,123 - app - ERROR - boom","PRIORITY":"6","_SYSTEMD_UNIT":"shop.service"}"#,
    ));
}

#[test]
fn a_declared_format_is_the_only_one_that_is_tried() {
    let show = |format: &str, text: &str| {
        let mut fixture = Fixture::with(SourceKind::File, format, &[]);
        let shown = fixture.show(text);
        let Reading { inner, lines_read, .. } = fixture.parser.reading();
        format!("{} {lines_read}\n{shown}", inner.unwrap_or("none"))
    };
    expect![[r#"
        text 0
        message "{\"level\":\"info\",\"msg\":\"x\"}" |"#]]
    .assert_eq(&show("text", r#"{"level":"info","msg":"x"}"#));
    expect![[r#"
        redis 0
        level warn
        message "WARNING:root:low" |"#]]
    .assert_eq(&show("redis", "WARNING:root:low"));
    expect![[r#"
        logfmt 0
        message "started port=80 dry" |"#]]
    .assert_eq(&show("logfmt", "started port=80 dry"));
    expect![[r#"
        logfmt 1
        port 80 |
        message "port=80 dry""#]]
    .assert_eq(&show("logfmt", "port=80 dry"));
}

/// One of the recorded lines, spoiled.
fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = LOGS.iter().flat_map(|name| log(name)).map(String::into_bytes).collect();
    let lines = proptest::sample::select(all);
    let place = any::<proptest::sample::Index>();
    let byte = prop_oneof![any::<u8>(), proptest::sample::select(b"\"'[]{}()=:,- \n\t\\0/".to_vec())];
    let change = (place, 0..4u8, byte, 0..12usize);
    (lines.clone(), lines, any::<proptest::sample::Index>(), proptest::collection::vec(change, 0..4)).prop_map(
        |(mut text, other, at, changes)| {
            for (place, how, byte, count) in changes {
                let place = place.index(text.len() + 1);
                match how {
                    0 => text.insert(place, byte),
                    1 => text.truncate(place),
                    2 => drop(text.drain(place..(place + count).min(text.len()))),
                    _ => text.splice(place.., other[at.index(other.len())..].iter().copied()).for_each(drop),
                }
            }
            text
        },
    )
}

proptest! {
    #[test]
    fn spoiled_lines_are_safe_in_every_format(text in spoiled(), learned in 0..LOGS.len()) {
        let mut fixture = Fixture::new(SourceKind::File);
        if let Some(first) = log(LOGS[learned]).first() {
            fixture.show(first);
        }
        // What the fixture checks: cuts within the line and apart from each other, texts that are text, a message.
        fixture.show(&text);
        fixture.show(&text);
    }

    #[test]
    fn spoiled_lines_are_safe_in_a_declared_format(text in spoiled(), format in proptest::sample::select(&logweir_proto::formats::TEXT_FORMATS[..])) {
        Fixture::with(SourceKind::File, format, &[]).show(&text);
    }

    #[test]
    fn any_pattern_and_any_line_are_safe(
        pattern in r#"([a-c \[\]"]|\{[a-z]{1,2}(:(word|int|class|ip|time|pairs|level|place|dotted|json|path|request))?\}|\{\?|\?\}|\{\{){1,12}"#,
        line in r#"[a-c0-9 \[\]".:={}/-]{0,60}"#,
    ) {
        let mut formats = Formats::compile_built_in();
        if let Ok(compiled) = formats.compile(&pattern) {
            formats.add("mine", vec![compiled]);
            let mut fixture = Fixture::with_formats("mine", Arc::new(formats));
            fixture.show(&line);
        }
    }
}

#[test]
fn lines_that_are_made_to_be_slow_are_given_up() {
    let mut long = b"2026-11-20T09:10:02Z INFO x ".to_vec();
    long.extend(b"a=1 ".repeat(100_000));
    long.extend(b"flag");
    for format in ["leveled", "java", "haproxy", "apache", "postgresql"] {
        let mut fixture = Fixture::with(SourceKind::File, format, &[]);
        for _ in 0..20 {
            fixture.parse(&long);
        }
    }
}

#[test]
fn quotes_in_values_of_csv_are_single() {
    let line = concat!(
        r#"2026-11-20 09:10:02.123 UTC,"bob ""b""","shop",4711,"10.0.0.9:5432",655f.1267,3,"SELECT","#,
        r#"2026-11-20 09:00:00 UTC,4/12,0,ERROR,42P01,"relation ""carts"" does not exist, ""x"",",,,,,,"select * from ""carts""",15,,"psql","client backend",,0"#
    );
    let mut fixture = Fixture::new(SourceKind::File);
    let shown = fixture.show(line);
    for want in [
        "user \"bob \\\"b\\\"\"",
        "message \"relation \\\"carts\\\" does not exist, \\\"x\\\",\"",
        "database \"shop\"",
        "sqlstate \"42P01\"",
    ] {
        assert!(shown.contains(want), "{want} is in\n{shown}");
    }
    assert_eq!(fixture.parser.reading().inner, Some("postgresql"));
    for odd in [
        line,
        r#"2026-11-20 09:10:02.123 UTC,,,4711,,655f.1267,3,,2026-11-20 09:00:00 UTC,4/12,0,LOG,00000,"",,,,,,,,,"""#,
        r#"2026-11-20 09:10:02.123 UTC,,,1,,a,3,,2026-11-20 09:00:00 UTC,4/12,0,LOG,00000,"""""#,
    ] {
        let mut fixture = Fixture::new(SourceKind::File);
        fixture.show(odd);
        assert!(fixture.prints_back(odd.as_bytes()) || odd == line, "{odd}");
    }
}
