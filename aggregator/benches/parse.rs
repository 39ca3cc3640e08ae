//! How fast bodies pass the JSON door and lines become fields, in MB/s of raw text on one thread:
//! `cargo bench -p logweir-aggregator --bench parse`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use logweir_aggregator::names::Names;
use logweir_aggregator::parse::line::Line;
use logweir_aggregator::parse::{Input, Parser};
use logweir_aggregator::receive::json;
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};

/// Lines that one iteration parses.
const LINES: usize = 1_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn nginx_combined(bencher: Bencher<'_, '_>) {
    run(bencher, SourceKind::NginxAccess, |i| {
        format!(
            "203.0.113.{} - - [20/Nov/2026:09:{:02}:{:02} +0000] \"GET /api/v1/users/{i}/orders?page={} HTTP/1.1\" 200 {} \
             \"https://shop.example/cart\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/126.0 Safari/537.36\"",
            i % 250,
            i / 60 % 60,
            i % 60,
            i % 7,
            i * 37 % 9000,
        )
    });
}

#[divan::bench]
fn pino_json(bencher: Bencher<'_, '_>) {
    run(bencher, SourceKind::Pm2, |i| {
        format!(
            "{{\"level\":30,\"time\":{},\"pid\":4711,\"hostname\":\"web1\",\"reqId\":\"req-{i}\",\"req\":{{\"method\":\"GET\",\
             \"url\":\"/api/v1/items/{i}?q=shoes\",\"remoteAddress\":\"10.0.0.{}\"}},\"res\":{{\"statusCode\":200}},\
             \"responseTime\":{},\"msg\":\"request completed\"}}",
            1_795_165_860_000 + i,
            i % 250,
            i % 90,
        )
    });
}

#[divan::bench]
fn plain(bencher: Bencher<'_, '_>) {
    run(bencher, SourceKind::File, |i| {
        format!(
            "2026-11-20 09:10:{:02}.{:03}  INFO 1234 --- [exec-{}] c.e.OrderService : order {i} of customer {} was shipped",
            i % 60,
            i % 1000,
            i % 16,
            i * 31,
        )
    });
}

/// What `/api/v1/ingest` does with a body before the log has it.
#[divan::bench]
fn ndjson_door(bencher: Bencher<'_, '_>) {
    let line = |i: usize| {
        format!(
            "{{\"time\":{},\"level\":\"info\",\"service\":\"cart\",\"trace_id\":\"{:032x}\",\"path\":\"/api/orders/{i}\",\
             \"status\":200,\"duration_ms\":{},\"msg\":\"order {i} placed\"}}\n",
            1_795_165_860_000 + i,
            (i as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834),
            i % 900,
        )
    };
    let body: String = (0..LINES).map(line).collect();
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        let objects = json::split(body.as_bytes());
        black_box(json::batch(&json::Sender::default(), &objects.texts))
    });
}

fn run(bencher: Bencher<'_, '_>, kind: SourceKind, line_of: impl Fn(usize) -> String) {
    let labels = [("service", "shop"), ("env", "prod"), ("stream", "stdout")];
    let info = SourceInfo {
        id: "bench".into(),
        kind,
        path: "/var/log/shop/app.log".into(),
        format: String::new(),
        labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    let lines: Vec<String> = (0..LINES).map(line_of).collect();
    let (mut names, mut line) = (Names::default(), Line::default());
    let mut parser = Parser::new(&info, "web1", &mut names);
    bencher.counter(BytesCount::new(lines.iter().map(|line| line.len() + 1).sum::<usize>())).bench_local(|| {
        for text in &lines {
            let input = Input {
                text: text.as_bytes(),
                time_ns: None,
                stream: Stream::Stdout,
                received_ns: 1_795_176_000_000_000_000,
            };
            parser.parse(&mut names, input, &mut line);
            black_box(&line);
        }
    });
}
