//! The level that a line of plain text tells, guessed from where loggers write it.

use logweir_proto::record::Level;

/// Bytes of the line that are looked at.
const HEAD_BYTES: usize = 160;

/// Words from the beginning among which an upper-case word without brackets is a level.
const LEADING_WORDS: usize = 4;

/// The level of the first line of a text: `[ERROR]`, `ERROR:`, `level=error`, `… ERROR …` near the beginning, `E1120 …`.
pub(in crate::parse) fn guess(text: &[u8]) -> Option<Level> {
    let head = &text[..text.len().min(HEAD_BYTES)];
    let head = &head[..memchr::memchr(b'\n', head).unwrap_or(head.len())];
    if let Some(level) = glog(head) {
        return Some(level);
    }
    let mut words = 0;
    let mut at = 0;
    while at < head.len() {
        let len = head[at..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if len == 0 {
            at += 1;
            continue;
        }
        let (start, end) = (at, at + len);
        at = end;
        if let Some(level) = word(&head[start..end])
            && is_marked(head, start, end, words)
        {
            return Some(level);
        }
        words += 1;
    }
    None
}

/// Words that stand for a level in text. Fewer than [`Level::parse`] takes: `log`, `http` and single letters are words
/// of sentences.
fn word(text: &[u8]) -> Option<Level> {
    if text.len() < 3
        || ["log", "http", "config", "fine", "silly"].iter().any(|no| text.eq_ignore_ascii_case(no.as_bytes()))
    {
        return None;
    }
    Level::parse(text)
}

/// Whether the word `[start, end)`, before which `words` others stand, is in a place of levels.
fn is_marked(head: &[u8], start: usize, end: usize, words: usize) -> bool {
    let before = head[..start].trim_ascii_end();
    let after = head[end..].trim_ascii_start();
    let bracketed = matches!(before.last(), Some(b'[' | b'(' | b'<' | b'|'))
        && matches!(after.first(), Some(b']' | b')' | b'>' | b'|'));
    if bracketed {
        return true;
    }
    let next = head.get(end).copied();
    let previous = start.checked_sub(1).map(|at| head[at]);
    if matches!(previous, Some(b'=')) || head[..start].ends_with(b"=\"") {
        let key = before.trim_ascii_end();
        let key = key.strip_suffix(b"\"").unwrap_or(key);
        let key = key.strip_suffix(b"=").unwrap_or(key);
        return [&b"level"[..], b"lvl", b"severity"].iter().any(|name| key.ends_with(name));
    }
    if start == 0 && next == Some(b':') {
        return true;
    }
    let upper = head[start..end].iter().all(u8::is_ascii_uppercase);
    let alone = matches!(previous, None | Some(b' ' | b'\t')) && matches!(next, None | Some(b' ' | b'\t' | b':'));
    upper && alone && words < LEADING_WORDS
}

/// `E1120 09:10:02.123456 …`: the letter and the date of glog and klog.
fn glog(head: &[u8]) -> Option<Level> {
    let level = match head.first()? {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let date = head.get(1..6)?;
    (date[..4].iter().all(u8::is_ascii_digit) && date[4] == b' ').then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_found_where_loggers_write_them() {
        for (text, want) in [
            ("[ERROR] boom", Some(Level::Error)),
            ("[2026] [warn ] boom", Some(Level::Warn)),
            ("<info> boot", Some(Level::Info)),
            ("| CRITICAL | x", Some(Level::Fatal)),
            ("warn: pool exhausted", Some(Level::Warn)),
            ("ERROR:root:boom", Some(Level::Error)),
            ("app - ERROR - boom", Some(Level::Error)),
            ("  INFO 1234 --- [main] c.e.App : started", Some(Level::Info)),
            ("ts=1 level=warn msg=x", Some(Level::Warn)),
            ("ts=1 level=\"debug\" msg=x", Some(Level::Debug)),
            ("E1120 09:10:02.123456 1 file.go:12] boom", Some(Level::Error)),
            ("W1120 x", Some(Level::Warn)),
            ("there was an error in the config", None),
            ("GET /error 200 7ms", None),
            ("error handling is on", None),
            ("[http] [config] start", None),
            ("one two three four five ERROR", None),
            ("errors=0", None),
            ("x=error", None),
            ("E11", None),
            ("", None),
        ] {
            assert_eq!(guess(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn only_the_first_line_tells() {
        assert_eq!(guess(b"hello\nERROR: no"), None);
    }
}
