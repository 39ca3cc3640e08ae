//! Messages that the other columns of their row tell: they are not stored, but put together when they are read.
//!
//! `GET /cart?page=2 HTTP/1.1` stands in `method`, `path`, `query` and `protocol` already, and
//! `request /cart finished with 200 in 7 ms` says again what `path`, `status` and `duration_ms` hold. When a split is
//! written, templates are learned from a sample of its rows: the texts between, and the columns whose values stand in
//! the message as they are printed plainly. A row whose message is exactly what a template makes of its columns keeps
//! the number of the template in [`DERIVED`], and null in `message`. Templates stand in the footer.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, StringArray, StringBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Int64Type, UInt16Type};
use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;

use super::indexer::WORD_FIELDS;
use crate::equal::equal;
use crate::parse::line::Spelling;
use crate::store::block::cell;
use crate::store::column::{ColumnKey, FIELD_COLUMNS_AT, Kind, Layout};
use crate::store::spell::{self, Cell};
use crate::store::token::is_word_char;

/// The column with the number of the template; only in splits that have templates, behind all others.
pub const DERIVED: &str = "_derived";

/// Most templates of a split.
pub const TEMPLATES_MAX: usize = 16;

/// Rows that templates are learned from.
const LEARN_ROWS: usize = 512;

/// A template is worth its place when one of so many messages is of it.
const LEARN_SHARE: usize = 50;

/// Columns and bytes of a message beyond these are not looked at.
const LEARN_COLUMNS_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 2048;

/// Templates that compete.
const CANDIDATES_MAX: usize = 64;

/// What a message is made of.
pub type Template = Vec<Piece>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    Literal(Box<str>),
    /// The value of a column, printed plainly; floats that are whole without a fraction.
    Column(ColumnKey),
}

fn message_key() -> ColumnKey {
    ColumnKey { field: field::MESSAGE.into(), kind: Kind::Str }
}

/// Takes messages out of the rows of one split.
#[derive(Debug)]
pub struct Deriver {
    message: usize,
    templates: Vec<Template>,
    /// The places of the columns.
    columns: HashMap<ColumnKey, usize>,
}

impl Deriver {
    /// `None` when no template fits often enough.
    pub fn learn(layout: &Layout, sample: &RecordBatch) -> Option<Deriver> {
        let message = layout.column(&message_key())?;
        let texts = sample.column(message).as_string::<i32>();
        let step = sample.num_rows().div_ceil(LEARN_ROWS).max(1);
        let short = |row: &usize| texts.is_valid(*row) && texts.value(*row).len() <= MESSAGE_BYTES_MAX;
        let mut rows: Vec<usize> = (0..sample.num_rows()).step_by(step).filter(short).collect();
        let mut columns: Vec<(usize, &ColumnKey)> = layout
            .keys()
            .iter()
            .enumerate()
            .map(|(i, key)| (i + FIELD_COLUMNS_AT, key))
            .filter(|(_, key)| key.kind != Kind::Bool && !WORD_FIELDS.contains(&&*key.field))
            .collect();
        columns.sort_by_key(|(i, _)| sample.column(*i).null_count());
        columns.truncate(LEARN_COLUMNS_MAX);
        let all: HashMap<ColumnKey, usize> = columns.iter().map(|(i, key)| ((*key).clone(), *i)).collect();
        let mut found: HashMap<Template, usize> = HashMap::new();
        for row in &rows {
            if let Some(template) = template_of(texts.value(*row), &values_of(sample, &columns, *row)) {
                *found.entry(template).or_default() += 1;
            }
        }
        let mut candidates: Vec<(Template, usize)> = found.into_iter().collect();
        candidates.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        candidates.truncate(CANDIDATES_MAX);
        let worth = rows.len().div_ceil(LEARN_SHARE).max(2);
        let mut templates = Vec::new();
        while templates.len() < TEMPLATES_MAX {
            let fitting = |template: &Template| -> Vec<bool> {
                let maker = Maker::of(template, |key| sample.columns().get(*all.get(key)?));
                let mut scratch = Vec::new();
                let mut fits = |row: &usize| {
                    maker.as_ref().is_some_and(|maker| maker.makes(texts.value(*row), *row, &mut scratch))
                };
                rows.iter().map(&mut fits).collect()
            };
            let counted =
                candidates.iter().map(|(template, _)| fitting(template).into_iter().filter(|fits| *fits).count());
            // The first of those that fit equally often: the order must not depend on chance.
            let best = counted.enumerate().max_by_key(|(i, count)| (*count, std::cmp::Reverse(*i)));
            let Some((best, _)) = best.filter(|(_, count)| *count >= worth) else { break };
            let (template, _) = candidates.swap_remove(best);
            let mut fits = fitting(&template).into_iter();
            rows.retain(|_| fits.next() != Some(true));
            templates.push(template);
        }
        (!templates.is_empty()).then_some(Deriver { message, templates, columns: all })
    }

    /// The number of the template of each row.
    pub fn numbers(&self, columns: &[ArrayRef]) -> Int64Array {
        let messages = columns[self.message].as_string::<i32>();
        let mut makers: Vec<_> =
            self.templates.iter().map(|template| Maker::of(template, |key| columns.get(self.column(key)?))).collect();
        // A row that has what others lack has it in its message, too.
        let mut order: Vec<usize> = (0..makers.len()).collect();
        order.sort_by_key(|number| makers[*number].as_ref().is_none_or(|maker| maker.gaps.is_empty()));
        let makers: Vec<(i64, Maker<'_>)> =
            order.into_iter().filter_map(|number| Some((number as i64, makers[number].take()?))).collect();
        let mut scratch = Vec::new();
        let number = |row: usize| {
            let message = messages.is_valid(row).then(|| messages.value(row))?;
            makers.iter().find(|(_, maker)| maker.makes(message, row, &mut scratch)).map(|(number, _)| *number)
        };
        (0..messages.len()).map(number).collect()
    }

    /// Sets the messages that a template makes to null, and adds [`DERIVED`] to the columns.
    pub fn take_out(&self, numbers: &Int64Array, columns: &mut Vec<ArrayRef>) {
        let messages = columns[self.message].as_string::<i32>();
        let stays = |row: usize| (numbers.is_null(row) && messages.is_valid(row)).then(|| messages.value(row));
        let kept = match numbers.null_count() {
            0 => StringArray::new_null(messages.len()),
            _ => (0..messages.len()).map(stays).collect(),
        };
        columns[self.message] = Arc::new(kept);
        columns.push(Arc::new(numbers.clone()));
    }

    /// The templates whose words are those of their pieces, each by itself; `None` in the place of the others.
    pub fn by_words(&self) -> impl Iterator<Item = Option<&Template>> {
        let apart = |template: &&Template| {
            let parted = |pair: &[Piece]| match pair {
                [Piece::Literal(text), Piece::Column(_)] => text.chars().next_back().is_some_and(|c| !is_word_char(c)),
                [Piece::Column(_), Piece::Literal(text)] => text.chars().next().is_some_and(|c| !is_word_char(c)),
                _ => false,
            };
            template.windows(2).all(parted)
        };
        self.templates.iter().map(move |template| Some(template).filter(apart))
    }

    /// The place of the message.
    pub fn message(&self) -> usize {
        self.message
    }

    /// The place of a column of a template.
    pub fn column(&self, key: &ColumnKey) -> Option<usize> {
        self.columns.get(key).copied()
    }

    pub fn into_templates(self) -> Vec<Template> {
        self.templates
    }
}

/// The values of a row that may stand in its message.
fn values_of<'a>(sample: &RecordBatch, columns: &[(usize, &'a ColumnKey)], row: usize) -> Vec<(String, &'a ColumnKey)> {
    let text = |(i, key): &(usize, &'a ColumnKey)| {
        let mut text = Vec::new();
        let whole = put(cell(sample.column(*i), key.kind, row)?, &mut text);
        let fits = whole && !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX;
        fits.then(|| String::from_utf8(text).ok()).flatten().map(|text| (text, *key))
    };
    columns.iter().filter_map(text).collect()
}

/// The message with the values of its row cut out; `None` when it has none of them.
fn template_of(message: &str, values: &[(String, &ColumnKey)]) -> Option<Template> {
    let mut template = Template::new();
    let mut literal = String::new();
    let mut found = false;
    let mut rest = message;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let mut best: Option<&(String, &ColumnKey)> = None;
        if !before.is_alphanumeric() || !next.is_alphanumeric() {
            let fits = |(text, key): &&(String, &ColumnKey)| {
                rest.strip_prefix(&**text).is_some_and(|after| ends(text, key.kind, after))
            };
            for value in values.iter().filter(fits) {
                if best.is_none_or(|best| value.0.len() > best.0.len()) {
                    best = Some(value);
                }
            }
        }
        let len = match best {
            Some((text, key)) => {
                if !literal.is_empty() {
                    template.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                template.push(Piece::Column((*key).clone()));
                found = true;
                text.len()
            }
            None => {
                literal.push(next);
                next.len_utf8()
            }
        };
        before = rest[..len].chars().next_back().unwrap_or(' ');
        rest = &rest[len..];
    }
    if !literal.is_empty() {
        template.push(Piece::Literal(literal.into()));
    }
    found.then_some(template)
}

/// Whether a value may end before `after`: words and numbers are whole, but a unit may follow a number.
fn ends(text: &str, kind: Kind, after: &str) -> bool {
    let last = text.chars().next_back().is_some_and(char::is_alphanumeric);
    let next = after.chars().next().unwrap_or(' ');
    if kind == Kind::Str { !last || !next.is_alphanumeric() } else { !next.is_ascii_digit() }
}

/// A piece and where it comes from in these rows.
enum Source<'a> {
    Literal(&'a str),
    Str(&'a StringArray),
    /// Texts as numbers of a dictionary, as a search reads them.
    Numbered(&'a DictionaryArray<UInt16Type>, &'a StringArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
}

/// `None` when a column is not there.
fn sources<'a>(template: &'a Template, find: impl Fn(&ColumnKey) -> Option<&'a ArrayRef>) -> Option<Vec<Source<'a>>> {
    let source = |piece: &'a Piece| match piece {
        Piece::Literal(text) => Some(Source::Literal(text)),
        Piece::Column(key) => Source::of(find(key)?, key.kind),
    };
    template.iter().map(source).collect()
}

impl<'a> Source<'a> {
    fn of(array: &'a ArrayRef, kind: Kind) -> Option<Source<'a>> {
        match kind {
            Kind::Str => match array.as_dictionary_opt::<UInt16Type>() {
                Some(numbered) => Some(Source::Numbered(numbered, numbered.values().as_string_opt()?)),
                None => array.as_string_opt().map(Source::Str),
            },
            Kind::Int => array.as_primitive_opt().map(Source::Int),
            Kind::Float => array.as_primitive_opt().map(Source::Float),
            Kind::Bool => None,
        }
    }

    /// What follows its text in a row, which has a value.
    #[inline(always)]
    fn strip<'t>(&self, rest: &'t [u8], row: usize, scratch: &mut Vec<u8>) -> Option<&'t [u8]> {
        let number = match self {
            Source::Literal(text) => return strip(rest, text.as_bytes()),
            Source::Str(values) => return strip(rest, values.value(row).as_bytes()),
            Source::Numbered(numbers, values) => {
                return strip(rest, values.value(usize::from(numbers.keys().value(row))).as_bytes());
            }
            Source::Int(values) => Cell::Int(values.value(row)),
            Source::Float(values) => plainly(Cell::Float(values.value(row))),
        };
        if let Cell::Int(value) = number {
            // To read a number costs less than to print one.
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if let Some(read) = spell::canonical(&rest[..digits]) {
                return (read == value).then(|| &rest[digits..]);
            }
        }
        scratch.clear();
        if spell::put(scratch, number, Spelling::Plain) { strip(rest, scratch) } else { None }
    }

    /// Its text in a row; `None` where there is none.
    fn text<'b>(&'b self, row: usize, scratch: &'b mut Vec<u8>) -> Option<&'b str> {
        let number = match self {
            Source::Literal(text) => return Some(text),
            Source::Str(values) => return values.is_valid(row).then(|| values.value(row)),
            Source::Numbered(numbers, values) => return numbers.key(row).map(|number| values.value(number)),
            Source::Int(values) => Cell::Int(values.is_valid(row).then(|| values.value(row))?),
            Source::Float(values) => Cell::Float(values.is_valid(row).then(|| values.value(row))?),
        };
        scratch.clear();
        put(number, scratch).then(|| std::str::from_utf8(scratch).ok()).flatten()
    }
}

/// Prints a value plainly: durations are floats, but few write `57.0 ms`, so whole numbers are printed as such.
pub fn put(value: Cell<'_>, out: &mut Vec<u8>) -> bool {
    spell::put(out, plainly(value), Spelling::Plain)
}

fn plainly(value: Cell<'_>) -> Cell<'_> {
    const WHOLE_MAX: f64 = (1u64 << 53) as f64;
    match value {
        Cell::Float(float)
            if float.fract() == 0.0 && float.abs() < WHOLE_MAX && (float != 0.0 || float.is_sign_positive()) =>
        {
            Cell::Int(float as i64)
        }
        value => value,
    }
}

/// What a template makes of the rows of some columns.
struct Maker<'a> {
    sources: Vec<Source<'a>>,
    /// Of the columns that some rows have no value in: such a row has no message of this template.
    gaps: Vec<&'a NullBuffer>,
}

impl<'a> Maker<'a> {
    /// `None` when a column is not there.
    fn of(template: &'a Template, find: impl Fn(&ColumnKey) -> Option<&'a ArrayRef>) -> Option<Maker<'a>> {
        let column = |piece: &Piece| if let Piece::Column(key) = piece { find(key) } else { None };
        let gaps = template.iter().filter_map(column).filter_map(|array| array.nulls());
        let gaps = gaps.filter(|nulls| nulls.null_count() > 0).collect();
        Some(Maker { sources: sources(template, find)?, gaps })
    }

    /// Whether this is the message of a row.
    fn makes(&self, message: &str, row: usize, scratch: &mut Vec<u8>) -> bool {
        if self.gaps.iter().any(|nulls| nulls.is_null(row)) {
            return false;
        }
        let mut rest = message.as_bytes();
        for source in &self.sources {
            match source.strip(rest, row, scratch) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// What follows a front.
#[inline(always)]
fn strip<'a>(text: &'a [u8], front: &[u8]) -> Option<&'a [u8]> {
    // Most texts between values are one blank.
    if let [byte] = front {
        return text.split_first().filter(|(first, _)| *first == byte).map(|(_, rest)| rest);
    }
    let (head, rest) = text.split_at_checked(front.len())?;
    equal(head, front).then_some(rest)
}

/// Puts the messages of a split together again.
#[derive(Debug, Default)]
pub struct Reading {
    /// The place of the message, if there are templates.
    message: Option<usize>,
    templates: Vec<Template>,
    /// The places of the columns that templates need.
    places: HashMap<ColumnKey, usize>,
    /// The place of [`DERIVED`].
    numbers: usize,
}

impl Reading {
    pub fn new(templates: &[Template], layout: &Layout) -> Reading {
        let pieces = templates.iter().flatten();
        let keys = pieces.filter_map(|piece| if let Piece::Column(key) = piece { Some(key) } else { None });
        Reading {
            message: layout.column(&message_key()).filter(|_| !templates.is_empty()),
            templates: templates.to_vec(),
            places: keys.filter_map(|key| Some((key.clone(), layout.column(key)?))).collect(),
            numbers: layout.raw() + 1,
        }
    }

    /// The place of the message, if it has to be put together.
    pub fn message(&self) -> Option<usize> {
        self.message
    }

    /// The place of [`DERIVED`].
    pub fn numbers(&self) -> usize {
        self.numbers
    }

    /// A place that no column has: what is kept of messages that stand as they are goes by it.
    pub fn kept(&self) -> usize {
        self.numbers + 1
    }

    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The place of a column that a template needs.
    pub fn place(&self, key: &ColumnKey) -> Option<usize> {
        self.places.get(key).copied()
    }

    /// The columns that templates need.
    pub fn parts(&self) -> impl Iterator<Item = usize> {
        self.places.values().copied()
    }

    /// The columns to read for these; both ascending.
    pub fn columns(&self, wanted: &[usize]) -> Vec<usize> {
        let mut columns = wanted.to_vec();
        if self.message.is_some_and(|message| wanted.contains(&message)) {
            columns.extend(self.parts().chain([self.numbers]));
            columns.sort_unstable();
            columns.dedup();
        }
        columns
    }

    /// The messages, from the columns that `find` finds by their places. `None` when they are damaged.
    pub fn put_together<'a>(&'a self, find: impl Fn(usize) -> Option<&'a ArrayRef>) -> Option<ArrayRef> {
        let rows = find(self.numbers)?.len();
        self.put_rows_together(0..rows, find)
    }

    /// The messages of some rows. Columns that only templates of other rows need may be missing.
    pub fn put_rows_together<'a>(
        &'a self,
        rows: impl ExactSizeIterator<Item = usize>,
        find: impl Fn(usize) -> Option<&'a ArrayRef>,
    ) -> Option<ArrayRef> {
        use std::fmt::Write;
        let kept = Source::of(find(self.message?)?, Kind::Str)?;
        let numbers = find(self.numbers)?.as_primitive_opt::<Int64Type>()?;
        let place = |key: &ColumnKey| find(*self.places.get(key)?);
        let templates: Vec<_> = self.templates.iter().map(|template| sources(template, place)).collect();
        let mut messages = StringBuilder::with_capacity(rows.len(), rows.len() * 64);
        let mut scratch = Vec::new();
        // Arrow counts text in 31 bits.
        let mut left = i32::MAX as usize;
        for row in rows {
            if numbers.is_null(row) {
                let text = kept.text(row, &mut scratch);
                left = left.checked_sub(text.map_or(0, str::len))?;
                messages.append_option(text);
                continue;
            }
            for source in templates.get(usize::try_from(numbers.value(row)).ok()?)?.as_ref()? {
                let text = source.text(row, &mut scratch)?;
                left = left.checked_sub(text.len())?;
                messages.write_str(text).ok()?;
            }
            messages.append_value("");
        }
        Some(Arc::new(messages.finish()))
    }
}

#[cfg(test)]
mod tests;
