//! Cutting texts into words, and the fronts of words.

use super::super::lexicon::{LexiconBuilder, class};
use crate::store::token::{self, WORD_BYTES_MAX};

/// A longer word is known by its front.
const ASCII_WORD_BYTES_MAX: usize = WORD_BYTES_MAX + 1;

/// Letters of the front of a word.
pub const FRONT_CHARS: usize = 3;

/// The characters at the front of a folded word, up to the first digit, at most [`FRONT_CHARS`].
pub fn front(folded: &str) -> &str {
    let end = folded.char_indices().enumerate().find(|(n, (_, c))| *n == FRONT_CHARS || c.is_ascii_digit());
    end.map_or(folded, |(_, (at, _))| &folded[..at])
}

/// The fronts of words: nearly always the same few, so the numbers of ASCII ones are remembered in a table.
#[derive(Debug)]
pub(super) struct Fronts {
    /// By [`Fronts::slot`] the number in the lexicon plus one.
    numbers: Vec<u32>,
    term: Vec<u8>,
}

impl Default for Fronts {
    fn default() -> Fronts {
        Fronts { numbers: vec![0; 28 * 28 * 28], term: Vec::new() }
    }
}

impl Fronts {
    /// The number of the front of a word.
    pub(super) fn number(&mut self, folded: &[u8], lexicon: &mut LexiconBuilder) -> u32 {
        let end = folded.iter().take(FRONT_CHARS).position(u8::is_ascii_digit).unwrap_or(FRONT_CHARS.min(folded.len()));
        let mut ascii = &folded[..end];
        let slot = Fronts::slot(ascii);
        match slot {
            Some(slot) if self.numbers[slot] > 0 => return self.numbers[slot] - 1,
            Some(_) => {}
            // Words come from text, so this is valid; were it not, the whole of it would be its front.
            None => ascii = std::str::from_utf8(folded).map_or(folded, |word| front(word).as_bytes()),
        }
        self.term.clear();
        self.term.push(class::FRONT);
        self.term.extend_from_slice(ascii);
        let number = lexicon.number(&self.term);
        if let Some(slot) = slot {
            self.numbers[slot] = number + 1;
        }
        number
    }

    fn slot(front: &[u8]) -> Option<usize> {
        let mut slot = 0;
        for i in 0..FRONT_CHARS {
            let digit = match front.get(i) {
                None => 0,
                Some(b @ b'a'..=b'z') => usize::from(b - b'a') + 1,
                Some(b'_') => 27,
                Some(_) => return None,
            };
            slot = slot * 28 + digit;
        }
        Some(slot)
    }
}

/// Calls `each` with every word of `text`, folded, behind [`class::WORD`]: what [`token::for_each_word`] does, in a
/// fraction of its time on ASCII text. Of words that are too long to be indexed the end may be missing.
pub fn for_each_word(text: &str, mut each: impl FnMut(&[u8])) {
    if !text.is_ascii() {
        let mut word = vec![class::WORD];
        let mut buffer = String::new();
        token::for_each_word(text, &mut buffer, |folded| {
            word.truncate(1);
            word.extend_from_slice(folded.as_bytes());
            each(&word);
        });
        return;
    }
    let mut word = [class::WORD; ASCII_WORD_BYTES_MAX + 1];
    let mut len = 0;
    for byte in text.bytes() {
        let folded = FOLDED[usize::from(byte)];
        if folded != 0 {
            if let Some(to) = word.get_mut(len + 1) {
                *to = folded;
                len += 1;
            }
        } else if len > 0 {
            each(&word[..=len]);
            len = 0;
        }
    }
    if len > 0 {
        each(&word[..=len]);
    }
}

/// Lower-case word characters of ASCII; 0 for separators.
pub(super) const FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        if c.is_ascii_alphanumeric() || c == b'_' {
            table[byte] = c.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};
