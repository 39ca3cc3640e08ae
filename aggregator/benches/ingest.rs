//! What a gigabyte costs from the door to the sealed split, and how much memory that takes at the most:
//! `cargo bench -p logweir-aggregator --bench ingest -- [megabytes] [json|nginx]`. A whole aggregator on a temporary
//! directory takes bodies of 4 MB one after the other, without a network; making them is not counted. JSON goes through
//! `POST /api/v1/ingest`, NGINX lines through `POST /api/v1/batches`.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use logweir_aggregator::api;
use logweir_aggregator::config::Config;
use logweir_aggregator::pipeline::Pipeline;
use logweir_proto::batch::{
    self, AgentInfo, BodyBuilder, ChunkBuilder, Header, Heartbeat, SourceInfo, SourceKind, Stream,
};
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use tokio::runtime::Runtime;
use tower::ServiceExt;

#[path = "../../tests/src/faults/dice.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests use the rest, from other crates")]
mod dice;
mod faults {
    pub(crate) use super::dice::Dice;
}
#[path = "../../tests/src/bench/generate.rs"]
#[expect(unreachable_pub, unused_imports, reason = "the bench of the server uses it from another crate")]
mod generate;

use generate::Generator;

const REQUEST_BYTES: usize = 4 << 20;
const NS_PER_DAY: i64 = 86_400_000_000_000;
const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let megabytes = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(200);
    let set = if args.iter().any(|arg| arg == "nginx") { "nginx" } else { "json" };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::local("127.0.0.1:7171".parse().expect("an address"), dir.path().to_owned());
    config.limits.ingest_bytes_per_s = 4 << 30;
    let pipeline = Pipeline::build(&config, Vec::new(), Clock::system(), Drain::new()).expect("it starts");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    measure(&runtime.expect("a runtime"), &pipeline, set, megabytes);
    pipeline.shutdown();
}

fn measure(runtime: &Runtime, pipeline: &Pipeline, set: &str, megabytes: u64) {
    let app = pipeline.app();
    let router = api::finish(api::router(app.clone(), &[]));
    let lines = megabytes * 1_000_000 / if set == "nginx" { 208 } else { 303 };
    let mut sender = Sender {
        generator: Generator::new(20_000 * NS_PER_DAY, lines),
        nginx: set == "nginx",
        lines,
        offset: 0,
        seq: 0,
    };
    let (mut made_s, mut again) = (0.0, 0);
    let (begin, cpu, own) = (Instant::now(), cpu_s(), thread_cpu_s());
    while let Some(body) = {
        let before = thread_cpu_s();
        let body = sender.next();
        made_s += thread_cpu_s() - before;
        body
    } {
        loop {
            let uri = if sender.nginx { "/api/v1/batches" } else { "/api/v1/ingest" };
            let request = Request::post(uri).header(CONTENT_TYPE, batch::CONTENT_TYPE);
            let request = request.body(Body::from(body.clone())).expect("a request");
            let status = runtime.block_on(router.clone().oneshot(request)).expect("an answer").status();
            if status == StatusCode::OK {
                break;
            }
            assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
            again += 1;
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
    let acked_s = begin.elapsed().as_secs_f64();
    let rows = || {
        let view = app.store.view();
        view.segments.iter().flat_map(|segment| segment.blocks()).map(|block| u64::from(block.rows)).sum::<u64>()
    };
    while rows() < lines {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let searchable = cpu_s() - cpu - made_s;
    app.store.seal_now().expect("it is sealed");
    let gb = sender.offset as f64 / 1e9;
    eprintln!(
        "{set}: {:.0} MB; CPU-s per GB until searchable {:.2}, sealed {:.2} (this thread {:.2}, bodies {:.2}); {:.0} MB/s \
         acked; store {:.2} %; peak {:.0} MiB; {again} again",
        gb * 1e3,
        searchable / gb,
        (cpu_s() - cpu - made_s) / gb,
        (thread_cpu_s() - own - made_s) / gb,
        made_s / gb,
        gb * 1e3 / acked_s,
        100.0 * app.store.retention().iter().map(|kept| kept.bytes).sum::<u64>() as f64 / sender.offset as f64,
        peak_mib(),
    );
}

struct Sender {
    generator: Generator,
    nginx: bool,
    lines: u64,
    offset: u64,
    seq: u64,
}

impl Sender {
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut text = String::with_capacity(REQUEST_BYTES + 1024);
        while self.lines > 0 && text.len() < REQUEST_BYTES {
            if self.nginx {
                self.generator.nginx(&mut text)
            } else {
                self.generator.json(&mut text)
            }
            text.push('\n');
            self.lines -= 1;
        }
        let from = self.offset;
        self.offset += text.len() as u64;
        self.seq += 1;
        if text.is_empty() {
            return None;
        }
        Some(if self.nginx { batch(&text, from, self.seq) } else { text.into_bytes() })
    }
}

fn batch(text: &str, offset: u64, seq: u64) -> Vec<u8> {
    let mut chunk = ChunkBuilder::new(offset);
    for line in text.split_terminator('\n') {
        chunk.push(line.as_bytes(), line.len() as u64 + 1, None, Stream::None, false);
    }
    let mut body = BodyBuilder::default();
    body.push(0, &chunk);
    let source = SourceInfo {
        id: "bench".to_owned(),
        kind: SourceKind::NginxAccess,
        path: "/var/log/bench.log".to_owned(),
        format: COMBINED.to_owned(),
        labels: [("service".to_owned(), "bench".to_owned())].into(),
    };
    let agent =
        AgentInfo { id: "bench".to_owned(), host: "bench".to_owned(), version: "0".to_owned(), utc_offset_minutes: 0 };
    let header = Header {
        agent,
        seq,
        sources: vec![source],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat::default(),
    };
    body.finish(header, 1).expect("a batch")
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// CPU time of the process.
fn cpu_s() -> f64 {
    let stat = read("/proc/self/stat");
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// CPU time of this thread.
fn thread_cpu_s() -> f64 {
    let stat = read("/proc/thread-self/schedstat");
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn peak_mib() -> f64 {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}
