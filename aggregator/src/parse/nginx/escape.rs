//! The escapes that NGINX writes into variables, undone.

use crate::parse::json::unescape::unescape;
use crate::parse::utf8;

use super::format::Escape;

/// Appends the text behind the escapes of a value; bytes that are no text stay visible as `\xHH`.
pub(super) fn undo(escape: Escape, value: &[u8], buffer: &mut Vec<u8>, out: &mut Vec<u8>) {
    buffer.clear();
    match escape {
        Escape::Default => default(value, buffer),
        Escape::Json => unescape(value, buffer),
        Escape::None => buffer.extend_from_slice(value),
    }
    utf8::push_visible(buffer, out);
}

/// `\xHH` of `escape=default`.
fn default(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest.get(at + 1..at + 4).and_then(hex) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[at + 4..];
            }
            None => {
                out.push(b'\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

fn hex(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match text {
        [b'x', high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_the_text_that_they_stand_for() {
        for (escape, value, want) in [
            (Escape::Default, r"he said \x22hi\x22 \x5C back", r#"he said "hi" \ back"#),
            (Escape::Default, r"caf\xC3\xA9 \xFF\xFE", r"café \xFF\xFE"),
            (Escape::Default, r"\x2 \xZZ \", r"\x2 \xZZ \"),
            (Escape::Json, r#"a\"b\u0001é"#, "a\"b\u{1}é"),
            (Escape::None, r"\x22", r"\x22"),
        ] {
            let (mut buffer, mut out) = (Vec::new(), Vec::new());
            undo(escape, value.as_bytes(), &mut buffer, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{value}");
        }
    }
}
