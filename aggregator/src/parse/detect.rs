//! Which format the text of a source has, decided on its lines and remembered.
//!
//! JSON is not among the choices: it is told by the first byte, and programs mix it with text, so every line that begins
//! with `{` is tried as JSON first. Two formats are remembered, because many sources mix two: a container of NGINX has
//! its access log and its error log in one stream. The one that reads more lines is tried first.

use std::sync::Arc;

use logweir_proto::formats::NGINX_MAIN;

use super::formats::built_in::BEFORE_NGINX;
use super::formats::{Choice, Formats};
use super::http::Http;
use super::json::Json;
use super::json::pairs;
use super::mysql_slow::SlowLog;
use super::nginx::access::Access;
use super::nginx::error::ErrorLog;
use super::pattern::Found;
use super::pattern::emit::Tools;
use super::piece::{Context, Piece, Place};
use super::plain::{self, ansi};
use super::w3c::W3c;
use crate::names::{NameId, Names};
use crate::parse::line::{Cut, Line, Spelling, Value};

/// Lines from the first on that are looked at closely.
const FIRST_LINES: u32 = 32;

/// Of the lines behind them that are of no remembered format, one in so many is looked at closely.
const MISSES_MAX: u32 = 64;

/// Pairs that a line must have, to be of logfmt though it has words between them.
const PAIRS_WITH_FLAGS_MIN: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    /// One of the access formats of NGINX, by its place.
    Access(usize),
    NginxError,
    W3c,
    MySqlSlow,
    Logfmt,
    Format(u16),
}

/// Access formats that are known without a configuration: the most telling first.
const ACCESS: [&str; 4] = [
    // Combined would take it for one with a user agent of two parts.
    NGINX_MAIN,
    "",
    concat!(
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent ",
        "\"$http_referer\" \"$http_user_agent\" $rest"
    ),
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent",
];

/// What reading a text needs beside the line.
pub(super) struct Aids<'a> {
    pub(super) context: Context<'a>,
    pub(super) json: &'a mut Json,
    pub(super) names: &'a mut Names,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    guess: Guess,
    lines: u64,
}

#[derive(Debug)]
pub(super) struct Detector {
    access: Vec<Access>,
    error: ErrorLog,
    w3c: W3c,
    slow: SlowLog,
    formats: Arc<Formats>,
    /// The numbers of the names of all formats.
    ids: Box<[Option<NameId>]>,
    http: Http,
    found: Found,
    choice: Choice,
    known: [Option<Known>; 2],
    seen: u32,
    misses: u32,
    /// Lines that were of some format.
    read: u64,
}

impl Detector {
    pub(super) fn new(choice: Choice, formats: &Arc<Formats>, names: &mut Names) -> Detector {
        Detector {
            access: ACCESS.iter().filter_map(|format| Access::compile(format, names)).collect(),
            error: ErrorLog::new(names),
            w3c: W3c::new(names),
            slow: SlowLog::new(names),
            formats: Arc::clone(formats),
            ids: formats.ids(names),
            http: Http::new(names),
            found: Found::default(),
            choice,
            known: [None; 2],
            seen: 0,
            misses: 0,
            read: 0,
        }
    }

    /// Whether lines that begin with `{` are read as JSON.
    pub(super) fn reads_json(&self) -> bool {
        self.choice != Choice::Text
    }

    /// Whether nobody has said how the text is to be read.
    pub(super) fn is_open(&self) -> bool {
        self.choice == Choice::Auto
    }

    /// The format that reads most of the text, if one does.
    pub(super) fn format(&self) -> Option<&str> {
        let choice = match (self.choice, self.known[0].map(|known| known.guess)) {
            (Choice::Auto, None) => return None,
            (Choice::Auto, Some(Guess::Access(_))) => Choice::Access,
            (Choice::Auto, Some(Guess::NginxError)) => Choice::NginxError,
            (Choice::Auto, Some(Guess::W3c)) => Choice::W3c,
            (Choice::Auto, Some(Guess::MySqlSlow)) => Choice::MySqlSlow,
            (Choice::Auto, Some(Guess::Logfmt)) => Choice::Logfmt,
            (Choice::Auto, Some(Guess::Format(at))) => Choice::Format(at),
            (choice, _) => choice,
        };
        Some(self.formats.name_of(choice))
    }

    /// How many lines were of a format.
    pub(super) fn lines_read(&self) -> u64 {
        self.read
    }

    /// Fills `line` from any text that is no JSON. `cut` is the place of the whole piece in the raw line.
    pub(super) fn parse(&mut self, piece: Piece<'_>, cut: Option<Cut>, aids: &mut Aids<'_>, line: &mut Line) {
        let text = piece.part(0..piece.text.trim_ascii_end().len());
        if ansi::is_in(text.text) {
            let copy = line.scratch_with(|out| ansi::strip(text.text, out));
            // The scratch grows while it is read from, so this rare piece is copied once more.
            let bare = line.text(aids.context.raw, copy).to_vec();
            let whole = cut.filter(|_| matches!(piece.place, Place::Scratch(_)));
            let whole = whole.or_else(|| text.cut(text.whole(), Spelling::Plain));
            if self.is_known(Piece::copied(&bare, copy), aids, line) {
                stand_for_all(Piece::copied(&bare, copy), whole, line);
                return;
            }
        } else if self.is_known(text, aids, line) {
            if matches!(piece.place, Place::Scratch(_)) {
                stand_for_all(text, cut, line);
            }
            return;
        }
        plain::parse(piece, cut, aids.context, line);
    }

    /// Fills `line` by a remembered format, or one that is found now; false, and nothing is filled, for plain text.
    fn is_known(&mut self, piece: Piece<'_>, aids: &mut Aids<'_>, line: &mut Line) -> bool {
        let known = match self.choice {
            Choice::Text | Choice::Json => false,
            Choice::Auto => self.guess(piece, aids, line),
            Choice::Access => (0..self.access.len()).any(|at| self.parse_as(Guess::Access(at), piece, aids, line)),
            Choice::NginxError => self.parse_as(Guess::NginxError, piece, aids, line),
            Choice::Logfmt => aids.json.parse_pairs(piece, aids.context, aids.names, line),
            Choice::W3c => self.parse_as(Guess::W3c, piece, aids, line),
            Choice::MySqlSlow => self.parse_as(Guess::MySqlSlow, piece, aids, line),
            Choice::Format(at) => self.parse_as(Guess::Format(at), piece, aids, line),
        };
        self.read += u64::from(known);
        known
    }

    fn guess(&mut self, piece: Piece<'_>, aids: &mut Aids<'_>, line: &mut Line) -> bool {
        self.seen = self.seen.saturating_add(1);
        for at in 0..self.known.len() {
            let Some(known) = self.known[at] else { break };
            if self.parse_as(known.guess, piece, aids, line) {
                self.known[at] = Some(Known { lines: known.lines + 1, ..known });
                if at == 1 && self.known[0].is_some_and(|first| first.lines <= known.lines) {
                    self.known.swap(0, 1);
                }
                return true;
            }
        }
        self.misses += 1;
        if self.seen > FIRST_LINES && self.misses < MISSES_MAX {
            return false;
        }
        self.misses = 0;
        let Some(guess) = self.search(piece, aids, line) else { return false };
        let found = Some(Known { guess, lines: 1 });
        match &mut self.known {
            [first @ None, _] => *first = found,
            // What was found once makes room for what is found now.
            [_, second] => *second = found,
        }
        true
    }

    /// Tries every format, the most telling first.
    fn search(&mut self, piece: Piece<'_>, aids: &mut Aids<'_>, line: &mut Line) -> Option<Guess> {
        let (before, behind) = (0..BEFORE_NGINX as u16, BEFORE_NGINX as u16..self.formats.detected as u16);
        let nginx = (0..self.access.len()).map(Guess::Access).chain([Guess::NginxError]);
        let nginx = nginx.filter(|_| looks_like_nginx(piece.text));
        let guesses = before.map(Guess::Format).chain(nginx).chain([Guess::W3c, Guess::MySqlSlow, Guess::Logfmt]);
        let mut guesses = guesses.chain(behind.map(Guess::Format));
        guesses.find(|guess| self.parse_as(*guess, piece, aids, line))
    }

    fn parse_as(&mut self, guess: Guess, piece: Piece<'_>, aids: &mut Aids<'_>, line: &mut Line) -> bool {
        let context = aids.context;
        match guess {
            Guess::Access(at) => self.access.get_mut(at).is_some_and(|access| access.parse(piece, context, line)),
            Guess::NginxError => self.error.parse(piece, context, line),
            Guess::W3c => self.w3c.parse(piece, context, aids.names, line),
            Guess::MySqlSlow => self.slow.parse(piece, context, line),
            Guess::Logfmt => looks_like_logfmt(piece.text) && aids.json.parse_pairs(piece, context, aids.names, line),
            Guess::Format(at) => {
                let Some(format) = self.formats.list.get(usize::from(at)) else { return false };
                let Some(pattern) =
                    format.patterns.iter().find(|pattern| pattern.fit(piece.text, context, &mut self.found))
                else {
                    return false;
                };
                let mut tools = Tools { http: &self.http, ids: &self.ids, json: aids.json, names: aids.names };
                pattern.emit(piece, context, &self.found, &mut tools, line);
                true
            }
        }
    }
}

/// The message stands for all of a text that was unescaped or stripped: the place must be some field's.
fn stand_for_all(piece: Piece<'_>, cut: Option<Cut>, line: &mut Line) {
    let message = line.get(NameId::MESSAGE).map_or(Value::Text(piece.text(piece.whole())), |message| message.value);
    line.push(NameId::MESSAGE, message, cut);
}

/// A cheap no for most lines: both kinds of NGINX lines have a bracket near the beginning.
fn looks_like_nginx(text: &[u8]) -> bool {
    const HEAD_BYTES: usize = 256;
    memchr::memchr(b'[', &text[..text.len().min(HEAD_BYTES)]).is_some()
}

/// Nothing but pairs, or so many that words between them do not matter.
fn looks_like_logfmt(text: &[u8]) -> bool {
    pairs::census(text).is_some_and(|found| {
        found.pairs >= 2 && found.flags == 0 || found.pairs >= PAIRS_WITH_FLAGS_MIN && found.pairs > 2 * found.flags
    })
}

#[cfg(test)]
mod tests;
