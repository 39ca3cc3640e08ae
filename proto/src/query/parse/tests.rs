//! The language in tables: what each form means, how it is printed back, and what holds for any text.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::query::ast::{Bound, Literal, Pattern, Test};

mod document;
mod generate;
mod wrong;

/// What a filter means, without the places of its parts.
fn shape(filter: &Filter) -> String {
    let all = |name: &str, parts: &[Filter]| {
        let parts: Vec<String> = parts.iter().map(|part| format!(" {}", shape(part))).collect();
        format!("({name}{})", parts.concat())
    };
    match filter {
        Filter::All => "*".to_owned(),
        Filter::And(parts) => all("and", parts),
        Filter::Or(parts) => all("or", parts),
        Filter::Not(part) => format!("(not {})", shape(part)),
        Filter::Text(Pattern::Phrase(text)) => format!("phrase:{text:?}"),
        Filter::Text(Pattern::Glob(text)) => format!("glob:{text}"),
        Filter::Text(Pattern::Regex(text)) => format!("regex:{text}"),
        Filter::Field { field, test } => format!("{}[{}]", field.name, test_shape(test)),
    }
}

fn test_shape(test: &Test) -> String {
    let literal = |literal: &Literal| if literal.quoted { format!("{:?}", literal.text) } else { literal.text.clone() };
    let bound = |bound: &Bound| match bound {
        Bound::Open => "open".to_owned(),
        Bound::Inclusive(value) => format!("incl {}", literal(value)),
        Bound::Exclusive(value) => format!("excl {}", literal(value)),
    };
    match test {
        Test::Match(value) => format!("match {}", literal(value)),
        Test::Exact(value) => format!("exact {}", literal(value)),
        Test::Cmp(op, value) => format!("{op:?} {}", literal(value)),
        Test::Exists => "exists".to_owned(),
        Test::Range { low, high } => format!("range {} .. {}", bound(low), bound(high)),
        Test::AnyOf(values) => format!("any {}", values.iter().map(literal).collect::<Vec<_>>().join(" ")),
        Test::Glob(glob) => format!("glob {glob}"),
        Test::Regex(pattern) => format!("regex {pattern}"),
        Test::Cidr { net, prefix } => format!("cidr {net} {prefix}"),
        Test::StatusClass(class) => format!("class {class}"),
        Test::In(query) => format!("in {query}"),
    }
}

fn parsed(text: &str) -> Query {
    parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// Shows each filter, and holds that its print is the same query.
fn check(texts: &[&str], want: &Expect) {
    let mut out = String::new();
    for text in texts {
        let query = parsed(text);
        let bounds =
            [query.since.map(|time| format!(" since {time}")), query.until.map(|time| format!(" until {time}"))];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        out.push_str(&format!("{text}\n    {}{}\n", shape(&query.filter), bounds.concat()));
        assert_eq!(parsed(&query.to_string()), query, "{text} printed as {query}");
    }
    want.assert_eq(&out);
}

/// Shows each query as it is printed back.
fn check_print(texts: &[&str], want: &Expect) {
    let mut out = String::new();
    for text in texts {
        let query = parsed(text);
        out.push_str(&format!("{text}\n    {query}\n"));
        assert_eq!(parsed(&query.to_string()), query, "{text} printed as {query}");
    }
    want.assert_eq(&out);
}

#[test]
fn logic() {
    check(
        &[
            "",
            "*",
            "a b c",
            "a AND b and c && d",
            "a OR b or c || d",
            "a b OR c d",
            "a (b OR c)",
            "(a b) c",
            "((a))",
            "NOT a",
            "-a b",
            "!a",
            "not -!a",
            "NOT (a OR b)",
            "a AND NOT b",
            "a -b",
            "NOT(a)",
            "(a)(b)",
            "a OR NOT b c",
            "a||b",
            "a&&b",
            "order android nothing",
        ],
        &expect![[r#"

                *
            *
                *
            a b c
                (and phrase:"a" phrase:"b" phrase:"c")
            a AND b and c && d
                (and phrase:"a" phrase:"b" phrase:"c" phrase:"d")
            a OR b or c || d
                (or phrase:"a" phrase:"b" phrase:"c" phrase:"d")
            a b OR c d
                (or (and phrase:"a" phrase:"b") (and phrase:"c" phrase:"d"))
            a (b OR c)
                (and phrase:"a" (or phrase:"b" phrase:"c"))
            (a b) c
                (and (and phrase:"a" phrase:"b") phrase:"c")
            ((a))
                phrase:"a"
            NOT a
                (not phrase:"a")
            -a b
                (and (not phrase:"a") phrase:"b")
            !a
                (not phrase:"a")
            not -!a
                (not (not (not phrase:"a")))
            NOT (a OR b)
                (not (or phrase:"a" phrase:"b"))
            a AND NOT b
                (and phrase:"a" (not phrase:"b"))
            a -b
                (and phrase:"a" (not phrase:"b"))
            NOT(a)
                (not phrase:"a")
            (a)(b)
                (and phrase:"a" phrase:"b")
            a OR NOT b c
                (or phrase:"a" (and (not phrase:"b") phrase:"c"))
            a||b
                (or phrase:"a" phrase:"b")
            a&&b
                (and phrase:"a" phrase:"b")
            order android nothing
                (and phrase:"order" phrase:"android" phrase:"nothing")
        "#]],
    );
}

#[test]
fn words_and_phrases() {
    check(
        &[
            "timeout",
            "\"connection reset\"",
            "'single quoted'",
            r#""a \"quote\" and \\ and \n""#,
            r#""C:\dir""#,
            "10:15:30",
            "a.b-c",
            "/api/v1/x",
            "/search?q=1&r=a=b",
            "https://example.com/a?b=c",
            "git+ssh://host/x",
            "Foo::bar",
            "std::io::Error:12",
            "::1",
            "127.0.0.1:8080",
            "50%",
            "C#",
            "#tag",
            "user@example.com",
            "größe",
            "00:1a:2b",
            r"a\ b",
            r"\-x",
            r"\OR",
            "fail*",
            "te?t",
            "*frag*",
            r"\*literal\*",
            r"a\*b*",
            "/health*",
            "**",
            "~\"time(d )?out\"",
            r#"~"\d+ \"x\"""#,
            "!~'x'",
            "\"OR\"",
            "since",
            "日本語",
        ],
        &expect![[r##"
            timeout
                phrase:"timeout"
            "connection reset"
                phrase:"connection reset"
            'single quoted'
                phrase:"single quoted"
            "a \"quote\" and \\ and \n"
                phrase:"a \"quote\" and \\ and \n"
            "C:\dir"
                phrase:"C:\\dir"
            10:15:30
                phrase:"10:15:30"
            a.b-c
                phrase:"a.b-c"
            /api/v1/x
                phrase:"/api/v1/x"
            /search?q=1&r=a=b
                phrase:"/search?q=1&r=a=b"
            https://example.com/a?b=c
                phrase:"https://example.com/a?b=c"
            git+ssh://host/x
                phrase:"git+ssh://host/x"
            Foo::bar
                phrase:"Foo::bar"
            std::io::Error:12
                phrase:"std::io::Error:12"
            ::1
                phrase:"::1"
            127.0.0.1:8080
                phrase:"127.0.0.1:8080"
            50%
                phrase:"50%"
            C#
                phrase:"C#"
            #tag
                phrase:"#tag"
            user@example.com
                phrase:"user@example.com"
            größe
                phrase:"größe"
            00:1a:2b
                phrase:"00:1a:2b"
            a\ b
                phrase:"a b"
            \-x
                phrase:"-x"
            \OR
                phrase:"OR"
            fail*
                glob:fail*
            te?t
                glob:te?t
            *frag*
                glob:*frag*
            \*literal\*
                phrase:"*literal*"
            a\*b*
                glob:a\*b*
            /health*
                glob:/health*
            **
                *
            ~"time(d )?out"
                regex:time(d )?out
            ~"\d+ \"x\""
                regex:\d+ "x"
            !~'x'
                (not regex:x)
            "OR"
                phrase:"OR"
            since
                phrase:"since"
            日本語
                phrase:"日本語"
        "##]],
    );
}

#[test]
fn field_tests() {
    check(
        &[
            "service:api",
            "service : api",
            "level: error",
            "service:\"my api\"",
            "service='my api'",
            "service=api",
            "service!=api",
            "status>500",
            "status >= 500",
            "status<500",
            "status<=500",
            "status:>=500",
            "status:<500",
            "status:=500",
            "field:*",
            "-field:*",
            "NOT field:*",
            "exception.type:*",
            "@timestamp:x",
            "http/path-x:1",
            "`odd name`:x",
            "`since`:1h",
            "message:fail*",
            "message:te?t",
            "message:*frag*",
            "path:/health*",
            "-path:/health*",
            "status:5xx",
            "status:4XX",
            "status:\"5xx\"",
            "temp>-5",
            "temp:-5",
            "time:10:15:30",
            "referer:https://a.b/c?d=e",
            "client_ip:::1",
            "client_ip:\"::1\"",
            "client_ip: ::1",
            "path: //x",
            r"path:a\ b",
            r"path:\*",
            "a:b:c",
            "field=\"\"",
            "or:5",
            "not=5",
            "path=/a?b",
            "ok:true",
        ],
        &expect![[r#"
            service:api
                service[match api]
            service : api
                service[match api]
            level: error
                level[match error]
            service:"my api"
                service[match "my api"]
            service='my api'
                service[exact "my api"]
            service=api
                service[exact api]
            service!=api
                (not service[exact api])
            status>500
                status[Gt 500]
            status >= 500
                status[Ge 500]
            status<500
                status[Lt 500]
            status<=500
                status[Le 500]
            status:>=500
                status[Ge 500]
            status:<500
                status[Lt 500]
            status:=500
                status[exact 500]
            field:*
                field[exists]
            -field:*
                (not field[exists])
            NOT field:*
                (not field[exists])
            exception.type:*
                exception.type[exists]
            @timestamp:x
                @timestamp[match x]
            http/path-x:1
                http/path-x[match 1]
            `odd name`:x
                odd name[match x]
            `since`:1h
                since[match 1h]
            message:fail*
                message[glob fail*]
            message:te?t
                message[glob te?t]
            message:*frag*
                message[glob *frag*]
            path:/health*
                path[glob /health*]
            -path:/health*
                (not path[glob /health*])
            status:5xx
                status[class 5]
            status:4XX
                status[class 4]
            status:"5xx"
                status[match "5xx"]
            temp>-5
                temp[Gt -5]
            temp:-5
                temp[match -5]
            time:10:15:30
                time[match 10:15:30]
            referer:https://a.b/c?d=e
                referer[match https://a.b/c?d=e]
            client_ip:::1
                client_ip[match ::1]
            client_ip:"::1"
                client_ip[match "::1"]
            client_ip: ::1
                client_ip[match ::1]
            path: //x
                path[match //x]
            path:a\ b
                path[match "a b"]
            path:\*
                path[match "*"]
            a:b:c
                a[match b:c]
            field=""
                field[exact ""]
            or:5
                or[match 5]
            not=5
                not[exact 5]
            path=/a?b
                path[exact /a?b]
            ok:true
                ok[match true]
        "#]],
    );
}

#[test]
fn ranges_and_lists() {
    check(
        &[
            "status:[400 TO 499]",
            "status:{400 TO 500}",
            "status:[400 TO 500}",
            "status:{400 to 500]",
            "status:[400 TO *]",
            "status:{* TO 500}",
            "status:[* TO *]",
            "time:[now-1h TO now]",
            "time:[\"2026-11-01\" TO 2026-11-02T00:00Z]",
            "service:(a OR b)",
            "service:(a, b,c)",
            "service:(a || \"b c\")",
            "service:(a)",
            "status:(404, 5xx)",
            "path:(/a* OR /b)",
            "client_ip:(10.0.0.0/8, 192.168.0.0/16)",
            "a:(b, c) d",
        ],
        &expect![[r#"
            status:[400 TO 499]
                status[range incl 400 .. incl 499]
            status:{400 TO 500}
                status[range excl 400 .. excl 500]
            status:[400 TO 500}
                status[range incl 400 .. excl 500]
            status:{400 to 500]
                status[range excl 400 .. incl 500]
            status:[400 TO *]
                status[range incl 400 .. open]
            status:{* TO 500}
                status[range open .. excl 500]
            status:[* TO *]
                status[range open .. open]
            time:[now-1h TO now]
                time[range incl now-1h .. incl now]
            time:["2026-11-01" TO 2026-11-02T00:00Z]
                time[range incl "2026-11-01" .. incl 2026-11-02T00:00Z]
            service:(a OR b)
                service[any a b]
            service:(a, b,c)
                service[any a b c]
            service:(a || "b c")
                service[any a "b c"]
            service:(a)
                service[match a]
            status:(404, 5xx)
                (or status[match 404] status[class 5])
            path:(/a* OR /b)
                (or path[glob /a*] path[match /b])
            client_ip:(10.0.0.0/8, 192.168.0.0/16)
                (or client_ip[cidr 10.0.0.0 8] client_ip[cidr 192.168.0.0 16])
            a:(b, c) d
                (and a[any b c] phrase:"d")
        "#]],
    );
}

#[test]
fn networks_units_levels_and_regexes() {
    check(
        &[
            "client_ip:10.0.0.0/8",
            "client_ip:2001:db8::/32",
            "client_ip:::/0",
            "client_ip:10.0.0.1",
            "client_ip:10.0/16",
            "duration>250ms",
            "duration>1.5s",
            "bytes>=10MB",
            "bytes<4KiB",
            "level>=warn",
            "level:error",
            "level:WARNING",
            "level:(warn, error)",
            "level:err*",
            "level>=50",
            "level:\"odd\"",
            "message=~\"time(d )?out\"",
            "message!~'^\\d+$'",
            "message =~ \"x\"",
        ],
        &expect![[r#"
            client_ip:10.0.0.0/8
                client_ip[cidr 10.0.0.0 8]
            client_ip:2001:db8::/32
                client_ip[cidr 2001:db8:: 32]
            client_ip:::/0
                client_ip[cidr :: 0]
            client_ip:10.0.0.1
                client_ip[match 10.0.0.1]
            client_ip:10.0/16
                client_ip[match 10.0/16]
            duration>250ms
                duration[Gt 250ms]
            duration>1.5s
                duration[Gt 1.5s]
            bytes>=10MB
                bytes[Ge 10MB]
            bytes<4KiB
                bytes[Lt 4KiB]
            level>=warn
                level[Ge warn]
            level:error
                level[match error]
            level:WARNING
                level[match WARNING]
            level:(warn, error)
                level[any warn error]
            level:err*
                level[glob err*]
            level>=50
                level[Ge 50]
            level:"odd"
                level[match "odd"]
            message=~"time(d )?out"
                message[regex time(d )?out]
            message!~'^\d+$'
                (not message[regex ^\d+$])
            message =~ "x"
                message[regex x]
        "#]],
    );
}

#[test]
fn bounds_comments_and_subqueries() {
    check(
        &[
            "since:15m",
            "error since:1h",
            "error since:1h warn until:now-10m",
            "a OR b since:1h",
            "since:\"2026-11-01T10:00Z\"",
            "since:2026-11-01T10:00Z until:2026-11-02",
            "since:now-1h/d until:now/d",
            "since:-10m",
            "since:1795170645",
            "since:1795170645500",
            "since=1h",
            "until:now+5m",
            "since:0",
            "# all of it\nerror # the rest\n  service:api",
            "error#1 # x",
            "#\nerror",
            "trace_id:in(level>=error service:pay | fields trace_id)",
            "trace_id:in(since:1d level:error | stats count by trace_id | sort -count | head 5 | fields trace_id) since:1h",
            "user:in(x | stats values(user))",
            "a:in b:in",
        ],
        &expect![[r#"
            since:15m
                * since 15m
            error since:1h
                phrase:"error" since 1h
            error since:1h warn until:now-10m
                (and phrase:"error" phrase:"warn") since 1h until 10m
            a OR b since:1h
                (or phrase:"a" phrase:"b") since 1h
            since:"2026-11-01T10:00Z"
                * since 2026-11-01T10:00:00Z
            since:2026-11-01T10:00Z until:2026-11-02
                * since 2026-11-01T10:00:00Z until 2026-11-02T00:00:00Z
            since:now-1h/d until:now/d
                * since now-1h/d until now/d
            since:-10m
                * since 10m
            since:1795170645
                * since 2026-11-20T10:30:45Z
            since:1795170645500
                * since 2026-11-20T10:30:45.5Z
            since=1h
                * since 1h
            until:now+5m
                * until now+5m
            since:0
                * since 1970-01-01T00:00:00Z
            # all of it
            error # the rest
              service:api
                (and phrase:"error" service[match api])
            error#1 # x
                phrase:"error#1"
            #
            error
                phrase:"error"
            trace_id:in(level>=error service:pay | fields trace_id)
                trace_id[in level>=error service:pay | fields trace_id]
            trace_id:in(since:1d level:error | stats count by trace_id | sort -count | head 5 | fields trace_id) since:1h
                trace_id[in level:error since:1d | stats count by trace_id | sort -count | head 5 | fields trace_id] since 1h
            user:in(x | stats values(user))
                user[in x | stats values(user)]
            a:in b:in
                (and a[match in] b[match in])
        "#]],
    );
}

#[test]
fn every_pipe() {
    check_print(
        &[
            "| stats count",
            "| stats count() as n, dc(user_id), sum(bytes), avg(bytes), min(bytes), max(bytes) by service",
            "| stats p50(d), p90(d), p95(d), p99(d), p75(d), pct(d, 99.9), pct(d,95) as p",
            "| stats first(_time), last(_time), values(x), stddev(d), rate, rate() as r",
            "| stats count(level>=error) as errors, count by bin(duration_ms,100), service",
            "| stats count by bin(time, 5m)",
            "| stats count(\"x\"), count(*) as n",
            "| count",
            "| count by route, `odd name`",
            "| count(status:5xx) as n by route",
            "| COUNT BY x",
            "| timechart count",
            "| timechart 1m p95(duration_ms), count by service",
            "| timechart 1h30m rate",
            "| top path",
            "| top 5 path, status by service",
            "| rare 20 path",
            "| sort -count, service",
            "| sort count desc, service asc",
            "| stats p95(d) by r | sort -p95(d) | fields p95(d), r",
            "| head",
            "| limit 5",
            "| tail 7",
            "| fields a,b, c",
            "| fields -a,b",
            "| fields - a",
            "| stats last(time) as seen by host | where seen<-10m",
            "| where a>1 OR b:2",
            "| stats p95(d) by r | where p95(d)>1s and count (x)",
        ],
        &expect![[r#"
            | stats count
                * | stats count
            | stats count() as n, dc(user_id), sum(bytes), avg(bytes), min(bytes), max(bytes) by service
                * | stats count as n, dc(user_id), sum(bytes), avg(bytes), min(bytes), max(bytes) by service
            | stats p50(d), p90(d), p95(d), p99(d), p75(d), pct(d, 99.9), pct(d,95) as p
                * | stats p50(d), p90(d), p95(d), p99(d), p75(d), pct(d, 99.9), p95(d) as p
            | stats first(_time), last(_time), values(x), stddev(d), rate, rate() as r
                * | stats first(_time), last(_time), values(x), stddev(d), rate, rate as r
            | stats count(level>=error) as errors, count by bin(duration_ms,100), service
                * | stats count(level>=error) as errors, count by bin(duration_ms, 100), service
            | stats count by bin(time, 5m)
                * | stats count by bin(time, 5m)
            | stats count("x"), count(*) as n
                * | stats count("x"), count as n
            | count
                * | stats count
            | count by route, `odd name`
                * | stats count by route, `odd name`
            | count(status:5xx) as n by route
                * | stats count(status:5xx) as n by route
            | COUNT BY x
                * | stats count by x
            | timechart count
                * | timechart count
            | timechart 1m p95(duration_ms), count by service
                * | timechart 1m p95(duration_ms), count by service
            | timechart 1h30m rate
                * | timechart 1h30m rate
            | top path
                * | top 10 path
            | top 5 path, status by service
                * | top 5 path, status by service
            | rare 20 path
                * | rare 20 path
            | sort -count, service
                * | sort -count, service
            | sort count desc, service asc
                * | sort -count, service
            | stats p95(d) by r | sort -p95(d) | fields p95(d), r
                * | stats p95(d) by r | sort -`p95(d)` | fields `p95(d)`, r
            | head
                * | head 10
            | limit 5
                * | head 5
            | tail 7
                * | tail 7
            | fields a,b, c
                * | fields a, b, c
            | fields -a,b
                * | fields -a, b
            | fields - a
                * | fields -a
            | stats last(time) as seen by host | where seen<-10m
                * | stats last(time) as seen by host | where seen<-10m
            | where a>1 OR b:2
                * | where a>1 OR b:2
            | stats p95(d) by r | where p95(d)>1s and count (x)
                * | stats p95(d) by r | where `p95(d)`>1s count x
        "#]],
    );
}

/// The everyday tasks of the language that this version runs; the others use pipes that it names as not supported.
#[test]
fn everyday_tasks() {
    check_print(
        &[
            "service:api level>=error since:1h",
            "status>=500 | stats count by route | sort -count",
            "service:api | timechart 1m p95(duration_ms)",
            "| top 10 client_ip",
            "level>=error | stats dc(user_id)",
            "trace_id:in(level>=error service:pay | fields trace_id)",
            "exception.type:* | stats count, dc(user_id), first(_time), last(_time) by exception.type",
            "duration>1s -path:/health*",
            "| stats last(_time) as seen by host | where seen<-10m",
            "\"connection reset\" | stats first(_time), last(_time), count",
        ],
        &expect![[r#"
            service:api level>=error since:1h
                service:api level>=error since:1h
            status>=500 | stats count by route | sort -count
                status>=500 | stats count by route | sort -count
            service:api | timechart 1m p95(duration_ms)
                service:api | timechart 1m p95(duration_ms)
            | top 10 client_ip
                * | top 10 client_ip
            level>=error | stats dc(user_id)
                level>=error | stats dc(user_id)
            trace_id:in(level>=error service:pay | fields trace_id)
                trace_id:in(level>=error service:pay | fields trace_id)
            exception.type:* | stats count, dc(user_id), first(_time), last(_time) by exception.type
                exception.type:* | stats count, dc(user_id), first(_time), last(_time) by exception.type
            duration>1s -path:/health*
                duration>1s -path:/health*
            | stats last(_time) as seen by host | where seen<-10m
                * | stats last(_time) as seen by host | where seen<-10m
            "connection reset" | stats first(_time), last(_time), count
                "connection reset" | stats first(_time), last(_time), count
        "#]],
    );
    check(
        &[
            "level>=warn | patterns new 7d",
            "level:error | context before 5 after 5 by service, host",
            "level>=error | timechart 15m count | compare 1d",
            "level:error | trace",
            "| stats count, count(level>=error) as errors by service | eval pct=100*errors/count",
            "\"took\" | parse \"took <ms:num>ms\" | stats avg(ms) by route",
        ],
        &expect![[r#"
            level>=warn | patterns new 7d
                level[Ge warn]
            level:error | context before 5 after 5 by service, host
                level[match error]
            level>=error | timechart 15m count | compare 1d
                level[Ge error]
            level:error | trace
                level[match error]
            | stats count, count(level>=error) as errors by service | eval pct=100*errors/count
                *
            "took" | parse "took <ms:num>ms" | stats avg(ms) by route
                phrase:"took"
        "#]],
    );
}

/// Alone, or beside others with names of their own, it is `count`.
#[test]
fn several_counts_are_called_by_their_filters() {
    let shown = |text: &str| parsed(text).pipes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    for (text, want) in [
        ("| stats count(a:1) | where count(a:1)>5", "stats count(a:1) | where count>5"),
        ("| stats count, count(a:1) as x", "stats count, count(a:1) as x"),
        (
            "| stats count(a:1), count(b>2  c:d) by e",
            "stats count(a:1) as `count(a:1)`, count(b>2 c:d) as `count(b>2 c:d)` by e",
        ),
        (
            "| stats count, count( level>=error ) | where count>5 count(level>=error)>1 | sort -count(level>=error)",
            "stats count, count(level>=error) as `count(level>=error)` | where count>5 `count(level>=error)`>1 | sort -`count(level>=error)`",
        ),
        (
            "| timechart 1m count(a:1), count(-a:1) by b",
            "timechart 1m count(a:1) as `count(a:1)`, count(-a:1) as `count(-a:1)` by b",
        ),
        (
            "| stats count, count(a:1) | stats count(a:1) | where count(a:1)>2",
            "stats count, count(a:1) as `count(a:1)` | stats count(a:1) | where count>2",
        ),
    ] {
        assert_eq!(shown(text), want, "{text}");
        assert_eq!(parsed(&format!("| {want}")).pipes, parsed(text).pipes, "{want}");
    }
}

/// Operators bind as they do everywhere.
#[test]
fn expressions_are_read_by_precedence() {
    let shown = |text: &str| parsed(&format!("| eval x = {text}")).pipes[0].to_string();
    for (text, want) in [
        ("1+2*3", "1 + (2 * 3)"),
        ("a-b-c", "(a - b) - c"),
        ("-a*b", "(-a) * b"),
        ("(a+b)%2", "(a + b) % 2"),
        ("a/b.c", "a / b.c"),
        ("`a/b`", "`a/b`"),
        ("a=1 or b<2 and not c", "(a == 1) OR ((b < 2) AND (NOT c))"),
        ("round(p95(ms)/2, 1)", "round(`p95(ms)` / 2, 1)"),
        ("min(ms)+min(ms, 3)", "`min(ms)` + min(ms, 3)"),
        ("if(ok, 'y\"', 250ms)", "if(ok, \"y\\\"\", 250ms)"),
        ("true", "true"),
    ] {
        assert_eq!(shown(text), format!("eval x = {want}"), "{text}");
    }
}

#[test]
fn spans_point_into_the_text() {
    let text = "größe | stats avg(duration_ms) as x by service";
    let query = parsed(text);
    let PipeKind::Stats { aggs, by } = &query.pipes[0].kind else { panic!("{query:?}") };
    let slice = |span: Span| &text[span.start..span.end];
    assert_eq!(slice(query.pipes[0].span), "stats avg(duration_ms) as x by service");
    assert_eq!(slice(aggs[0].span), "avg(duration_ms)");
    assert!(matches!(&by[0], crate::query::ast::Group::Field(field) if slice(field.span) == "service"));
}

#[test]
fn limits_hold_at_their_edge() {
    let deep = |levels: usize| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse(&deep(DEPTH_MAX)).is_ok());
    assert_eq!(parse(&deep(DEPTH_MAX + 1)).expect_err("too deep")[0].message, "nested deeper than 64 levels");
    assert!(parse(&"-".repeat(5000)).is_err());
    assert!(parse(&"(".repeat(QUERY_BYTES_MAX)).is_err());
    let pipes = |count: usize| "| head ".repeat(count);
    assert!(parse(&pipes(PIPES_MAX)).is_ok());
    assert_eq!(parse(&pipes(PIPES_MAX + 1)).expect_err("too many")[0].message, "more than 32 pipes");
    let long = "ä".repeat(QUERY_BYTES_MAX / 2);
    assert!(parse(&long).is_ok());
    assert!(parse(&format!("{long}ä")).is_err());
    let regexes = |count: usize| "~'x' ".repeat(count);
    assert!(parse(&regexes(REGEXES_MAX)).is_ok());
    assert!(parse(&regexes(REGEXES_MAX + 1)).is_err());
    assert!(parse(&format!("{}*", "?".repeat(GLOB_WILDCARDS_MAX - 1))).is_ok());
    assert!(parse(&"?".repeat(GLOB_WILDCARDS_MAX + 1)).is_err());
    assert!(parse("~'\\w{1000}{100}'").is_err());
}

/// `where` reads `count(…)` as a column first and as words then; that must not double with every level.
#[test]
fn nested_columns_are_read_in_linear_time() {
    let text = format!("| where {}x{}", "count(".repeat(60), ")".repeat(60));
    assert!(parse(&text).is_ok());
}

fn holds_for_any_text(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(query) => {
            let printed = query.to_string();
            prop_assert_eq!(parse(&printed), Ok(query), "{} was printed as {}", text, printed);
        }
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            for error in errors {
                let Span { start, end } = error.span;
                prop_assert!(start <= end && text.get(start..end).is_some(), "{:?} in {:?}", error, text);
                let pos = error.detail(text).pos.unwrap_or(0);
                prop_assert!(pos >= 1 && pos <= text.chars().count() + 1);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_text_is_read_or_refused(text in "\\PC{0,60}") {
        holds_for_any_text(&text)?;
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        holds_for_any_text(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn scraps_of_the_language_are_read_or_refused(scraps in proptest::collection::vec(proptest::sample::select(SCRAPS), 0..14)) {
        holds_for_any_text(&scraps.concat())?;
    }
}

const SCRAPS: &[&str] = &[
    " ",
    " ",
    " ",
    " ",
    "a",
    "b1",
    "10",
    "500",
    "-",
    "!",
    "*",
    "?",
    ":",
    "::",
    "=",
    "!=",
    ">=",
    "<",
    "=~",
    "!~",
    "~",
    "\"",
    "'",
    "\"x y\"",
    "'z'",
    "`",
    "`o d`",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "|",
    "||",
    "&&",
    " AND ",
    " OR ",
    " NOT ",
    " TO ",
    " by ",
    " as ",
    "in(",
    "\\",
    "\n",
    "# ",
    "/",
    "//",
    "/x?y",
    "ä",
    "“",
    "since:",
    "until:",
    "1h",
    "now-1h/d",
    "2026-11-01",
    "level",
    "error",
    "5xx",
    "10.0.0.0/8",
    "| stats ",
    "| count ",
    "| where ",
    "| top ",
    "| sort ",
    "| timechart 1m ",
    "| fields ",
    "| head ",
    "| rex ",
    "count(",
    "p95(",
    "bin(",
    "asc",
    "desc",
    "f:",
    "f>=",
    "g=",
    ".",
    "@",
    "_",
    "[1 TO 2]",
    "(a, b)",
];
