//! Text for fields from bytes that are none: bad bytes become visible as `\xHH`. The raw line keeps them as they are.

use super::line::{Line, Text, Value};

/// Appends `bytes` as text.
pub(super) fn push_visible(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for byte in chunk.invalid() {
            out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Makes the texts of all fields valid, for a line that is not.
pub(super) fn mend(raw: &[u8], line: &mut Line, buffer: &mut Vec<u8>) {
    for at in 0..line.fields.len() {
        let Value::Text(text @ (Text::Raw(..) | Text::Scratch(..))) = line.fields[at].value else { continue };
        let bytes = line.text(raw, text);
        if std::str::from_utf8(bytes).is_err() {
            buffer.clear();
            push_visible(bytes, buffer);
            line.fields[at].value = Value::Text(line.scratch(buffer));
        }
    }
}
