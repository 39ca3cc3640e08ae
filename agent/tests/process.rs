//! The program as systemd runs it: ready, alive, a new configuration on SIGHUP, the end.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

struct Agent {
    child: Child,
    log: BufReader<ChildStderr>,
    manager: UnixDatagram,
    dir: tempfile::TempDir,
    listen: String,
}

impl Agent {
    fn start() -> Agent {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let socket = dir.path().join("notify");
        let manager = UnixDatagram::bind(&socket).expect("a socket");
        manager.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        fs::write(dir.path().join("agent.yaml"), config(dir.path(), &free.to_string(), "")).expect("a configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_logweir-agent"))
            .arg("--config")
            .arg(dir.path().join("agent.yaml"))
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "4000000")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        Agent { child, log, manager, dir, listen: free.to_string() }
    }

    fn told(&self) -> String {
        let mut buffer = [0; 1000];
        let read = self.manager.recv(&mut buffer).expect("a message in time");
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    /// Reads the log up to a line that has this in it.
    fn logged(&mut self, wanted: &str) -> String {
        let mut all = String::new();
        while !all.contains(wanted) {
            assert!(self.log.read_line(&mut all).expect("its log") > 0, "{wanted} is not in {all}");
        }
        all
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.listen).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }

    fn write(&self, listen: &str, more: &str) {
        let text = config(self.dir.path(), listen, more);
        fs::write(self.dir.path().join("agent.yaml"), text).expect("a configuration");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(dir: &std::path::Path, listen: &str, more: &str) -> String {
    let state = dir.join("state").display().to_string();
    format!("server: {{ url: http://127.0.0.1:9 }}\nstate_dir: {state}\nlisten: {listen}\ndiscover: []\n{more}")
}

#[test]
fn as_a_service() {
    let mut agent = Agent::start();
    assert_eq!(agent.told(), "READY=1");
    assert_eq!(agent.told(), "WATCHDOG=1\nSTATUS=0 files, 0 bytes behind");
    assert!(agent.get("/health").contains(r#"{"ok":true,"parts":[{"name":"tail""#));
    assert!(agent.get("/health/live").starts_with("HTTP/1.1 200 OK"));
    assert!(agent.get("/metrics").contains("logweir_agent_failed_attempts_total{why=\"unreachable\"}"));

    let listen = agent.listen.clone();
    agent.write(&listen, "redcat: {}\n");
    agent.signal(Signal::HUP);
    let log = agent.logged("redcat");
    assert!(log.contains("the new configuration is refused, the old one stays"), "{log}");
    assert!(log.contains("agent.yaml:5:1: unknown key 'redcat'"), "{log}");
    agent.write("none", "");
    agent.signal(Signal::HUP);
    agent.logged("listen has changed: it needs a restart");
    // A change of the file is found without a signal too.
    agent.write(&listen, "labels: { env: prod }\n");
    agent.logged("the new configuration is in force");
    assert!(agent.get("/metrics").contains(r#"logweir_agent_reloads_total{outcome="taken"} 1"#));

    agent.signal(Signal::TERM);
    while agent.told() != "STOPPING=1" {}
    assert!(agent.child.wait().expect("it ends").success());
}
