//! What the values of a pattern become in the line.

use std::ops::Range;

use super::kind::level_of;
use super::{Found, Kind, LOGGED_TIME, Pattern};
use crate::names::{NameId, Names};
use crate::parse::http::{self, Http};
use crate::parse::json::Json;
use crate::parse::line::{Line, Spelling, Value};
use crate::parse::piece::{Context, Piece};
use crate::parse::{number, plain};

/// What emitting needs beside the line.
pub(in crate::parse) struct Tools<'a> {
    pub(in crate::parse) http: &'a Http,
    /// The names of all formats by their places.
    pub(in crate::parse) ids: &'a [Option<NameId>],
    pub(in crate::parse) json: &'a mut Json,
    pub(in crate::parse) names: &'a mut Names,
}

impl Pattern {
    /// Fills `line` with what [`Pattern::fit`] found.
    pub(in crate::parse) fn emit(
        &self,
        piece: Piece<'_>,
        context: Context<'_>,
        found: &Found,
        tools: &mut Tools<'_>,
        line: &mut Line,
    ) {
        for (item, range) in &found.spans {
            let Some((name, kind)) = self.field(*item) else { continue };
            let Some(name) = tools.ids.get(usize::from(name)).copied().flatten() else {
                line.fields_dropped += 1;
                continue;
            };
            let text = &piece.text[range.clone()];
            if name == NameId::TIME {
                match (found.stamp, tools.ids.get(usize::from(LOGGED_TIME)).copied().flatten()) {
                    (Some(stamp), _) if line.time_ns.is_none() => {
                        line.time_ns = Some(stamp.time_ns);
                        line.time_cut = piece.cut(range.clone(), stamp.spelling);
                    }
                    (_, Some(name)) => piece.push(line, name, range.clone()),
                    _ => {}
                }
                continue;
            }
            if matches!(text, [] | [b'-']) && kind != Kind::RedisLevel && name != NameId::MESSAGE {
                continue;
            }
            match kind {
                _ if kind.is_level() => {
                    line.level = level_of(text).or(line.level);
                    // Few words: they stay in the shape of the line.
                    if name != NameId::LEVEL {
                        piece.push(line, name, range.clone());
                    }
                }
                Kind::Pairs => {
                    tools.json.parse_pairs(piece.part(range.clone()), context, tools.names, line);
                }
                Kind::Json => {
                    tools.json.parse(piece.part(range.clone()), context, tools.names, line);
                }
                Kind::Request => request(piece, range.clone(), tools.http, line),
                Kind::Path => path(piece, range.clone(), name, tools.http, line),
                Kind::Csv if memchr::memchr(b'"', text).is_some() => undoubled(piece, range.clone(), name, line),
                _ if name == NameId::MESSAGE => {
                    plain::body(piece, range.clone(), piece.cut(range.clone(), Spelling::Plain), line);
                }
                _ => value(piece, range.clone(), name, kind, line),
            }
        }
    }
}

/// A CSV value with quotes in it. The store sees that it prints differently, and keeps the line.
fn undoubled(piece: Piece<'_>, range: Range<usize>, name: NameId, line: &mut Line) {
    let mut text = piece.text[range.clone()].to_vec();
    let mut was_quote = false;
    text.retain(|byte| {
        was_quote = *byte == b'"' && !was_quote;
        *byte != b'"' || was_quote
    });
    let copy = line.scratch(&text);
    let cut = piece.cut(range, Spelling::Plain);
    if name == NameId::MESSAGE {
        plain::body(Piece::copied(&text, copy), 0..text.len(), cut, line);
    } else {
        line.push(name, Value::Text(copy), cut);
    }
}

fn value(piece: Piece<'_>, range: Range<usize>, name: NameId, kind: Kind, line: &mut Line) {
    let text = &piece.text[range.clone()];
    let read = match kind {
        // Everywhere else it is a float too.
        Kind::Int if name == NameId::DURATION_MS => {
            number::decimal(text).map(|(value, spelling)| (Value::Float(value), spelling))
        }
        Kind::Int => number::integer(text).map(|value| (Value::Int(value), Spelling::Plain)),
        Kind::Float => number::decimal(text).map(|(value, spelling)| (Value::Float(value), spelling)),
        Kind::Seconds => number::milliseconds(text).map(|(value, spelling)| (Value::Float(value), spelling)),
        _ => None,
    };
    match read {
        Some((value, spelling)) => line.push(name, value, piece.cut(range, spelling)),
        None => piece.push(line, name, range),
    }
}

/// The request is the message, unless the line has one; its parts are derived from it.
fn request(piece: Piece<'_>, range: Range<usize>, http: &Http, line: &mut Line) {
    piece.push(line, NameId::MESSAGE, range.clone());
    if !http.derive(piece, range.clone(), line)
        && let Some(name) = http.request
    {
        piece.derive(line, name, range);
    }
}

fn path(piece: Piece<'_>, range: Range<usize>, name: NameId, http: &Http, line: &mut Line) {
    let end = range.start + http::path_len(&piece.text[range.clone()]);
    piece.push(line, name, range.start..end);
    if let Some(query) = http.query.filter(|_| end < range.end) {
        piece.push(line, query, end + 1..range.end);
    }
}
