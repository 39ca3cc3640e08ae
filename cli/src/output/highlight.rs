//! What of a message matched: the words and phrases of the query, found again in the text.
//!
//! This reads the query only loosely, because a highlight is a help for the eye and must not fail where the server
//! understood more than we do.

use super::{Ink, Style};

/// Words of the query that are looked for in `message`, lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct Highlight {
    words: Vec<String>,
}

/// A query is short; a generated one with a thousand words is not worth colouring.
const WORDS_MAX: usize = 32;

impl Highlight {
    pub(super) fn of(query: &str) -> Highlight {
        let mut words: Vec<String> = Vec::new();
        let mut negated = false;
        for (token, quoted) in tokens(query) {
            if !quoted && matches!(token.to_ascii_uppercase().as_str(), "NOT" | "-" | "!") {
                negated = true;
                continue;
            }
            let skip = std::mem::take(&mut negated);
            let word = token.strip_prefix("message:").unwrap_or(&token).trim_matches('*').to_ascii_lowercase();
            let operator = !quoted
                && (word.contains([':', '=', '<', '>', '~', '*', '?'])
                    || word.starts_with(['-', '!'])
                    || matches!(word.as_str(), "and" | "or" | "&&" | "||"));
            if !skip && !operator && !word.is_empty() && words.len() < WORDS_MAX {
                words.push(word);
            }
        }
        // Longer words first, so that `time` does not cut `timeout` in two.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        Highlight { words }
    }

    /// Paints every occurrence, ignoring ASCII case.
    pub(super) fn paint(&self, text: &str, style: Style) -> String {
        if !style.on || self.words.is_empty() {
            return text.to_owned();
        }
        let lower = text.to_ascii_lowercase();
        let mut out = String::with_capacity(text.len() + 16);
        let (mut at, mut plain) = (0, 0);
        while at < text.len() {
            let hit = self.words.iter().find(|word| lower[at..].starts_with(word.as_str()));
            if let Some(word) = hit {
                out.push_str(&text[plain..at]);
                out.push_str(&style.paint(Ink::Match, &text[at..at + word.len()]));
                at += word.len();
                plain = at;
            } else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        out.push_str(&text[plain..]);
        out
    }
}

/// The words of the filter, before the first pipe; a quoted text is one token.
fn tokens(query: &str) -> Vec<(String, bool)> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut chars = query.chars();
    while let Some(c) = chars.next() {
        match c {
            '|' => break,
            '"' | '\'' => {
                let mut text = String::new();
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => text.extend(chars.next()),
                        _ if inner == c => break,
                        _ => text.push(inner),
                    }
                }
                // `field:"text"` belongs to the field; a bare phrase is searched in the message.
                let prefix = std::mem::take(&mut word);
                match prefix.as_str() {
                    "" | "message:" => tokens.push((text, true)),
                    "-" | "!" => tokens.push((format!("-{text}:"), false)),
                    _ => tokens.push((format!("{prefix}{text}"), false)),
                }
            }
            c if c.is_whitespace() || c == '(' || c == ')' || c == ',' => {
                if !word.is_empty() {
                    tokens.push((std::mem::take(&mut word), false));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        tokens.push((word, false));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_searched_in_the_message_is_highlighted() {
        for (query, words) in [
            ("timeout level>=error service:api", vec!["timeout"]),
            (r#""connection reset" OR time -debug NOT health"#, vec!["connection reset", "time"]),
            (r#"message:"a b" path:"/x" fail* | stats count"#, vec!["fail", "a b"]),
            (r#"-"not this" !nor"#, vec![]),
        ] {
            assert_eq!(Highlight::of(query).words, words, "{query}");
        }
    }

    #[test]
    fn every_occurrence_is_painted_whatever_its_case() {
        let painted = Highlight::of("time timeout").paint("Timeout: no time é", Style { on: true });
        assert_eq!(painted.replace("\x1b[1;33m", "<").replace("\x1b[0m", ">"), "<Timeout>: no <time> é");
    }

    proptest::proptest! {
        #[test]
        fn hostile_text_never_breaks_it(query in "\\PC*", text in "\\PC*") {
            let highlight = Highlight::of(&query);
            proptest::prop_assert_eq!(highlight.paint(&text, Style { on: false }), text.as_str());
            let painted = highlight.paint(&text, Style { on: true });
            proptest::prop_assert!(painted.len() >= text.len());
        }
    }
}
