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

/// Parts of a text that are looked for in one column.
const CROSSINGS_MAX: usize = 3;

/// What the parts of a template say about its rows.
#[derive(Debug)]
enum Judged {
    /// All of them pass.
    All,
    /// All of them must be looked at.
    Unsure,
    /// Those in whose columns the needle is, or this part of it; the places of these pieces.
    Columns(Vec<(usize, Option<Needle>)>),
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
                for (place, part) in places {
                    if let Some(Piece::Column(key)) = template.get(place) {
                        let part = part.as_ref().unwrap_or(needle);
                        if part.text().is_some_and(|text| !parts.may_have(key, text)) {
                            continue;
                        }
                        unsure = unsure.or(&hits(part, &parts.column(key)?, &rows)?);
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
    let mut columns = Vec::new();
    // What runs from one literal over into another is in neither.
    let mut is_unsure = template.windows(2).any(|pair| matches!(pair, [Piece::Literal(_), Piece::Literal(_)]));
    for (place, piece) in template.iter().enumerate() {
        match piece {
            Piece::Literal(literal) => match needle.in_literal(literal, place == 0, place + 1 == template.len()) {
                InLiteral::Found => return Judged::All,
                InLiteral::Unsure => is_unsure = true,
                InLiteral::Nowhere => {}
            },
            Piece::Column(key) => {
                let may_have = |part: &[u8]| key.kind == Kind::Str || is_of_numbers(part);
                if may_have(text) {
                    columns.push((place, None));
                }
                match crossing(text, needle.is_folded(), template, place) {
                    Some(parts) => {
                        let parts = parts.into_iter().filter(|part| may_have(part));
                        columns.extend(parts.map(|part| (place, Some(needle.part(part)))));
                    }
                    None => is_unsure = true,
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

/// Parts of the text one of which the value of a column has when the text begins or ends in it and runs over into the
/// literal beside it; `None` when it may run over on both sides, or nothing is known of one.
fn crossing<'t>(text: &'t [u8], folded: bool, template: &Template, place: usize) -> Option<Vec<&'t [u8]>> {
    let is_same = |a: &[u8], b: &[u8]| if folded { a.eq_ignore_ascii_case(b) } else { a == b };
    let beside = |place: Option<usize>| match place.and_then(|place| template.get(place)) {
        // Beyond ASCII there are letters that fold to ASCII.
        Some(Piece::Literal(literal)) if literal.is_empty() || folded && !literal.is_ascii() => None,
        Some(Piece::Literal(literal)) => Some(literal.as_bytes()),
        Some(Piece::Column(_)) => None,
        // Beyond the ends of the message there is nothing to run over into.
        None => Some(&[][..]),
    };
    let (before, after) = (beside(place.checked_sub(1))?, beside(Some(place + 1))?);
    let ends_so = |start: &[u8]| {
        let len = start.len().min(before.len());
        len > 0 && is_same(&start[start.len() - len..], &before[before.len() - len..])
    };
    let begins_so = |end: &[u8]| {
        let len = end.len().min(after.len());
        len > 0 && is_same(&end[..len], &after[..len])
    };
    let cuts = || 1..text.len();
    let begun: Vec<&[u8]> = cuts().filter(|cut| ends_so(&text[..*cut])).map(|cut| &text[cut..]).collect();
    let ended: Vec<&[u8]> = cuts().filter(|cut| begins_so(&text[*cut..])).map(|cut| &text[..cut]).collect();
    match (begun.is_empty(), ended.is_empty()) {
        (false, false) => None,
        _ if begun.len() + ended.len() > CROSSINGS_MAX => None,
        _ => Some([begun, ended].concat()),
    }
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
