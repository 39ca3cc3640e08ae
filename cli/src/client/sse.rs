//! `text/event-stream` as the tail sends it: events with an id and one JSON document.

use futures_util::StreamExt;
use reqwest::Method;
use reqwest::header::ACCEPT;

use super::lines::{LINE_BYTES_MAX, Lines};
use super::{Client, about_query};
use crate::error::Result;

/// One event of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The id in force when the event came; sent back as `Last-Event-ID` after a cut.
    pub id: Option<String>,
    pub data: String,
}

pub struct SseStream {
    lines: Lines,
    assembly: Assembly,
}

impl Client {
    /// Opens the tail; with `last_id` the server continues behind that event.
    pub async fn tail(&self, parameters: &[(&str, &str)], last_id: Option<&str>) -> Result<SseStream> {
        let mut request = self.request(Method::GET, "/api/v1/tail", parameters)?.header(ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let query = parameters.iter().find(|(name, _)| *name == "query").map_or("", |(_, query)| *query);
        let response = self.send(request).await.map_err(|error| about_query(error, query))?;
        Ok(SseStream { lines: Lines::new(response.bytes_stream().boxed()), assembly: Assembly::default() })
    }
}

impl SseStream {
    /// The next event, or why the stream ended.
    pub async fn next(&mut self) -> std::result::Result<SseEvent, String> {
        loop {
            match self.lines.next().await {
                None => return Err("the connection was closed".to_owned()),
                Some(Err(reason)) => return Err(reason),
                Some(Ok(line)) => {
                    if let Some(event) = self.assembly.line(&String::from_utf8_lossy(&line))? {
                        return Ok(event);
                    }
                }
            }
        }
    }
}

/// Lines of the wire format become events: `field: value`, a blank line dispatches, `:` begins a comment.
#[derive(Debug, Default)]
struct Assembly {
    id: Option<String>,
    data: Option<String>,
}

impl Assembly {
    fn line(&mut self, line: &str) -> std::result::Result<Option<SseEvent>, String> {
        if line.is_empty() {
            return Ok(self.data.take().map(|data| SseEvent { id: self.id.clone(), data }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => {
                let data = self.data.get_or_insert_default();
                if data.len() + value.len() > LINE_BYTES_MAX {
                    return Err(format!("an event is longer than {LINE_BYTES_MAX} bytes"));
                }
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_as_the_standard_says() {
        let mut assembly = Assembly::default();
        let mut events = Vec::new();
        let text = ": hello\nretry: 500\n\nid: A\ndata: {\"n\":1}\n\ndata:two\ndata: lines\n\nevent: x\nid\ndata\n\n";
        for line in text.split('\n') {
            events.extend(assembly.line(line).expect("short"));
        }
        let of = |id: &str, data: &str| SseEvent { id: Some(id.to_owned()), data: data.to_owned() };
        assert_eq!(events, [of("A", "{\"n\":1}"), of("A", "two\nlines"), of("", "")]);
    }
}
