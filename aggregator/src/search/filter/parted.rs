//! Looking for text in messages that are not put together yet.
//!
//! What every hit has in it ([`Needle`]) lies within a literal of a template, which is looked at once for all its rows;
//! or within the value of a column, which is looked at as any column; or it crosses from one to the next, which the ends
//! of the literals rule out for nearly every pair of needle and template. Only messages that may match are put together.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::UInt16Type;

use super::memo::Memo;
use super::needle::{InLiteral, Needle};
use super::text::{TextTest, rows_of_values};
use crate::search::mask::Mask;
use crate::store::column::Kind;
use crate::store::segment::Parts;
use crate::store::split::derived::{Piece, Template};

/// When more than one row in this many may match, all messages are put together, and kept.
const WHOLE_ONE_IN: usize = 2;

/// What the parts of a template say about its rows.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// All of them pass.
    All,
    /// All of them must be looked at.
    Unsure,
    /// Those in whose columns the needle is; the places of these pieces.
    Columns(Vec<usize>),
}

/// The rows of `within` whose message passes; `None` when the messages had better be put together, all of them.
pub fn scan(test: &TextTest, parts: &dyn Parts, within: &Mask) -> Result<Option<Mask>, String> {
    let Some((needle, text)) = test.needle().and_then(|needle| Some((needle, needle.text()?))) else {
        return Ok(None);
    };
    let numbers = parts.numbers();
    let len = numbers.len();
    let templated = Mask::valid(numbers).and(within);
    let of_template = |number: usize| Mask::of_values(numbers.values(), |value| value == number as i64).and(&templated);
    let (mut found, mut unsure) = (Mask::none(len), Mask::none(len));
    for (number, template) in parts.templates().iter().enumerate() {
        let rows = of_template(number);
        if rows.is_empty() {
            continue;
        }
        match judge(needle, text, template) {
            Judged::All => found = found.or(&rows),
            Judged::Unsure => unsure = unsure.or(&rows),
            Judged::Columns(places) => {
                for place in places {
                    if let Some(Piece::Column(key)) = template.get(place) {
                        unsure = unsure.or(&hits(needle, &parts.column(key)?, &rows)?);
                    }
                }
            }
        }
    }
    if unsure.count() * WHOLE_ONE_IN > len {
        return Ok(None);
    }
    let as_they_stand = within.clone().and_not(&Mask::valid(numbers));
    found = found.or(&scan_texts(test, &parts.kept()?, &as_they_stand)?);
    let rows: Vec<usize> = unsure.and_not(&found).rows().collect();
    if rows.is_empty() {
        return Ok(Some(found));
    }
    let built = scan_texts(test, &parts.put_together(&rows)?, &Mask::all(rows.len()))?;
    built.rows().for_each(|place| found.set(rows[place]));
    Ok(Some(found))
}

fn judge(needle: &Needle, text: &[u8], template: &Template) -> Judged {
    let mut is_unsure = may_cross(text, needle.is_folded(), template);
    let mut columns = Vec::new();
    for (place, piece) in template.iter().enumerate() {
        match piece {
            Piece::Literal(literal) => match needle.in_literal(literal, place == 0, place + 1 == template.len()) {
                InLiteral::Found => return Judged::All,
                InLiteral::Unsure => is_unsure = true,
                InLiteral::Nowhere => {}
            },
            Piece::Column(key) => {
                if key.kind == Kind::Str || is_of_numbers(text) {
                    columns.push(place);
                }
            }
        }
    }
    if is_unsure { Judged::Unsure } else { Judged::Columns(columns) }
}

/// Whether it may stand in a printed number.
fn is_of_numbers(text: &[u8]) -> bool {
    text.iter().all(|byte| b"0123456789+-.einfaty".contains(&byte.to_ascii_lowercase()))
}

/// Whether the text may begin in one piece and end in another: of each border one side at least is known.
fn may_cross(text: &[u8], folded: bool, template: &Template) -> bool {
    let is_same = |a: &[u8], b: &[u8]| if folded { a.eq_ignore_ascii_case(b) } else { a == b };
    // Beyond ASCII there are letters that fold to ASCII.
    let is_unclear = |literal: &str| folded && !literal.is_ascii();
    template.windows(2).any(|pair| match pair {
        [Piece::Literal(before), Piece::Column(_)] => {
            let ends_so = |start: &[u8]| {
                let len = start.len().min(before.len());
                is_same(&start[start.len() - len..], &before.as_bytes()[before.len() - len..])
            };
            is_unclear(before) || (1..text.len()).any(|cut| ends_so(&text[..cut]))
        }
        [Piece::Column(_), Piece::Literal(after)] => {
            let begins_so = |end: &[u8]| {
                let len = end.len().min(after.len());
                is_same(&end[..len], &after.as_bytes()[..len])
            };
            is_unclear(after) || (1..text.len()).any(|cut| begins_so(&text[cut..]))
        }
        _ => true,
    })
}

/// The rows of `within` that have the needle in this column.
fn hits(needle: &Needle, array: &ArrayRef, within: &Mask) -> Result<Mask, String> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Ok(needle.hits(texts, within));
    }
    let Some(numbered) = array.as_dictionary_opt::<UInt16Type>() else {
        // Numbers: what they print as is not looked at one by one.
        return Ok(Mask::valid(array).and(within));
    };
    let values = numbered.values().as_string_opt::<i32>().ok_or("a dictionary of texts has other values")?;
    let keys = numbered.keys();
    Ok(rows_of_values(keys, &needle.hits_of_values(values)).and(&Mask::valid(keys)).and(within))
}

fn scan_texts(test: &TextTest, array: &ArrayRef, within: &Mask) -> Result<Mask, String> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Ok(test.scan(texts, within));
    }
    let numbered = array.as_dictionary_opt::<UInt16Type>().ok_or("messages are no text")?;
    let values = numbered.values().as_string_opt::<i32>().ok_or("messages are no text")?;
    Ok(test.scan_numbered(numbered.keys(), values, within, &Memo::default()))
}

#[cfg(test)]
mod tests;
