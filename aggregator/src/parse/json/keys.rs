//! What the keys of JSON loggers mean, looked up once per key and source.
//!
//! Lines of one source have the same keys in the same order nearly always: each key remembers which one followed it, so
//! that the next line is resolved by comparing bytes.

use std::collections::HashMap;

use logweir_proto::record::field;

use crate::names::{NAME_BYTES_MAX, NameId, Names};

/// Distinct keys that are remembered; then the memory is emptied and fills again.
pub(super) const KEYS_MAX: usize = 4096;

/// Names that one source may bring in at once; then further keys stay in the raw line. Ids used as keys must not fill
/// the names that all sources share.
pub(super) const NAMES_PER_SOURCE_MAX: u32 = 16_384;

/// After so many lines [`NAMES_EARNED`] names more may come: a field that is new after ids were used as keys becomes one
/// in the end.
pub(super) const EARNING_LINES: u32 = 4096;

pub(super) const NAMES_EARNED: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId(u32);

impl KeyId {
    pub(super) const NAMELESS: KeyId = KeyId(NAMELESS);
}

/// What a key can stand for. Of several keys of a line with the same role, the one that comes first in [`CANONICAL`]
/// wins; the others stay fields under their own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Role {
    Time,
    Message,
    /// Becomes the message when nothing else does.
    MessageStandIn,
    Level,
    Service,
    /// `name`: the service of pino and bunyan, which also write a numeric level; anything at all elsewhere.
    LoggerName,
    TraceId,
    ExceptionType,
    ExceptionStack,
    DurationMs,
    /// NGINX's `$request_time` in a JSON format: seconds with three decimals.
    RequestTime,
    Status,
    Method,
    /// A path, perhaps with a query.
    Path,
    Bytes,
    ClientIp,
    UserId,
    UserAgent,
    Upstream,
    Env,
    Version,
    /// No role: the field keeps its name.
    Own,
}

pub(super) const ROLES: usize = Role::Own as usize + 1;

/// Keys by role, the best first.
const CANONICAL: &[(Role, &[&str])] = &[
    (Role::Time, &["time", "timestamp", "@timestamp", "ts", "date", "datetime", "@t", "asctime"]),
    (Role::Message, &["message", "msg", "log", "body", "@m", "short_message", "MESSAGE"]),
    (
        Role::MessageStandIn,
        &["err.message", "error.message", "exception.message", "error", "err", "exception", "request", "event"],
    ),
    (
        Role::Level,
        &["level", "severity", "lvl", "log.level", "levelname", "level_name", "loglevel", "@l", "error_severity"],
    ),
    (Role::Service, &["service", "service.name", "app", "app_name", "appName", "application"]),
    (Role::LoggerName, &["name"]),
    (Role::TraceId, &["trace_id", "traceId", "trace.id", "traceID", "traceid", "dd.trace_id", "otelTraceID"]),
    (
        Role::ExceptionType,
        &[
            "exception.type",
            "err.type",
            "error.type",
            "err.name",
            "error.name",
            "exception.name",
            "exception.class",
            "exception.exception_class",
        ],
    ),
    (
        Role::ExceptionStack,
        &[
            "exception.stack",
            "err.stack",
            "error.stack",
            "exception.stacktrace",
            "error.stack_trace",
            "stack",
            "stack_trace",
            "stacktrace",
            "exc_info",
            "exception",
        ],
    ),
    (
        Role::DurationMs,
        &[
            "duration_ms",
            "durationMs",
            "responseTime",
            "response_time_ms",
            "elapsed_ms",
            "elapsedMs",
            "latency_ms",
            "latencyMs",
            "took_ms",
        ],
    ),
    (Role::RequestTime, &["request_time"]),
    (
        Role::Status,
        &[
            "status",
            "statusCode",
            "status_code",
            "res.statusCode",
            "response.status",
            "http.status_code",
            "http.response.status_code",
            "DownstreamStatus",
        ],
    ),
    (
        Role::Method,
        &[
            "method",
            "req.method",
            "request.method",
            "http.method",
            "http.request.method",
            "request_method",
            "RequestMethod",
        ],
    ),
    (
        Role::Path,
        &[
            "path",
            "url",
            "req.url",
            "request.url",
            "uri",
            "request_uri",
            "http.target",
            "url.path",
            "req.path",
            "RequestPath",
        ],
    ),
    (Role::Bytes, &["bytes", "bytes_sent", "body_bytes_sent", "response_size", "DownstreamContentSize"]),
    (
        Role::ClientIp,
        &[
            "client_ip",
            "clientIp",
            "client.ip",
            "remote_addr",
            "remoteAddress",
            "req.remoteAddress",
            "remote_ip",
            "ip",
            "ClientHost",
            "remote_host",
        ],
    ),
    (Role::UserId, &["user_id", "userId", "user.id", "usr.id"]),
    (
        Role::UserAgent,
        &[
            "user_agent",
            "userAgent",
            "req.headers.user-agent",
            "user_agent.original",
            "http_user_agent",
            "request_User-Agent",
        ],
    ),
    (Role::Upstream, &["upstream", "upstream_addr", "ServiceAddr"]),
    (Role::Env, &["env", "environment", "deployment.environment", "NODE_ENV"]),
    (Role::Version, &["version", "service.version"]),
];

/// The columns that every row has; a key of this name that has another meaning becomes a field with `_` after it.
const RESERVED: [&str; 4] = [field::TIME, field::SEQ, field::LEVEL, field::PATTERN_ID];

#[derive(Debug)]
pub(super) struct Key {
    pub(super) path: Box<[u8]>,
    /// The roles that the key can have, the likelier first, with its place among the keys of the role.
    pub(super) roles: [(Role, u8); 2],
    /// The name of its field where it has no role; `None` when it cannot be a name.
    pub(super) name: Option<NameId>,
    /// The name where a better key has taken the canonical one: `status_` beside `statusCode`.
    pub(super) aside: Option<NameId>,
    next: u32,
}

#[derive(Debug)]
pub(super) struct Keys {
    list: Vec<Key>,
    by_path: HashMap<Box<[u8]>, u32>,
    last: u32,
    /// Names that were new to everybody, less those that lines have earned since.
    brought_in: u32,
    /// Since names were earned.
    lines: u32,
    /// A key is remembered without a name because there were too many.
    refused: bool,
}

/// The key that is too long or not text. It is in the list always, and begins each line.
const NAMELESS: u32 = 0;

impl Default for Keys {
    fn default() -> Keys {
        let nameless =
            Key { path: Box::default(), roles: [(Role::Own, 0); 2], name: None, aside: None, next: NAMELESS };
        Keys { list: vec![nameless], by_path: HashMap::new(), last: NAMELESS, brought_in: 0, lines: 0, refused: false }
    }
}

impl Keys {
    /// Begins a line; true when the ids of earlier lines are not valid any more.
    pub(super) fn begin(&mut self) -> bool {
        let mut over = self.list.len() > KEYS_MAX;
        self.lines += 1;
        if self.lines >= EARNING_LINES {
            self.lines = 0;
            self.brought_in = self.brought_in.saturating_sub(NAMES_EARNED);
            over |= self.refused;
        }
        if over {
            *self = Keys { brought_in: self.brought_in, lines: self.lines, ..Keys::default() };
        }
        self.last = NAMELESS;
        over
    }

    pub(super) fn get(&self, id: KeyId) -> &Key {
        &self.list[id.0 as usize]
    }

    pub(super) fn find(&mut self, path: &[u8], names: &mut Names) -> KeyId {
        let expected = self.list[self.last as usize].next;
        let id = if expected != NAMELESS && *self.list[expected as usize].path == *path {
            expected
        } else {
            let id = self.look_up(path, names);
            self.list[self.last as usize].next = id;
            id
        };
        self.last = id;
        KeyId(id)
    }

    fn look_up(&mut self, path: &[u8], names: &mut Names) -> u32 {
        if let Some(id) = self.by_path.get(path) {
            return *id;
        }
        let Some(text) = std::str::from_utf8(path).ok().filter(|text| (1..NAME_BYTES_MAX).contains(&text.len())) else {
            return NAMELESS;
        };
        let own = if RESERVED.contains(&text) { None } else { self.intern(text, names) };
        let aside = if field::ALL.contains(&text) { self.intern(&format!("{text}_"), names) } else { own };
        let name = own.or(aside);
        let id = self.list.len() as u32;
        self.list.push(Key { path: path.into(), roles: roles_of(text), name, aside, next: NAMELESS });
        self.by_path.insert(path.into(), id);
        id
    }

    fn intern(&mut self, name: &str, names: &mut Names) -> Option<NameId> {
        if let Some(id) = names.get(name) {
            return Some(id);
        }
        if self.brought_in >= NAMES_PER_SOURCE_MAX {
            self.refused = true;
            return None;
        }
        self.brought_in += 1;
        names.intern(name)
    }
}

fn roles_of(path: &str) -> [(Role, u8); 2] {
    let mut roles = [(Role::Own, 0); 2];
    let mut found = 0;
    for (role, keys) in CANONICAL {
        if let Some(rank) = keys.iter().position(|key| *key == path)
            && found < roles.len()
        {
            roles[found] = (*role, rank as u8);
            found += 1;
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_again_in_any_order_and_the_memory_is_bounded() {
        let (mut keys, mut names) = (Keys::default(), Names::default());
        keys.begin();
        let a = keys.find(b"order_id", &mut names);
        let b = keys.find(b"seq", &mut names);
        keys.begin();
        assert_eq!(keys.find(b"seq", &mut names), b);
        assert_eq!(keys.find(b"order_id", &mut names), a);
        assert_eq!(names.name(keys.get(b).name.expect("it is a name")).as_ref(), "seq_");
        for i in 0..NAMES_PER_SOURCE_MAX as usize + KEYS_MAX {
            keys.begin();
            keys.find(format!("k{i}").as_bytes(), &mut names);
        }
        assert!(keys.list.len() <= KEYS_MAX + 1);
        let earned = (NAMES_PER_SOURCE_MAX as usize + KEYS_MAX) / EARNING_LINES as usize * NAMES_EARNED as usize;
        assert!(names.len() <= field::ALL.len() + NAMES_PER_SOURCE_MAX as usize + earned, "{}", names.len());
        keys.begin();
        let again = keys.find(b"order_id", &mut names);
        assert!(keys.get(again).name.is_some(), "a name that is known stays known");
        // No more ids: what is new is a field again.
        let named = (0..=EARNING_LINES).any(|_| {
            keys.begin();
            let new = keys.find(b"payment_id", &mut names);
            keys.get(new).name.is_some()
        });
        assert!(named, "a field that is new after ids were used as keys");
    }

    #[test]
    fn no_key_stands_for_more_than_two_roles() {
        for (_, list) in CANONICAL {
            for key in *list {
                let count = CANONICAL.iter().filter(|(_, other)| other.contains(key)).count();
                assert!(count <= 2, "{key}");
            }
        }
    }

    #[test]
    fn keys_that_cannot_be_names_have_none() {
        let (mut keys, mut names) = (Keys::default(), Names::default());
        keys.begin();
        for path in [&b""[..], b"\xff", &[b'x'; 1000]] {
            let id = keys.find(path, &mut names);
            assert_eq!(keys.get(id).name, None);
        }
    }
}
