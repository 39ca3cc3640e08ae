//! How fast lines become blocks and blocks become splits, per thread, and how large splits are:
//! `cargo bench -p logweir-aggregator --bench store`.

use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use logweir_aggregator::names::Names;
use logweir_aggregator::parse::line::Line;
use logweir_aggregator::parse::{Input, Parser};
use logweir_aggregator::ranges::SourceRanges;
use logweir_aggregator::store::block::{Block, BlockBuilder};
use logweir_aggregator::store::split::writer::{SplitFile, SplitSource, write};
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};

/// Lines of one split.
const LINES: usize = 100_000;

const FORMATS: [&str; 3] = ["nginx", "pino", "plain"];

fn main() {
    for format in FORMATS {
        let lines = lines(format);
        let raw: usize = lines.iter().map(Vec::len).sum();
        let zstd = zstd::bulk::compress(&lines.join(&b'\n'), 1).map_or(0, |bytes| bytes.len());
        let split = seal(&blocks(format, &lines)).bytes.len();
        let percent = |bytes: usize| 100.0 * bytes as f64 / raw as f64;
        eprintln!("{format}: split {:.1} % of raw, zstd -1 {:.1} %", percent(split), percent(zstd));
    }
    divan::main();
}

/// Parsed lines into blocks.
#[divan::bench(args = FORMATS, sample_count = 5)]
fn parse_and_build(bencher: Bencher<'_, '_>, format: &str) {
    let lines = lines(format);
    let raw: usize = lines.iter().map(Vec::len).sum();
    bencher.counter(BytesCount::new(raw)).bench_local(|| black_box(blocks(format, &lines)));
}

/// Blocks into the bytes of a split.
#[divan::bench(args = FORMATS, sample_count = 5)]
fn seal_split(bencher: Bencher<'_, '_>, format: &str) {
    let lines = lines(format);
    let raw: usize = lines.iter().map(Vec::len).sum();
    let blocks = blocks(format, &lines);
    bencher.counter(BytesCount::new(raw)).bench_local(|| black_box(seal(&blocks)));
}

fn seal(blocks: &[Arc<Block>]) -> SplitFile {
    let source = SplitSource {
        path: "splits/bench".to_owned(),
        wal: (1, 2),
        ranges: SourceRanges::default(),
        class: String::new(),
    };
    write(blocks, source).expect("the split is written")
}

fn blocks(format: &str, lines: &[Vec<u8>]) -> Vec<Arc<Block>> {
    let kind = match format {
        "nginx" => SourceKind::NginxAccess,
        "pino" => SourceKind::Pm2,
        _ => SourceKind::File,
    };
    let source = SourceInfo {
        id: "1".into(),
        kind,
        path: "/var/log/app.log".into(),
        format: String::new(),
        labels: Default::default(),
    };
    let mut names = Names::default();
    let mut parser = Parser::new(&source, "web-1", &mut names);
    let (mut line, mut builder, mut blocks) = (Line::default(), BlockBuilder::default(), Vec::new());
    for (i, text) in lines.iter().enumerate() {
        let received_ns = 1_795_165_860_000_000_000 + i as i64 * 1_000_000;
        line.clear();
        parser.read(&mut names, Input { text, time_ns: None, stream: Stream::None, received_ns }, None, &mut line);
        builder.push(&names, &line, text, line.time_ns.unwrap_or(received_ns), i as u64);
        if builder.is_full() {
            blocks.push(Arc::new(std::mem::take(&mut builder).finish()));
        }
    }
    blocks.push(Arc::new(builder.finish()));
    blocks
}

/// Lines with a realistic share of things that vary.
fn lines(format: &str) -> Vec<Vec<u8>> {
    let mut state = 42u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let paths = ["/api/v1/users", "/api/v1/orders", "/cart", "/checkout", "/static/app.js", "/healthz"];
    let agents = [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148",
        "curl/8.9.1",
    ];
    let mut line = |i: usize| {
        let (second, ms) = (i / 100, i % 100 * 10);
        let (minute, hour) = (second / 60 % 60, 9 + second / 3600);
        let status = [200, 200, 200, 200, 200, 304, 404, 500][random(8) as usize];
        let (path, user) = (paths[random(6) as usize], random(50_000));
        match format {
            "nginx" => format!(
                "203.0.{}.{} - - [20/Nov/2026:{hour:02}:{minute:02}:{:02} +0000] \"GET {path}/{user} HTTP/1.1\" {status} {} \
                 \"https://shop.example/cart\" \"{}\"",
                random(4), random(250), second % 60, random(90_000), agents[random(3) as usize]
            ),
            "pino" => format!(
                "{{\"level\":30,\"time\":{},\"pid\":4711,\"hostname\":\"web1\",\"reqId\":\"{:016x}\",\"req\":{{\"method\":\"GET\",\
                 \"url\":\"{path}/{user}\",\"remoteAddress\":\"10.0.0.{}\"}},\"res\":{{\"statusCode\":{status}}},\
                 \"responseTime\":{},\"msg\":\"request completed\"}}",
                1_795_165_860_000u64 + i as u64 * 10, random(u64::MAX >> 1) << 20 | random(1 << 20), random(250), random(900)
            ),
            _ => format!(
                "2026-11-20 {hour:02}:{minute:02}:{:02}.{ms:03}  INFO 1234 --- [exec-{}] c.e.OrderService : order {} of customer \
                 {user} was shipped to {path} in {} ms",
                second % 60, random(16), random(1 << 30), random(900)
            ),
        }
        .into_bytes()
    };
    (0..LINES).map(&mut line).collect()
}
