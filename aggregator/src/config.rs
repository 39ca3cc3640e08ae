//! `logweir.yaml`, checked: every mistake at once, nothing read and ignored.

pub mod parsers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use logweir_proto::query::ast::Query;
use logweir_proto::query::parse;
use logweir_proto::yaml::{self, Environment, Fields, Problem, Problems};
use logweir_runtime::loopback::is_loopback;

use self::parsers::Settings as ParserSettings;

pub const LISTEN_DEFAULT: &str = "127.0.0.1:7171";
pub const RETENTION_DAYS_DEFAULT: u64 = 30;
pub const RETENTION_DAYS_MAX: i64 = 36_500;
pub const INGEST_BYTES_PER_S_MIN: u64 = 1 << 10;
pub const INGEST_BYTES_PER_S_DEFAULT: u64 = 200 << 20;
pub const QUERY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
pub const QUERY_TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// Longest `query_timeout`, in the file and in a request.
pub const QUERY_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Most memory of one aggregation, by estimate, when nobody says.
pub const QUERY_MEMORY_BYTES_DEFAULT: usize = 256 << 20;
/// Range of `query_memory`: less answers nothing, and more is surely a slip of the pen.
pub const QUERY_MEMORY_BYTES_MIN: u64 = 1 << 20;
pub const QUERY_MEMORY_BYTES_MAX: u64 = 64 << 30;
/// Searches of one token that run at a time, and that wait for a turn, when nobody says.
pub const QUERIES_RUNNING_DEFAULT: usize = 4;
pub const QUERIES_WAITING_DEFAULT: usize = 16;
pub const QUERIES_MAX: i64 = 1000;
/// All files of exports together, when nobody says.
pub const EXPORT_BYTES_DEFAULT: u64 = 10 << 30;
pub const EXPORT_BYTES_MIN: u64 = 1 << 20;
/// A finished export is deleted after this long.
pub const EXPORT_KEEP_DEFAULT: Duration = Duration::from_secs(24 * 3600);
pub const EXPORT_KEEP_MIN: Duration = Duration::from_secs(60);
pub const EXPORT_KEEP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
pub const SEAL_BYTES_DEFAULT: u64 = 64 << 20;
pub const SEAL_BYTES_MIN: u64 = 64 << 10;
pub const SEAL_BYTES_MAX: u64 = 1 << 30;
pub const SEAL_AGE_DEFAULT: Duration = Duration::from_secs(600);
/// Range of `column_cache_bytes`; without it, a share of the machine's memory.
pub const COLUMN_CACHE_BYTES_MIN: u64 = 1 << 20;
pub const COLUMN_CACHE_BYTES_MAX: u64 = 64 << 30;
pub const COMPACTION_BYTES_PER_S_MIN: u64 = 64 << 10;
pub const COMPACTION_BYTES_PER_S_DEFAULT: u64 = 16 << 20;
/// How full the disk may be before it is said, and before no data is taken.
pub const DISK_WARN_PERCENT_DEFAULT: u8 = 90;
pub const DISK_FULL_PERCENT_DEFAULT: u8 = 95;
/// Most retention classes: each has splits of its own.
pub const CLASSES_MAX: usize = 16;
/// Longest name of a class.
pub const CLASS_NAME_BYTES_MAX: usize = 32;

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
    pub parsers: ParserSettings,
    /// The address in links of notifications; default `http(s)://listen`.
    pub public_url: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub client_ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Retention {
    pub days: u64,
    /// Splits that exceed this are dropped, oldest first, whatever their class.
    pub bytes: Option<u64>,
    /// The first that an event matches is its class.
    pub classes: Vec<Class>,
}

/// Events that are kept for a time of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    pub name: String,
    /// A filter without pipes.
    pub matches: Query,
    pub days: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub ingest_bytes_per_s: u64,
    pub query_timeout: Duration,
    /// Most memory of one aggregation, by estimate.
    pub query_memory_bytes: usize,
    /// Searches of one token that run at a time.
    pub queries_running: usize,
    /// Searches of one token that wait for a turn.
    pub queries_waiting: usize,
    /// Most bytes of all files of exports together.
    pub export_bytes: u64,
    /// How long a finished export is kept.
    pub export_keep: Duration,
    /// Memory of the rows in the head before they are sealed into a split; under full load there are up to three times
    /// as many.
    pub seal_bytes: u64,
    /// Age of the head's oldest row before it is sealed.
    pub seal_age: Duration,
    /// What compaction may read and write in the mean.
    pub compaction_bytes_per_s: u64,
    /// Memory of decoded columns and of what searches found; without it, a share of the machine's.
    pub column_cache_bytes: Option<u64>,
    /// How full the file system of `data_dir` may be before it is said,
    pub disk_warn_percent: u8,
    /// … and before no data is taken.
    pub disk_full_percent: u8,
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
            retention: Retention { days: RETENTION_DAYS_DEFAULT, bytes: None, classes: Vec::new() },
            limits: Limits {
                ingest_bytes_per_s: INGEST_BYTES_PER_S_DEFAULT,
                query_timeout: QUERY_TIMEOUT_DEFAULT,
                query_memory_bytes: QUERY_MEMORY_BYTES_DEFAULT,
                queries_running: QUERIES_RUNNING_DEFAULT,
                queries_waiting: QUERIES_WAITING_DEFAULT,
                export_bytes: EXPORT_BYTES_DEFAULT,
                export_keep: EXPORT_KEEP_DEFAULT,
                seal_bytes: SEAL_BYTES_DEFAULT,
                seal_age: SEAL_AGE_DEFAULT,
                compaction_bytes_per_s: COMPACTION_BYTES_PER_S_DEFAULT,
                column_cache_bytes: None,
                disk_warn_percent: DISK_WARN_PERCENT_DEFAULT,
                disk_full_percent: DISK_FULL_PERCENT_DEFAULT,
            },
            alerting: Alerting::default(),
            parsers: ParserSettings::default(),
            public_url: format!("http://{listen}"),
        }
    }

    /// Reads the text of a file; `env` answers `${NAME}`.
    pub fn parse(file: &str, text: &str, env: Environment<'_>) -> Result<Config, Vec<Problem>> {
        let mut problems = Problems::new(file, text);
        let root = yaml::parse_config(text, env, &[], &mut problems);
        let fields = root.as_ref().and_then(|root| Fields::new(root, "the configuration", &mut problems));
        match fields.map(|fields| read(fields, &mut problems)) {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.into_sorted()),
        }
    }
}

fn read(mut fields: Fields<'_>, problems: &mut Problems) -> Config {
    let listen = read_listen(&mut fields, problems);
    let mut config = Config::local(listen, PathBuf::from("/var/lib/logweir"));
    config.data_dir = fields.path("data_dir", problems).unwrap_or(config.data_dir);
    config.insecure_http = fields.boolean("insecure_http", problems).unwrap_or(false);
    config.tls = read_tls(fields.section("tls", problems), problems);
    read_retention(fields.section("retention", problems), &mut config.retention, problems);
    read_limits(fields.section("limits", problems), &mut config.limits, problems);
    let mut alerting = fields.section("alerting", problems);
    let rules = alerting.strings("rules", problems).unwrap_or_default();
    config.alerting.rules = rules.into_iter().map(PathBuf::from).collect();
    config.alerting.config = alerting.path("config", problems);
    alerting.finish(problems);
    config.parsers = ParserSettings::read(fields.section("parsers", problems), problems);
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    config.public_url = fields.text("public_url", problems).unwrap_or_else(|| format!("{scheme}://{listen}"));
    config.public_url = config.public_url.trim_end_matches('/').to_owned();
    fields.unsupported(&["backup"], problems);
    if !is_loopback(listen.ip()) && config.tls.is_none() && !config.insecure_http {
        let message =
            format!("{listen} is not a loopback address: set tls, or insecure_http: true to send logs in the clear");
        fields.mistake("listen", &message, problems);
    }
    fields.finish(problems);
    config
}

fn read_listen(fields: &mut Fields<'_>, problems: &mut Problems) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 7171));
    let Some(text) = fields.text("listen", problems) else { return fallback };
    text.parse().unwrap_or_else(|_| {
        let message = format!("must be ADDRESS:PORT such as {LISTEN_DEFAULT}, not '{text}'");
        fields.mistake("listen", &message, problems);
        fallback
    })
}

fn read_tls(mut tls: Fields<'_>, problems: &mut Problems) -> Option<Tls> {
    let cert_file = tls.path("cert_file", problems);
    let key_file = tls.path("key_file", problems);
    let client_ca_file = tls.path("client_ca_file", problems);
    let mut need = |key: &'static str| {
        // A key that is there and wrong has its own message already.
        if tls.given(key).is_none() {
            tls.mistake(key, "is needed for tls", problems);
        }
        None
    };
    let parsed = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(Tls { cert_file, key_file, client_ca_file }),
        (None, None) if client_ca_file.is_none() => None,
        (None, _) => need("cert_file"),
        (_, None) => need("key_file"),
    };
    tls.finish(problems);
    parsed
}

fn read_retention(mut section: Fields<'_>, retention: &mut Retention, problems: &mut Problems) {
    let days = section.integer("days", 1..=RETENTION_DAYS_MAX, problems);
    retention.days = days.map_or(retention.days, i64::unsigned_abs);
    retention.bytes = section.bytes("bytes", 0..=u64::MAX, problems);
    let given = section.place("classes");
    let classes = section.sections("classes", problems);
    if classes.len() > CLASSES_MAX {
        problems
            .add(given, format!("retention.classes has {} entries, at most {CLASSES_MAX} are possible", classes.len()));
    }
    for class in classes {
        if let Some(class) = read_class(class, &retention.classes, problems) {
            retention.classes.push(class);
        }
    }
    section.finish(problems);
}

fn read_class(mut section: Fields<'_>, before: &[Class], problems: &mut Problems) -> Option<Class> {
    for key in ["name", "match", "days"] {
        section.require(key, problems);
    }
    let name = section.text("name", problems);
    let matches = section.text("match", problems);
    let days = section.integer("days", 1..=RETENTION_DAYS_MAX, problems);
    if let Some(name) = &name {
        let is_plain =
            |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if name.is_empty() || name.len() > CLASS_NAME_BYTES_MAX || !is_plain(name) || name == "default" {
            let what = format!("must be 1 to {CLASS_NAME_BYTES_MAX} of a-z, 0-9, '-' and '_', and not 'default'");
            section.mistake("name", &what, problems);
        } else if before.iter().any(|class| class.name == *name) {
            section.mistake("name", "is the name of an earlier class too", problems);
        }
    }
    let query = matches.and_then(|text| match parse::parse(&text) {
        Ok(query) if query.pipes.is_empty() && query.since.is_none() && query.until.is_none() => Some(query),
        Ok(_) => {
            section.mistake("match", "must be a filter, without pipes, since: and until:", problems);
            None
        }
        Err(errors) => {
            let reason = errors.first().map_or("it cannot be read", |error| &error.message);
            section.mistake("match", &format!("is no filter: {reason}"), problems);
            None
        }
    });
    section.finish(problems);
    Some(Class { name: name?, matches: query?, days: days?.unsigned_abs() })
}

fn read_limits(mut section: Fields<'_>, limits: &mut Limits, problems: &mut Problems) {
    let ingest = section.bytes("ingest_bytes_per_s", INGEST_BYTES_PER_S_MIN..=u64::MAX, problems);
    limits.ingest_bytes_per_s = ingest.unwrap_or(limits.ingest_bytes_per_s);
    let timeout = section.duration("query_timeout", QUERY_TIMEOUT_MIN..=QUERY_TIMEOUT_MAX, problems);
    limits.query_timeout = timeout.unwrap_or(limits.query_timeout);
    let memory = section.bytes("query_memory", QUERY_MEMORY_BYTES_MIN..=QUERY_MEMORY_BYTES_MAX, problems);
    let memory = memory.and_then(|bytes| usize::try_from(bytes).ok());
    limits.query_memory_bytes = memory.unwrap_or(limits.query_memory_bytes);
    let running = section.integer("queries_running", 1..=QUERIES_MAX, problems);
    let count = |given: Option<i64>| given.and_then(|count| usize::try_from(count).ok());
    limits.queries_running = count(running).unwrap_or(limits.queries_running);
    let waiting = section.integer("queries_waiting", 0..=QUERIES_MAX, problems);
    limits.queries_waiting = count(waiting).unwrap_or(limits.queries_waiting);
    let export = section.bytes("export_bytes", EXPORT_BYTES_MIN..=u64::MAX, problems);
    limits.export_bytes = export.unwrap_or(limits.export_bytes);
    let keep = section.duration("export_keep", EXPORT_KEEP_MIN..=EXPORT_KEEP_MAX, problems);
    limits.export_keep = keep.unwrap_or(limits.export_keep);
    let seal = section.bytes("seal_bytes", SEAL_BYTES_MIN..=SEAL_BYTES_MAX, problems);
    limits.seal_bytes = seal.unwrap_or(limits.seal_bytes);
    let age = section.duration("seal_age", Duration::ZERO..=Duration::MAX, problems);
    limits.seal_age = age.unwrap_or(limits.seal_age);
    let compaction = section.bytes("compaction_bytes_per_s", COMPACTION_BYTES_PER_S_MIN..=u64::MAX, problems);
    limits.compaction_bytes_per_s = compaction.unwrap_or(limits.compaction_bytes_per_s);
    let columns = COLUMN_CACHE_BYTES_MIN..=COLUMN_CACHE_BYTES_MAX;
    limits.column_cache_bytes = section.bytes("column_cache_bytes", columns, problems);
    let warn = section.integer("disk_warn_percent", 1..=100, problems).and_then(|percent| u8::try_from(percent).ok());
    limits.disk_warn_percent = warn.unwrap_or(limits.disk_warn_percent);
    let full = section.integer("disk_full_percent", 1..=100, problems).and_then(|percent| u8::try_from(percent).ok());
    limits.disk_full_percent = full.unwrap_or(limits.disk_full_percent);
    if warn.is_none() {
        limits.disk_warn_percent = limits.disk_warn_percent.min(limits.disk_full_percent);
    } else if limits.disk_warn_percent > limits.disk_full_percent {
        let full = limits.disk_full_percent;
        section.mistake("disk_warn_percent", &format!("must not be over disk_full_percent, which is {full}"), problems);
    }
    section.finish(problems);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let lines = |problems: Vec<Problem>| problems.iter().map(|problem| format!("{problem}\n")).collect();
        let env = |name: &str| (name == "DATA").then(|| "/srv/data".to_owned());
        Config::parse("logweir.yaml", text, &env).map_err(lines)
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
            logweir.yaml:1:9: listen must be ADDRESS:PORT such as 127.0.0.1:7171, not 'here'
            logweir.yaml:2:19: retention.days must be a whole number from 1 to 36500
            logweir.yaml:2:22: unknown key 'dayz' in retention (did you mean 'days'?)
            logweir.yaml:3:6: tls.key_file is needed for tls
            logweir.yaml:4:25: limits.query_timeout must be a duration from 1ms to 5m
            logweir.yaml:5:1: 'backup' is not supported by this version
        "#]]
        .assert_eq(&parse(text).expect_err("six mistakes"));
    }

    #[test]
    fn an_open_address_needs_tls_or_a_clear_word() {
        assert!(parse("listen: 0.0.0.0:7171").expect_err("open").contains("insecure_http"));
        parse("listen: 0.0.0.0:7171\ninsecure_http: true").expect("said so");
        parse("listen: '[::1]:7171'").expect("loopback");
    }

    #[test]
    fn classes_have_a_name_a_filter_and_days() {
        let text = "retention: {days: 7, classes: [{name: debug, match: 'level<=debug', days: 3}, {name: audit, match: 'service:audit', days: 400}]}\n";
        let config = parse(text).expect("it is right");
        let shown: Vec<_> = config.retention.classes.iter().map(|class| (&*class.name, class.days)).collect();
        assert_eq!(shown, [("debug", 3), ("audit", 400)]);
        let text = "retention:\n  classes:\n  - {name: default, match: '*', days: 1}\n  - {name: a, match: 'x | count', days: 1}\n  - {name: b, match: 'status:', days: 0}\n  - {match: x}\n  - {name: a/b, match: x, days: 1}\nlimits: {disk_warn_percent: 96, disk_full_percent: 101}\n";
        expect_test::expect![[r#"
            logweir.yaml:3:12: retention.classes[0].name must be 1 to 32 of a-z, 0-9, '-' and '_', and not 'default'
            logweir.yaml:4:22: retention.classes[1].match must be a filter, without pipes, since: and until:
            logweir.yaml:5:22: retention.classes[2].match is no filter: 'status' needs a value before the end
            logweir.yaml:5:39: retention.classes[2].days must be a whole number from 1 to 36500
            logweir.yaml:6:5: retention.classes[3] needs 'name'
            logweir.yaml:6:5: retention.classes[3] needs 'days'
            logweir.yaml:7:12: retention.classes[4].name must be 1 to 32 of a-z, 0-9, '-' and '_', and not 'default'
            logweir.yaml:8:29: limits.disk_warn_percent must not be over disk_full_percent, which is 95
            logweir.yaml:8:52: limits.disk_full_percent must be a whole number from 1 to 100
        "#]]
        .assert_eq(&parse(text).expect_err("mistakes"));
    }

    #[test]
    fn limits_and_the_environment_are_read() {
        let text = "data_dir: ${DATA}/logs\nlimits: {query_memory: 64MiB, seal_age: 1h30m, compaction_bytes_per_s: 1MiB, column_cache_bytes: 96MiB}\nretention: {bytes: 10000}\n";
        let config = parse(text).expect("it is right");
        assert_eq!(config.data_dir, PathBuf::from("/srv/data/logs"));
        assert_eq!(config.limits.query_memory_bytes, 64 << 20);
        assert_eq!(config.limits.seal_age, Duration::from_secs(5400));
        assert_eq!(config.limits.compaction_bytes_per_s, 1 << 20);
        assert_eq!(config.limits.column_cache_bytes, Some(96 << 20));
        assert_eq!(config.retention.bytes, Some(10_000));
        assert_eq!(parse("").expect("nothing").limits.query_memory_bytes, QUERY_MEMORY_BYTES_DEFAULT);
        let text = "limits: {queries_running: 2, queries_waiting: 0, export_bytes: 5GiB, export_keep: 2h}";
        let limits = parse(text).expect("it is right").limits;
        assert_eq!((limits.queries_running, limits.queries_waiting), (2, 0));
        assert_eq!((limits.export_bytes, limits.export_keep), (5 << 30, Duration::from_secs(7200)));
        let error = parse("limits: {query_memory: 1KiB}\ndata_dir: ${NOPE}").expect_err("too little");
        expect_test::expect![[r#"
            logweir.yaml:1:24: limits.query_memory must be a size from 1MiB to 64GiB, not 1KiB
            logweir.yaml:2:11: the environment variable NOPE is not set
        "#]]
        .assert_eq(&error);
    }
}
