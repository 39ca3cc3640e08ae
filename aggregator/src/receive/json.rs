//! `POST /api/v1/ingest`: NDJSON, an array or one object, told apart by the bytes and not by the content type.
//!
//! Every object becomes one record of a native batch whose text is the object as it was written. One bad line is
//! counted and named; the others are stored.

use std::collections::BTreeMap;

use logweir_proto::api::{INGEST_ERRORS_SHOWN, IngestError};
use logweir_proto::batch::{
    AgentInfo, BatchError, BodyBuilder, Header, Heartbeat, LINE_BYTES_MAX, SourceInfo, SourceKind, Whole,
};
use serde_json::value::RawValue;

use crate::equal::is_ascii;
use crate::ranges::HTTP_AGENT;
use crate::spans::Spans;
pub use crate::spans::check::JSON_DEPTH_MAX;
use crate::spans::shapes::Shapes;

/// zstd level of the batches that are built here. They live in the log for minutes: twice the bytes of level 1 for
/// half of its time.
const ZSTD_LEVEL: i32 = -5;

/// Who sent the request, for its records.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// `Idempotency-Key`: a second request with the same key is a repeat and stores nothing.
    pub idempotency_key: Option<String>,
    pub host: String,
    /// Canonical fields for records that lack them.
    pub labels: BTreeMap<String, String>,
}

/// What was found in a body.
#[derive(Debug, Default)]
pub struct Objects<'a> {
    pub texts: Vec<&'a [u8]>,
    pub rejected: u64,
    pub errors: Vec<IngestError>,
    /// The whole body is valid UTF-8.
    is_text: bool,
    shapes: Shapes,
}

impl<'a> Objects<'a> {
    fn take(&mut self, line: u64, text: &'a [u8]) {
        match check(text, self.is_text.then_some(&mut self.shapes)) {
            Ok(form) => {
                self.texts.push(text);
                self.shapes.spans.add_line(form);
            }
            Err(reason) => self.reject(line, reason),
        }
    }

    /// Where the values of the texts are.
    pub fn into_spans(self) -> Spans {
        self.shapes.spans
    }

    fn reject(&mut self, line: u64, reason: String) {
        self.rejected += 1;
        if self.errors.len() < INGEST_ERRORS_SHOWN {
            self.errors.push(IngestError { line, reason });
        }
    }
}

/// Finds the objects of a body.
pub fn split(body: &[u8]) -> Objects<'_> {
    let mut objects = Objects { is_text: is_ascii(body) || std::str::from_utf8(body).is_ok(), ..Objects::default() };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let first = body.iter().position(|b| !b.is_ascii_whitespace()).map(|at| body[at]);
    if first == Some(b'[') {
        split_array(body, &mut objects);
        return objects;
    }
    // One object over several lines has no line that is whole by itself.
    if first == Some(b'{') && memchr::memchr(b'\n', body).is_some() && serde_json::from_slice::<&RawValue>(body).is_ok()
    {
        objects.take(1, body.trim_ascii());
        return objects;
    }
    let mut start = 0;
    for (i, end) in memchr::memchr_iter(b'\n', body).chain([body.len()]).enumerate() {
        let line = body[start..end].trim_ascii();
        start = end + 1;
        if !line.is_empty() {
            objects.take(i as u64 + 1, line);
        }
    }
    objects
}

fn split_array<'a>(body: &'a [u8], objects: &mut Objects<'a>) {
    match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Ok(values) => {
            for (i, value) in values.into_iter().enumerate() {
                objects.take(i as u64 + 1, value.get().as_bytes());
            }
        }
        Err(error) => objects.reject(error.line() as u64, format!("the array is not valid JSON: {error}")),
    }
}

/// With `shapes`, those of the lines before, where `text` is known to be valid UTF-8. The number of its form, or 0.
fn check(text: &[u8], shapes: Option<&mut Shapes>) -> Result<u8, String> {
    if text.len() > LINE_BYTES_MAX {
        return Err(format!("{} bytes are over the limit of {LINE_BYTES_MAX} for one record", text.len()));
    }
    if text.first() != Some(&b'{') {
        return Err("not a JSON object".to_owned());
    }
    if let Some(form) = shapes.and_then(|shapes| shapes.object(text)) {
        return Ok(form);
    }
    match serde_json::from_slice::<&RawValue>(text) {
        Ok(_) if depth(text) > JSON_DEPTH_MAX => Err(format!("nested deeper than {JSON_DEPTH_MAX}")),
        Ok(_) => Ok(0),
        Err(error) => Err(format!("not valid JSON: {error}")),
    }
}

/// How deep valid JSON is nested: brackets outside strings.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Builds the batch of a request.
pub fn batch(sender: &Sender, texts: &[&[u8]]) -> Result<Whole, BatchError> {
    let (agent, source) = match &sender.idempotency_key {
        Some(key) => (HTTP_AGENT, key.as_str()),
        None => ("", "request"),
    };
    let header = Header {
        agent: AgentInfo {
            id: agent.to_owned(),
            host: sender.host.clone(),
            version: String::new(),
            utc_offset_minutes: 0,
        },
        seq: 0,
        sources: vec![SourceInfo {
            id: source.to_owned(),
            kind: SourceKind::Json,
            path: String::new(),
            format: String::new(),
            labels: sender.labels.clone(),
        }],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat::default(),
    };
    let mut body = BodyBuilder::default();
    if !texts.is_empty() {
        body.push_plain(0, 0, texts);
    }
    body.finish_whole(header, ZSTD_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> (Vec<String>, Vec<(u64, String)>) {
        let objects = split(body.as_bytes());
        let texts = objects.texts.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect();
        (texts, objects.errors.into_iter().map(|e| (e.line, e.reason)).collect())
    }

    #[test]
    fn lines_arrays_and_single_objects_are_told_apart() {
        assert_eq!(texts("{\"a\":1}\n\n{\"a\":2}\r\n").0, ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(texts("\u{feff} [ {\"a\":1} , {\"a\":2}]").0, ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(texts("{\n \"a\": 1\n}\n").0, ["{\n \"a\": 1\n}"]);
        assert_eq!(texts("").0, [""; 0]);
    }

    #[test]
    fn one_bad_line_is_named_and_the_others_are_kept() {
        let (good, bad) = texts("{\"a\":1}\n{\"a\":\nnonsense\n7\n{\"a\":2}");
        assert_eq!(good, ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(bad.iter().map(|b| b.0).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(bad[1].1, "not a JSON object");
        let (good, bad) = texts("[{\"a\":1}, 3, {\"b\":");
        assert_eq!((good.len(), bad.len()), (0, 1), "a broken array has no safe part");
    }

    #[test]
    fn many_errors_are_counted_and_the_first_are_shown() {
        let body = "x\n".repeat(100);
        let objects = split(body.as_bytes());
        assert_eq!((objects.rejected, objects.errors.len()), (100, INGEST_ERRORS_SHOWN));
    }

    #[test]
    fn a_nesting_bomb_is_refused() {
        let (good, bad) = texts(&format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)));
        assert_eq!((good.len(), bad.len()), (0, 1));
    }
}
