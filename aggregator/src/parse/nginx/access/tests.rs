//! Formats that are odd, ambiguous or wrong.

use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;

use crate::parse::tests::fixture::Fixture;

fn check(format: &str, text: &str, want: &Expect) {
    want.assert_eq(&Fixture::with(SourceKind::NginxAccess, format, &[]).show(text));
}

#[test]
fn values_that_are_not_escaped_are_read_from_the_right() {
    let format = r#"escape=none;$remote_addr "$request" $status "$http_user_agent""#;
    check(
        format,
        r#"1.2.3.4 "GET / HTTP/1.1" 200 "he said "hi"""#,
        &expect![[r#"
        client_ip "1.2.3.4" |
        message "GET / HTTP/1.1" |
        method "GET"
        path "/"
        protocol "HTTP/1.1"
        status 200 |
        user_agent "he said \"hi\"" |
        route "/""#]],
    );
    check(
        format,
        r#"1.2.3.4 "GET /" 200 "x HTTP/1.1" 404 "curl""#,
        &expect![[r#"
            client_ip "1.2.3.4" |
            message "GET /\" 200 \"x HTTP/1.1" |
            method "GET"
            path "/\" 200 \"x"
            protocol "HTTP/1.1"
            status 404 |
            user_agent "curl" |
            route "/\" 200 \"x""#]],
    );
}

#[test]
fn a_user_cannot_forge_the_time() {
    check(
        "",
        r#"1.2.3.4 - x [20/Nov/2020:00:00:00 +0000] y [20/Nov/2026:09:14:45 +0000] "GET / HTTP/1.1" 200 3 "-" "-""#,
        &expect![[r#"
            time 2026-11-20T09:14:45.000Z |
            client_ip "1.2.3.4" |
            remote_user "x [20/Nov/2020:00:00:00 +0000] y" |
            message "GET / HTTP/1.1" |
            method "GET"
            path "/"
            protocol "HTTP/1.1"
            status 200 |
            bytes 3 |
            route "/""#]],
    );
}

#[test]
fn any_format_becomes_fields() {
    // ingress-nginx
    check(
        r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#,
        r#"10.0.0.9 - - [20/Nov/2026:09:14:45 +0000] "POST /pay?x HTTP/2.0" 502 150 "-" "curl" 412 0.012 [shop-pay-80] [] 10.1.0.1:80, 10.1.0.2:80 0, 150 0.001, 0.010 : 0.001 502, 502 4977a493"#,
        &expect![[r#"
            time 2026-11-20T09:14:45.000Z |
            client_ip "10.0.0.9" |
            message "POST /pay?x HTTP/2.0" |
            method "POST"
            path "/pay"
            query "x"
            protocol "HTTP/2.0"
            status 502 |
            bytes 150 |
            user_agent "curl" |
            request_length 412 |
            duration_ms 12.0 |
            proxy_upstream_name "shop-pay-80" |
            upstream "10.1.0.1:80, 10.1.0.2:80" |
            upstream_response_length "0, 150" |
            upstream_response_time.list "0.001, 0.010 : 0.001" |
            upstream_response_time 0.012
            upstream_status.list "502, 502" |
            upstream_status 502
            req_id "4977a493" |
            route "/pay""#]],
    );
    check(
        "$msec|$host|$scheme$request_uri",
        "1795165802.099|example.test|https/a?b=1",
        &expect![[r#"
        time 2026-11-20T09:10:02.099Z |
        http_host "example.test" |
        scheme_request_uri "https/a?b=1" |
        message "1795165802.099|example.test|https/a?b=1""#]],
    );
    check(
        "$request_method $request_uri $args",
        "GET /a?b=1 b=1",
        &expect![[r#"
        method "GET" |
        path "/a" |
        query "b=1" |
        message "GET /a"
        route "/a""#]],
    );
    check(
        "$status",
        "404",
        &expect![[r#"
        status 404 |
        message "404""#]],
    );
    check(
        r#"escape=json;{"ts":"$msec","ua":"$http_user_agent","uri":"$uri","svc":"web"}"#,
        r#"{"ts":"1795165802.099","ua":"a \"quoted\", \\\\ one","uri":"/x","svc":"web"}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.099Z |
            user_agent "a \"quoted\", \\\\ one" |
            uri "/x" |
            message "{\"ts\":\"1795165802.099\",\"ua\":\"a \\\"quoted\\\", \\\\\\\\ one\",\"uri\":\"/x\",\"svc\":\"web\"}""#]],
    );
}

#[test]
fn lines_of_another_format_are_read_by_what_they_look_like() {
    // The configuration says one format, the file has lines of before it was changed.
    check(
        "$status only",
        r#"1.2.3.4 - - [20/Nov/2026:09:14:45 +0000] "GET / HTTP/1.1" 200 3"#,
        &expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        client_ip "1.2.3.4" |
        message "GET / HTTP/1.1" |
        method "GET"
        path "/"
        protocol "HTTP/1.1"
        status 200 |
        bytes 3 |
        route "/""#]],
    );
    check("", "not an access line", &expect![[r#"message "not an access line" |"#]]);
    check("no variables here", r#"{"msg":"json"}"#, &expect![[r#"message "json" |"#]]);
    check(
        "",
        r#"1.2.3.4 - - [20/Nov/2026:09:14:45 +0000] "GET / HTT"#,
        &expect![[r#"message "1.2.3.4 - - [20/Nov/2026:09:14:45 +0000] \"GET / HTT" |"#]],
    );
}

#[test]
fn a_format_that_fits_in_many_ways_is_given_up() {
    let format = "$a ".repeat(20) + "end";
    let text = " ".repeat(3000);
    let mut fixture = Fixture::with(SourceKind::NginxAccess, &format, &[]);
    fixture.parse(text.as_bytes());
    assert_eq!(fixture.field(text.as_bytes(), "a"), None);
}

/// The log went on after its format was changed: both travel with it, the newer first.
#[test]
fn a_line_is_read_by_the_first_of_its_formats_that_it_fits() {
    let newer = r#"$remote_addr "$request" $status rt=$request_time"#;
    let older = r#"$remote_addr "$request" $status"#;
    let formats = format!("{newer}\u{1e}{older}");
    check(
        &formats,
        r#"1.2.3.4 "GET /a HTTP/1.1" 200 rt=0.250"#,
        &expect![[r#"
        client_ip "1.2.3.4" |
        message "GET /a HTTP/1.1" |
        method "GET"
        path "/a"
        protocol "HTTP/1.1"
        status 200 |
        duration_ms 250.0 |
        route "/a""#]],
    );
    check(
        &formats,
        r#"1.2.3.4 "GET /a HTTP/1.1" 404"#,
        &expect![[r#"
        client_ip "1.2.3.4" |
        message "GET /a HTTP/1.1" |
        method "GET"
        path "/a"
        protocol "HTTP/1.1"
        status 404 |
        route "/a""#]],
    );
    check(&formats, "no line of either", &expect![[r#"message "no line of either" |"#]]);
}
