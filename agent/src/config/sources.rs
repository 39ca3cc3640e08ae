//! The parts of `agent.yaml` that say how lines become events, and which sources there are that are no files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use logweir_proto::batch::{SourceKind, TEXT_FORMATS};
use logweir_proto::yaml::{Fields, Problems, Value};

use super::StartAt;
use super::read::COMBINED;
use crate::decode::Multiline;
use crate::decode::multiline::StartRule;
use crate::decode::multiline::{START_BYTES_MAX, START_LINES_MAX};

/// Where syslog is listened for when the configuration does not say.
const SYSLOG_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5514);
const SPOOL_BYTES_MIN: u64 = 1 << 20;
const SPOOL_BYTES_MAX: u64 = 1 << 40;
const SPOOL_BYTES: u64 = 1 << 30;
/// Units of one `journald.units`.
const UNITS_MAX: usize = 256;
/// Longest service of standard input: it is part of a file name.
const SERVICE_BYTES_MAX: usize = 64;

/// Sources that are no files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    pub syslog: Option<Syslog>,
    pub journald: Option<Journald>,
    pub stdin: Option<Stdin>,
    /// What each of their spools may hold.
    pub spool_bytes: u64,
}

impl Default for Inputs {
    fn default() -> Inputs {
        Inputs { syslog: None, journald: None, stdin: None, spool_bytes: SPOOL_BYTES }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    pub udp: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    /// Of messages that name no program.
    pub service: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journald {
    /// All of them when empty.
    pub units: Vec<String>,
    pub start_at: StartAt,
    /// Of a journal that is not this host's own.
    pub directory: Option<PathBuf>,
    pub program: PathBuf,
}

impl Default for Journald {
    fn default() -> Journald {
        Journald { units: Vec::new(), start_at: StartAt::End, directory: None, program: PathBuf::from("journalctl") }
    }
}

/// `--stdin`: what is shipped is the pipe and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stdin {
    pub service: String,
}

impl Stdin {
    pub fn new(service: &str) -> Result<Stdin, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if service.is_empty() || service.len() > SERVICE_BYTES_MAX || !service.bytes().all(fits) {
            return Err(format!("must be letters, digits, - and _, at most {SERVICE_BYTES_MAX} of them"));
        }
        Ok(Stdin { service: service.to_owned() })
    }
}

/// `syslog`, `journald` and `spool`: what is there is on.
pub(super) fn inputs(fields: &mut Fields<'_>, problems: &mut Problems) -> Inputs {
    let mut inputs = Inputs::default();
    if fields.given("syslog").is_some() {
        inputs.syslog = Some(syslog(fields.section("syslog", problems), problems));
    }
    if fields.given("journald").is_some() {
        inputs.journald = Some(journald(fields.section("journald", problems), problems));
    }
    let mut spool = fields.section("spool", problems);
    inputs.spool_bytes = spool.bytes("bytes", SPOOL_BYTES_MIN..=SPOOL_BYTES_MAX, problems).unwrap_or(SPOOL_BYTES);
    spool.finish(problems);
    inputs
}

fn syslog(mut fields: Fields<'_>, problems: &mut Problems) -> Syslog {
    let mut said = false;
    let mut address = |key| {
        let text = fields.text(key, problems)?;
        said = true;
        let parsed = text.parse();
        if parsed.is_err() {
            fields.mistake(key, &format!("must be an address and a port, as in {SYSLOG_ADDRESS}"), problems);
        }
        parsed.ok()
    };
    let (udp, tcp) = (address("udp"), address("tcp"));
    let service = fields.text("service", problems);
    fields.finish(problems);
    if said {
        Syslog { udp, tcp, service }
    } else {
        Syslog { udp: Some(SYSLOG_ADDRESS), tcp: Some(SYSLOG_ADDRESS), service }
    }
}

fn journald(mut fields: Fields<'_>, problems: &mut Problems) -> Journald {
    let mut journald = Journald { units: fields.strings("units", problems).unwrap_or_default(), ..Journald::default() };
    if journald.units.len() > UNITS_MAX {
        fields.mistake("units", &format!("must be at most {UNITS_MAX}"), problems);
    }
    journald.directory = fields.path("directory", problems);
    let start_at = [("end", StartAt::End), ("beginning", StartAt::Beginning)];
    journald.start_at = fields.word("start_at", &start_at, problems).unwrap_or_default();
    fields.finish(problems);
    journald
}

/// `multiline: auto`, `none`, or `{ start: PATTERN, lines_max: N, bytes_max: SIZE }`.
pub(super) fn multiline(fields: &mut Fields<'_>, kind: SourceKind, problems: &mut Problems) -> Multiline {
    let Some(node) = fields.given("multiline") else { return Multiline::Auto };
    if !matches!(node.value, Value::Map(_)) {
        let choices = [("auto", false), ("none", true)];
        let none = fields.word("multiline", &choices, problems).unwrap_or_default();
        return if none { Multiline::None } else { Multiline::Auto };
    }
    if kind == SourceKind::NginxAccess {
        fields.mistake("multiline", "cannot be a pattern: every line of an access log is an event", problems);
    }
    let mut written = fields.section("multiline", problems);
    let start = written.text("start", problems);
    let lines_max = written.integer("lines_max", 1..=i64::from(START_LINES_MAX), problems);
    let bytes_max = written.bytes("bytes_max", 1..=START_BYTES_MAX as u64, problems);
    let rule = match start.as_deref().map(StartRule::new) {
        None => {
            written.mistake("start", "is missing: give the pattern with which an event begins", problems);
            None
        }
        Some(Err(error)) => {
            written.mistake("start", &error.to_string(), problems);
            None
        }
        Some(Ok(rule)) => {
            let lines_max = lines_max.and_then(|lines| u32::try_from(lines).ok());
            Some(rule.with_limits(lines_max, bytes_max.and_then(|bytes| usize::try_from(bytes).ok())))
        }
    };
    written.finish(problems);
    rule.map_or(Multiline::Auto, Multiline::Start)
}

/// The kind behind a `format` and what travels with it, or what is wrong with the word.
pub fn format_of(text: &str) -> Result<(SourceKind, String), String> {
    let kind = match text {
        "auto" => SourceKind::File,
        "nginx" => return Ok((SourceKind::NginxAccess, COMBINED.to_owned())),
        "nginx_error" => SourceKind::NginxError,
        "pm2" => SourceKind::Pm2,
        "docker" => SourceKind::Docker,
        "cri" => SourceKind::Cri,
        // What the lines look like is found out by the server, unless it is told: these are names of its parsers.
        name if TEXT_FORMATS.contains(&name) => return Ok((SourceKind::File, name.to_owned())),
        format if format.contains('$') => return Ok((SourceKind::NginxAccess, text.to_owned())),
        other => {
            if let Some(name) = other.strip_prefix("parser:").filter(|name| !name.is_empty()) {
                return Ok((SourceKind::File, name.to_owned()));
            }
            let names = TEXT_FORMATS.join(", ");
            return Err(format!(
                "must be one of auto, nginx, nginx_error, pm2, docker, cri, {names}, parser:NAME for a parser of the \
                 server's own, or an nginx log_format with its $variables, not '{other}'"
            ));
        }
    };
    Ok((kind, String::new()))
}
