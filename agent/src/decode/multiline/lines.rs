//! What single lines of traces look like. Cheap things first: most lines fail at their first or last byte.

use memchr::memmem;

use super::Rule;

/// Longest name of an exception with its packages.
const NAME_BYTES_MAX: usize = 160;
/// Longest date that PM2 is expected to write before a line.
const DATE_BYTES_MAX: usize = 48;

/// Indented and not blank.
pub(super) fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t')) && line.iter().any(|byte| !byte.is_ascii_whitespace())
}

/// Whose an indented line is.
pub(super) fn classify(line: &[u8]) -> Rule {
    let body = line.trim_ascii_start();
    let indent = line.len() - body.len();
    let tab = line.first() == Some(&b'\t');
    if body.starts_with(b"at ") {
        return match (tab, indent) {
            (true, _) => Rule::Java,
            (false, 3) => Rule::DotNet,
            _ if is_node_place(body) => Rule::Node,
            _ => Rule::DotNet,
        };
    }
    if body.starts_with(b"from ") && memmem::find(body, b":in ").is_some() {
        return Rule::Ruby;
    }
    if body.starts_with(b"---> ") {
        return Rule::DotNet;
    }
    if body.starts_with(b"thrown in ") {
        return Rule::Php;
    }
    if body.starts_with(b"| ") || body.starts_with(b"+-") || body.starts_with(b"+ Exception Group") {
        return Rule::Python;
    }
    if tab && (body.starts_with(b"... ") || body.starts_with(b"Suppressed: ")) { Rule::Java } else { Rule::Indented }
}

/// `…a.js:8:33)`, `(<anonymous>)`, `(native)`
fn is_node_place(frame: &[u8]) -> bool {
    let end = frame.iter().rposition(|byte| !b"),{ [".contains(byte)).map_or(0, |at| at + 1);
    let frame = &frame[..end];
    let digits = frame.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let numbered = digits > 0 && frame[..end - digits].ends_with(b":");
    numbered || frame.ends_with(b"<anonymous>") || frame.ends_with(b"native")
}

/// Lines of traces that are not indented. The first byte decides for nearly every line of a log.
pub(super) fn step_trace(line: &[u8], in_trace: bool) -> Option<Rule> {
    let numbered = |at: usize| line.get(at).is_some_and(u8::is_ascii_digit);
    match line.first()? {
        b'C' if line.starts_with(b"Caused by: ") => Some(Rule::Java),
        b'C' if in_trace && line == b"Caused by:" => Some(Rule::Rust),
        b'S' if line.starts_with(b"Suppressed: ") => Some(Rule::Java),
        b'S' if line == b"Stack trace:" => Some(Rule::Php),
        b'S' if in_trace && line == b"Stack backtrace:" => Some(Rule::Rust),
        b'a' if line.starts_with(b"at ") && memchr::memchr2(b'(', b':', line).is_some() => Some(Rule::Node),
        b'.' if in_trace && line.starts_with(b"... ") && line.ends_with(b" more") => Some(Rule::Java),
        b'}' | b']' if in_trace && line.len() <= 3 => Some(Rule::Indented),
        b'#' if in_trace && numbered(1) => Some(Rule::Php),
        b'[' if line == b"[stacktrace]" || (in_trace && line.starts_with(b"[previous exception]")) => Some(Rule::Php),
        b'"' if in_trace && line.starts_with(b"\"}") => Some(Rule::Php),
        b'-' if line.starts_with(b"--- End of ") => Some(Rule::DotNet),
        _ => None,
    }
}

/// `java.io.IOException: disk`, `TypeError [ERR_X]: no`, `ActiveRecord::RecordNotFound (no):`, `Exception in thread …`,
/// `Unhandled exception. System.X: no`: a line that begins with the name of an exception.
pub(super) fn is_header(line: &[u8]) -> bool {
    if line.starts_with(b"Exception in thread ") || line.starts_with(b"Unhandled exception. ") {
        return true;
    }
    let line = line.strip_prefix(b"Uncaught ").unwrap_or(line);
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'/');
    let mut len = 0;
    loop {
        len += line[len..].iter().take(NAME_BYTES_MAX).take_while(|byte| name(byte)).count();
        if !line[len..].starts_with(b"::") || len > NAME_BYTES_MAX {
            break;
        }
        len += 2;
    }
    let (head, rest) = line.split_at(len);
    let named = [&b"Error"[..], b"Exception", b"Throwable", b"Panic"].iter().any(|end| head.ends_with(end));
    match rest {
        [] => named,
        [b':', ..] => named || (head.contains(&b'.') && head.contains(&b'$')),
        [b' ', b'[' | b'(', ..] => named,
        _ => false,
    }
}

/// The first line of an event speaks of something that went wrong: a trace behind it is its own.
pub(super) fn error_sign(text: &[u8]) -> bool {
    const SIGNS: [&[u8]; 12] = [
        b"Error",
        b"ERROR",
        b"error",
        b"Exception",
        b"exception",
        b"panic",
        b"WARN",
        b"FATAL",
        b"SEVERE",
        b"CRITICAL",
        b"ailed",
        b"PHP ",
    ];
    let first = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
    SIGNS.iter().any(|sign| memmem::find(first, sign).is_some())
}

/// A line that no message of an exception has within it: a date, a level, JSON, another exception.
pub(super) fn looks_new(line: &[u8]) -> bool {
    let dated = |line: &[u8]| line.len() >= 8 && line[..8].iter().filter(|byte| byte.is_ascii_digit()).count() >= 4;
    match line.first() {
        Some(b'{' | b'<') => true,
        Some(b'[') => dated(&line[1..]) || line.get(1).is_some_and(u8::is_ascii_uppercase),
        Some(byte) if byte.is_ascii_digit() => dated(line),
        Some(byte) if byte.is_ascii_uppercase() => {
            let word = line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            (4..=8).contains(&word) && matches!(line.get(word), Some(b' ' | b':')) || is_header(line)
        }
        Some(byte) => byte.is_ascii_alphabetic() && is_header(line),
        None => false,
    }
}

/// `/srv/a.js:3`, `node:internal/modules/cjs/loader:1210`, `file:///srv/a.mjs:3`
pub(super) fn is_node_source(line: &[u8]) -> bool {
    let begins = line.starts_with(b"/") || line.starts_with(b"node:") || line.starts_with(b"file:///");
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    begins && digits > 0 && line[..line.len() - digits].ends_with(b":") && !line.contains(&b' ')
}

/// `     ^` or `  ^^^^^`
pub(super) fn is_caret(line: &[u8]) -> bool {
    line.contains(&b'^') && line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'^'))
}

pub(super) fn chains_python(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception")
        || line.starts_with(b"The above exception was the direct cause")
}

/// `/srv/a.rb:3:in 'f'`: a frame; with a message behind it it is the header.
pub(super) fn is_ruby_frame(line: &[u8]) -> bool {
    line.last() == Some(&b'\'') && memmem::find(line, b".rb:").is_some() && memmem::find(line, b":in ").is_some()
}

/// `thread 'main' panicked at …`, `thread 'worker' (9140) panicked at …`
pub(super) fn is_rust_panic(line: &[u8]) -> bool {
    line.starts_with(b"thread '") && memmem::find(line, b" panicked at ").is_some()
}

pub(super) fn is_go_begin(line: &[u8]) -> bool {
    line.starts_with(b"panic: ")
        || line.starts_with(b"fatal error: ")
        || line.starts_with(b"SIGQUIT: ")
        || line.starts_with(b"SIGABRT: ")
        || line.starts_with(b"SIGSEGV: ")
        || is_goroutine(line)
}

pub(super) fn is_goroutine(line: &[u8]) -> bool {
    line.starts_with(b"goroutine ") && line.ends_with(b":")
}

/// `main.main()`, `created by net/http.(*Server).Serve`, `[signal SIGSEGV: …]`, `goroutine 1 [running]:`, `rip    0x45e1c1`
pub(super) fn is_go_frame(line: &[u8]) -> bool {
    let begins: [&[u8]; 8] =
        [b"created by ", b"[signal ", b"exit status ", b"PC=", b"runtime stack:", b"...", b"panic: ", b"panic("];
    if is_goroutine(line) || begins.iter().any(|begin| line.starts_with(begin)) {
        return true;
    }
    let register = line.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
    if (2..=6).contains(&register) && line[register..].trim_ascii_start().starts_with(b"0x") {
        return true;
    }
    let name = memchr::memchr(b'(', line).map_or(&line[..0], |at| &line[..at]);
    line.ends_with(b")") && name.contains(&b'.') && !name.contains(&b' ')
}

/// `2026/11/20 09:10:02 [`
pub(super) fn begins_nginx_error(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000/00/00 00:00:00 [";
    line.len() >= SHAPE.len()
        && SHAPE
            .iter()
            .zip(line)
            .all(|(shape, byte)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte })
}

/// Takes `DATE: ` off a line, whatever the format of the date: digits, their separators and a zone.
pub(super) fn strip_date(line: &[u8]) -> &[u8] {
    if !line.first().is_some_and(u8::is_ascii_digit) {
        return line;
    }
    let head = &line[..line.len().min(DATE_BYTES_MAX)];
    // The prefix of an empty line is the date and a colon, its space trimmed by nobody.
    let Some(end) = memmem::find(head, b": ") else { return line };
    let date = &head[..end];
    let digits = date.iter().filter(|byte| byte.is_ascii_digit()).count();
    let dated = date.iter().all(|byte| byte.is_ascii_digit() || b"-:/.+, TZ".contains(byte));
    if dated && digits >= 6 { &line[end + 2..] } else { line }
}
