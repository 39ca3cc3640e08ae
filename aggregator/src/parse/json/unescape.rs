//! The text behind the escapes of a JSON string.

/// Appends the text of the content of a JSON string. Never fails: half a surrogate pair becomes U+FFFD, an escape that
/// JSON does not know stays as it stands.
pub(in crate::parse) fn unescape(content: &[u8], out: &mut Vec<u8>) {
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((&kind, tail)) = rest.split_first() else {
            out.push(b'\\');
            return;
        };
        rest = tail;
        match kind {
            b'"' | b'\\' | b'/' => out.push(kind),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => match code_unit(rest) {
                Some(unit) => {
                    rest = &rest[4..];
                    rest = push_unit(unit, rest, out);
                }
                None => out.extend_from_slice(b"\\u"),
            },
            _ => out.extend_from_slice(&[b'\\', kind]),
        }
    }
    out.extend_from_slice(rest);
}

/// Appends the character of `unit`, taking its second half from `rest` where it needs one; what is left of `rest`.
fn push_unit<'a>(unit: u32, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut left = rest;
    let mut code = unit;
    if (0xd800..0xdc00).contains(&unit)
        && let Some(low) = rest.strip_prefix(b"\\u").and_then(code_unit)
        && (0xdc00..0xe000).contains(&low)
    {
        code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        left = &rest[6..];
    }
    let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    left
}

fn code_unit(text: &[u8]) -> Option<u32> {
    text.get(..4)?.iter().try_fold(0, |sum, byte| Some(sum * 16 + char::from(*byte).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(content: &[u8]) -> String {
        let mut out = Vec::new();
        unescape(content, &mut out);
        String::from_utf8(out).expect("escapes of text give text")
    }

    #[test]
    fn hostile_escapes_give_text() {
        for (content, want) in [
            (r"a\nb\tc\\d\/e\u0041", "a\nb\tc\\d/eA"),
            (r"\ud83d\ude80", "🚀"),
            (r"\ud83d x", "\u{fffd} x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ude80", "\u{fffd}"),
            (r"\u12", r"\u12"),
            (r"\q", r"\q"),
            ("\\", "\\"),
        ] {
            assert_eq!(text(content.as_bytes()), want, "{content}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_escapes_is_found_again(original: String) {
            let quoted = serde_json::to_string(&original).expect("strings serialise");
            prop_assert_eq!(text(&quoted.as_bytes()[1..quoted.len() - 1]), original);
        }
    }
}
