//! From a line to fields. Parsing never fails: a line that no parser knows is a message with its raw text.
//!
//! One [`Parser`] a source. It knows what kind of log it reads, remembers what its lines turned out to be, and fills a
//! [`Line`] that is used again for the next one, so that nothing is allocated once it is warm. Text is hostile: every
//! grammar here takes any bytes, and bytes that are no UTF-8 become visible as `\xHH` in fields.
//!
//! Every part of a line that varies has a cut, also where its value was changed (colours stripped, escapes undone): the
//! store sees that it prints differently and keeps that line raw, but lines of one kind keep one shape.

mod detect;
pub mod form;
pub mod formats;
mod http;
mod journald;
mod json;
mod labels;
pub mod line;
mod mysql_slow;
mod nginx;
pub(crate) mod number;
pub mod pattern;
mod piece;
mod plain;
mod pm2;
mod route;
mod syslog;
pub mod time;
mod utf8;
mod w3c;

use std::sync::Arc;

use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use logweir_proto::formats::FORMAT_SEPARATOR;
use logweir_proto::record::Level;

use self::detect::{Aids, Detector};
use self::formats::{Choice, Formats};
use self::journald::Journal;
use self::json::Json;
use self::labels::Labels;
use self::line::{Cut, Line, Spelling, Text, Value};
use self::nginx::access::Access;
use self::nginx::error::ErrorLog;
use self::piece::{Context, Piece};
use self::pm2::{Daemon, Envelope};
use self::route::Route;
use self::syslog::Syslog;
use crate::equal::is_ascii;
use crate::names::{NameId, Names};
use crate::spans::LineSpans;
use crate::spans::shapes::Shapes;

/// Formats by which one access log is read: what is in force, and those before it.
pub const ACCESS_FORMATS_MAX: usize = 4;

/// One record as it came.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub text: &'a [u8],
    /// The time of the envelope. It does not become the time of the line: the caller falls back to it.
    pub time_ns: Option<i64>,
    pub stream: Stream,
    pub received_ns: i64,
}

/// What a parser has made of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<'a> {
    /// What is around the text of a line: `syslog`, `pm2`.
    pub around: Option<&'a str>,
    /// The format of the text.
    pub inner: Option<&'a str>,
    pub lines: u64,
    /// Lines of a format; the others are plain text.
    pub lines_read: u64,
}

/// The parser of one source.
#[derive(Debug)]
pub struct Parser {
    engine: Engine,
    json: Json,
    /// Of its lines that are JSON, where the door found nothing.
    shapes: Shapes,
    detector: Detector,
    labels: Labels,
    /// Of a source that turned out to be the log of PM2's daemon.
    daemon: Option<Daemon>,
    utc_offset_minutes: i16,
    buffer: Vec<u8>,
    lines: u64,
    /// Lines that were of a format, but for those that the detector has read.
    read: u64,
    json_lines: u64,
}

#[derive(Debug)]
enum Engine {
    /// By the format in force, and by those before it what is not of that.
    Access(Vec<Access>),
    NginxError(ErrorLog),
    Pm2(Box<Pm2>),
    Daemon(Daemon),
    Syslog(Box<Syslog>),
    Journal(Box<Journal>),
    /// JSON, NGINX lines or text, whatever is found.
    Any,
}

#[derive(Debug)]
struct Pm2 {
    envelope: Envelope,
    /// For JSON within PM2's JSON.
    json: Json,
    /// The time that PM2 wrote, where the program wrote a better one.
    time_name: Option<NameId>,
    text: Vec<u8>,
}

impl Parser {
    /// The parser of a source. It must always be used with the same `names`: it keeps numbers of them.
    pub fn new(info: &SourceInfo, host: &str, names: &mut Names) -> Parser {
        Parser::with_formats(info, host, &Formats::built_in(), names)
    }

    /// The same, with the formats and the rules of a configuration.
    pub fn with_formats(info: &SourceInfo, host: &str, formats: &Arc<Formats>, names: &mut Names) -> Parser {
        let choice = formats.choice(info);
        let mut engine = match info.kind {
            SourceKind::NginxAccess | SourceKind::NginxError if choice != Choice::Auto => Engine::Any,
            SourceKind::NginxAccess => match accesses(&info.format, names) {
                accesses if accesses.is_empty() => Engine::Any,
                accesses => Engine::Access(accesses),
            },
            SourceKind::NginxError => Engine::NginxError(ErrorLog::new(names)),
            SourceKind::Pm2 => Engine::Pm2(Box::new(Pm2 {
                envelope: Envelope::new(names),
                json: Json::new(names),
                time_name: names.intern("pm2_time"),
                text: Vec::new(),
            })),
            SourceKind::Pm2Daemon => Engine::Daemon(Daemon::new(names)),
            SourceKind::Syslog => Engine::Syslog(Box::new(Syslog::new(names))),
            SourceKind::Journald => Engine::Journal(Box::new(Journal::new(names))),
            SourceKind::Docker | SourceKind::Cri | SourceKind::File | SourceKind::Json => Engine::Any,
        };
        let labels = Labels::new(info, host, names);
        if let Engine::Access(accesses) = &mut engine
            && let Some(access) = accesses.first_mut()
        {
            access.begin_rows(labels.constants());
        }
        Parser {
            engine,
            json: Json::new(names),
            shapes: Shapes::default(),
            detector: Detector::new(choice, formats, names),
            labels,
            daemon: None,
            utc_offset_minutes: 0,
            buffer: Vec::new(),
            lines: 0,
            read: 0,
            json_lines: 0,
        }
    }

    /// Reads times that tell no zone (NGINX error log, PM2) in this one instead of UTC.
    #[must_use]
    pub fn with_utc_offset(mut self, minutes: i16) -> Parser {
        self.utc_offset_minutes = minutes;
        self
    }

    /// Fills `line` from one record, whatever it holds.
    pub fn parse(&mut self, names: &mut Names, input: Input<'_>, line: &mut Line) {
        self.parse_with(names, input, None, line);
    }

    /// The same, but a line of a form that is known becomes a row of it, see [`form`]. What the door has `found` must be
    /// of this very text.
    #[inline]
    pub fn read(&mut self, names: &mut Names, input: Input<'_>, found: Option<LineSpans<'_>>, line: &mut Line) {
        match &mut self.engine {
            Engine::Access(accesses) if input.stream == Stream::None => {
                match accesses.first_mut().and_then(|access| access.row(input.text, line)) {
                    Some(()) => (self.lines, self.read) = (self.lines + 1, self.read + 1),
                    None => self.parse_with(names, input, None, line),
                }
            }
            Engine::Any if input.stream == Stream::None && self.detector.reads_json() => match found {
                Some(found) => self.read_found(names, input, found, line),
                None => self.find(names, input, line),
            },
            _ => self.parse_with(names, input, None, line),
        }
    }

    /// Reads a line that may be JSON, of which the door has found nothing.
    fn find(&mut self, names: &mut Names, input: Input<'_>, line: &mut Line) {
        let may_be_json = input.text.first() == Some(&b'{');
        let mut shapes = std::mem::take(&mut self.shapes);
        let is_text = may_be_json && (is_ascii(input.text) || std::str::from_utf8(input.text).is_ok());
        match if is_text { shapes.find(input.text) } else { None } {
            Some(found) => self.read_found(names, input, found, line),
            None => self.parse_with(names, input, None, line),
        }
        self.shapes = shapes;
    }

    #[inline]
    fn read_found(&mut self, names: &mut Names, input: Input<'_>, found: LineSpans<'_>, line: &mut Line) {
        match self.json.row(found, input.text, self.utc_offset_minutes, line) {
            Some(()) => (self.lines, self.json_lines) = (self.lines + 1, self.json_lines + 1),
            None => self.parse_with(names, input, Some(found), line),
        }
    }

    fn parse_with(&mut self, names: &mut Names, input: Input<'_>, found: Option<LineSpans<'_>>, line: &mut Line) {
        line.clear();
        let raw = input.text;
        let piece = Piece::raw(raw);
        let context = Context {
            raw,
            found,
            constants: self.labels.constants(),
            utc_offset_minutes: self.utc_offset_minutes,
            received_ns: input.received_ns,
        };
        self.lines += 1;
        let mut text = TextReader {
            detector: &mut self.detector,
            aids: Aids { context, json: &mut self.json, names },
            json_lines: 0,
        };
        let known = match &mut self.engine {
            Engine::Access(accesses) => accesses.iter_mut().any(|access| access.parse(piece, context, line)),
            Engine::NginxError(error) => error.parse(piece, context, line),
            Engine::Daemon(daemon) => daemon.parse(piece, context, line),
            Engine::Pm2(_) | Engine::Any if pm2::is_of_daemon(raw) && text.detector.is_open() => {
                let daemon = self.daemon.get_or_insert_with(|| Daemon::new(text.aids.names));
                daemon.parse(piece, context, line)
            }
            Engine::Pm2(pm2) => pm2.parse(piece, &mut text, line),
            Engine::Syslog(syslog) => is_syslog(syslog, piece, &mut text, line),
            Engine::Journal(journal) => is_journal(journal, piece, &mut self.buffer, &mut text, line),
            Engine::Any => false,
        };
        if !known {
            text.read(piece, piece.cut(piece.whole(), Spelling::Plain), line);
        }
        self.json_lines += text.json_lines;
        self.read += u64::from(known);
        self.finish(input, line);
    }

    /// What reads the lines of the source now, how many there were, and how many of them were of a format.
    pub fn reading(&self) -> Reading<'_> {
        let around = match &self.engine {
            Engine::Access(_) => Some("nginx"),
            Engine::NginxError(_) => Some("nginx_error"),
            Engine::Pm2(_) => Some("pm2"),
            Engine::Daemon(_) => Some("pm2_daemon"),
            Engine::Syslog(_) => Some("syslog"),
            Engine::Journal(_) => Some("journald"),
            Engine::Any => self.daemon.as_ref().map(|_| "pm2_daemon"),
        };
        let around = around.filter(|_| self.read > 0);
        let found = self.detector.lines_read();
        let json = if self.json_lines > found { Some("json") } else { None };
        // The entries of a journal are JSON themselves.
        let json = json.filter(|_| around.is_none_or(|around| around == "syslog"));
        let inner = json.or_else(|| self.detector.format());
        let others = if around.is_some() { self.read } else { self.json_lines + found };
        Reading { around, inner, lines: self.lines, lines_read: others.min(self.lines) }
    }

    /// What holds for every line, whatever parser knew it.
    fn finish(&mut self, input: Input<'_>, line: &mut Line) {
        if line.get(NameId::MESSAGE).is_none() {
            let text = Text::Raw(0, input.text.trim_ascii_end().len() as u32);
            line.push(NameId::MESSAGE, Value::Text(text), None);
        }
        if line.get(NameId::ROUTE).is_none()
            && let Some(Value::Text(path)) = line.get(NameId::PATH).map(|field| field.value)
        {
            self.buffer.clear();
            let route = match route::template(line.text(input.text, path), &mut self.buffer) {
                Route::None => None,
                Route::Path(len) => Some(path.head(len)),
                Route::Made => Some(line.scratch(&self.buffer)),
            };
            if let Some(route) = route {
                line.push(NameId::ROUTE, Value::Text(route), None);
            }
        }
        self.labels.apply(input.stream, line);
        if line.level.is_none() && matches!(self.engine, Engine::Pm2(_)) {
            let stderr = line.text_of(input.text, NameId::STREAM) == Some(b"stderr");
            line.level = stderr.then_some(Level::Error);
        }
        // Most lines are ASCII, which is found out in a third of the time.
        if !is_ascii(input.text) && std::str::from_utf8(input.text).is_err() {
            utf8::mend(input.text, line, &mut self.buffer);
        }
    }
}

/// A parser for each format of an access log.
fn accesses(formats: &str, names: &mut Names) -> Vec<Access> {
    let formats = formats.split(FORMAT_SEPARATOR).take(ACCESS_FORMATS_MAX);
    formats.filter_map(|format| Access::compile(format, names)).collect()
}

/// Reads what a program wrote: JSON, a line of some format, or text.
struct TextReader<'a> {
    detector: &'a mut Detector,
    aids: Aids<'a>,
    json_lines: u64,
}

impl TextReader<'_> {
    fn is_json(&mut self, piece: Piece<'_>, line: &mut Line) -> bool {
        let Aids { context, json, names } = &mut self.aids;
        let is_json = piece.text.trim_ascii_start().first() == Some(&b'{')
            && self.detector.reads_json()
            && json.parse(piece, *context, names, line);
        self.json_lines += u64::from(is_json);
        is_json
    }

    /// Fills `line`, whatever it is; `cut` is the place of the whole piece in the raw line.
    fn read(&mut self, piece: Piece<'_>, cut: Option<Cut>, line: &mut Line) {
        if !self.is_json(piece, line) {
            self.text(piece, cut, line);
        }
    }

    fn text(&mut self, piece: Piece<'_>, cut: Option<Cut>, line: &mut Line) {
        self.detector.parse(piece, cut, &mut self.aids, line);
    }
}

/// Fills `line` with a syslog header and the message behind it; false where there is none.
fn is_syslog(syslog: &mut Syslog, piece: Piece<'_>, text: &mut TextReader<'_>, line: &mut Line) -> bool {
    let context = text.aids.context;
    let Some(message) = syslog.header(piece, context, text.aids.names, line) else { return false };
    let inner = piece.part(message.start..piece.text.len());
    text.read(inner, inner.cut(inner.whole(), Spelling::Plain), line);
    syslog.finish(&message, piece, context, line);
    true
}

/// Fills `line` with an entry of the journal and the message in it; false where it is none.
fn is_journal(
    journal: &Journal,
    piece: Piece<'_>,
    buffer: &mut Vec<u8>,
    text: &mut TextReader<'_>,
    line: &mut Line,
) -> bool {
    if !text.is_json(piece, line) {
        return false;
    }
    let raw = text.aids.context.raw;
    if let Some(cut) = journal.fill(raw, line) {
        let (time_ns, time_cut) = (line.time_ns, line.time_cut);
        line.remove(NameId::MESSAGE);
        let (inner, cut) = Journal::message(raw, cut, buffer, line);
        if text.is_json(inner, line) && cut.spelling != Spelling::Plain {
            let message =
                line.get(NameId::MESSAGE).map_or(Value::Text(inner.text(inner.whole())), |message| message.value);
            line.push(NameId::MESSAGE, message, Some(cut));
        } else if line.get(NameId::MESSAGE).is_none() {
            text.text(inner, Some(cut), line);
        }
        (line.time_ns, line.time_cut) = (time_ns, time_cut);
    }
    journal.level(raw, line);
    true
}

impl Pm2 {
    /// Fills `line` where PM2 put something around the program's output; false where it did not.
    fn parse(&mut self, piece: Piece<'_>, text: &mut TextReader<'_>, line: &mut Line) -> bool {
        let context = text.aids.context;
        if let Some((stamp, start)) = pm2::prefix(piece.text, context.utc_offset_minutes) {
            let inner = piece.part(start..piece.text.len());
            let cut = inner.cut(inner.whole(), Spelling::Plain);
            if memchr::memchr(b'\n', inner.text).is_some() {
                // Of a stack trace that was joined, every line has the prefix.
                self.text.clear();
                pm2::strip_prefixes(inner.text, &mut self.text);
                if self.text.len() < inner.text.len() {
                    let copy = line.scratch(&self.text);
                    text.text(Piece::copied(&self.text, copy), cut, line);
                } else {
                    text.text(inner, cut, line);
                }
            } else {
                text.read(inner, cut, line);
            }
            match self.time_name {
                Some(name) if line.time_ns.is_some() => piece.push(line, name, 0..stamp.len),
                _ => {
                    line.time_ns = Some(stamp.time_ns);
                    line.time_cut = piece.cut(0..stamp.len, stamp.spelling);
                }
            }
            return true;
        }
        if !text.is_json(piece, line) {
            return false;
        }
        if self.envelope.recognize(context.raw, line) {
            self.unwrap(text, line);
        }
        true
    }

    /// Parses what the program wrote within PM2's JSON.
    fn unwrap(&mut self, text: &mut TextReader<'_>, line: &mut Line) {
        let raw = text.aids.context.raw;
        let Some(cut) = line.get(NameId::MESSAGE).and_then(|message| message.cut) else { return };
        let (time_ns, time_cut) = (line.time_ns, line.time_cut);
        let content = &raw[cut.start as usize..cut.end as usize];
        let content = if pm2::ends_in_newline(content) { &content[..content.len() - 2] } else { content };
        let cut = Cut { end: cut.start + content.len() as u32, ..cut };
        line.remove(NameId::MESSAGE);
        if memchr::memchr(b'\\', content).is_none() {
            let start = cut.start as usize;
            let inner = Piece::raw(raw).part(start..start + content.len());
            text.text(inner, Some(Cut { spelling: Spelling::Plain, ..cut }), line);
            (line.time_ns, line.time_cut) = (time_ns, time_cut);
            return;
        }
        self.text.clear();
        json::unescape::unescape(content, &mut self.text);
        let copy = line.scratch(&self.text);
        let inner = Piece::copied(&self.text, copy);
        // JSON within JSON has other keys than what is around it: one memory for each.
        std::mem::swap(&mut self.json, text.aids.json);
        let is_json = text.is_json(inner, line);
        std::mem::swap(&mut self.json, text.aids.json);
        if is_json {
            // The message of the program stands for all that it wrote: the place must be some field's.
            let message = line.get(NameId::MESSAGE).map_or(Value::Text(copy), |message| message.value);
            line.push(NameId::MESSAGE, message, Some(cut));
        } else {
            text.text(inner, Some(cut), line);
        }
        (line.time_ns, line.time_cut) = (time_ns, time_cut);
    }
}

#[cfg(test)]
mod tests;
