//! What Slack sends when somebody presses a button.
//!
//! The body is a form with one field `payload`, JSON. `x-slack-signature` is `v0=` and the hexadecimal HMAC-SHA256 over
//! `v0:TIMESTAMP:BODY` with the app's signing secret; what is older than five minutes is refused.

use hmac::{Hmac, Mac};
use logweir_runtime::secrets::{Secret, constant_time_eq};
use serde_json::Value;
use sha2::Sha256;

use super::{ACTION_ACK, ACTION_SILENCE};
use crate::notify::links::{Action, Target};

/// How far the clocks may differ.
pub const SKEW_MAX_S: i64 = 300;

/// What somebody pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Press {
    pub action: Action,
    pub target: Target,
    pub by: String,
}

/// Whether Slack sent it.
pub fn verify(secret: &Secret, timestamp: &str, signature: &str, body: &[u8], now_wall: i64) -> bool {
    let Ok(at) = timestamp.parse::<i64>() else { return false };
    if now_wall.div_euclid(1_000_000_000).abs_diff(at) > SKEW_MAX_S.unsigned_abs() || secret.expose().is_empty() {
        return false;
    }
    constant_time_eq(sign(secret, timestamp, body).as_bytes(), signature.as_bytes())
}

/// The value of `x-slack-signature`.
pub fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    format!("v0={}", hex(&mac.finalize().into_bytes()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a body that Slack signed.
pub fn parse(body: &[u8]) -> Option<Press> {
    let form = std::str::from_utf8(body).ok()?;
    let field = form.split('&').find_map(|pair| pair.strip_prefix("payload="))?;
    let payload: Value = serde_json::from_slice(&form_decode(field)).ok()?;
    let pressed = payload["actions"].get(0)?;
    let action = match pressed["action_id"].as_str()? {
        ACTION_ACK => Action::Ack,
        ACTION_SILENCE => Action::SilenceHour,
        _ => return None,
    };
    let target = Target::parse(pressed["value"].as_str()?)?;
    let user = &payload["user"];
    let name = user["username"].as_str().or(user["name"].as_str()).or(user["id"].as_str())?;
    let by = crate::notify::text::clip(name, 100);
    Some(Press { action, target, by: format!("{by} (Slack)") })
}

fn form_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = bytes.get(i + 1..i + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[i], escaped.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::S;

    #[test]
    fn the_signature_is_slacks_own_example() {
        // From Slack's documentation of request signatures.
        let secret = Secret::new("8f742231b10e8888abcd99yyyzzz85a5");
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let at = "1531420618";
        let now = 1_531_420_618 * S;
        assert!(verify(&secret, at, signature, body, now));
        assert!(verify(&secret, at, signature, body, now + 300 * S));
        assert!(!verify(&secret, at, signature, body, now + 301 * S), "too old");
        assert!(!verify(&secret, at, signature, b"token=other", now));
        assert!(!verify(&Secret::new("other"), at, signature, body, now));
        assert!(!verify(&secret, "1531420619", signature, body, now));
        assert!(!verify(&Secret::new(""), at, &sign(&Secret::new(""), at, body), body, now), "no secret is no proof");
    }

    #[test]
    fn a_press_names_who_and_what() {
        let body = "payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A%7B%22id%22%3A%22U1%22%2C%22username%22%3A%22ann%2Bb%22%7D%2C%22actions%22%3A%5B%7B%22action_id%22%3A%22logweir_ack%22%2C%22value%22%3A%22e%3A01ABC%22%7D%5D%7D";
        let press = parse(body.as_bytes()).expect("it is one");
        let wanted = Press { action: Action::Ack, target: Target::Episode("01ABC".into()), by: "ann+b (Slack)".into() };
        assert_eq!(press, wanted);
        for wrong in ["", "payload=", "payload=%7B%7D", "x=%zz", "payload=%7B%22actions%22%3A%5B%5D%7D"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
