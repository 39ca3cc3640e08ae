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

/// One flag a block.
pub fn candidates(indexes: &dyn Indexes, probe: &Probe) -> Result<Vec<bool>, String> {
    let blocks = indexes.footer().blocks.len();
    match probe {
        Probe::Any => Ok(vec![true; blocks]),
        Probe::None => Ok(vec![false; blocks]),
        Probe::And(parts) => {
            let mut all = vec![true; blocks];
            for part in parts {
                for (flag, part) in all.iter_mut().zip(candidates(indexes, part)?) {
                    *flag &= part;
                }
                if !all.contains(&true) {
                    break;
                }
            }
            Ok(all)
        }
        Probe::Or(parts) => {
            let mut any = vec![false; blocks];
            for part in parts {
                for (flag, part) in any.iter_mut().zip(candidates(indexes, part)?) {
                    *flag |= part;
                }
            }
            Ok(any)
        }
        Probe::Word(folded) => word(indexes, folded),
        Probe::WordPrefix(folded) => word_prefix(indexes, folded),
        Probe::Value { field, folded } => value(indexes, field, folded),
        Probe::Exists { field } => exists(indexes, field),
        Probe::Part { field, part } => {
            let mut flags = exists(indexes, field)?;
            let mut found = vec![false; blocks];
            if indexes.find_part(field, part.as_bytes(), &mut found)? {
                for block in &indexes.footer().extra_blocks {
                    if let Some(found) = found.get_mut(*block as usize) {
                        *found = true;
                    }
                }
                flags.iter_mut().zip(found).for_each(|(flag, found)| *flag &= found);
            }
            Ok(flags)
        }
    }
}

/// Flags the blocks whose words are not indexed. Fields beyond the column limit are none of the word fields.
fn scanned_words(indexes: &dyn Indexes) -> Vec<bool> {
    let mut flags = vec![false; indexes.footer().blocks.len()];
    for block in &indexes.footer().scan_words {
        if let Some(flag) = flags.get_mut(*block as usize) {
            *flag = true;
        }
    }
    flags
}

fn word(indexes: &dyn Indexes, folded: &str) -> Result<Vec<bool>, String> {
    let mut flags = scanned_words(indexes);
    let mut term = vec![class::WORD];
    term.extend_from_slice(folded.as_bytes());
    if folded.len() > WORD_BYTES_MAX {
        // Only its front was kept.
        term.clear();
        term.push(class::FRONT);
        term.extend_from_slice(front(folded).as_bytes());
        indexes.find_term(&term, &mut flags)?;
    } else if token::is_variable(folded) {
        indexes.find_hash(&term, &mut flags)?;
    } else {
        indexes.find_term(&term, &mut flags)?;
    }
    Ok(flags)
}

fn word_prefix(indexes: &dyn Indexes, folded: &str) -> Result<Vec<bool>, String> {
    let mut flags = scanned_words(indexes);
    let mut term = vec![class::WORD];
    term.extend_from_slice(folded.as_bytes());
    indexes.find_prefix(&term, &mut flags)?;
    // A word in the hash list is known by its front alone. The front of a longer word is the same when it ends at a
    // digit or is complete, else it goes on.
    let front = front(folded);
    term.clear();
    term.push(class::FRONT);
    term.extend_from_slice(front.as_bytes());
    let complete = front.len() < folded.len() || front.chars().count() >= FRONT_CHARS;
    if complete {
        indexes.find_term(&term, &mut flags)?;
    } else {
        indexes.find_prefix(&term, &mut flags)?;
    }
    Ok(flags)
}

/// Flags the blocks that may have this value of a field.
pub fn value(indexes: &dyn Indexes, name: &str, folded: &str) -> Result<Vec<bool>, String> {
    if WORD_FIELDS.contains(&name) {
        return value_by_words(indexes, name, folded);
    }
    let footer = indexes.footer();
    let blocks = footer.blocks.len();
    if is_place(name) {
        return Ok(vec![true; blocks]);
    }
    let mut flags = vec![false; blocks];
    let stat = footer.fields.get(name);
    if stat.is_none() && footer.extra_blocks.is_empty() {
        return Ok(flags);
    }
    // Where no value is text there is no index of values: any block that has the field may match.
    if stat.is_some_and(|stat| !stat.types.contains(&"str")) {
        return exists(indexes, name);
    }
    let mut term = Vec::new();
    put_value_term(&mut term, name, folded);
    indexes.find_term(&term, &mut flags)?;
    indexes.find_hash(&term, &mut flags)?;
    if footer.found_by_words.iter().any(|field| field == name) && is_found_by_words(folded.as_bytes()) {
        for (flag, found) in flags.iter_mut().zip(value_by_words(indexes, name, folded)?) {
            *flag |= found;
        }
    }
    let scanned = footer.scan_values.iter().filter(|(_, field)| field == name).map(|(block, _)| block);
    for block in scanned.chain(&footer.extra_blocks) {
        if let Some(flag) = flags.get_mut(*block as usize) {
            *flag = true;
        }
    }
    Ok(flags)
}

/// A value that is indexed by its words: all of them must be there.
fn value_by_words(indexes: &dyn Indexes, name: &str, folded: &str) -> Result<Vec<bool>, String> {
    let mut flags = exists(indexes, name)?;
    // Beyond ASCII the words of the folded text need not be the folded words of the text.
    if !folded.is_ascii() {
        return Ok(flags);
    }
    let mut words = Vec::new();
    token::for_each_word(folded, &mut String::new(), |word| words.push(word.to_owned()));
    for found in &words {
        for (flag, found) in flags.iter_mut().zip(word(indexes, found)?) {
            *flag &= found;
        }
    }
    Ok(flags)
}

fn exists(indexes: &dyn Indexes, name: &str) -> Result<Vec<bool>, String> {
    let footer = indexes.footer();
    if is_place(name) {
        return Ok(vec![true; footer.blocks.len()]);
    }
    let mut flags = vec![false; footer.blocks.len()];
    for block in &footer.extra_blocks {
        if let Some(flag) = flags.get_mut(*block as usize) {
            *flag = true;
        }
    }
    if footer.fields.contains_key(name) {
        let mut term = vec![class::FIELD];
        term.extend_from_slice(name.as_bytes());
        indexes.find_term(&term, &mut flags)?;
    }
    Ok(flags)
}
