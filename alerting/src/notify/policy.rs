//! One table: what the end of an attempt means, and when the next one is.

use std::fmt;

use logweir_runtime::secrets::Secret;

const SECOND_NS: i64 = 1_000_000_000;
/// First delay of a retry; it doubles up to [`RETRY_MAX_NS`].
pub const RETRY_BASE_NS: i64 = SECOND_NS;
pub const RETRY_MAX_NS: i64 = 300 * SECOND_NS;
/// A receiver that asks for more patience than this is asked again anyway.
pub const RETRY_AFTER_MAX_NS: i64 = 3600 * SECOND_NS;
/// How long a message is tried.
pub const KEEP_CRITICAL_NS: i64 = 24 * 3600 * SECOND_NS;
pub const KEEP_OTHER_NS: i64 = 6 * 3600 * SECOND_NS;

/// A shorter piece of an address is a word like any other.
const HIDDEN_BYTES_MIN: usize = 8;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Status {
        code: u16,
        retry_after_ns: Option<i64>,
        body: String,
    },
    /// Sent, or partly sent, without an answer in time.
    Timeout,
    /// Nothing was sent.
    NoConnection(String),
    /// The connection broke after something was sent.
    Broken(String),
    /// The address is not allowed.
    Refused(String),
    /// A secret cannot be read, the URL is none.
    Misconfigured(String),
    /// The other side will never take it.
    Rejected(String),
    /// The other side may take it later.
    Later(String),
}

impl Outcome {
    /// Without these secrets: some servers send back what they were sent.
    #[must_use]
    pub fn without(mut self, secrets: &[Secret]) -> Outcome {
        let text = match &mut self {
            Outcome::Timeout => return self,
            Outcome::Status { body, .. } => body,
            Outcome::NoConnection(text)
            | Outcome::Broken(text)
            | Outcome::Refused(text)
            | Outcome::Misconfigured(text)
            | Outcome::Rejected(text)
            | Outcome::Later(text) => text,
        };
        for secret in secrets {
            for hidden in hidden_parts(secret.expose().trim()) {
                *text = text.replace(hidden, "…");
                // What is shown of an answer may end within it.
                let beginnings = (HIDDEN_BYTES_MIN..hidden.len()).rev().filter_map(|end| hidden.get(..end));
                let cut = beginnings.filter_map(|part| text.strip_suffix(part)).map(str::len).next();
                if let Some(cut) = cut {
                    text.truncate(cut);
                    text.push('…');
                }
            }
        }
        self
    }
}

/// A secret itself; of an address what stands behind its host, as a whole and the longer pieces.
fn hidden_parts(secret: &str) -> Vec<&str> {
    let behind = secret.split_once("://").and_then(|(_, rest)| Some(&rest[rest.find(['/', '?'])?..]));
    let Some(behind) = behind else { return Vec::from_iter(Some(secret).filter(|text| !text.is_empty())) };
    let pieces = behind.split(['/', '?', '&', '=']).filter(|piece| piece.len() >= HIDDEN_BYTES_MIN);
    [secret, behind].into_iter().filter(|part| part.len() > 1).chain(pieces).collect()
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Sent,
    Retry {
        at_wall: i64,
        reason: String,
        /// It may have arrived.
        in_doubt: bool,
    },
    Dead {
        reason: String,
    },
}

enum Class {
    Sent,
    Retry { in_doubt: bool },
    Dead,
}

fn class(outcome: &Outcome) -> Class {
    match outcome {
        Outcome::Status { code: 200..=299, .. } => Class::Sent,
        // The receiver is there and will be better later.
        Outcome::Status { code: 408 | 425 | 429 | 500..=599, .. } => Class::Retry { in_doubt: false },
        // What it says of the request will not change by repeating it; redirects are not followed.
        Outcome::Status { .. } => Class::Dead,
        Outcome::Timeout | Outcome::Broken(_) => Class::Retry { in_doubt: true },
        Outcome::NoConnection(_) => Class::Retry { in_doubt: false },
        // An operator can mend it while the message waits.
        Outcome::Misconfigured(_) => Class::Retry { in_doubt: false },
        Outcome::Refused(_) | Outcome::Rejected(_) => Class::Dead,
        Outcome::Later(_) => Class::Retry { in_doubt: false },
    }
}

/// The facts of a message that the decision needs.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub id: &'a str,
    pub created_wall: i64,
    pub critical: bool,
    /// Attempts made, with this one.
    pub attempts: u32,
}

pub fn decide(outcome: &Outcome, facts: Facts<'_>, now_wall: i64) -> Verdict {
    let in_doubt = match class(outcome) {
        Class::Sent => return Verdict::Sent,
        Class::Dead => return Verdict::Dead { reason: outcome.to_string() },
        Class::Retry { in_doubt } => in_doubt,
    };
    let wished = match outcome {
        Outcome::Status { retry_after_ns, .. } => retry_after_ns.map(|ns| ns.clamp(0, RETRY_AFTER_MAX_NS)),
        _ => None,
    };
    let delay_ns = wished.unwrap_or(0).max(backoff_ns(facts.id, facts.attempts));
    let at_wall = now_wall.saturating_add(delay_ns);
    let keep_ns = if facts.critical { KEEP_CRITICAL_NS } else { KEEP_OTHER_NS };
    if at_wall.saturating_sub(facts.created_wall) > keep_ns {
        let hours = keep_ns / (3600 * SECOND_NS);
        return Verdict::Dead {
            reason: format!("given up after {hours} h and {} attempts: {outcome}", facts.attempts),
        };
    }
    Verdict::Retry { at_wall, reason: outcome.to_string(), in_doubt }
}

/// Doubling delay with full jitter that the id decides: the same in every replay, different between messages.
fn backoff_ns(id: &str, attempts: u32) -> i64 {
    let step = RETRY_BASE_NS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(RETRY_MAX_NS);
    let hash = blake3::hash(format!("{id}/{attempts}").as_bytes());
    let random = i64::from(hash.as_bytes()[0]);
    // Never at once: what failed a moment ago fails again.
    (step / 255 * random).max(RETRY_BASE_NS / 4)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Status { code, body, .. } if body.is_empty() => write!(f, "answered {code}"),
            Outcome::Status { code, body, .. } => write!(f, "answered {code}: {body}"),
            Outcome::Timeout => f.write_str("no answer in time"),
            Outcome::NoConnection(error) => write!(f, "no connection: {error}"),
            Outcome::Broken(error) => write!(f, "the connection broke: {error}"),
            Outcome::Refused(reason) => write!(f, "not sent: {reason}"),
            Outcome::Misconfigured(reason) => write!(f, "not sent: {reason}"),
            Outcome::Rejected(reason) => write!(f, "rejected: {reason}"),
            Outcome::Later(reason) => write!(f, "not taken now: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: &Outcome, attempts: u32, age_ns: i64) -> Verdict {
        let facts = Facts { id: "m", created_wall: 0, critical: false, attempts };
        decide(outcome, facts, age_ns)
    }

    fn status(code: u16) -> Outcome {
        Outcome::Status { code, retry_after_ns: None, body: String::new() }
    }

    #[test]
    fn every_end_has_its_consequence() {
        for code in [200, 202, 204] {
            assert_eq!(verdict(&status(code), 1, 0), Verdict::Sent, "{code}");
        }
        for code in [301, 307, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(verdict(&status(code), 1, 0), Verdict::Dead { .. }), "{code}");
        }
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(verdict(&status(code), 1, 0), Verdict::Retry { in_doubt: false, .. }), "{code}");
        }
        assert!(matches!(verdict(&Outcome::Timeout, 1, 0), Verdict::Retry { in_doubt: true, .. }));
        assert!(matches!(verdict(&Outcome::NoConnection("x".into()), 1, 0), Verdict::Retry { in_doubt: false, .. }));
        assert!(matches!(verdict(&Outcome::Refused("x".into()), 1, 0), Verdict::Dead { .. }));
    }

    #[test]
    fn delays_double_within_their_bounds_and_heed_the_receiver() {
        for attempts in 1..30 {
            let Verdict::Retry { at_wall, .. } = verdict(&status(503), attempts, 0) else { panic!("a retry") };
            let step = RETRY_BASE_NS.saturating_mul(1 << (attempts - 1).min(20)).min(RETRY_MAX_NS);
            assert!((RETRY_BASE_NS / 4..=step).contains(&at_wall), "attempt {attempts}: {at_wall}");
        }
        let asked = Outcome::Status { code: 429, retry_after_ns: Some(42 * SECOND_NS), body: String::new() };
        let Verdict::Retry { at_wall, .. } = verdict(&asked, 1, 0) else { panic!("a retry") };
        assert_eq!(at_wall, 42 * SECOND_NS);
    }

    #[test]
    fn a_message_dies_of_age() {
        assert!(matches!(verdict(&status(503), 90, KEEP_OTHER_NS), Verdict::Dead { .. }));
        let facts = Facts { id: "m", created_wall: 0, critical: true, attempts: 90 };
        assert!(matches!(decide(&status(503), facts, KEEP_OTHER_NS), Verdict::Retry { .. }));
    }
}
