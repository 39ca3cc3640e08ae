//! Colour codes of terminals: stripped for parsing and searching, kept in the raw line.

const ESCAPE: u8 = 0x1b;

pub(in crate::parse) fn is_in(text: &[u8]) -> bool {
    memchr::memchr(ESCAPE, text).is_some()
}

/// Appends `text` without its escape sequences: `ESC [ … letter`, `ESC ] … BEL`, and `ESC` with one byte.
pub(in crate::parse) fn strip(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(ESCAPE, rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let len = match rest.first() {
            Some(b'[') => {
                let body = rest[1..].iter().take_while(|byte| (0x20..0x40).contains(*byte)).count();
                let ended = rest.get(1 + body).is_some_and(|byte| (0x40..0x7f).contains(byte));
                1 + body + usize::from(ended)
            }
            Some(b']') => {
                let end = memchr::memchr2(7, ESCAPE, rest).unwrap_or(rest.len());
                (end + usize::from(rest.get(end) == Some(&7))).min(rest.len())
            }
            Some(byte) if byte.is_ascii() => 1,
            _ => 0,
        };
        rest = &rest[len..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_go_and_text_stays() {
        for (text, want) in [
            ("\x1b[32mcolour\x1b[0m é", "colour é"),
            ("\x1b[1;38;5;208mx", "x"),
            ("\x1b]0;title\x07shell", "shell"),
            ("cut \x1b[3", "cut "),
            ("end\x1b", "end"),
            ("\x1bMx", "x"),
            ("plain", "plain"),
        ] {
            let mut out = Vec::new();
            strip(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{text:?}");
        }
    }
}
