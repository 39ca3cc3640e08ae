//! Docker's json-file and `local` logs, CRI and our own spool: lines in envelopes, joined from pieces per stream and then by [`multiline`].
//!
//! Pieces of stdout and stderr interleave. A record ends where the line that completed it ends, and stands for the
//! bytes since the record before it; a clean point is where no stream has a piece open. Between two clean points the
//! finished records are held, so that a chunk can only be cut where nothing is lost.
//!
//! [`multiline`]: super::multiline

use std::ops::Range;

use logweir_proto::batch::{SourceKind, Stream};

use super::lines::{cut_at, trim_cr};
use super::multiline::{Group, Rule, Rules, Verdict};
use super::sink::{Cut, Sink};
use super::{Close, Decoded, Format, Multiline, Open, Window, cri, docker, frames};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    Docker,
    Cri,
    Frames,
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
    rule: Rule,
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
struct Event<'a> {
    group: Group<'a>,
    stream: Stream,
    time_ns: Option<i64>,
    end: usize,
    truncated: bool,
    /// Bytes of its text; behind them stand lines on trial.
    text_len: usize,
    on_trial: Vec<OnTrial>,
}

/// A line that may belong to the event.
#[derive(Debug)]
struct OnTrial {
    text: Range<usize>,
    time_ns: Option<i64>,
    range: Range<usize>,
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
    format: Format<'_>,
    window: Window<'_>,
    buffers: &mut Buffers,
    out: &mut Sink<'_>,
) -> Decoded {
    for partial in &mut buffers.partials {
        *partial = Partial { text: std::mem::take(&mut partial.text), ..Partial::default() };
        partial.text.clear();
    }
    buffers.held.clear();
    buffers.arena.clear();
    let decoded = Decoded { consumed: 0, open: None, truncated: 0, interleaved: false };
    let mut joiner = Joiner { format, buffers, event: None, waiting: None, held_end: 0, out, decoded };
    let mut at = 0;
    // What begins within a line is the rest of a foreign one that was cut, or shipped before its end.
    let mut mid_line = window.mid_line && envelope != Envelope::Frames;
    while let Some(len) = next_len(envelope, &window.bytes[at..], window.close) {
        let end = at + len;
        let line = &window.bytes[at..end];
        // A frame may well end in the byte of a newline.
        let line = if envelope == Envelope::Frames { line } else { line.strip_suffix(b"\n").unwrap_or(line) };
        if std::mem::take(&mut mid_line) {
            joiner.raw(trim_cr(line), at..end, true);
        } else {
            joiner.line(envelope, line, at..end);
        }
        at = end;
    }
    joiner.finish(window.close);
    let mut decoded = joiner.decoded;
    if decoded.open.is_none() && at < window.bytes.len() {
        decoded.open = Some(Open::Piece);
    }
    decoded
}

/// Length of the next envelope with its line end, as far as it is there.
fn next_len(envelope: Envelope, bytes: &[u8], close: Close) -> Option<usize> {
    let whole = match envelope {
        Envelope::Frames => frames::next_len(bytes),
        Envelope::Docker | Envelope::Cri => memchr::memchr(b'\n', bytes).map(|at| at + 1),
    };
    whole.or_else(|| (close == Close::All && !bytes.is_empty()).then_some(bytes.len()))
}

struct Joiner<'a, 'b> {
    format: Format<'a>,
    buffers: &'a mut Buffers,
    event: Option<Event<'a>>,
    /// Where the first of the lines begins that are taken back or wait behind those: it may end before them.
    waiting: Option<usize>,
    /// Where the last of the held records ends.
    held_end: usize,
    out: &'a mut Sink<'b>,
    decoded: Decoded,
}

const fn slot(stream: Stream) -> usize {
    matches!(stream, Stream::Stderr) as usize
}

impl Joiner<'_, '_> {
    fn line(&mut self, envelope: Envelope, raw: &[u8], range: Range<usize>) {
        let mut line = std::mem::take(&mut self.buffers.line);
        line.clear();
        let opened = match envelope {
            Envelope::Docker => docker::open(raw, &mut line),
            Envelope::Cri => cri::open(raw, &mut line),
            Envelope::Frames => frames::open(raw, &mut line),
        };
        match opened {
            Some(opened) => self.piece(opened, &line, range),
            None => self.raw(trim_cr(raw), range, false),
        }
        self.buffers.line = line;
    }

    /// A line that is no envelope is a record as it is; with `mid_line` the rest of one.
    fn raw(&mut self, text: &[u8], range: Range<usize>, mid_line: bool) {
        let mut at = 0;
        while text.len() - at > self.format.line_bytes {
            let cut = cut_at(&text[at..], self.format.line_bytes);
            self.decoded.truncated += u64::from(at == 0 && !mid_line);
            let end = range.start + at + cut;
            self.whole(&text[at..at + cut], (Stream::None, None, true), range.start + at..end);
            at += cut;
        }
        self.whole(&text[at..], (Stream::None, None, mid_line || at > 0), range.start + at..range.end);
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
        // Where the limit cuts there is no line end.
        let to_its_end = |line: &'_ [u8]| if kept < text.len() { line.len() } else { trim_cr(line).len() };
        match (opened.last, partial.start) {
            (true, None) => {
                let len = to_its_end(&text[..kept]);
                self.whole(&text[..len], (opened.stream, opened.time_ns, cut), range);
                partial.cut = false;
            }
            (true, Some(start)) => {
                partial.text.extend_from_slice(&text[..kept]);
                partial.text.truncate(to_its_end(&partial.text));
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

    /// A line of one stream is complete; its line end is not a part of `text`.
    fn whole(&mut self, text: &[u8], of: (Stream, Option<i64>, bool), range: Range<usize>) {
        let (stream, time_ns, truncated) = of;
        if self.is_next(text, of, &range) {
            return;
        }
        if self.take_back(range.start) {
            return self.whole(text, of, range);
        }
        self.close_event(Some(range.start));
        self.buffers.event_text.clear();
        self.buffers.event_text.extend_from_slice(text);
        let rules = match self.format.multiline {
            Multiline::Start(rule) => Rules::Start(rule),
            _ => Rules::Traces,
        };
        let group = Group::begin(rules, text);
        let (end, text_len) = (range.end, text.len());
        self.event = Some(Event { group, stream, time_ns, end, truncated, text_len, on_trial: Vec::new() });
        let joined = !matches!(self.format.kind, SourceKind::Syslog | SourceKind::Journald);
        if !joined || *self.format.multiline == Multiline::None || group.is_complete() {
            self.close_event(None);
        }
    }

    /// Adds a line to the event if it belongs to it, or may.
    fn is_next(&mut self, text: &[u8], of: (Stream, Option<i64>, bool), range: &Range<usize>) -> bool {
        let (stream, time_ns, truncated) = of;
        let Some(event) = &mut self.event else { return false };
        let event_text = &mut self.buffers.event_text;
        let bytes_max = event.group.bytes_max().min(self.format.line_bytes);
        if event.stream != stream || event.truncated || truncated || event_text.len() + text.len() >= bytes_max {
            return false;
        }
        let verdict = event.group.next(text, &event_text[..event.text_len]);
        if verdict == Verdict::Ends {
            return false;
        }
        event_text.push(b'\n');
        let start = event_text.len();
        event_text.extend_from_slice(text);
        if verdict == Verdict::Joins {
            event.end = range.end;
            event.text_len = event_text.len();
            event.on_trial.clear();
        } else {
            event.on_trial.push(OnTrial { text: start..event_text.len(), time_ns, range: range.clone() });
        }
        true
    }

    /// Reads the lines on trial as what they are: nothing confirmed them. False when there are none.
    fn take_back(&mut self, completing: usize) -> bool {
        let Some(event) = &mut self.event else { return false };
        let on_trial = std::mem::take(&mut event.on_trial);
        let Some(first) = on_trial.first() else { return false };
        let stream = event.stream;
        // Rare, and small: the buffer is needed for the events that these lines begin.
        let text = self.buffers.event_text.clone();
        self.close_event(Some(first.range.start.min(completing)));
        let before = self.waiting;
        let behind = completing.min(before.unwrap_or(usize::MAX));
        // Lines of one stream begin in the order in which they are complete: the next one is the first.
        let mut lines = on_trial.into_iter().peekable();
        while let Some(line) = lines.next() {
            self.waiting = Some(lines.peek().map_or(behind, |next| next.range.start.min(behind)));
            self.whole(&text[line.text], (stream, line.time_ns, false), line.range);
        }
        self.waiting = before;
        true
    }

    /// Holds the event; `completing` is where the first piece of the line that ends it begins.
    fn close_event(&mut self, completing: Option<usize>) {
        let Some(event) = self.event.take() else { return };
        let text = &self.buffers.event_text[..event.text_len];
        hold(&mut self.buffers.arena, &mut self.buffers.held, text, &event);
        let first_open = self.first_open().into_iter().chain(completing).min();
        // A line that is cut at the limit ends before others that are held already.
        self.held_end = self.held_end.max(event.end);
        if first_open.is_none_or(|start| start >= self.held_end) {
            self.release();
        } else {
            self.decoded.interleaved = true;
        }
    }

    fn first_open(&self) -> Option<usize> {
        self.buffers.partials.iter().filter_map(|partial| partial.start).chain(self.waiting).min()
    }

    /// A clean point is reached: the held records become part of the chunk.
    fn release(&mut self) {
        let Buffers { held, arena, .. } = &mut *self.buffers;
        held.sort_by_key(|record| record.end);
        let mut from = self.decoded.consumed;
        for record in held.drain(..) {
            let advance = (record.end - from) as u64;
            let text = &arena[record.text.clone()];
            let Held { time_ns, stream, truncated, rule, .. } = record;
            self.out.push(Cut { text, advance, time_ns, stream, truncated, rule });
            from = record.end;
        }
        self.decoded.consumed = from;
        self.held_end = 0;
        arena.clear();
    }

    fn finish(&mut self, close: Close) {
        if close >= Close::Group {
            while self.take_back(usize::MAX) {}
        }
        if close == Close::All {
            if let Some(event) = self.event.take() {
                let text = &self.buffers.event_text[..event.text_len];
                hold(&mut self.buffers.arena, &mut self.buffers.held, text, &event);
            }
            self.hold_pieces();
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

    /// Pieces whose last never came.
    fn hold_pieces(&mut self) {
        for (at, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let Buffers { partials, arena, held, .. } = &mut *self.buffers;
            let partial = &mut partials[at];
            if partial.start.take().is_some() {
                let (start, time_ns) = (arena.len(), partial.time_ns);
                arena.extend_from_slice(&partial.text);
                let (end, text) = (partial.end, start..arena.len());
                held.push(Held { end, text, time_ns, stream, truncated: true, rule: Rule::Single });
                self.decoded.truncated += 1;
            }
        }
    }
}

fn hold(arena: &mut Vec<u8>, held: &mut Vec<Held>, text: &[u8], event: &Event<'_>) {
    let start = arena.len();
    arena.extend_from_slice(text);
    let joined = memchr::memchr(b'\n', text).is_some();
    held.push(Held {
        end: event.end,
        text: start..arena.len(),
        time_ns: event.time_ns,
        stream: event.stream,
        truncated: event.truncated,
        rule: if joined { event.group.rule() } else { Rule::Single },
    });
}

#[cfg(test)]
mod tests;
