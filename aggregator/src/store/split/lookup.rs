//! Which blocks of a split may hold a match: asks what [`super::indexer`] wrote.

use super::footer::Footer;
use super::indexer::said::is_found_by_words;
use super::indexer::{FRONT_CHARS, WORD_FIELDS, front, put_value_term};
use super::lexicon::class;
use crate::store::head::is_place;
use crate::store::segment::Probe;
use crate::store::token::{self, WORD_BYTES_MAX};

/// The indexes of a split, to be loaded when a probe needs them.
pub trait Indexes {
    fn footer(&self) -> &Footer;

    /// Flags the blocks that the lexicon has for a term.
    fn find_term(&self, term: &[u8], flags: &mut [bool]) -> Result<(), String>;

    /// Flags the blocks that the lexicon has for terms that begin so.
    fn find_prefix(&self, prefix: &[u8], flags: &mut [bool]) -> Result<(), String>;

    /// Flags the blocks that the hash list has for a term.
    fn find_hash(&self, term: &[u8], flags: &mut [bool]) -> Result<(), String>;

    /// Flags the blocks in which a text of the column of a field has this part, whatever the case of its ASCII letters;
    /// `false` when that cannot be told without reading them.
    fn find_part(&self, field: &str, part: &[u8], flags: &mut [bool]) -> Result<bool, String>;
}

/// What is asked of the indexes of a split, as its footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    All,
    And(Vec<Ask>),
    /// Of nothing: no block.
    Or(Vec<Ask>),
    /// The blocks with fields beyond the column limit; only where there are any.
    Extra,
    /// The blocks whose words are not indexed; only where there are any.
    ScanWords,
    /// The blocks where the values of this field are not indexed; only where there are any.
    ScanValues(String),
    Term(Vec<u8>),
    Prefix(Vec<u8>),
    Hash(Vec<u8>),
    /// The blocks with a text of a column that has this part; all, if that cannot be told.
    Part {
        field: String,
        part: String,
    },
}

const NOTHING: Ask = Ask::Or(Vec::new());

/// One flag a block.
pub fn candidates(indexes: &dyn Indexes, probe: &Probe) -> Result<Vec<bool>, String> {
    let mut flags = vec![false; indexes.footer().blocks.len()];
    flag(indexes, &ask(indexes.footer(), probe), &mut flags)?;
    Ok(flags)
}

/// Flags the blocks that may have what is asked for.
fn flag(indexes: &dyn Indexes, ask: &Ask, flags: &mut [bool]) -> Result<(), String> {
    let footer = indexes.footer();
    match ask {
        Ask::All => flags.fill(true),
        Ask::And(parts) => {
            let mut all = vec![true; flags.len()];
            for part in parts {
                let mut found = vec![false; flags.len()];
                flag(indexes, part, &mut found)?;
                all.iter_mut().zip(found).for_each(|(all, found)| *all &= found);
                if !all.contains(&true) {
                    break;
                }
            }
            flags.iter_mut().zip(all).for_each(|(flag, all)| *flag |= all);
        }
        Ask::Or(parts) => parts.iter().try_for_each(|part| flag(indexes, part, flags))?,
        Ask::Extra => set(flags, footer.extra_blocks.iter()),
        Ask::ScanWords => set(flags, footer.scan_words.iter()),
        Ask::ScanValues(name) => {
            set(flags, footer.scan_values.iter().filter(|(_, field)| field == name).map(|(block, _)| block));
        }
        Ask::Term(term) => indexes.find_term(term, flags)?,
        Ask::Prefix(prefix) => indexes.find_prefix(prefix, flags)?,
        Ask::Hash(term) => indexes.find_hash(term, flags)?,
        Ask::Part { field, part } => {
            let mut found = vec![false; flags.len()];
            if indexes.find_part(field, part.as_bytes(), &mut found)? {
                flags.iter_mut().zip(found).for_each(|(flag, found)| *flag |= found);
            } else {
                flags.fill(true);
            }
        }
    }
    Ok(())
}

fn set<'a>(flags: &mut [bool], blocks: impl Iterator<Item = &'a u32>) {
    for block in blocks {
        if let Some(flag) = flags.get_mut(*block as usize) {
            *flag = true;
        }
    }
}

/// What a probe asks of the indexes of a split with this footer.
pub fn ask(footer: &Footer, probe: &Probe) -> Ask {
    match probe {
        Probe::Any => Ask::All,
        Probe::None => NOTHING,
        Probe::And(parts) => Ask::And(parts.iter().map(|part| ask(footer, part)).collect()),
        Probe::Or(parts) => Ask::Or(parts.iter().map(|part| ask(footer, part)).collect()),
        Probe::Word(folded) => word(footer, folded),
        Probe::WordPrefix(folded) => word_prefix(footer, folded),
        Probe::Value { field, folded } => value(footer, field, folded),
        Probe::Exists { field } => exists(footer, field),
        Probe::Part { field, part } => {
            let found = Ask::Part { field: field.clone(), part: part.clone() };
            Ask::And(vec![exists(footer, field), Ask::Or(extra(footer).into_iter().chain([found]).collect())])
        }
    }
}

fn extra(footer: &Footer) -> Option<Ask> {
    (!footer.extra_blocks.is_empty()).then_some(Ask::Extra)
}

/// The blocks whose words are not indexed. Fields beyond the column limit are none of the word fields.
fn scan_words(footer: &Footer) -> Option<Ask> {
    (!footer.scan_words.is_empty()).then_some(Ask::ScanWords)
}

fn term_of(class: u8, text: &str) -> Vec<u8> {
    [&[class], text.as_bytes()].concat()
}

fn word(footer: &Footer, folded: &str) -> Ask {
    let found = if folded.len() > WORD_BYTES_MAX {
        // Only its front was kept.
        Ask::Term(term_of(class::FRONT, front(folded)))
    } else if token::is_variable(folded) {
        Ask::Hash(term_of(class::WORD, folded))
    } else {
        Ask::Term(term_of(class::WORD, folded))
    };
    Ask::Or(scan_words(footer).into_iter().chain([found]).collect())
}

fn word_prefix(footer: &Footer, folded: &str) -> Ask {
    // A word in the hash list is known by its front alone. The front of a longer word is the same when it ends at a
    // digit or is complete, else it goes on.
    let front = front(folded);
    let complete = front.len() < folded.len() || front.chars().count() >= FRONT_CHARS;
    let term = term_of(class::FRONT, front);
    let of_front = if complete { Ask::Term(term) } else { Ask::Prefix(term) };
    let found = [Ask::Prefix(term_of(class::WORD, folded)), of_front];
    Ask::Or(scan_words(footer).into_iter().chain(found).collect())
}

/// The blocks that may have this value of a field.
fn value(footer: &Footer, name: &str, folded: &str) -> Ask {
    if WORD_FIELDS.contains(&name) {
        return value_by_words(footer, name, folded);
    }
    if is_place(name) {
        return Ask::All;
    }
    let stat = footer.fields.get(name);
    if stat.is_none() && footer.extra_blocks.is_empty() {
        return NOTHING;
    }
    // Where no value is text there is no index of values: any block that has the field may match.
    if stat.is_some_and(|stat| !stat.types.contains(&"str")) {
        return exists(footer, name);
    }
    let mut term = Vec::new();
    put_value_term(&mut term, name, folded);
    let mut found = vec![Ask::Term(term.clone()), Ask::Hash(term)];
    if footer.found_by_words.iter().any(|field| field == name) && is_found_by_words(folded.as_bytes()) {
        found.push(value_by_words(footer, name, folded));
    }
    if footer.scan_values.iter().any(|(_, field)| field == name) {
        found.push(Ask::ScanValues(name.to_owned()));
    }
    found.extend(extra(footer));
    Ask::Or(found)
}

/// A value that is indexed by its words: all of them must be there.
fn value_by_words(footer: &Footer, name: &str, folded: &str) -> Ask {
    let mut all = vec![exists(footer, name)];
    // Beyond ASCII the words of the folded text need not be the folded words of the text.
    if folded.is_ascii() {
        token::for_each_word(folded, &mut String::new(), |found| all.push(word(footer, found)));
    }
    Ask::And(all)
}

fn exists(footer: &Footer, name: &str) -> Ask {
    if is_place(name) {
        return Ask::All;
    }
    let found = footer.fields.contains_key(name).then(|| Ask::Term(term_of(class::FIELD, name)));
    Ask::Or(extra(footer).into_iter().chain(found).collect())
}
