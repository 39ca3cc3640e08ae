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
        postgresql/postgresql.csv: postgresql reads 38 of 38, 38 times, 37 levels, 38 print back
        postgresql/postgresql.json: json reads 38 of 38, 38 times, 0 levels, 38 print back
        redis/redis.log: redis reads 40 of 40, 40 times, 40 levels, 40 print back
        apache/error.log: apache_error reads 9 of 9, 9 times, 9 levels, 9 print back
        apache/common.log: nginx reads 6 of 6, 6 times, 0 levels, 6 print back
        apache/combined.log: nginx reads 6 of 6, 6 times, 0 levels, 5 print back
        apache/vhost.log: apache reads 6 of 6, 6 times, 0 levels, 6 print back
        haproxy/haproxy.log: haproxy reads 6 of 6, 6 times, 0 levels, 6 print back
        mariadb/error.log: mysql reads 32 of 32, 32 times, 31 levels, 32 print back
        python/brackets.log: python reads 7 of 7, 7 times, 7 levels, 7 print back
        python/dashes.log: python reads 7 of 7, 7 times, 7 levels, 7 print back
        python/http.server.log: apache reads 6 of 8, 6 times, 0 levels, 8 print back
        python/basic.log: python reads 7 of 7, 0 times, 7 levels, 7 print back
        mariadb/slow.log: mysql_slow reads 10 of 11, 10 times, 0 levels, 11 print back
        java/jul.log: java reads 3 of 3, 3 times, 3 levels, 3 print back"#]]
    .assert_eq(&shown.join("\n"));
}
