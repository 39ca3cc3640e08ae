//! A live tail, read as a browser reads server-sent events.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use logweir_proto::api::Frame;
use reqwest::Response;
use reqwest::StatusCode;

use super::Client;

/// No test watches a tail for longer.
const OPEN_MAX: Duration = Duration::from_secs(120);

/// One open connection to `/api/v1/tail`.
#[derive(Debug)]
pub struct Tail {
    response: Response,
    /// Bytes of an event that is not complete yet.
    pending: String,
}

/// One `row` frame, with the id that resumes behind it.
#[derive(Debug)]
pub struct Message {
    pub id: String,
    pub frame: Frame,
}

impl Tail {
    /// Returns once the server has answered: what is stored from then on comes.
    pub async fn open(client: &Client, query: &str, last_event_id: Option<&str>) -> anyhow::Result<Tail> {
        let mut request = client.get(&format!("/api/v1/tail?query={}", percent_encoded(query)));
        request = request.timeout(OPEN_MAX);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await?;
        ensure!(response.status() == StatusCode::OK, "tail: {}", response.status());
        Ok(Tail { response, pending: String::new() })
    }

    /// The next row, within the time; comments that keep the connection open are skipped.
    pub async fn next(&mut self, within: Duration) -> anyhow::Result<Message> {
        let next = tokio::time::timeout(within, self.next_message()).await;
        next.with_context(|| format!("no row within {within:?}"))?
    }

    async fn next_message(&mut self) -> anyhow::Result<Message> {
        loop {
            while let Some((event, rest)) = self.pending.split_once("\n\n") {
                let event = event.to_owned();
                self.pending = rest.to_owned();
                if let Some(message) = parse(&event)? {
                    return Ok(message);
                }
            }
            match self.response.chunk().await? {
                Some(chunk) => self.pending.push_str(std::str::from_utf8(&chunk).context("a tail is UTF-8")?),
                None => bail!("the tail has ended"),
            }
        }
    }
}

/// Every byte but letters and digits as `%XX`: more than a URL needs, and never wrong.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn parse(event: &str) -> anyhow::Result<Option<Message>> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (field("id:"), field("data:")) {
        (Some(id), Some(data)) => {
            let frame = serde_json::from_str(data).with_context(|| data.to_owned())?;
            Ok(Some(Message { id: id.to_owned(), frame }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_its_url() {
        assert_eq!(percent_encoded("a:b>=ü"), "a%3Ab%3E%3D%C3%BC");
    }

    #[test]
    fn comments_are_no_rows() {
        assert!(parse(": connected").unwrap().is_none());
        let message = parse("id: 7\ndata: {\"t\":\"row\",\"message\":\"hi\"}").unwrap().unwrap();
        assert_eq!(message.id, "7");
        assert!(matches!(message.frame, Frame::Row { .. }));
    }
}
