//! Which format the lines of a source have, decided on the first ones and remembered.
//!
//! JSON is not among the choices: it is told by the first byte, and programs mix it with text, so every line that begins
//! with `{` is tried as JSON first.

use super::nginx::access::Access;
use super::nginx::error::ErrorLog;
use super::piece::{Context, Piece};
use crate::names::Names;
use crate::parse::line::Line;

/// Lines from the first on that are looked at closely.
const FIRST_LINES: u32 = 32;

/// After that many lines in a row that are not of the remembered format, every format is tried again; and so often is a
/// source of plain text looked at again.
const MISSES_MAX: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    Plain,
    /// One of the access formats, by its place.
    Access(usize),
    NginxError,
}

/// Access formats that are known without a configuration: the most telling first.
const ACCESS: [&str; 3] = [
    "",
    concat!(
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent ",
        "\"$http_referer\" \"$http_user_agent\" $rest"
    ),
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent",
];

#[derive(Debug)]
pub(super) struct Detector {
    access: Vec<Access>,
    error: ErrorLog,
    guess: Guess,
    seen: u32,
    misses: u32,
}

impl Detector {
    pub(super) fn new(names: &mut Names) -> Detector {
        let access = ACCESS.iter().filter_map(|format| Access::compile(format, names)).collect();
        Detector { access, error: ErrorLog::new(names), guess: Guess::Plain, seen: 0, misses: 0 }
    }

    /// Fills `line` by the remembered format, or the one that is found now; false when the line is plain text.
    pub(super) fn parse(&mut self, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        self.seen = self.seen.saturating_add(1);
        if self.guess != Guess::Plain && self.parse_as(self.guess, piece, context, line) {
            self.misses = 0;
            return true;
        }
        self.misses += 1;
        if self.seen > FIRST_LINES && self.misses < MISSES_MAX {
            return false;
        }
        self.misses = 0;
        let choices = (0..self.access.len()).map(Guess::Access).chain([Guess::NginxError]);
        for guess in choices.filter(|_| looks_like_nginx(piece.text)) {
            if self.parse_as(guess, piece, context, line) {
                self.guess = guess;
                return true;
            }
        }
        false
    }

    fn parse_as(&mut self, guess: Guess, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        match guess {
            Guess::Plain => false,
            Guess::Access(at) => self.access.get_mut(at).is_some_and(|access| access.parse(piece, context, line)),
            Guess::NginxError => self.error.parse(piece, context, line),
        }
    }
}

/// A cheap no for most lines: both kinds of NGINX lines have a bracket near the beginning.
fn looks_like_nginx(text: &[u8]) -> bool {
    const HEAD_BYTES: usize = 256;
    memchr::memchr(b'[', &text[..text.len().min(HEAD_BYTES)]).is_some()
}

#[cfg(test)]
mod tests;
