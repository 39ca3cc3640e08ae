//! Sources that are no files, with a real `logweir-agent` that is killed: a pipe, syslog, the journal. What was spooled
//! arrives exactly once, and the spool is empty afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use logweir_proto::api::BatchAnswer;
use logweir_proto::batch::{Envelope, RecordRef, SourceInfo};
use logweir_runtime::drain::Drain;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// Records by (source, offset), the sources, and whether anything is taken at all.
#[derive(Default)]
struct Store {
    records: Mutex<BTreeMap<(String, u64), String>>,
    sources: Mutex<BTreeMap<String, SourceInfo>>,
    gaps: Mutex<Vec<String>>,
    closed: AtomicBool,
}

async fn receive(State(store): State<Arc<Store>>, body: Bytes) -> Response {
    if store.closed.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let envelope = Envelope::parse(&body).expect("a batch");
    let header = &envelope.header;
    let each = |chunk: usize, record: RecordRef<'_>| {
        let id = header.sources[header.chunks[chunk].source as usize].id.clone();
        let text = String::from_utf8_lossy(record.text).into_owned();
        store.records.lock().expect("no panic").insert((id, record.start), text);
    };
    envelope.decompress().expect("its body").for_each(header, each).expect("its records");
    store.sources.lock().expect("no panic").extend(header.sources.iter().map(|info| (info.id.clone(), info.clone())));
    store.gaps.lock().expect("no panic").extend(header.gaps.iter().map(|gap| format!("{gap:?}")));
    let offsets = header.chunks.iter().map(|c| (header.sources[c.source as usize].id.clone(), c.end)).collect();
    axum::Json(BatchAnswer { offsets, ..BatchAnswer::default() }).into_response()
}

struct World {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    url: String,
    drain: Drain,
}

/// A process that dies with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    async fn new() -> World {
        let store = Arc::new(Store::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/api/v1/batches", post(receive)).with_state(Arc::clone(&store));
        let drain = Drain::new();
        tokio::spawn(logweir_runtime::serve::serve(listener, None, router, drain.clone()));
        World { dir: tempfile::tempdir().expect("a temporary directory"), store, url, drain }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn start(&self, config: &str, arguments: &[&str]) -> Agent {
        let file = self.dir.path().join("agent.yaml");
        fs::write(&file, format!("discover: []\nstate_dir: {}\n{config}", self.state().display())).expect("settings");
        let path = format!("{}:/usr/bin:/bin", self.dir.path().display());
        let child = Command::new(env!("CARGO_BIN_EXE_logweir-agent"))
            .args(["--config", &file.display().to_string(), "--server", &self.url])
            .args(arguments)
            .env("LOGWEIR_LOG", "warn")
            .env("http_proxy", "http://127.0.0.1:1")
            .env("PATH", path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        Agent(child)
    }

    fn texts(&self) -> Vec<String> {
        self.store.records.lock().expect("no panic").values().cloned().collect()
    }

    /// Bytes in the spool.
    fn spooled(&self, name: &str) -> u64 {
        let entries = fs::read_dir(self.state().join(name)).into_iter().flatten();
        let files =
            entries.filter_map(|entry| entry.ok()).filter(|e| e.file_name().to_string_lossy().ends_with("spool"));
        files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    }

    async fn until(&self, what: &str, done: impl Fn(&World) -> bool) {
        let waited = timeout(Duration::from_secs(60), async {
            while !done(self) {
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {} records", self.texts().len());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("line {n:06}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_shipped_to_its_end_also_what_a_killed_agent_had_read() {
    let world = World::new().await;
    world.store.closed.store(true, Ordering::Relaxed);
    let arguments = ["--stdin", "--service", "backup"];
    let mut agent = world.start("", &arguments);
    let mut pipe = agent.0.stdin.take().expect("a pipe");
    let first: String = numbered(20_000).iter().map(|line| format!("{line}\n")).collect();
    pipe.write_all(first.as_bytes()).expect("it is read");
    // 11 bytes and 20 around them: all is on disk.
    world.until("spooled", |world| world.spooled("stdin-1/spool/stdin") >= 20_000 * 31).await;
    drop(agent);
    world.store.closed.store(false, Ordering::Relaxed);
    let mut agent = world.start("", &arguments);
    let mut pipe = agent.0.stdin.take().expect("a pipe");
    pipe.write_all(b"Error: x\n    at f (a.js:1:2)\nlast, without its end").expect("it is read");
    drop(pipe);
    let status = tokio::task::spawn_blocking(move || agent.0.wait()).await.expect("no panic").expect("it ends");
    assert_eq!(status.code(), Some(0));
    let mut want = numbered(20_000);
    want.extend(["Error: x\n    at f (a.js:1:2)".to_owned(), "last, without its end".to_owned()]);
    assert_eq!(sorted(world.texts()), sorted(want));
    assert_eq!(world.spooled("stdin-1/spool/stdin"), 0);
    let sources = world.store.sources.lock().expect("no panic");
    assert!(sources.values().all(|info| info.labels["service"] == "backup" && info.labels["file"] == "stdin"));
    assert!(world.store.gaps.lock().expect("no panic").is_empty());
}

/// A port that nobody has now.
fn free_port() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_survives_a_kill_and_its_spool_is_emptied() {
    let world = World::new().await;
    world.store.closed.store(true, Ordering::Relaxed);
    let address = free_port();
    let config = format!("syslog: {{ udp: {address}, tcp: {address}, service: router }}\nspool: {{ bytes: 1MiB }}\n");
    let agent = world.start(&config, &[]);
    world.until("listening", |_| TcpStream::connect(address).is_ok()).await;
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut tcp = TcpStream::connect(address).expect("connected");
    let mut want = Vec::new();
    for n in 0..6_000 {
        let text = format!("<13>Nov 20 09:10:02 host app[7]: message {n:05} {}", "x".repeat(50));
        match n % 100 {
            0 => drop(udp.send_to(text.as_bytes(), address).expect("sent")),
            1 => tcp.write_all(format!("{} {text}\nmore", text.len() + 5).as_bytes()).expect("written"),
            _ => tcp.write_all(format!("{text}\n").as_bytes()).expect("written"),
        }
        want.push(if n % 100 == 1 { format!("{text}\nmore") } else { text });
    }
    let bytes: usize = want.iter().map(|text| text.len() + 20).sum();
    world.until("spooled", |world| world.spooled("spool/syslog") >= bytes as u64).await;
    drop(agent);
    world.store.closed.store(false, Ordering::Relaxed);
    let agent = world.start(&config, &[]);
    world.until("stored", |world| world.texts().len() >= 6_000).await;
    assert_eq!(sorted(world.texts()), sorted(want));
    // Only the newest segment stays.
    world.until("removed", |world| world.spooled("spool/syslog") < 128 << 10).await;
    drop(agent);
    let sources = world.store.sources.lock().expect("no panic");
    assert!(sources.values().all(|info| info.kind.source_name() == "syslog" && info.labels["service"] == "router"));
    assert!(world.store.gaps.lock().expect("no panic").is_empty());
}

/// A journalctl as it is documented: entries behind the cursor, then what is added, until it is killed.
fn fake_journalctl(dir: &Path) {
    let script = r#"#!/bin/sh
after= lines=
for a in "$@"; do case "$a" in --after-cursor=*) after="${a#*=}" ;; --lines=1) lines=1 ;; esac; done
[ -n "$lines" ] && exec tail -n 1 DIR/journal
if [ -n "$after" ]; then from=$(($(grep -n "\"$after\"" DIR/journal | cut -d: -f1) + 1)); else from=1; fi
exec tail -n "+$from" -f DIR/journal
"#;
    let path = dir.join("journalctl");
    fs::write(&path, script.replace("DIR", &dir.display().to_string())).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

fn entry(n: usize) -> String {
    format!(r#"{{"__CURSOR":"s=1;i={n:05}","__REALTIME_TIMESTAMP":"1795166139687150","MESSAGE":"message {n}"}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_read_on_where_it_was_spooled() {
    let world = World::new().await;
    fake_journalctl(world.dir.path());
    let journal = world.dir.path().join("journal");
    fs::write(&journal, format!("{}\n{}\n", entry(0), entry(1))).expect("a journal");
    let mut count = 2;
    for round in 0..5 {
        world.store.closed.store(round % 2 == 1, Ordering::Relaxed);
        let agent = world.start("journald: {}\n", &[]);
        // Killed at once, in the middle, and when all is stored.
        world.until("spooled", |world| world.spooled("spool/journald") > 0).await;
        let mut file = fs::OpenOptions::new().append(true).open(&journal).expect("the journal");
        for _ in 0..400 {
            file.write_all(format!("{}\n", entry(count)).as_bytes()).expect("an append");
            count += 1;
        }
        let sum = world.spooled("spool/journald");
        if round % 3 == 1 {
            world.until("more", |world| world.spooled("spool/journald") > sum + 1_000).await;
        }
        drop(agent);
    }
    world.store.closed.store(false, Ordering::Relaxed);
    let agent = world.start("journald: {}\n", &[]);
    world.until("stored", |world| world.texts().len() >= count - 1).await;
    drop(agent);
    let want: Vec<String> = (1..count).map(entry).collect();
    assert_eq!(sorted(world.texts()), want);
    assert!(world.store.gaps.lock().expect("no panic").is_empty());
}
