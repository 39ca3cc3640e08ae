//! Errors and warnings on stderr; a query's place is underlined.

use logweir_proto::api::{End, Warning};
use logweir_proto::text::visible;

use super::{Console, Ink, Style};
use crate::error::CliError;

/// Characters before a place that are shown of a long line; twice as many behind it.
const AROUND_CHARS: usize = 60;

/// Prints an error: `error: what`, where it is known where, and what to do about it.
pub fn print(console: &mut Console, error: &CliError) {
    let style = console.err_style;
    let mut text = format!("{} {}\n", style.paint(Ink::Red, "error:"), visible(&error.to_string()));
    if let CliError::Query { query, detail } = error
        && let Some(pos) = detail.pos
    {
        text.push_str(&underline(query, pos, detail.len.unwrap_or(1), style));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("{} {}\n", style.paint(Ink::Cyan, "hint:"), visible(&hint)));
    }
    console.note(text.trim_end());
}

/// Prints what the person should know though the answer is right.
pub fn warn(console: &mut Console, query: &str, warning: &Warning) {
    let mut text = visible(&warning.message);
    if let Some(name) = &warning.did_you_mean
        && !warning.message.contains("did you mean")
    {
        text.push_str(&format!(": did you mean '{}'?", visible(name)));
    }
    console.warn(&text);
    if let Some(pos) = warning.pos {
        let len = warning.field.as_ref().map_or(1, |field| field.chars().count());
        let place = underline(query, pos, len, console.err_style);
        console.note(place.trim_end());
    }
}

/// Says which part of time an answer does not cover.
pub fn partial(console: &mut Console, end: &End) {
    let reason = end.reason.as_deref().unwrap_or("not everything could be read");
    console.warn(&format!("partial result: {}", visible(reason)));
    for range in &end.missing {
        let splits = if range.splits == 1 { "1 split".to_owned() } else { format!("{} splits", range.splits) };
        console.note(&format!("  missing {} to {} ({splits})", visible(&range.from), visible(&range.to)));
    }
}

/// The line of the query that holds character `pos` (from 1), with carets below:
///
/// ```text
///   --> query:1:8
///    | status>=abc
///    |         ^^^
/// ```
fn underline(query: &str, pos: usize, len: usize, style: Style) -> String {
    let chars: Vec<char> = query.chars().collect();
    let at = pos.saturating_sub(1).min(chars.len());
    let start = chars[..at].iter().rposition(|c| *c == '\n').map_or(0, |newline| newline + 1);
    let end = chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |newline| at + newline);
    let number = chars[..start].iter().filter(|c| **c == '\n').count() + 1;
    let shown = |range: &[char]| visible(&range.iter().collect::<String>()).replace('\t', " ");
    // Of a line that is longer than a terminal is wide, what is around the place.
    let from = if at - start > AROUND_CHARS { at - AROUND_CHARS } else { start };
    let to = end.min(at + AROUND_CHARS + AROUND_CHARS);
    let (cut, rest) = (if from > start { "…" } else { "" }, if to < end { "…" } else { "" });
    let before = cut.chars().count() + shown(&chars[from..at]).chars().count();
    let marked = shown(&chars[at..at.saturating_add(len.max(1)).min(to)]).chars().count().max(1);
    let carets = style.paint(Ink::Red, &"^".repeat(marked));
    let bar = style.paint(Ink::Dim, "|");
    let arrow = style.paint(Ink::Dim, "-->");
    format!(
        "  {arrow} query:{number}:{}\n   {bar} {cut}{}{rest}\n   {bar} {}{carets}\n",
        at - start + 1,
        shown(&chars[from..to]),
        " ".repeat(before)
    )
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(query: &str, pos: usize, len: usize, want: &Expect) {
        // What is expected loses the indentation that all its lines share: the first one has none.
        want.assert_eq(&format!("error:\n{}", underline(query, pos, len, Style { on: false })));
    }

    #[test]
    fn the_place_is_underlined_on_its_line() {
        check(
            "status>=abc",
            9,
            3,
            &expect![[r#"
                error:
                  --> query:1:9
                   | status>=abc
                   |         ^^^
            "#]],
        );
        check(
            "é level:error\n| bogus x",
            17,
            5,
            &expect![[r#"
                error:
                  --> query:2:3
                   | | bogus x
                   |   ^^^^^
            "#]],
        );
        check(
            "abc",
            99,
            7,
            &expect![[r#"
                error:
                  --> query:1:4
                   | abc
                   |    ^
            "#]],
        );
        check(
            "a\x1b[31m\u{202e}b c",
            9,
            1,
            &expect![[r#"
                error:
                  --> query:1:9
                   | a␛[31m<U+202E>b c
                   |                ^
            "#]],
        );
    }

    #[test]
    fn of_a_long_line_what_is_around_the_place_is_shown() {
        let query = format!("{}bogus{}", "a ".repeat(5000), " b".repeat(5000));
        let shown = underline(&query, 10_001, 5, Style { on: false });
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "  --> query:1:10001");
        assert!(
            lines[1].starts_with("   | …") && lines[1].ends_with('…') && lines[1].chars().count() < 200,
            "{}",
            lines[1]
        );
        let at = |line: &str, what: &str| line.find(what).map(|byte| line[..byte].chars().count());
        assert_eq!(at(lines[1], "bogus"), at(lines[2], "^^^^^"));
        let whole = underline(&query, 1, query.len(), Style { on: false });
        assert!(whole.lines().all(|line| line.chars().count() < 200), "{whole}");
    }
}
