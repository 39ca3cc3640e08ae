//! What each answer means, as one table: the agent never gives up a line because a server is down, slow or wrong.

use std::time::Duration;

/// A server that asks for more patience is asked again after this time.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// How long to wait between two tries with a token that is refused.
pub const AUTH_WAIT: Duration = Duration::from_secs(15);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No answer, or half of one.
    Network,
    Answer {
        status: u16,
        retry_after: Option<Duration>,
        body: Body,
    },
}

/// What the body of an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The answer to a batch.
    Stored,
    /// Logweir's error object.
    Refusal,
    /// Neither: a proxy, another program, garbage.
    Foreign,
}

/// Why a try did not succeed: a closed set, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Unreachable,
    Overloaded,
    ServerError,
    NotLogweir,
    TokenRefused,
}

impl Why {
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::Unreachable => "unreachable",
            Why::Overloaded => "overloaded",
            Why::ServerError => "server_error",
            Why::NotLogweir => "not_logweir",
            Why::TokenRefused => "token_refused",
        }
    }

    /// What the operator can do.
    pub const fn hint(self) -> &'static str {
        match self {
            Why::Unreachable => "check the address, the network and that the server runs",
            Why::Overloaded => "the server is at its limit, the files are the spool meanwhile",
            Why::ServerError => "see the log of the server",
            Why::NotLogweir => "something else answers at this address: check the url and the proxies on the way",
            Why::TokenRefused => "make a token with scope ingest: logweir tokens create --scope ingest",
        }
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Accept,
    /// The same bytes again, after this time or the next step of the back-off.
    Retry {
        after: Option<Duration>,
        why: Why,
    },
    /// Two batches of half the size.
    Split,
    /// Some record is refused: find it, drop and report it alone.
    Isolate,
}

pub fn decide(reply: &Reply) -> Action {
    let Reply::Answer { status, retry_after, body } = reply else {
        return Action::Retry { after: None, why: Why::Unreachable };
    };
    let retry = |why| Action::Retry { after: retry_after.map(|after| after.min(RETRY_AFTER_MAX)), why };
    match (status, body) {
        (200..=299, Body::Stored) => Action::Accept,
        // Not our words: whatever this is, it has stored nothing.
        (200..=299, Body::Refusal | Body::Foreign) => retry(Why::NotLogweir),
        (413, _) => Action::Split,
        (401 | 403, _) => Action::Retry { after: Some(AUTH_WAIT), why: Why::TokenRefused },
        (408 | 425 | 429 | 503, _) => retry(Why::Overloaded),
        (500..=599, _) => retry(Why::ServerError),
        (400 | 422, Body::Refusal) => Action::Isolate,
        _ => retry(Why::NotLogweir),
    }
}

/// `Retry-After` in seconds; the form with a date is not worth a clock here and counts as absent.
pub fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>, body: Body) -> Action {
        decide(&Reply::Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }

    #[test]
    fn the_table() {
        let retry = |after: Option<u64>, why| Action::Retry { after: after.map(Duration::from_secs), why };
        assert_eq!(decide(&Reply::Network), retry(None, Why::Unreachable));
        for (status, after, body, want) in [
            (200, None, Body::Stored, Action::Accept),
            (202, None, Body::Stored, Action::Accept),
            (200, None, Body::Foreign, retry(None, Why::NotLogweir)),
            (204, None, Body::Foreign, retry(None, Why::NotLogweir)),
            (301, None, Body::Foreign, retry(None, Why::NotLogweir)),
            (400, None, Body::Refusal, Action::Isolate),
            (422, None, Body::Refusal, Action::Isolate),
            (400, None, Body::Foreign, retry(None, Why::NotLogweir)),
            (401, None, Body::Refusal, retry(Some(15), Why::TokenRefused)),
            (403, Some(1), Body::Refusal, retry(Some(15), Why::TokenRefused)),
            (404, None, Body::Refusal, retry(None, Why::NotLogweir)),
            (408, None, Body::Foreign, retry(None, Why::Overloaded)),
            (413, None, Body::Foreign, Action::Split),
            (413, None, Body::Refusal, Action::Split),
            (429, Some(7), Body::Refusal, retry(Some(7), Why::Overloaded)),
            (429, Some(86_400), Body::Refusal, retry(Some(300), Why::Overloaded)),
            (500, None, Body::Foreign, retry(None, Why::ServerError)),
            (502, None, Body::Foreign, retry(None, Why::ServerError)),
            (503, Some(2), Body::Refusal, retry(Some(2), Why::Overloaded)),
            (599, None, Body::Stored, retry(None, Why::ServerError)),
        ] {
            assert_eq!(answer(status, after, body.clone()), want, "{status} {body:?}");
        }
    }

    #[test]
    fn retry_after_is_a_number_of_seconds() {
        assert_eq!(retry_after(Some(" 3 ")), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(Some("Fri, 20 Nov 2026 09:10:02 GMT")), None);
        assert_eq!(retry_after(None), None);
    }
}
