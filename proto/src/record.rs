//! The event: its identity and order, its level, its values, and the canonical field names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Canonical field names. A field that a line carries under another name keeps that name.
pub mod field {
    pub const TIME: &str = "time";
    pub const SEQ: &str = "seq";
    pub const LEVEL: &str = "level";
    pub const SERVICE: &str = "service";
    pub const HOST: &str = "host";
    pub const ENV: &str = "env";
    pub const VERSION: &str = "version";
    pub const TRACK: &str = "track";
    pub const SOURCE: &str = "source";
    pub const STREAM: &str = "stream";
    pub const FILE: &str = "file";
    pub const MESSAGE: &str = "message";
    pub const ROUTE: &str = "route";
    pub const METHOD: &str = "method";
    pub const PATH: &str = "path";
    pub const STATUS: &str = "status";
    pub const DURATION_MS: &str = "duration_ms";
    pub const BYTES: &str = "bytes";
    pub const CLIENT_IP: &str = "client_ip";
    pub const USER_ID: &str = "user_id";
    pub const USER_AGENT: &str = "user_agent";
    pub const UPSTREAM: &str = "upstream";
    pub const CONTAINER: &str = "container";
    pub const IMAGE: &str = "image";
    pub const PM2_APP: &str = "pm2_app";
    pub const TRACE_ID: &str = "trace_id";
    pub const EXCEPTION_TYPE: &str = "exception.type";
    pub const EXCEPTION_STACK: &str = "exception.stack";
    pub const PATTERN_ID: &str = "pattern_id";
    /// When the server received the line: told only when it is asked for.
    pub const INGESTED: &str = "_ingested";

    /// Every canonical name, in the order in which people are shown them.
    pub const ALL: [&str; 29] = [
        TIME,
        SEQ,
        LEVEL,
        SERVICE,
        HOST,
        ENV,
        VERSION,
        TRACK,
        SOURCE,
        STREAM,
        FILE,
        MESSAGE,
        ROUTE,
        METHOD,
        PATH,
        STATUS,
        DURATION_MS,
        BYTES,
        CLIENT_IP,
        USER_ID,
        USER_AGENT,
        UPSTREAM,
        CONTAINER,
        IMAGE,
        PM2_APP,
        TRACE_ID,
        EXCEPTION_TYPE,
        EXCEPTION_STACK,
        PATTERN_ID,
    ];
}

/// Severity, ordered: `level>=warn` compares these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    pub const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// Reads the spellings that loggers use: words of syslog, NGINX, Java, Python and Go in any case, what Go's
    /// consoles cut them to (`wrn`, `eror`), single letters (`E`), and nothing else; numbers are a matter of the format that carries them.
    pub fn parse(word: &[u8]) -> Option<Level> {
        let mut lower = [0u8; 13];
        if word.is_empty() || word.len() > lower.len() {
            return None;
        }
        let lower = &mut lower[..word.len()];
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trace" | b"verbose" | b"silly" | b"finest" | b"finer" | b"trc" | b"trac" | b"t" => Level::Trace,
            b"debug" | b"fine" | b"config" | b"dbg" | b"debu" | b"dbug" | b"d" => Level::Debug,
            b"info" | b"information" | b"informational" | b"notice" | b"log" | b"http" | b"inf" | b"i" => Level::Info,
            b"warn" | b"warning" | b"wrn" | b"w" => Level::Warn,
            b"error" | b"err" | b"erro" | b"eror" | b"severe" | b"e" => Level::Error,
            b"fatal" | b"critical" | b"crit" | b"alert" | b"emerg" | b"emergency" | b"panic" | b"dpanic" | b"ftl"
            | b"fata" | b"pnc" | b"pani" | b"f" => Level::Fatal,
            _ => return None,
        })
    }

    /// The numeric scale that pino and bunyan share: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.
    pub fn from_pino(number: i64) -> Option<Level> {
        Some(match number {
            ..=0 => return None,
            1..=10 => Level::Trace,
            11..=20 => Level::Debug,
            21..=30 => Level::Info,
            31..=40 => Level::Warn,
            41..=50 => Level::Error,
            51..=100 => Level::Fatal,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity and place of an event in the one total order `(time_ns, seq)`.
///
/// It is the permalink, the cursor of a page, the anchor of a context and the resume point of a tail. Its text form
/// is 26 characters of Crockford base 32 whose byte order is the event order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Nanoseconds since 1970-01-01T00:00:00Z; may be negative.
    pub time_ns: i64,
    /// Position in the WAL: record number and index within the record, see [`seq_of`].
    pub seq: u64,
}

impl schemars::JsonSchema for EventId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "26 characters of Crockford base 32 whose order is that of the events.",
            "pattern": "^[0-9A-HJKMNP-TV-Z]{26}$",
        })
    }
}

/// Low bits of a `seq` that count the events of one WAL record.
pub const SEQ_INDEX_BITS: u32 = 24;

/// Most events that one WAL record (one batch) may hold.
pub const EVENTS_PER_BATCH_MAX: u64 = 1 << SEQ_INDEX_BITS;

/// The sequence number of event `index` of WAL record `record`.
///
/// It depends on nothing but the WAL, so that a replay after a crash gives every line the id that it had.
pub const fn seq_of(record: u64, index: u32) -> u64 {
    (record << SEQ_INDEX_BITS) | (index as u64 & (EVENTS_PER_BATCH_MAX - 1))
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_LEN: usize = 26;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Flipping the sign bit makes the unsigned order of the bits the signed order of the times.
        let time = (self.time_ns as u64) ^ (1 << 63);
        let bits = (u128::from(time) << 64) | u128::from(self.seq);
        let mut text = [0u8; ID_LEN];
        for (i, slot) in text.iter_mut().enumerate() {
            let shift = 5 * (ID_LEN - 1 - i);
            *slot = CROCKFORD[(bits >> shift) as usize & 31];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id is 26 characters of 0-9 and A-Z without I, L, O and U")]
pub struct BadEventId;

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<EventId, BadEventId> {
        if text.len() != ID_LEN {
            return Err(BadEventId);
        }
        let mut bits: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase()).ok_or(BadEventId)?;
            if i == 0 && digit > 7 {
                return Err(BadEventId);
            }
            bits = (bits << 5) | digit as u128;
        }
        Ok(EventId { time_ns: ((bits >> 64) as u64 ^ (1 << 63)) as i64, seq: bits as u64 })
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_sorts_like_its_event() {
        let times = [i64::MIN, -1, 0, 1, 1_763_630_000_000_000_000, i64::MAX];
        let seqs = [0, 1, seq_of(7, 3), u64::MAX];
        let mut ids: Vec<EventId> = Vec::new();
        for time_ns in times {
            for seq in seqs {
                let id = EventId { time_ns, seq };
                assert_eq!(id.to_string().parse(), Ok(id));
                ids.push(id);
            }
        }
        let mut by_text = ids.clone();
        by_text.sort_by_key(|id| id.to_string());
        ids.sort();
        assert_eq!(ids, by_text);
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "01JD", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000U"] {
            assert_eq!(text.parse::<EventId>(), Err(BadEventId), "{text}");
        }
    }

    #[test]
    fn levels_are_ordered_and_read_in_the_spellings_of_loggers() {
        assert!(Level::Warn < Level::Error);
        for (word, level) in [
            ("WARNING", Level::Warn),
            ("emerg", Level::Fatal),
            ("Notice", Level::Info),
            ("E", Level::Error),
            ("eror", Level::Error),
            ("DBUG", Level::Debug),
            ("wrn", Level::Warn),
            ("ftl", Level::Fatal),
            ("Informational", Level::Info),
            ("dpanic", Level::Fatal),
        ] {
            assert_eq!(Level::parse(word.as_bytes()), Some(level), "{word}");
        }
        assert_eq!(Level::parse(b"errors"), None);
        assert_eq!(Level::from_pino(50), Some(Level::Error));
        assert_eq!(Level::from_pino(0), None);
    }
}
