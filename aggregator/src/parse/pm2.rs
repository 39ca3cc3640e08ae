//! PM2: what its log modes put around a program's output, and the log of the daemon itself.

use logweir_proto::record::Level;
use memchr::memmem;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_until};
use nom::combinator::opt;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::line::{Line, Text, Value};
use super::number;
use super::piece::{Context, Piece, range_within};
use super::time::{self, Stamp};
use crate::names::{NameId, Names};

/// The `DATE: ` that `log_date_format` and `time: true` put before lines, with its colon and space.
pub(super) fn prefix(text: &[u8], utc_offset_minutes: i16) -> Option<(Stamp, usize)> {
    let stamp = time::leading(text, utc_offset_minutes)?;
    text[stamp.len..].starts_with(b": ").then_some((stamp, stamp.len + 2))
}

/// Appends the lines of `text` without the prefixes that stand before them.
pub(super) fn strip_prefixes(text: &[u8], out: &mut Vec<u8>) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let skip = prefix(line, 0).map_or(0, |(_, len)| len);
        out.extend_from_slice(&line[skip..]);
    }
}

/// Whether a line is one of the daemon, by a glance: its times always have this length.
pub(super) fn is_of_daemon(text: &[u8]) -> bool {
    const TIME: &[u8] = b"2026-11-20T09:10:02";
    text.get(TIME.len()..).is_some_and(|rest| rest.starts_with(b": PM2 "))
}

/// The parser of `pm2.log`: restarts and crash loops become `event`, `pm2_app`, `pm_id`, `exit_code`, `signal`.
#[derive(Debug)]
pub(super) struct Daemon {
    event: Option<NameId>,
    pm_id: Option<NameId>,
    exit_code: Option<NameId>,
    signal: Option<NameId>,
    script: Option<NameId>,
}

/// What a line of the daemon tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event<'a> {
    name: &'static str,
    app: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    exit_code: Option<&'a [u8]>,
    signal: Option<&'a [u8]>,
    script: Option<&'a [u8]>,
}

impl Daemon {
    pub(super) fn new(names: &mut Names) -> Daemon {
        Daemon {
            event: names.intern("event"),
            pm_id: names.intern("pm_id"),
            exit_code: names.intern("exit_code"),
            signal: names.intern("signal"),
            script: names.intern("script"),
        }
    }

    /// Fills `line`; false, and nothing is filled, when the text is not a line of the daemon.
    pub(super) fn parse(&self, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        let text = piece.text.trim_ascii_end();
        let Some((stamp, start)) = prefix(text, context.utc_offset_minutes) else { return false };
        let rest = &text[start..];
        let (level, skip) = match rest {
            _ if rest.starts_with(b"PM2 log: ") => (Level::Info, 9),
            _ if rest.starts_with(b"PM2 error: ") => (Level::Error, 11),
            _ => return false,
        };
        line.time_ns = Some(stamp.time_ns);
        line.time_cut = piece.cut(0..stamp.len, stamp.spelling);
        line.level = Some(level);
        let body = start + skip..text.len();
        piece.push(line, NameId::MESSAGE, body.clone());
        if let Ok((_, event)) = event(&text[body]) {
            self.emit(&event, text, piece, line);
        }
        true
    }

    fn emit(&self, event: &Event<'_>, text: &[u8], piece: Piece<'_>, line: &mut Line) {
        if let Some(name) = self.event {
            line.push(name, Value::Text(Text::Static(event.name)), None);
        }
        let texts = [(Some(NameId::PM2_APP), event.app), (self.signal, event.signal), (self.script, event.script)];
        for (name, value) in texts {
            if let (Some(name), Some(value)) = (name, value) {
                piece.derive(line, name, range_within(text, value));
            }
        }
        for (name, value) in [(self.pm_id, event.id), (self.exit_code, event.exit_code)] {
            let (Some(name), Some(value)) = (name, value) else { continue };
            match number::integer(value) {
                Some(value) => line.push_default(name, Value::Int(value)),
                // `_old_5`: the instance that a reload replaces.
                None => piece.derive(line, name, range_within(text, value)),
            }
        }
        let crashed = event.exit_code.is_some_and(|code| code != b"0");
        if crashed || event.name == "errored" {
            line.level = Some(Level::Error);
        }
    }
}

fn event(text: &[u8]) -> IResult<&[u8], Event<'_>> {
    alt((app_event, stop_event, errored_event)).parse(text)
}

/// `App [api:0] exited with code [1] via signal [SIGINT]`, `… online`, `… starting in -fork mode-`.
fn app_event(text: &[u8]) -> IResult<&[u8], Event<'_>> {
    let (rest, who) = delimited(tag("App ["), take_until("] "), tag("] ")).parse(text)?;
    let (app, id) = match memchr::memrchr(b':', who) {
        Some(colon) => (&who[..colon], Some(&who[colon + 1..])),
        None => (who, None),
    };
    let event = Event { app: Some(app), id, ..Event::default() };
    let bracketed = || delimited(tag("["), take_until("]"), tag("]"));
    let exit = preceded(tag("exited with code "), bracketed());
    let (rest, code) = opt(exit).parse(rest)?;
    if code.is_some() {
        let (rest, signal) = opt(preceded(tag(" via signal "), bracketed())).parse(rest)?;
        return Ok((rest, Event { name: "exit", exit_code: code, signal, ..event }));
    }
    let (rest, word) = alt((tag("online"), tag("starting"), tag("launched"))).parse(rest)?;
    let name = if word == b"online" { "online" } else { "restart" };
    Ok((rest, Event { name, ..event }))
}

/// `Stopping app:clu id:5`, `App name:clu id:5 disconnected`.
fn stop_event(text: &[u8]) -> IResult<&[u8], Event<'_>> {
    let (rest, lead) = alt((tag("Stopping app:"), tag("App name:"))).parse(text)?;
    let (rest, app) = take_until(" id:").parse(rest)?;
    let (rest, _) = tag(" id:").parse(rest)?;
    let len = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let (id, rest) = rest.split_at(len);
    let name = if lead.starts_with(b"Stopping") { "stop" } else { "disconnect" };
    Ok((rest, Event { name, app: Some(app), id: Some(id), ..Event::default() }))
}

/// `Script /srv/crashy.js had too many unstable restarts (16). Stopped. "errored"`.
fn errored_event(text: &[u8]) -> IResult<&[u8], Event<'_>> {
    let (rest, script) = preceded(tag("Script "), take_until(" had too many unstable restarts")).parse(text)?;
    Ok((rest, Event { name: "errored", script: Some(script), ..Event::default() }))
}

/// What PM2 writes around the output of a program with `log_type: "json"`.
#[derive(Debug)]
pub(super) struct Envelope {
    type_name: Option<NameId>,
    process_id: Option<NameId>,
    app_name: Option<NameId>,
    pm_id: Option<NameId>,
    event: Option<NameId>,
}

impl Envelope {
    pub(super) fn new(names: &mut Names) -> Envelope {
        Envelope {
            type_name: names.intern("type"),
            process_id: names.intern("process_id"),
            app_name: names.intern("app_name"),
            pm_id: names.intern("pm_id"),
            event: names.intern("event"),
        }
    }

    /// Whether a JSON line that is parsed already is one of PM2's; gives its fields their canonical names.
    pub(super) fn recognize(&self, raw: &[u8], line: &mut Line) -> bool {
        let (Some(type_name), Some(process_id), Some(pm_id)) = (self.type_name, self.process_id, self.pm_id) else {
            return false;
        };
        let stream = match line.text_of(raw, type_name) {
            Some(b"out") => Some("stdout"),
            Some(b"err") => Some("stderr"),
            Some(b"process_event") => None,
            _ => return false,
        };
        let Some(id) = line.remove(process_id) else { return false };
        line.push(pm_id, id.value, id.cut);
        if let Some(stream) = stream {
            line.push_default(NameId::STREAM, Value::Text(Text::Static(stream)));
        }
        let event = match line.text_of(raw, NameId::STATUS) {
            Some(b"start" | b"restart") => Some("restart"),
            Some(b"online") => Some("online"),
            Some(b"exit") => Some("exit"),
            Some(b"errored") => Some("errored"),
            _ => None,
        };
        if let (None, Some(event), Some(name)) = (stream, event, self.event) {
            line.push_default(name, Value::Text(Text::Static(event)));
        }
        // `app_name` is a spelling of `service`, by which PM2 means its app.
        let app = line.get(NameId::SERVICE).or_else(|| self.app_name.and_then(|name| line.get(name))).copied();
        if let Some(app) = app {
            line.push_default(NameId::PM2_APP, app.value);
        }
        true
    }
}

/// Whether the content of a JSON string ends in an escaped newline, which PM2 keeps from the program's output.
pub(super) fn ends_in_newline(content: &[u8]) -> bool {
    let Some(rest) = content.strip_suffix(b"\\n") else { return false };
    let backslashes = rest.iter().rev().take_while(|byte| **byte == b'\\').count();
    backslashes % 2 == 0 && memmem::find(content, b"\\n").is_some()
}

#[cfg(test)]
mod tests;
