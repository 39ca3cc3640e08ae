//! Exceptions in text: what type a header names, and whether lines are a stack trace (Node, Java, Python, Go, Rust).

use std::ops::Range;

/// Lines of a text that are looked at.
const LINES_MAX: usize = 512;

/// Longest name of a type.
const TYPE_BYTES_MAX: usize = 200;

/// The line that names the exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::parse) struct Header {
    /// The whole line, without its end.
    pub(in crate::parse) line: Range<usize>,
    /// The type within the text: `TypeError`, `java.io.IOException`, `panic`.
    pub(in crate::parse) name: Range<usize>,
}

/// What a text of several lines is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::parse) enum Shape {
    /// A stack trace, with its header if one was found.
    Trace(Option<Header>),
    /// Something else.
    Text,
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

pub(in crate::parse) fn shape(text: &[u8]) -> Shape {
    let is_trace = lines(text).skip(1).any(|range| is_frame(&text[range])) || python(text).is_some();
    if is_trace { Shape::Trace(header(text)) } else { Shape::Text }
}

/// The header of an exception: after the frames in Python, before them elsewhere.
pub(in crate::parse) fn header(text: &[u8]) -> Option<Header> {
    let from = python(text);
    for range in lines(text) {
        let line = &text[range.clone()];
        if from.is_some_and(|from| range.start <= from) || line.first().is_some_and(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(name) = type_of(line) {
            return Some(Header { name: range.start + name.start..range.start + name.end, line: range });
        }
        // A Python exception may be of any type: the first line after the frames that is not indented names it.
        if from.is_some() && !line.is_empty() {
            let end = line.iter().take_while(|byte| is_type_byte(**byte)).count();
            let named = end > 0 && matches!(line.get(end), None | Some(b':'));
            return named.then(|| Header { name: range.start..range.start + end, line: range });
        }
    }
    None
}

/// Where a Python traceback begins: the last one, which is what came of the others (`During handling of …`).
fn python(text: &[u8]) -> Option<usize> {
    let begins = |range: &Range<usize>| text[range.clone()].trim_ascii_start().starts_with(TRACEBACK);
    lines(text).filter(begins).last().map(|range| range.start)
}

/// The ranges of the first lines, without line ends.
fn lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text).chain(std::iter::once(text.len()));
    ends.take(LINES_MAX).map(move |end| {
        let range = start..end - usize::from(end > start && text[end - 1] == b'\r');
        start = end + 1;
        range
    })
}

/// A line of a stack.
fn is_frame(line: &[u8]) -> bool {
    let body = line.trim_ascii_start();
    let indented = body.len() < line.len();
    indented && (body.starts_with(b"at ") || body.starts_with(b"File \""))
        || body.starts_with(b"Caused by: ")
        || body.starts_with(b"goroutine ") && body.ends_with(b"]:")
        || body.starts_with(b"stack backtrace:")
        || body.starts_with(b"note: run with `RUST_BACKTRACE")
}

/// What may stand before the type.
const LEADS: [&[u8]; 4] = [b"Uncaught ", b"Caused by: ", b"Unhandled rejection ", b"Exception in thread "];

/// The type that a line names: an identifier that ends in `Error`, `Exception` or the like, then `:` or nothing.
pub(in crate::parse) fn type_of(line: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    for lead in LEADS {
        if line[at..].starts_with(lead) {
            at += lead.len();
            if lead == b"Exception in thread " {
                let name_end = memchr::memmem::find(&line[at..], b"\" ")?;
                at += name_end + 2;
            }
        }
    }
    let rest = &line[at..];
    if rest.starts_with(b"panic: ") || rest.starts_with(b"fatal error: ") {
        return Some(at..at + memchr::memchr(b':', rest)?);
    }
    if rest.starts_with(b"thread '")
        && let Some(found) = memchr::memmem::find(rest, b"' panicked at")
    {
        return Some(at + found + 2..at + found + 7);
    }
    let len = rest.iter().take_while(|byte| is_type_byte(**byte)).count();
    let name = &rest[..len];
    let named = [&b"Error"[..], b"Exception", b"Throwable", b"Fault", b"Interrupt", b"Failure"]
        .iter()
        .any(|end| name.ends_with(end));
    let ended = match rest.get(len) {
        None => at + len == line.len() && memchr::memchr(b'.', name).is_some() || line.len() == len,
        Some(b':') => true,
        Some(b' ') => rest[len..].starts_with(b" ["),
        _ => false,
    };
    (named && ended && len <= TYPE_BYTES_MAX && name[0].is_ascii_alphabetic()).then_some(at..at + len)
}

fn is_type_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match shape(text.as_bytes()) {
            Shape::Text => "text".to_owned(),
            Shape::Trace(None) => "trace".to_owned(),
            Shape::Trace(Some(header)) => format!("{} | {}", &text[header.name], &text[header.line]),
        }
    }

    #[test]
    fn traces_of_every_language_name_their_exception() {
        for (text, want) in [
            ("TypeError: x is null\n    at f (a.js:1:2)", "TypeError | TypeError: x is null"),
            (
                "Error: Cannot find module 'x'\nRequire stack:\n- /a.js\n    at M (b.js:1)",
                "Error | Error: Cannot find module 'x'",
            ),
            ("Error [ERR_X]: closed\n    at f (a.js:1:2)", "Error | Error [ERR_X]: closed"),
            (
                "failed\njava.io.IOException: gone\n\tat a.B.c(B.java:1)\nCaused by: java.lang.Error: y",
                "java.io.IOException | java.io.IOException: gone",
            ),
            (
                "Exception in thread \"main\" java.lang.NullPointerException\n\tat a.B.c(B.java:1)",
                "java.lang.NullPointerException | Exception in thread \"main\" java.lang.NullPointerException",
            ),
            (
                "Traceback (most recent call last):\n  File \"w.py\", line 7, in <module>\n    x\nKeyError: 'missing'",
                "KeyError | KeyError: 'missing'",
            ),
            (
                "boom\nTraceback (most recent call last):\n  File \"w.py\", line 7\nsystem.Halt: now",
                "system.Halt | system.Halt: now",
            ),
            (
                "Traceback (most recent call last):\n  File \"w.py\", line 7\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"w.py\", line 9\nValueError: y",
                "ValueError | ValueError: y",
            ),
            (
                "panic: runtime error: index\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5 +0x1d",
                "panic | panic: runtime error: index",
            ),
            (
                "thread 'main' panicked at src/main.rs:2:5:\nboom\nnote: run with `RUST_BACKTRACE=1`",
                "panic | thread 'main' panicked at src/main.rs:2:5:",
            ),
            ("strange\n    at f (a.js:1:2)", "trace"),
            ("{\n  user: 1\n}", "text"),
            ("one line", "text"),
        ] {
            assert_eq!(show(text), want, "{text}");
        }
    }

    #[test]
    fn sentences_are_no_types() {
        for text in ["Error", "Error: x", "MyException: y"] {
            assert!(type_of(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["Errors: 5", "The Error: x", "Error handling on", "", "Exception in thread \"x", "...Error: x"] {
            assert_eq!(type_of(text.as_bytes()), None, "{text}");
        }
    }
}
