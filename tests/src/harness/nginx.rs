//! A real nginx with its own prefix, configuration and port.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::server::free_port;
use super::{Process, Scratch, eventually, process, programs};

/// A format of our own beside `combined`: the agent has to read it from the configuration.
const TIMED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" rt=$request_time"#;

#[derive(Debug)]
pub struct Nginx {
    prefix: PathBuf,
    port: u16,
    process: Process,
    http: reqwest::Client,
}

impl Nginx {
    /// Any path answers 200, `/fail/…` answers 500.
    pub async fn start(scratch: &Scratch) -> anyhow::Result<Nginx> {
        let prefix = scratch.folder("nginx")?;
        scratch.folder("nginx/logs")?;
        let port = free_port()?;
        // As root the workers would drop to another user, who could not reopen a log in our private folder.
        let user = if rustix::process::geteuid().is_root() { "user root root;\n" } else { "" };
        let conf = format!(
            "{user}worker_processes 1;\npid nginx.pid;\ndaemon off;\nerror_log logs/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n  log_format timed '{TIMED}';\n  access_log logs/access.log timed;\n\
             {}  server {{\n    listen 127.0.0.1:{port};\n    keepalive_requests 1000000;\n\
             \x20   location / {{ return 200 \"ok\\n\"; }}\n    location /fail/ {{ return 500 \"no\\n\"; }}\n  }}\n}}\n",
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("  {kind}_temp_path tmp;\n"))
                .concat(),
        );
        scratch.file("nginx/nginx.conf", conf)?;
        let process = Process::spawn(scratch, "nginx", command(&prefix)?)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let nginx = Nginx { prefix, port, process, http };
        // Not over HTTP: the first line of the log is to be the first that a test asks for.
        eventually(Duration::from_secs(10), "nginx listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Some(()))
        })
        .await?;
        Ok(nginx)
    }

    pub fn access_log(&self) -> PathBuf {
        self.prefix.join("logs/access.log")
    }

    pub fn config(&self) -> PathBuf {
        self.prefix.join("nginx.conf")
    }

    /// Changes the configuration and has it read, as `nginx -s reload` does; the log goes on in the same file.
    pub async fn reconfigure(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.config())?;
        ensure!(text.contains(from), "the configuration has no {from}");
        std::fs::write(self.config(), text.replace(from, to))?;
        let mut reload = command(&self.prefix)?;
        reload.args(["-s", "reload"]);
        process::succeed(reload).await.map(drop)
    }

    /// One request, one line in the log once this has returned.
    pub async fn get(&self, path: &str) -> anyhow::Result<()> {
        let response = self.http.get(format!("http://127.0.0.1:{}{path}", self.port)).send().await?;
        let status = response.status();
        response.bytes().await?;
        ensure!(status.is_success() != path.starts_with("/fail/"), "{path}: {status}");
        Ok(())
    }

    /// The real logrotate as Debian configures it for nginx: names shift by one, what is older than the last is
    /// compressed, then nginx is told to open a new log.
    pub async fn rotate(&self) -> anyhow::Result<()> {
        let (prefix, nginx) = (self.prefix.display(), programs::installed("nginx")?);
        let config = format!(
            "{}\n{{\n  rotate 1000\n  missingok\n  notifempty\n  compress\n  delaycompress\n  create 0640\n  sharedscripts\n\
             \x20 postrotate\n    {} -p {prefix} -c {prefix}/nginx.conf -s reopen\n  endscript\n}}\n",
            self.access_log().display(),
            nginx.display(),
        );
        let path = self.prefix.join("logrotate.conf");
        std::fs::write(&path, config).context("logrotate.conf")?;
        let mut logrotate = Command::new(programs::installed("logrotate")?);
        logrotate.arg("--force").arg("--state").arg(self.prefix.join("logrotate.state")).arg(path);
        process::succeed(logrotate).await.map(drop)
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.process.terminate(Duration::from_secs(10)).await.map(drop)
    }
}

fn command(prefix: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::installed("nginx")?);
    command.arg("-p").arg(prefix).arg("-c").arg(prefix.join("nginx.conf"));
    Ok(command)
}
