//! The agent's settings: what `agent.yaml`, the command line and the environment say, checked as a whole.
//!
//! Every mistake of a file is reported at once with its place. A key that this version does not know, or knows and
//! cannot honour, is a mistake: nothing may be read and ignored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use logweir_proto::batch::{LINE_BYTES_MAX, SourceKind};
use logweir_proto::yaml::{Environment, Problem};
use logweir_runtime::secrets::Secret;
use logweir_runtime::text_file;

use crate::decode::Multiline;
use crate::error::{Error, Result};
use crate::redact;

mod read;
mod rules;
mod server;
mod sources;

pub(crate) use read::COMBINED;
pub(crate) use server::check_url;
pub use sources::{Inputs, Journald, Stdin, Syslog, format_of};

/// Docker and CRI cut their pieces at 16 KiB: a shorter limit would cut within a piece.
pub const LINE_BYTES_MIN: usize = 32 << 10;
pub const BATCH_BYTES_MIN: usize = 64 << 10;
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// Everything that the agent needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// `http://127.0.0.1:7171`; `None` is fine for `discover` only.
    pub server_url: Option<String>,
    /// Servers that take over, in this order, while the first is away.
    pub server_fallbacks: Vec<String>,
    /// `None` when nobody said anything: the environment decides.
    pub proxies: Option<Proxies>,
    /// A token that was given by value; else it is read from `token_file`, again at each attempt, so that it can change.
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    /// PEM; when set, only these authorities are trusted.
    pub ca_file: Option<PathBuf>,
    /// The certificate that the agent shows, and its key; PEM.
    pub client_cert: Option<ClientCert>,
    pub state_dir: PathBuf,
    /// Where `logweir-agent` answers `/metrics` and `/health`.
    pub listen: Option<SocketAddr>,
    /// Whether the state of the host is shipped as events.
    pub host_stats: bool,
    /// `$PM2_HOME`, as the environment had it.
    pub pm2_home: Option<PathBuf>,
    /// Name of this host in every event; the kernel's own when `None`.
    pub host: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub discover: Discover,
    pub roots: Roots,
    /// Globs of the labels of containers that become fields; all but those of the machinery when `None`.
    pub container_labels: Option<Vec<String>>,
    pub files: Vec<FileRule>,
    /// What is left out, of files that are named and of those that are found.
    pub rules: Vec<SourceRule>,
    pub redact: redact::Settings,
    pub limits: Limits,
    pub inputs: Inputs,
    /// Ships what is there from its beginning, waits for the acks and ends.
    pub once: bool,
}

/// Ways around, by the scheme of the server's address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    pub http: Option<String>,
    pub https: Option<String>,
    /// Hosts that are asked directly, as `NO_PROXY` lists them.
    pub except: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCert {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// Lines that are left out of the sources that it covers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceRule {
    /// All sources when empty.
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub service: Option<String>,
    /// A line that one of these matches is left out.
    pub drop: Vec<String>,
    /// The share of lines that stays.
    pub sample: Option<f64>,
}

impl SourceRule {
    /// Whether it leaves anything out.
    pub fn is_active(&self) -> bool {
        !self.drop.is_empty() || self.sample.is_some()
    }
}

/// Which kinds are looked for without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discover {
    pub pm2: bool,
    pub nginx: bool,
    pub docker: bool,
    pub kubernetes: bool,
}

impl Discover {
    pub const ALL: Discover = Discover { pm2: true, nginx: true, docker: true, kubernetes: true };
    pub const NONE: Discover = Discover { pm2: false, nginx: false, docker: false, kubernetes: false };
}

/// Where to look, instead of where it usually is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Configuration files of NGINX.
    pub nginx: Option<Vec<PathBuf>>,
    /// Homes of PM2 (`~/.pm2`).
    pub pm2: Option<Vec<PathBuf>>,
    /// Docker's data directory.
    pub docker: Option<PathBuf>,
    /// The directory of pod logs.
    pub kubernetes: Option<PathBuf>,
}

/// Where to begin in a file that was never seen before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the end for files that are there when the agent starts, at the beginning for later ones.
    #[default]
    End,
    Beginning,
}

/// One entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub service: Option<String>,
    pub kind: SourceKind,
    /// The `log_format` of an NGINX access log.
    pub format: Arc<str>,
    pub multiline: Multiline,
    pub start_at: StartAt,
}

impl FileRule {
    /// Plain files under these globs, with everything else as it is when nothing is said.
    pub fn plain(paths: Vec<String>) -> FileRule {
        FileRule {
            paths,
            exclude: Vec::new(),
            service: None,
            kind: SourceKind::File,
            format: Arc::default(),
            multiline: Multiline::Auto,
            start_at: StartAt::End,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Budget of the buffers: a set-up that needs more is refused.
    pub memory_bytes: usize,
    /// Longer lines are cut.
    pub line_bytes: usize,
    /// Bytes of log in a batch, before compression.
    pub batch_bytes: usize,
    /// The longest that a complete line waits, for more of its event; a batch waits a 64th of it for more lines.
    pub batch_age: Duration,
    /// Files open at once; more are followed in turn.
    pub open_files: usize,
    /// Space on the disk that deleted files may keep while they are not shipped.
    pub deleted_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 32 << 20,
            line_bytes: LINE_BYTES_MAX,
            batch_bytes: 1 << 20,
            batch_age: Duration::from_secs(1),
            open_files: 4096,
            deleted_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// What the buffers need at most: the window, and two batches raw and framed.
    pub fn buffers_bytes(&self) -> usize {
        crate::tail::reader::window_bytes_max(self.line_bytes) + 6 * (self.batch_bytes + self.line_bytes)
    }
}

pub const DEFAULT_STATE_DIR: &str = "/var/lib/logweir-agent";
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7172);

impl Config {
    /// What holds when nothing is said: everything that is found, to nowhere yet.
    pub fn new() -> Config {
        Config {
            server_url: None,
            server_fallbacks: Vec::new(),
            proxies: None,
            token: None,
            token_file: None,
            ca_file: None,
            client_cert: None,
            state_dir: PathBuf::from(DEFAULT_STATE_DIR),
            listen: Some(DEFAULT_LISTEN),
            host_stats: false,
            pm2_home: None,
            host: None,
            labels: BTreeMap::new(),
            discover: Discover::ALL,
            roots: Roots::default(),
            container_labels: None,
            files: Vec::new(),
            rules: Vec::new(),
            redact: redact::Settings::default(),
            limits: Limits::default(),
            inputs: Inputs::default(),
            once: false,
        }
    }

    /// Reads a file; `env` answers `${NAME}`.
    pub fn load(path: &Path, env: Environment<'_>) -> Result<Config> {
        let text = text_file::read_file(path).map_err(Error::io("read", path))?;
        Config::parse(&path.display().to_string(), &text, env).map_err(Error::Config)
    }

    /// Reads the text of a file and reports all its mistakes.
    pub fn parse(file: &str, text: &str, env: Environment<'_>) -> Result<Config, Vec<Problem>> {
        read::config(file, text, env)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

#[cfg(test)]
mod tests;
