//! Signed links: acknowledge, silence for an hour, see why, see the chart, without a login.
//!
//! `/act/TOKEN` where TOKEN is base64url of `action|target|expiry in seconds`, a dot, and base64url of the first 16 bytes
//! of HMAC-SHA256 over the part before the dot. Opening a link asks whether it is meant (mail scanners open links), the
//! button on that page acts, once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use logweir_runtime::secrets::{Secret, constant_time_eq};
use sha2::Sha256;

use super::message::Links;
use crate::state::{Episode, OutboxRow, RowKind};

/// A link acts this long.
pub const LINK_VALID_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 512;
const MAC_BYTES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Ack,
    SilenceHour,
    Why,
    Chart,
}

impl Action {
    const ALL: [Action; 4] = [Action::Ack, Action::SilenceHour, Action::Why, Action::Chart];

    pub const fn word(self) -> &'static str {
        match self {
            Action::Ack => "ack",
            Action::SilenceHour => "silence",
            Action::Why => "why",
            Action::Chart => "chart",
        }
    }
}

/// What a link is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Episode(String),
    Group(String),
}

impl Target {
    /// `e:…` or `g:…`
    pub fn parse(text: &str) -> Option<Target> {
        let (kind, id) = text.split_once(':')?;
        let good = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match kind {
            _ if !good => None,
            "e" => Some(Target::Episode(id.to_owned())),
            "g" => Some(Target::Group(id.to_owned())),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("this link is not one of ours, or not complete")]
    Forged,
    #[error("this link is too old; a newer message has another one")]
    Expired,
}

#[derive(Debug, Clone)]
pub struct Signer {
    pub base_url: String,
    key: Secret,
}

impl Signer {
    pub fn new(base_url: &str, key: Secret) -> Signer {
        Signer { base_url: base_url.trim_end_matches('/').to_owned(), key }
    }

    pub fn token(&self, action: Action, target: &str, expires_ns: i64) -> String {
        let text = format!("{}|{target}|{}", action.word(), expires_ns.div_euclid(1_000_000_000));
        let body = URL_SAFE_NO_PAD.encode(text);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&body));
        format!("{body}.{mac}")
    }

    pub fn open(&self, token: &str, now_wall: i64) -> Result<(Action, Target), LinkError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(LinkError::Forged);
        }
        let (body, mac) = token.split_once('.').ok_or(LinkError::Forged)?;
        let given = URL_SAFE_NO_PAD.decode(mac).map_err(|_| LinkError::Forged)?;
        if !constant_time_eq(&given, &self.mac(body)) {
            return Err(LinkError::Forged);
        }
        let text = URL_SAFE_NO_PAD.decode(body).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or(LinkError::Forged)?;
        let mut parts = text.split('|');
        let (action, target, expires) = (parts.next(), parts.next(), parts.next());
        let action = Action::ALL.into_iter().find(|known| Some(known.word()) == action).ok_or(LinkError::Forged)?;
        let target = target.and_then(Target::parse).ok_or(LinkError::Forged)?;
        let expires: i64 = expires.and_then(|text| text.parse().ok()).ok_or(LinkError::Forged)?;
        if now_wall.div_euclid(1_000_000_000) >= expires { Err(LinkError::Expired) } else { Ok((action, target)) }
    }

    fn mac(&self, body: &str) -> Vec<u8> {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) else { return Vec::new() };
        mac.update(body.as_bytes());
        mac.finalize().into_bytes()[..MAC_BYTES].to_vec()
    }

    fn url(&self, action: Action, target: &str, now_wall: i64) -> String {
        let token = self.token(action, target, now_wall.saturating_add(LINK_VALID_NS));
        let kind = if action == Action::Chart { ".png" } else { "" };
        format!("{}/act/{token}{kind}", self.base_url)
    }

    /// The links of a message.
    pub fn links(&self, row: &OutboxRow, alerts: &[Episode], now_wall: i64) -> Links {
        let Some(first) = alerts.first() else { return Links::default() };
        let mut links = Links { lines: first.link.clone(), ..Links::default() };
        if let Some(runbook) = first.annotations.get("runbook").filter(|text| text.starts_with("http")) {
            links.runbook.clone_from(runbook);
        }
        if row.kind == RowKind::Test || !(self.base_url.starts_with("http")) {
            return links;
        }
        let episode = format!("e:{}", first.id);
        links.why = self.url(Action::Why, &episode, now_wall);
        if first.is_firing() {
            let alone = alerts.len() == 1 || !row.group_key.bytes().all(|b| b.is_ascii_hexdigit());
            links.target = if alone { episode } else { format!("g:{}", row.group_key) };
            links.ack = self.url(Action::Ack, &links.target, now_wall);
            links.silence = self.url(Action::SilenceHour, &links.target, now_wall);
        }
        let charted = alerts.iter().find(|alert| alert.extra.points.len() >= super::chart::POINTS_MIN);
        // Chat programs fetch pictures from outside, and over TLS only.
        if let Some(alert) = charted.filter(|_| self.base_url.starts_with("https://")) {
            links.chart = self.url(Action::Chart, &format!("e:{}", alert.id), now_wall);
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{S, T0};

    #[test]
    fn only_our_own_links_open_and_only_for_a_while() {
        let signer = Signer::new("https://logs.example/", Secret::new("k1"));
        let token = signer.token(Action::Ack, "e:01ABC", T0 + 60 * S);
        assert_eq!(signer.open(&token, T0), Ok((Action::Ack, Target::Episode("01ABC".into()))));
        assert_eq!(signer.open(&token, T0 + 60 * S), Err(LinkError::Expired));
        let other = Signer::new("https://logs.example/", Secret::new("k2"));
        assert_eq!(other.open(&token, T0), Err(LinkError::Forged));
        let (body, mac) = token.split_once('.').expect("two parts");
        let silence = URL_SAFE_NO_PAD.encode(format!("silence|e:01ABC|{}", (T0 + 60 * S) / S));
        for forged in [format!("{silence}.{mac}"), body.to_owned(), format!("{body}."), "x".repeat(600), String::new()]
        {
            assert_eq!(signer.open(&forged, T0), Err(LinkError::Forged), "{forged}");
        }
        for wrong in ["e:", "x:1", "e:a b", "e:../..", "e"] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }
}
