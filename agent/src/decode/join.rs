//! Docker's json-file and CRI: lines in envelopes, joined from pieces per stream and then by [`multiline`].
//!
//! Pieces of stdout and stderr interleave. A record ends where the line that completed it ends, and stands for the
//! bytes since the record before it; a clean point is where no stream has a piece open. Between two clean points the
//! finished records are held, so that a chunk can only be cut where nothing is lost.
//!
//! [`multiline`]: super::multiline

use std::ops::Range;

use logweir_proto::batch::{ChunkBuilder, Stream};

use super::lines::{cut_at, trim_cr};
use super::multiline::{GROUP_BYTES_MAX, Group, Rules};
use super::{Close, Decoded, Format, Multiline, Open, Window, cri, docker};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    Docker,
    Cri,
}

/// What an envelope says; its text is in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    pub stream: Stream,
    pub time_ns: Option<i64>,
    /// The text ends a line; else another piece follows.
    pub last: bool,
}

/// A finished record between two clean points.
#[derive(Debug)]
struct Held {
    end: usize,
    text: Range<usize>,
    time_ns: Option<i64>,
    stream: Stream,
    truncated: bool,
}

/// Pieces of one stream whose last is missing.
#[derive(Debug, Default)]
struct Partial {
    /// Where its first piece begins; `None` when none is open.
    start: Option<usize>,
    end: usize,
    time_ns: Option<i64>,
    text: Vec<u8>,
    /// It is the rest of a line that was cut at the limit.
    cut: bool,
}

#[derive(Debug)]
struct Event {
    group: Group,
    stream: Stream,
    time_ns: Option<i64>,
    end: usize,
    truncated: bool,
}

/// Buffers that live as long as the agent.
#[derive(Debug, Default)]
pub struct Buffers {
    partials: [Partial; 2],
    arena: Vec<u8>,
    held: Vec<Held>,
    event_text: Vec<u8>,
    line: Vec<u8>,
}

pub fn decode(
    envelope: Envelope,
    format: Format,
    window: Window<'_>,
    buffers: &mut Buffers,
    out: &mut ChunkBuilder,
) -> Decoded {
    for partial in &mut buffers.partials {
        *partial = Partial { text: std::mem::take(&mut partial.text), ..Partial::default() };
        partial.text.clear();
    }
    buffers.held.clear();
    buffers.arena.clear();
    let decoded = Decoded { consumed: 0, open: None, truncated: 0, interleaved: false };
    let mut joiner = Joiner { format, buffers, event: None, out, decoded };
    let mut at = 0;
    while let Some(n) = memchr::memchr(b'\n', &window.bytes[at..]) {
        let end = at + n + 1;
        joiner.line(envelope, &window.bytes[at..at + n], at..end);
        at = end;
    }
    if window.close == Close::All && at < window.bytes.len() {
        joiner.line(envelope, &window.bytes[at..], at..window.bytes.len());
        at = window.bytes.len();
    }
    joiner.finish(window.close);
    let mut decoded = joiner.decoded;
    if decoded.open.is_none() && at < window.bytes.len() {
        decoded.open = Some(Open::Piece);
    }
    decoded
}

struct Joiner<'a> {
    format: Format,
    buffers: &'a mut Buffers,
    event: Option<Event>,
    out: &'a mut ChunkBuilder,
    decoded: Decoded,
}

const fn slot(stream: Stream) -> usize {
    matches!(stream, Stream::Stderr) as usize
}

impl Joiner<'_> {
    fn line(&mut self, envelope: Envelope, raw: &[u8], range: Range<usize>) {
        let mut line = std::mem::take(&mut self.buffers.line);
        line.clear();
        let opened = match envelope {
            Envelope::Docker => docker::open(raw, &mut line),
            Envelope::Cri => cri::open(raw, &mut line),
        };
        match opened {
            Some(opened) => self.piece(opened, &line, range),
            None => self.raw(trim_cr(raw), range),
        }
        self.buffers.line = line;
    }

    /// A line that is no envelope is a record as it is.
    fn raw(&mut self, text: &[u8], range: Range<usize>) {
        let mut at = 0;
        while text.len() - at > self.format.line_bytes {
            let cut = cut_at(&text[at..], self.format.line_bytes);
            self.decoded.truncated += u64::from(at == 0);
            let end = range.start + at + cut;
            self.whole(&text[at..at + cut], (Stream::None, None, true), range.start + at..end);
            at += cut;
        }
        self.whole(&text[at..], (Stream::None, None, at > 0), range.start + at..range.end);
    }

    /// A piece goes to the others of its stream; a line that grows over the limit is cut between two pieces.
    fn piece(&mut self, opened: Opened, text: &[u8], range: Range<usize>) {
        let limit = self.format.line_bytes;
        let at = slot(opened.stream);
        let mut partial = std::mem::take(&mut self.buffers.partials[at]);
        if partial.start.is_some() && partial.text.len() + text.len() > limit {
            self.decoded.truncated += u64::from(!partial.cut);
            self.whole(&partial.text, (opened.stream, partial.time_ns, true), partial.start.unwrap_or(0)..partial.end);
            partial = Partial { cut: true, text: partial.text, ..Partial::default() };
            partial.text.clear();
        }
        // The runtimes cut at 16 KiB, far below the limit: only a foreign writer's single piece can be over it.
        let kept = if text.len() > limit { cut_at(text, limit) } else { text.len() };
        self.decoded.truncated += u64::from(kept < text.len() && !partial.cut);
        let cut = partial.cut || kept < text.len();
        match (opened.last, partial.start) {
            (true, None) => {
                self.whole(&text[..kept], (opened.stream, opened.time_ns, cut), range);
                partial.cut = false;
            }
            (true, Some(start)) => {
                partial.text.extend_from_slice(&text[..kept]);
                self.whole(&partial.text, (opened.stream, partial.time_ns, cut), start..range.end);
                partial = Partial { text: partial.text, ..Partial::default() };
                partial.text.clear();
            }
            (false, start) => {
                partial.start = start.or(Some(range.start));
                partial.time_ns = partial.time_ns.or(opened.time_ns);
                partial.end = range.end;
                partial.cut = cut;
                partial.text.extend_from_slice(&text[..kept]);
            }
        }
        self.buffers.partials[at] = partial;
    }

    /// A line of one stream is complete.
    fn whole(&mut self, text: &[u8], of: (Stream, Option<i64>, bool), range: Range<usize>) {
        let (stream, time_ns, truncated) = of;
        let text = trim_cr(text);
        if let Some(event) = &mut self.event
            && event.stream == stream
            && !event.truncated
            && !truncated
            && self.buffers.event_text.len() + text.len() < GROUP_BYTES_MAX.min(self.format.line_bytes)
            && event.group.continues(text, None)
        {
            self.buffers.event_text.push(b'\n');
            self.buffers.event_text.extend_from_slice(text);
            event.end = range.end;
            return;
        }
        self.close_event(Some(range.start));
        self.buffers.event_text.clear();
        self.buffers.event_text.extend_from_slice(text);
        let group = Group::begin(Rules::Traces, text);
        self.event = Some(Event { group, stream, time_ns, end: range.end, truncated });
        if self.format.multiline == Multiline::None || group.is_complete() {
            self.close_event(None);
        }
    }

    /// Holds the event; `completing` is where the first piece of the line that ends it begins.
    fn close_event(&mut self, completing: Option<usize>) {
        let Some(event) = self.event.take() else { return };
        let text = self.buffers.event_text.as_slice();
        hold(&mut self.buffers.arena, &mut self.buffers.held, text, &event);
        let first_open = self.first_open().into_iter().chain(completing).min();
        if first_open.is_none_or(|start| start >= event.end) {
            self.release();
        } else {
            self.decoded.interleaved = true;
        }
    }

    fn first_open(&self) -> Option<usize> {
        self.buffers.partials.iter().filter_map(|partial| partial.start).min()
    }

    /// A clean point is reached: the held records become part of the chunk.
    fn release(&mut self) {
        let Buffers { held, arena, .. } = &mut *self.buffers;
        held.sort_by_key(|record| record.end);
        let mut from = self.decoded.consumed;
        for record in held.drain(..) {
            let advance = (record.end - from) as u64;
            let text = &arena[record.text];
            self.out.push(text, advance, record.time_ns, record.stream, record.truncated);
            from = record.end;
        }
        self.decoded.consumed = from;
        arena.clear();
    }

    fn finish(&mut self, close: Close) {
        if close == Close::All {
            if let Some(event) = self.event.take() {
                let text = self.buffers.event_text.as_slice();
                hold(&mut self.buffers.arena, &mut self.buffers.held, text, &event);
            }
            for at in 0..self.buffers.partials.len() {
                let Buffers { partials, arena, held, .. } = &mut *self.buffers;
                let partial = &mut partials[at];
                if partial.start.take().is_some() {
                    let stream = if at == 0 { Stream::Stdout } else { Stream::Stderr };
                    let group = Group::begin(Rules::Traces, b"");
                    let event = Event { group, stream, time_ns: partial.time_ns, end: partial.end, truncated: true };
                    hold(arena, held, &partial.text, &event);
                    self.decoded.truncated += 1;
                }
            }
            self.release();
        } else if close == Close::Group {
            self.close_event(None);
        }
        self.decoded.open = match (&self.event, self.first_open()) {
            (_, Some(_)) => Some(Open::Piece),
            (Some(event), None) => Some(event.group.open(&self.buffers.event_text)),
            (None, None) => None,
        };
    }
}

fn hold(arena: &mut Vec<u8>, held: &mut Vec<Held>, text: &[u8], event: &Event) {
    let start = arena.len();
    arena.extend_from_slice(text);
    held.push(Held {
        end: event.end,
        text: start..arena.len(),
        time_ns: event.time_ns,
        stream: event.stream,
        truncated: event.truncated,
    });
}

#[cfg(test)]
mod tests;
