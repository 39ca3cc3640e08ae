//! Messages that imitate the format, are cut, or hold newlines.

use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;

use crate::parse::tests::fixture::Fixture;

fn check(text: &str, want: &Expect) {
    want.assert_eq(&Fixture::new(SourceKind::NginxError).show(text));
}

#[test]
fn a_message_may_hold_anything() {
    // PHP-FPM writes newlines and quotes into the message.
    check(
        "2026/11/20 09:14:45 [error] 1#2: *3 FastCGI sent in stderr: \"PHP message: a, b\nStack, client: nobody, x\" while reading, client: 10.0.0.9, server: l, request: \"GET /a HTTP/1.1\", upstream: \"fastcgi://unix:/run/php.sock:\", host: \"h\", referrer: \"http://r/\"",
        &expect![[r#"
            time 2026-11-20T09:14:45.000Z |
            level error
            pid 1 |
            tid 2 |
            connection 3 |
            http_referer "http://r/" |
            http_host "h" |
            upstream_uri "fastcgi://unix:/run/php.sock:" |
            upstream "unix:/run/php.sock:"
            request "GET /a HTTP/1.1" |
            method "GET"
            path "/a"
            protocol "HTTP/1.1"
            server "l" |
            client_ip "10.0.0.9" |
            message "FastCGI sent in stderr: \"PHP message: a, b\nStack, client: nobody, x\" while reading" |
            route "/a""#]],
    );
    // A request that imitates the format.
    check(
        "2026/11/20 09:14:45 [error] 1#2: *3 open() failed (2: No such file), client: 10.0.0.9, server: l, request: \"GET /, client: 6.6.6.6, server: evil HTTP/1.1\", host: \"h\"",
        &expect![[r#"
            time 2026-11-20T09:14:45.000Z |
            level error
            pid 1 |
            tid 2 |
            connection 3 |
            http_host "h" |
            request "GET /, client: 6.6.6.6, server: evil HTTP/1.1" |
            method "GET"
            path "/, client: 6.6.6.6, server: evil"
            protocol "HTTP/1.1"
            server "l" |
            client_ip "10.0.0.9" |
            message "open() failed (2: No such file)" |
            errno 2
            route "/:id""#]],
    );
    // Cut at the limit of NGINX.
    check(
        "2026/11/20 09:14:45 [warn] 1#2: *3 buffered, client: ::1, server: l, request: \"GET /aaaa",
        &expect![[r#"
            time 2026-11-20T09:14:45.000Z |
            level warn
            pid 1 |
            tid 2 |
            connection 3 |
            request "GET /aaaa" |
            method "GET"
            path "/aaaa"
            server "l" |
            client_ip "::1" |
            message "buffered" |
            route "/aaaa""#]],
    );
    check(
        "2026/11/20 09:14:45 [emerg] 1#1: bind() to [::]:80 failed (98: Address in use)",
        &expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        level fatal
        pid 1 |
        tid 1 |
        message "bind() to [::]:80 failed (98: Address in use)" |
        errno 98"#]],
    );
}

#[test]
fn lines_around_it_are_text() {
    check(
        "nginx: [emerg] unknown directive",
        &expect![[r#"
        level fatal
        message "nginx: [emerg] unknown directive" |"#]],
    );
    check(
        "2026/11/20 09:14:45 no brackets",
        &expect![[r#"
        time 2026-11-20T09:14:45.000Z |
        message "no brackets" |"#]],
    );
    check("  thrown in /srv/a.php on line 3", &expect![[r#"message "  thrown in /srv/a.php on line 3" |"#]]);
}

#[test]
fn a_local_time_is_read_in_the_zone_that_is_given() {
    use crate::names::Names;
    use crate::parse::line::Line;
    use crate::parse::{Input, Parser};
    use logweir_proto::batch::{SourceInfo, Stream};

    let info = SourceInfo {
        id: "s".into(),
        kind: SourceKind::NginxError,
        path: String::new(),
        format: String::new(),
        labels: Default::default(),
    };
    let (mut names, mut line) = (Names::default(), Line::default());
    let text = b"2026/11/20 10:10:02 [notice] 1#1: exit";
    let input = Input { text, time_ns: None, stream: Stream::None, received_ns: 0 };
    Parser::new(&info, "h", &mut names).with_utc_offset(60).parse(&mut names, input, &mut line);
    assert_eq!(line.time_ns, Some(1_795_165_802_000_000_000));
}
