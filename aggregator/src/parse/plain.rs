//! Plain text: a leading time, a level guessed from where loggers write it, an exception with its stack.

pub(super) mod ansi;
pub(super) mod exception;
pub(super) mod level;

use std::ops::Range;

use logweir_proto::record::Level;

use self::exception::{Header, Shape};
use super::line::{Cut, Line, Spelling, Value};
use super::piece::{Context, Piece, Place};
use super::time;
use crate::names::NameId;

/// Fills `line` from any text. `cut` is the place of the whole piece in the raw line, which the field that holds the
/// text takes: a piece of the scratch has no other.
pub(super) fn parse(piece: Piece<'_>, cut: Option<Cut>, context: Context<'_>, line: &mut Line) {
    let end = piece.text.trim_ascii_end().len();
    let piece = piece.part(0..end);
    let cut = cut.map(|cut| if matches!(piece.place, Place::Raw(_)) { trimmed(cut, end) } else { cut });
    if ansi::is_in(piece.text) {
        let copy = line.scratch_with(|out| ansi::strip(piece.text, out));
        // The scratch grows while it is read from, so this rare piece is copied once more.
        let text = line.text(context.raw, copy).to_vec();
        fill(Piece::copied(&text, copy), cut.or_else(|| piece.cut(piece.whole(), Spelling::Plain)), context, line);
    } else {
        fill(piece, cut, context, line);
    }
}

fn trimmed(cut: Cut, len: usize) -> Cut {
    Cut { end: cut.end.min(cut.start + len as u32), ..cut }
}

fn fill(piece: Piece<'_>, cut: Option<Cut>, context: Context<'_>, line: &mut Line) {
    let start = leading_time(piece, context, line);
    let range = start..piece.text.len();
    line.level = line.level.or_else(|| level::guess(&piece.text[range.clone()]));
    let cut = match piece.place {
        Place::Raw(_) => piece.cut(range.clone(), Spelling::Plain),
        Place::Scratch(_) => cut,
    };
    body(piece, range, cut, line);
}

/// The text behind all that loggers write before it: a message, or an exception with its stack.
pub(super) fn body(piece: Piece<'_>, range: Range<usize>, cut: Option<Cut>, line: &mut Line) {
    let start = range.start;
    let text = &piece.text[range.clone()];
    let main = Value::Text(piece.text(range));
    let several = memchr::memchr(b'\n', text).is_some();
    match if several { exception::shape(text) } else { Shape::Text } {
        Shape::Trace(header) => {
            let first = memchr::memchr(b'\n', text).unwrap_or(text.len());
            let message = message_of_trace(text, first, header.as_ref());
            line.push(NameId::MESSAGE, Value::Text(piece.text(start + message.start..start + message.end)), None);
            line.push(NameId::EXCEPTION_STACK, main, cut);
            name_exception(piece, start, header.map(|header| header.name), line);
            line.level = line.level.or(Some(Level::Error));
        }
        Shape::Text => {
            line.push(NameId::MESSAGE, main, cut);
            let first = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
            name_exception(piece, start, exception::type_of(first), line);
        }
    }
}

/// The first line says what happened, except in Python, where the header comes last.
fn message_of_trace(text: &[u8], first: usize, header: Option<&Header>) -> Range<usize> {
    match header {
        Some(header) if text.starts_with(b"Traceback ") => header.line.clone(),
        _ => 0..text[..first].trim_ascii_end().len(),
    }
}

fn name_exception(piece: Piece<'_>, start: usize, name: Option<Range<usize>>, line: &mut Line) {
    let Some(name) = name else { return };
    let name = start + name.start..start + name.end;
    let panic = matches!(&piece.text[name.clone()], b"panic" | b"fatal error");
    piece.derive(line, NameId::EXCEPTION_TYPE, name);
    line.level = line.level.or(Some(if panic { Level::Fatal } else { Level::Error }));
}

/// Takes a time from the beginning, unless the line has one already; where the text goes on.
fn leading_time(piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> usize {
    let text = piece.text;
    let open = usize::from(text.first() == Some(&b'['));
    if line.time_ns.is_some() {
        return 0;
    }
    let minutes = context.utc_offset_minutes;
    let stamp = time::leading(&text[open..], minutes);
    let stamp = stamp.or_else(|| time::layout::leading(&text[open..], minutes, context.received_ns));
    let stamp = stamp.or_else(|| time::leading_epoch(&text[open..], context.received_ns));
    let Some(stamp) = stamp else {
        line.time_ns = time::yearless(text, minutes, context.received_ns);
        return 0;
    };
    let mut at = open + stamp.len;
    if open == 1 {
        if text.get(at) != Some(&b']') {
            return 0;
        }
        at += 1;
    }
    line.time_ns = Some(stamp.time_ns);
    line.time_cut = piece.cut(open..open + stamp.len, stamp.spelling);
    let rest = &text[at..];
    let rest = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
    let rest = rest.strip_prefix(b"- ").or_else(|| rest.strip_prefix(b"| ")).unwrap_or(rest).trim_ascii_start();
    text.len() - rest.len()
}

#[cfg(test)]
mod tests;
