//! The pattern of `parse`: literal text with named gaps, as a regular expression.
//!
//! `<name>` takes up to the text that follows it, at the end of the pattern the rest of the line; `<name:num>` a decimal
//! number; `<name:word>` everything up to white space; `<_>` anything, and keeps nothing. `\<` is a `<`.

/// A pattern that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// With one group for each of `captures`, in their order.
    pub regex: String,
    pub captures: Vec<Capture>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    pub name: String,
    /// Its value is a number.
    pub is_number: bool,
}

/// What is wrong with a pattern, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub hint: &'static str,
}

const FORMS: &str = "gaps are written <name>, <name:num>, <name:word> and <_>; a literal '<' is \\<";

/// Reads a pattern.
pub fn pattern(text: &str) -> Result<Pattern, Wrong> {
    let mut made = Pattern { regex: String::new(), captures: Vec::new() };
    let mut rest = text;
    let mut after_gap = false;
    while !rest.is_empty() {
        let (literal, gap) = split_at_gap(rest);
        if !literal.text.is_empty() {
            made.regex.push_str(&regex::escape(&literal.text));
            after_gap = false;
        }
        rest = &rest[literal.bytes..];
        if !gap {
            continue;
        }
        let Some(end) = rest.find('>') else {
            return Err(Wrong { message: "a gap is not closed".to_owned(), hint: FORMS });
        };
        let inside = &rest[1..end];
        rest = &rest[end + 1..];
        if after_gap {
            return Err(Wrong {
                message: format!("nothing stands between '<{inside}>' and the gap before it"),
                hint: "text between two gaps says where one ends",
            });
        }
        after_gap = true;
        add_gap(&mut made, inside, rest.is_empty())?;
    }
    if made.captures.is_empty() {
        return Err(Wrong { message: "the pattern names no field".to_owned(), hint: FORMS });
    }
    Ok(made)
}

struct Literal {
    text: String,
    /// Of the pattern.
    bytes: usize,
}

/// The text up to the next gap, and whether there is one.
fn split_at_gap(text: &str) -> (Literal, bool) {
    let mut literal = Literal { text: String::new(), bytes: 0 };
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '<' => {
                literal.bytes = at;
                return (literal, true);
            }
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '<') => {
                chars.next();
                literal.text.push('<');
            }
            c => literal.text.push(c),
        }
    }
    literal.bytes = text.len();
    (literal, false)
}

fn add_gap(made: &mut Pattern, inside: &str, is_last: bool) -> Result<(), Wrong> {
    let (name, kind) = inside.split_once(':').unwrap_or((inside, ""));
    let body = match (kind, is_last) {
        ("num", _) => r"[-+]?[0-9]+(?:\.[0-9]+)?",
        ("word", _) => r"\S+",
        ("", true) => r"[^\n]*",
        ("", false) => r"[^\n]*?",
        (kind, _) => return Err(Wrong { message: format!("there is no kind of gap '{kind}'"), hint: FORMS }),
    };
    if name == "_" {
        made.regex.push_str(&format!("(?:{body})"));
        return Ok(());
    }
    if name.is_empty() || name.contains(['<', '"']) {
        return Err(Wrong { message: format!("'<{inside}>' names no field"), hint: FORMS });
    }
    if made.captures.iter().any(|capture| capture.name == name) {
        return Err(Wrong { message: format!("two gaps are named '{name}'"), hint: "give one another name, or <_>" });
    }
    made.regex.push_str(&format!("({body})"));
    made.captures.push(Capture { name: name.to_owned(), is_number: kind == "num" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, want: &Expect) {
        let shown = match pattern(text) {
            Ok(made) => {
                let names = made.captures.iter().map(|c| format!("{}{}", c.name, if c.is_number { "#" } else { "" }));
                format!("{} {}", made.regex, names.collect::<Vec<_>>().join(","))
            }
            Err(wrong) => wrong.message,
        };
        want.assert_eq(&shown);
    }

    #[test]
    fn gaps_become_groups() {
        check("took <ms:num>ms", &expect![[r"took ([-+]?[0-9]+(?:\.[0-9]+)?)ms ms#"]]);
        check("<method:word> <path> HTTP", &expect![[r"(\S+) ([^\n]*?) HTTP method,path"]]);
        check("a.b \\<x <_> = <rest>", &expect![[r"a\.b <x (?:[^\n]*?) = ([^\n]*) rest"]]);
    }

    #[test]
    fn wrong_patterns_are_named() {
        check("took", &expect!["the pattern names no field"]);
        check("<a><b>", &expect!["nothing stands between '<b>' and the gap before it"]);
        check("<a> <a>", &expect!["two gaps are named 'a'"]);
        check("<a", &expect!["a gap is not closed"]);
        check("<a:ip> x", &expect!["there is no kind of gap 'ip'"]);
        check("<> x", &expect!["'<>' names no field"]);
        check("<_> x", &expect!["the pattern names no field"]);
    }
}
