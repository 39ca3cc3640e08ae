//! How each program of the shop writes a line.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use logweir_runtime::clock::{Nanos, rfc3339};
use serde_json::{Value, json};

/// What one request looks like from NGINX.
#[derive(Debug, Clone)]
pub(super) struct Access<'a> {
    pub(super) client: &'a str,
    pub(super) request: &'a str,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) referer: &'a str,
    pub(super) agent: &'a str,
    pub(super) seconds: f64,
    /// `None`: served from disk.
    pub(super) upstream: Option<&'a str>,
    pub(super) trace: &'a str,
}

/// Times of the shop's machine.
#[derive(Debug, Clone)]
pub(super) struct Times {
    zone: TimeZone,
}

impl Times {
    pub(super) fn new(zone: TimeZone) -> Times {
        Times { zone }
    }

    fn local(&self, at: Nanos, format: &str) -> String {
        let time = Timestamp::from_nanosecond(i128::from(at)).unwrap_or_default();
        time.to_zoned(self.zone.clone()).strftime(format).to_string()
    }
}

/// The format `timed` of the configuration.
pub(super) fn access(times: &Times, at: Nanos, line: &Access<'_>) -> String {
    let Access { client, request, status, bytes, referer, agent, seconds, upstream, trace } = line;
    let time = times.local(at, "%d/%b/%Y:%H:%M:%S %z");
    let (urt, ua) = match upstream {
        Some(address) => (format!("{seconds:.3}"), *address),
        None => ("-".to_owned(), "-"),
    };
    format!(
        "{client} - - [{time}] \"{request}\" {status} {bytes} \"{referer}\" \"{agent}\" rt={seconds:.3} urt={urt} \
         ua={ua} host=shop.example trace={trace}\n"
    )
}

/// NGINX's error log: local time without a zone.
pub(super) fn nginx_error(times: &Times, at: Nanos, connection: u64, what: &str, line: &Access<'_>) -> String {
    let time = times.local(at, "%Y/%m/%d %H:%M:%S");
    let path = line.request.split(' ').nth(1).unwrap_or("/");
    let upstream = line.upstream.unwrap_or("10.20.0.11:3000");
    format!(
        "{time} [error] 31#31: *{connection} {what}, client: {}, server: shop.example, request: \"{}\", upstream: \
         \"http://{upstream}{path}\", host: \"shop.example\"\n",
        line.client, line.request
    )
}

/// pino: a number for the level, milliseconds for the time, `msg` last.
pub(super) fn pino(at: Nanos, level: u8, pid: u32, fields: Value, message: &str) -> String {
    let mut object = serde_json::Map::new();
    object.insert("level".to_owned(), json!(level));
    object.insert("time".to_owned(), json!(at / 1_000_000));
    object.insert("pid".to_owned(), json!(pid));
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    object.insert("msg".to_owned(), json!(message));
    format!("{}\n", Value::Object(object))
}

/// The text of a home-grown logger: `[time] LEVEL message key=value`.
pub(super) fn text(at: Nanos, level: &str, message: &str) -> String {
    format!("[{}] {level:<5} {message}\n", millis(at))
}

/// The daemon of PM2: local time without a zone.
pub(super) fn pm2(times: &Times, at: Nanos, message: &str) -> String {
    format!("{}: PM2 log: {message}\n", times.local(at, "%Y-%m-%dT%H:%M:%S"))
}

/// One line of a container, as Docker's json-file driver keeps it.
pub(super) fn docker(at: Nanos, stream: &str, text: &str) -> String {
    let object = json!({"log": format!("{text}\n"), "stream": stream, "time": rfc3339(at)});
    format!("{object}\n")
}

/// What Redis prints: `pid:role date sign message`.
pub(super) fn redis(times: &Times, at: Nanos, sign: char, message: &str) -> String {
    docker(at, "stdout", &format!("1:M {} {sign} {message}", times.local(at, "%d %b %Y %H:%M:%S.%3f")))
}

/// zap, the logger of many Go programs: seconds with decimals, on stderr.
pub(super) fn zap(at: Nanos, level: &str, message: &str, fields: Value) -> String {
    let mut object = serde_json::Map::new();
    object.insert("level".to_owned(), json!(level));
    object.insert("ts".to_owned(), json!((at / 1_000_000) as f64 / 1000.0));
    object.insert("msg".to_owned(), json!(message));
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    docker(at, "stderr", &Value::Object(object).to_string())
}

fn millis(at: Nanos) -> String {
    let time = Timestamp::from_nanosecond(i128::from(at)).unwrap_or_default();
    format!("{time:.3}")
}
