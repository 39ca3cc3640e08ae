//! Text messages through Twilio: what is critical, in a few words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::http::Poster;
use super::message::Message;
use super::policy::Outcome;
use super::text::{clip, title};
use crate::route::channel::Sms;

/// What Twilio documents for one body.
pub const BODY_CHARS_MAX: usize = 1_600;
/// What we send of it: each part of 67 characters costs.
const TEXT_CHARS_MAX: usize = 320;

/// Sends to the one number of the channel.
pub async fn send(channel: &Sms, poster: &Poster, message: &Message) -> Outcome {
    let token = match channel.token.read() {
        Ok(token) => token,
        Err(error) => return Outcome::Misconfigured(error),
    };
    let url = format!(
        "{}/2010-04-01/Accounts/{}/Messages.json",
        channel.api_url.trim_end_matches('/'),
        encode(&channel.account)
    );
    let credentials = STANDARD.encode(format!("{}:{}", channel.account, token.expose()));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let Ok(mut value) = HeaderValue::from_str(&format!("Basic {credentials}")) else {
        return Outcome::Misconfigured("the token cannot be a header".to_owned());
    };
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    let Some(to) = channel.to.first() else { return Outcome::Rejected("no number".to_owned()) };
    poster.post(&url, headers, Bytes::from(body(channel, to, message))).await
}

/// The form.
pub fn body(channel: &Sms, to: &str, message: &Message) -> String {
    format!("To={}&From={}&Body={}", encode(to), encode(&channel.from), encode(&text(message)))
}

/// What the person reads.
pub fn text(message: &Message) -> String {
    let first = message.alerts.first().map_or("", |alert| alert.summary.as_str());
    let link = if message.links.ack.is_empty() { String::new() } else { format!(" {}", message.links.ack) };
    let room = TEXT_CHARS_MAX.saturating_sub(link.chars().count()).max(100);
    format!("{}{link}", clip(&format!("{}: {first}", title(message)), room))
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
