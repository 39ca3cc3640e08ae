//! Plain lines: what lies between two `\n`, without the `\r` of a CRLF, cut at the line limit.
//!
//! A file that ends without a newline gives its last line after a quiet time; if the line goes on later, the rest is a
//! record of its own, marked as a piece.

use logweir_proto::batch::SourceKind;
use memchr::{memchr, memchr_iter};

use super::multiline::{Group, Rule, Rules, Verdict};
use super::sink::{Cut, Sink};
use super::{Close, Decoded, Format, Multiline, Open, Window};

/// Each line is a record.
pub fn decode(format: Format<'_>, window: Window<'_>, out: &mut Sink<'_>) -> Decoded {
    let mut cutter = Cutter { limit: format.line_bytes, mid_line: window.mid_line, truncated: 0 };
    let mut at = 0;
    for end in memchr_iter(b'\n', window.bytes) {
        cutter.line(&window.bytes[at..end], out);
        at = end + 1;
    }
    at += cutter.long_rest(&window.bytes[at..], out);
    let rest = &window.bytes[at..];
    if !rest.is_empty() && window.close == Close::All {
        cutter.rest(rest, out);
        at = window.bytes.len();
    }
    let open = (at < window.bytes.len()).then_some(Open::Piece);
    Decoded { consumed: at, open, truncated: cutter.truncated, interleaved: false }
}

/// Lines that belong to one event are one record, with the line ends between them as they stand.
pub fn decode_joined(format: Format<'_>, window: Window<'_>, out: &mut Sink<'_>) -> Decoded {
    let rules = match (format.multiline, format.kind) {
        (Multiline::Start(rule), _) => Rules::Start(rule),
        (_, SourceKind::NginxError) => Rules::NginxError,
        (_, SourceKind::Pm2) => Rules::DatedTraces,
        _ => Rules::Traces,
    };
    let cutter = Cutter { limit: format.line_bytes, mid_line: window.mid_line, truncated: 0 };
    let mut joiner = Joiner { bytes: window.bytes, rules, cutter, event: None };
    let at = joiner.run(window.close, out);
    let (consumed, open) = match &joiner.event {
        Some(event) => (event.start, Some(event.group.open(&window.bytes[event.start..event.end]))),
        None => (at, (at < window.bytes.len()).then_some(Open::Piece)),
    };
    Decoded { consumed, open, truncated: joiner.cutter.truncated, interleaved: false }
}

/// The event that is being collected: a contiguous slice of the window.
#[derive(Debug)]
struct Event<'a> {
    group: Group<'a>,
    start: usize,
    /// Behind the last line that belongs to it.
    end: usize,
    /// Behind the last line on trial.
    trial_end: usize,
}

#[derive(Debug)]
struct Joiner<'a> {
    bytes: &'a [u8],
    rules: Rules<'a>,
    cutter: Cutter,
    event: Option<Event<'a>>,
}

impl Joiner<'_> {
    /// Reads the window; returns where the lines end that it has read.
    fn run(&mut self, close: Close, out: &mut Sink<'_>) -> usize {
        let mut at = 0;
        loop {
            at = self.lines(at, out);
            let rest = &self.bytes[at..];
            let long = rest.len() > self.cutter.limit;
            if (long || close >= Close::Group)
                && let Some(back) = self.take_back(rest, close, out)
            {
                at = back;
                continue;
            }
            if long {
                self.flush(out);
                at += self.cutter.long_rest(rest, out);
            }
            let rest = &self.bytes[at..];
            if close == Close::All && !rest.is_empty() {
                if self.cutter.mid_line || self.next(rest, self.bytes.len()) != Verdict::Joins {
                    self.flush(out);
                    self.cutter.rest(rest, out);
                }
                at = self.bytes.len();
            }
            if close >= Close::Group {
                self.flush(out);
            }
            return at;
        }
    }

    /// Whole lines from `at` on.
    fn lines(&mut self, mut at: usize, out: &mut Sink<'_>) -> usize {
        while let Some(n) = memchr(b'\n', &self.bytes[at..]) {
            let (line, end) = (&self.bytes[at..at + n], at + n + 1);
            let single = self.cutter.mid_line || line.len() > self.cutter.limit;
            if single || self.next(trim_cr(line), end) == Verdict::Ends {
                let back = self.flush(out);
                if back < at && back > 0 {
                    at = back;
                    continue;
                }
                if single {
                    self.cutter.line(line, out);
                } else {
                    let group = Group::begin(self.rules, trim_cr(line));
                    self.event = Some(Event { group, start: at, end, trial_end: end });
                }
            }
            if self.event.as_ref().is_some_and(|event| event.group.is_complete() && event.end == event.trial_end) {
                self.flush(out);
            }
            at = end;
        }
        at
    }

    fn next(&mut self, line: &[u8], end: usize) -> Verdict {
        if !self.event.as_ref().is_some_and(|event| self.has_room(event, end)) {
            return Verdict::Ends;
        }
        let Some(event) = &mut self.event else { return Verdict::Ends };
        let verdict = event.group.next(line, &self.bytes[event.start..event.end]);
        match verdict {
            Verdict::Joins => (event.end, event.trial_end) = (end, end),
            Verdict::OnTrial => event.trial_end = end,
            Verdict::Ends => {}
        }
        verdict
    }

    /// Whether the event may reach up to `end`.
    fn has_room(&self, event: &Event<'_>, end: usize) -> bool {
        end - event.start <= self.cutter.limit.min(event.group.bytes_max())
    }

    /// Where to read again because the lines from there on were on trial and nothing will confirm them.
    fn take_back(&mut self, rest: &[u8], close: Close, out: &mut Sink<'_>) -> Option<usize> {
        let event = self.event.as_ref().filter(|event| event.trial_end > event.end)?;
        let tried = close == Close::All && !rest.is_empty() && !self.cutter.mid_line;
        if tried && self.has_room(event, self.bytes.len()) {
            let mut group = event.group;
            if group.next(rest, &self.bytes[event.start..event.end]) == Verdict::Joins {
                return None;
            }
        }
        Some(self.flush(out))
    }

    /// Pushes the event without its lines on trial; returns where these begin.
    fn flush(&mut self, out: &mut Sink<'_>) -> usize {
        let Some(event) = self.event.take() else { return 0 };
        let whole = &self.bytes[event.start..event.end];
        let text = if whole.ends_with(b"\n") { trim_cr(trim_newline(whole)) } else { whole };
        let rule = event.group.rule();
        // A rule that only lines on trial brought says nothing.
        let rule = if memchr(b'\n', text).is_some() { rule } else { Rule::Single };
        out.push(Cut { rule, ..Cut::line(text, whole.len() as u64, false) });
        event.end
    }
}

/// Pushes single lines, in pieces where they are over the limit.
#[derive(Debug)]
struct Cutter {
    limit: usize,
    mid_line: bool,
    truncated: u64,
}

impl Cutter {
    /// A line whose `\n` follows in the source.
    fn line(&mut self, line: &[u8], out: &mut Sink<'_>) {
        let cut = if line.len() > self.limit { self.pieces(line, out) } else { 0 };
        let last = &line[cut..];
        out.push(Cut::line(trim_cr(last), last.len() as u64 + 1, self.mid_line));
        self.mid_line = false;
    }

    /// Cuts what of an unfinished line is over the limit; returns how much that was.
    fn long_rest(&mut self, rest: &[u8], out: &mut Sink<'_>) -> usize {
        if rest.len() > self.limit { self.pieces(rest, out) } else { 0 }
    }

    fn rest(&mut self, rest: &[u8], out: &mut Sink<'_>) {
        out.push(Cut::line(rest, rest.len() as u64, self.mid_line));
    }

    fn pieces(&mut self, line: &[u8], out: &mut Sink<'_>) -> usize {
        let mut at = 0;
        while line.len() - at > self.limit {
            let cut = cut_at(&line[at..], self.limit);
            out.push(Cut::line(&line[at..at + cut], cut as u64, true));
            at += cut;
            self.truncated += u64::from(!self.mid_line);
            self.mid_line = true;
        }
        at
    }
}

/// Where to cut `text`, which is longer than `limit`: not within a UTF-8 character if that can be helped.
pub(super) fn cut_at(text: &[u8], limit: usize) -> usize {
    let back = (0..4).find(|back| limit > *back && text[limit - back] & 0xc0 != 0x80).unwrap_or(0);
    limit - back
}

pub(super) fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn trim_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
pub(crate) mod tests;
