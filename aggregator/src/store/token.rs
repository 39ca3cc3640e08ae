//! Words: how text is cut for the index, and how a phrase is found again in a row. One definition for both.
//!
//! A word is a maximal run of letters, digits and `_`, folded to lower case. Everything else separates.

/// Longest word that the index knows, in bytes; longer ones are found by scanning.
pub const WORD_BYTES_MAX: usize = 128;

/// Calls `each` with every word of `text`, folded, in order. `buffer` is reused between calls.
pub fn for_each_word(text: &str, buffer: &mut String, mut each: impl FnMut(&str)) {
    for word in words(text) {
        fold(word, buffer);
        each(buffer);
    }
}

/// The words of `text` as they stand there.
pub fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !is_word_char(c)).filter(|word| !word.is_empty())
}

pub fn is_word_char(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { c.is_alphanumeric() }
}

/// Writes the lower-case form of `word` into `out`.
pub fn fold(word: &str, out: &mut String) {
    out.clear();
    if word.is_ascii() {
        out.push_str(word);
        out.make_ascii_lowercase();
    } else {
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// Whether a folded word looks like a value rather than a word of a sentence: it has a digit, or is very long.
///
/// Such words are nearly all distinct (ids, numbers, addresses): they go to the hash list, the others to tantivy.
pub fn is_variable(word: &str) -> bool {
    word.len() >= 24 || word.bytes().any(|b| b.is_ascii_digit())
}

/// A phrase ready to be looked for: its folded words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    words: Vec<String>,
}

impl Phrase {
    /// A phrase without a single word character matches nothing by words; `None` says so.
    pub fn new(text: &str) -> Option<Phrase> {
        let mut folded = Vec::new();
        for_each_word(text, &mut String::new(), |word| folded.push(word.to_owned()));
        (!folded.is_empty()).then_some(Phrase { words: folded })
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether the words stand in `text` one after the other.
    pub fn is_in(&self, text: &str) -> bool {
        let [first, rest @ ..] = &self.words[..] else { return false };
        let mut tail = words(text);
        while let Some(word) = tail.next() {
            if same_folded(word, first) {
                let mut following = tail.clone();
                if rest.iter().all(|want| following.next().is_some_and(|word| same_folded(word, want))) {
                    return true;
                }
            }
        }
        false
    }
}

/// Whether `word` folds to `folded`.
fn same_folded(word: &str, folded: &str) -> bool {
    if word.is_ascii() {
        word.eq_ignore_ascii_case(folded)
    } else {
        word.chars().flat_map(char::to_lowercase).eq(folded.chars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_everything_that_is_no_letter_digit_or_underscore() {
        let mut out = Vec::new();
        for_each_word("GET /api/v1/user_id=42 Ünïcode—ok", &mut String::new(), |w| out.push(w.to_owned()));
        assert_eq!(out, ["get", "api", "v1", "user_id", "42", "ünïcode", "ok"]);
    }

    #[test]
    fn a_phrase_is_found_in_order_and_without_regard_to_case() {
        let phrase = Phrase::new("Connection reset").expect("two words");
        assert!(phrase.is_in("read: CONNECTION reset by peer"));
        assert!(phrase.is_in("connection connection-reset"));
        assert!(!phrase.is_in("reset connection"));
        assert!(!phrase.is_in("connection was reset"));
        assert_eq!(Phrase::new("--"), None);
    }
}
