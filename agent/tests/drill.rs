//! The drill: a real `logweir-agent` under load, killed again and again, while its log is rotated.
//!
//! A ledger of numbered lines is written; a server keeps what it is sent by byte range, as the aggregator does. At the
//! end every line is there exactly once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use logweir_proto::api::BatchAnswer;
use logweir_proto::batch::Envelope;
use logweir_runtime::drain::Drain;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// Lines by (source, offset), with their length in the source.
#[derive(Default)]
struct Store {
    records: Mutex<BTreeMap<(String, u64), (u64, String)>>,
    gaps: Mutex<Vec<String>>,
    news: Notify,
}

async fn receive(State(store): State<Arc<Store>>, body: Bytes) -> axum::Json<BatchAnswer> {
    let envelope = Envelope::parse(&body).expect("a batch");
    let header = &envelope.header;
    let mut offsets = BTreeMap::new();
    {
        let mut records = store.records.lock().expect("no panic");
        let each = |chunk: usize, record: logweir_proto::batch::RecordRef<'_>| {
            let id = header.sources[header.chunks[chunk].source as usize].id.clone();
            let end = record.start + record.advance;
            let before = records.range((id.clone(), 0)..(id.clone(), end)).next_back();
            let stored = before.map_or(0, |((_, start), (advance, _))| start + advance);
            offsets.insert(id.clone(), end.max(stored));
            if stored < end {
                assert!(stored <= record.start, "{id} [{}, {end}) overlaps what ends at {stored}", record.start);
                records.insert((id, record.start), (record.advance, String::from_utf8_lossy(record.text).into_owned()));
            }
        };
        envelope.decompress().expect("its body").for_each(header, each).expect("its records");
    }
    store.gaps.lock().expect("no panic").extend(header.gaps.iter().map(|gap| format!("{gap:?}")));
    store.news.notify_one();
    axum::Json(BatchAnswer { offsets, ..BatchAnswer::default() })
}

/// A process that dies with the test.
struct Agent(Child);

impl Agent {
    fn start(dir: &Path, url: &str) -> Agent {
        let child = Command::new(env!("CARGO_BIN_EXE_logweir-agent"))
            .args(["--config", &dir.join("agent.yaml").display().to_string(), "--server", url])
            .env("LOGWEIR_LOG", "warn")
            // Nothing listens there: what goes to this machine takes no proxy.
            .env("http_proxy", "http://127.0.0.1:1")
            .stdin(Stdio::null())
            .spawn()
            .expect("the agent starts");
        Agent(child)
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Rotation {
    Rename,
    /// Renamed, compressed at once, and the plain one deleted.
    Compress,
    CopyTruncate,
}

/// The program that logs, and its rotator.
struct Writer {
    log: PathBuf,
    lines: u32,
    rotations: u32,
    rotation: Rotation,
}

impl Writer {
    fn burst(&mut self, count: u32) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log");
        for _ in 0..count {
            self.lines += 1;
            let line = format!("{:08} {}\n", self.lines, "x".repeat((self.lines % 120) as usize));
            file.write_all(line.as_bytes()).expect("an append");
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let to = self.log.with_file_name(format!("app.log.{}", self.rotations));
        match self.rotation {
            Rotation::Rename => fs::rename(&self.log, to).expect("a rename"),
            Rotation::Compress => {
                fs::rename(&self.log, &to).expect("a rename");
                compress(&to);
            }
            Rotation::CopyTruncate => {
                fs::copy(&self.log, to).expect("a copy");
                OpenOptions::new().write(true).truncate(true).open(&self.log).expect("a truncation");
            }
        }
    }
}

/// As gzip does it: the compressed file has the times of the plain one.
fn compress(path: &Path) {
    let written = fs::metadata(path).and_then(|meta| meta.modified()).expect("its time");
    let seconds = written.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let file = fs::File::create(format!("{}.gz", path.display())).expect("a compressed file");
    let builder = flate2::GzBuilder::new().mtime(seconds as u32);
    let mut encoder = builder.write(file, flate2::Compression::fast());
    encoder.write_all(&fs::read(path).expect("the log")).expect("it is written");
    encoder.finish().and_then(|file| file.set_modified(written)).expect("it is finished");
    fs::remove_file(path).expect("the plain one");
}

async fn drill(rotation: Rotation, glob: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Arc::new(Store::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().route("/api/v1/batches", post(receive)).with_state(Arc::clone(&store));
    let drain = Drain::new();
    tokio::spawn(logweir_runtime::serve::serve(listener, None, router, drain.clone()));
    let at = dir.path().display();
    let config = format!(
        "state_dir: {at}/state\ndiscover: []\nlimits: {{ batch_bytes: 64KiB }}\n\
         files: [{{ paths: [{at}/{glob}], start_at: beginning }}]\n"
    );
    fs::write(dir.path().join("agent.yaml"), config).expect("the configuration");
    let mut writer = Writer { log: dir.path().join("app.log"), lines: 0, rotations: 0, rotation };
    writer.burst(100);
    let mut agent = Some(Agent::start(dir.path(), &url));
    // The pace of the load: about 5,000 lines a second, a rotation every 200 ms, a kill at changing distances.
    for step in 0..300u32 {
        writer.burst(50);
        sleep(Duration::from_millis(10)).await;
        if step % 20 == 19 {
            writer.rotate();
        }
        if step % 31 == 17 {
            agent.take().expect("it runs").kill();
        }
        if agent.is_none() && step % 7 == 3 {
            agent = Some(Agent::start(dir.path(), &url));
        }
    }
    writer.burst(1);
    let agent = agent.unwrap_or_else(|| Agent::start(dir.path(), &url));
    let want = writer.lines as usize;
    let arrived = timeout(Duration::from_secs(60), async {
        while store.records.lock().expect("no panic").len() < want {
            store.news.notified().await;
        }
    });
    let late = arrived.await.is_err();
    // Nothing may come after the last line either: one more look of the agent at everything.
    let quiet = Instant::now() + Duration::from_secs(6);
    while timeout(quiet - Instant::now(), store.news.notified()).await.is_ok() {}
    drop(agent);
    drain.cancel();
    let records = store.records.lock().expect("no panic");
    let mut seen: Vec<u32> = records.values().map(|(_, text)| text[..8].parse().expect("a number")).collect();
    seen.sort_unstable();
    let missing: Vec<u32> = (1..=writer.lines).filter(|n| seen.binary_search(n).is_err()).collect();
    let doubled = seen.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let gaps = store.gaps.lock().expect("no panic");
    assert!(missing.is_empty() && doubled == 0 && !late, "missing {missing:?}, doubled {doubled}, gaps {gaps:?}");
    assert!(gaps.is_empty(), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_log_is_renamed() {
    drill(Rotation::Rename, "app.log").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_log_is_renamed_and_compressed() {
    drill(Rotation::Compress, "app.log").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_rotated_files_match_the_glob() {
    drill(Rotation::Rename, "app.log*").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_log_is_copied_and_truncated() {
    drill(Rotation::CopyTruncate, "app.log").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_copies_match_the_glob() {
    drill(Rotation::CopyTruncate, "app.log*").await;
}
