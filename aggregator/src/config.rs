//! `logweir.yaml`, checked: every mistake at once, nothing read and ignored.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use logweir_runtime::settings::{Mistakes, Settings};

pub const LISTEN_DEFAULT: &str = "127.0.0.1:7171";
pub const RETENTION_DAYS_DEFAULT: u64 = 30;
pub const INGEST_BYTES_PER_S_DEFAULT: u64 = 200 << 20;
pub const QUERY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Longest `query_timeout`, in the file and in a request.
pub const QUERY_TIMEOUT_MAX: Duration = Duration::from_secs(300);
pub const SEAL_BYTES_DEFAULT: u64 = 64 << 20;
pub const SEAL_AGE_DEFAULT: Duration = Duration::from_secs(600);

/// How the server runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    pub insecure_http: bool,
    pub tls: Option<Tls>,
    pub data_dir: PathBuf,
    pub retention: Retention,
    pub limits: Limits,
    pub alerting: Alerting,
    /// The address in links of notifications; default `http(s)://listen`.
    pub public_url: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub client_ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub days: u64,
    /// Splits that exceed this are dropped, oldest first.
    pub bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub ingest_bytes_per_s: u64,
    pub query_timeout: Duration,
    /// Raw bytes in the head before it is sealed into a split.
    pub seal_bytes: u64,
    /// Age of the head's oldest row before it is sealed.
    pub seal_age: Duration,
}

/// Where the rules and the routing are; `logweir_alerting` reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerting {
    pub rules: Vec<PathBuf>,
    pub config: Option<PathBuf>,
}

impl Config {
    /// The configuration of `logweir up`.
    pub fn local(listen: SocketAddr, data_dir: PathBuf) -> Config {
        Config {
            listen,
            insecure_http: false,
            tls: None,
            data_dir,
            retention: Retention { days: RETENTION_DAYS_DEFAULT, bytes: None },
            limits: Limits {
                ingest_bytes_per_s: INGEST_BYTES_PER_S_DEFAULT,
                query_timeout: QUERY_TIMEOUT_DEFAULT,
                seal_bytes: SEAL_BYTES_DEFAULT,
                seal_age: SEAL_AGE_DEFAULT,
            },
            alerting: Alerting::default(),
            public_url: format!("http://{listen}"),
        }
    }

    /// Reads the text of a file; `env` answers `${NAME}`.
    pub fn parse(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
        let mut settings = Settings::parse(text, env)?;
        let verdict = settings.verdict();
        let listen = parse_listen(&mut settings);
        let mut config = Config::local(listen, PathBuf::from("/var/lib/logweir"));
        config.data_dir = settings.path("data_dir").unwrap_or(config.data_dir);
        config.insecure_http = settings.bool("insecure_http").unwrap_or(false);
        config.tls = parse_tls(settings.section("tls"));
        parse_retention(settings.section("retention"), &mut config.retention);
        parse_limits(settings.section("limits"), &mut config.limits);
        let mut alerting = settings.section("alerting");
        config.alerting.rules = alerting.strings("rules").unwrap_or_default().into_iter().map(PathBuf::from).collect();
        config.alerting.config = alerting.path("config");
        alerting.finish();
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        config.public_url = settings.string("public_url").unwrap_or_else(|| format!("{scheme}://{listen}"));
        config.public_url = config.public_url.trim_end_matches('/').to_owned();
        settings.unsupported("backup");
        if !is_loopback(listen.ip()) && config.tls.is_none() && !config.insecure_http {
            settings.mistake(
                "listen",
                format!(
                    "{listen} is not a loopback address: set tls, or insecure_http: true to send logs in the clear"
                ),
            );
        }
        settings.finish();
        verdict().map(|()| config)
    }
}

pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn parse_listen(settings: &mut Settings) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 7171));
    let Some(text) = settings.string("listen") else { return fallback };
    match text.parse() {
        Ok(listen) => listen,
        Err(_) => {
            settings.mistake("listen", format!("expected ADDRESS:PORT such as {LISTEN_DEFAULT}, found '{text}'"));
            fallback
        }
    }
}

fn parse_tls(mut tls: Settings) -> Option<Tls> {
    let cert_file = tls.path("cert_file");
    let key_file = tls.path("key_file");
    let client_ca_file = tls.path("client_ca_file");
    let parsed = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(Tls { cert_file, key_file, client_ca_file }),
        (None, None) if client_ca_file.is_none() => None,
        (None, _) => {
            tls.mistake("cert_file", "is needed for tls");
            None
        }
        (_, None) => {
            tls.mistake("key_file", "is needed for tls");
            None
        }
    };
    tls.finish();
    parsed
}

fn parse_retention(mut section: Settings, retention: &mut Retention) {
    retention.days = section.integer("days").unwrap_or(retention.days);
    retention.bytes = section.bytes("bytes");
    if retention.days == 0 || retention.days > 36_500 {
        section.mistake("days", "expected 1 to 36500");
    }
    section.unsupported("classes");
    section.finish();
}

fn parse_limits(mut section: Settings, limits: &mut Limits) {
    limits.ingest_bytes_per_s = section.bytes("ingest_bytes_per_s").unwrap_or(limits.ingest_bytes_per_s);
    limits.query_timeout = section.duration("query_timeout").unwrap_or(limits.query_timeout);
    limits.seal_bytes = section.bytes("seal_bytes").unwrap_or(limits.seal_bytes);
    limits.seal_age = section.duration("seal_age").unwrap_or(limits.seal_age);
    if limits.ingest_bytes_per_s < 1 << 10 {
        section.mistake("ingest_bytes_per_s", "expected at least 1KiB");
    }
    if limits.query_timeout.is_zero() || limits.query_timeout > QUERY_TIMEOUT_MAX {
        section.mistake("query_timeout", "expected up to 5m");
    }
    if limits.seal_bytes < 1 << 16 || limits.seal_bytes > 1 << 30 {
        section.mistake("seal_bytes", "expected 64KiB to 1GiB");
    }
    section.unsupported("query_memory");
    section.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, |_| None).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default_on_loopback() {
        let config = parse("").expect("nothing is needed");
        assert_eq!(config.listen.to_string(), LISTEN_DEFAULT);
        assert_eq!(config.retention.days, 30);
        assert_eq!(config.public_url, "http://127.0.0.1:7171");
    }

    #[test]
    fn every_mistake_is_named() {
        let text = "listen: here\nretention: {days: 0, dayz: 3}\ntls: {cert_file: a}\nlimits: {query_timeout: 1h}\nbackup: {to: x}\n";
        expect_test::expect![[r#"
            listen: expected ADDRESS:PORT such as 127.0.0.1:7171, found 'here'
            tls.key_file: is needed for tls
            retention.days: expected 1 to 36500
            retention.dayz: unknown key, did you mean 'days'?
            limits.query_timeout: expected up to 5m
            backup: is not supported by this version: remove it"#]]
        .assert_eq(&parse(text).expect_err("six mistakes"));
    }

    #[test]
    fn an_open_address_needs_tls_or_a_clear_word() {
        assert!(parse("listen: 0.0.0.0:7171").expect_err("open").contains("insecure_http"));
        parse("listen: 0.0.0.0:7171\ninsecure_http: true").expect("said so");
        parse("listen: '[::1]:7171'").expect("loopback");
    }
}
