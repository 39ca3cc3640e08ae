//! UTF-16 with a byte order mark, as Windows programs and some Java set-ups write it: read as UTF-8.
//!
//! The ranges of records stay those of the file: a record of UTF-8 text is walked character by character to know how
//! many bytes of UTF-16 it came from. Half a surrogate pair is `U+FFFD` in the text and two bytes in the file.

/// The mark, and half a character that was cut: more never waits before the text.
const MARK_BYTES: usize = 2;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, or whatever bytes there are.
    #[default]
    Bytes,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// What the first bytes of a file say.
    pub fn of(head: &[u8]) -> Encoding {
        match head {
            // `FF FE 00 00` would be UTF-32, which no logger writes; a NUL as the first character is as unlikely.
            [0xff, 0xfe, ..] => Encoding::Utf16Le,
            [0xfe, 0xff, ..] => Encoding::Utf16Be,
            _ => Encoding::Bytes,
        }
    }

    /// Whether a line begins behind `before`, the up to two bytes before a place.
    pub fn begins_line(self, before: &[u8]) -> bool {
        match self {
            Encoding::Bytes => before.last().is_none_or(|byte| *byte == b'\n'),
            Encoding::Utf16Le => before.len() < 2 || before == [b'\n', 0] || before == [0xff, 0xfe],
            Encoding::Utf16Be => before.len() < 2 || before == [0, b'\n'] || before == [0xfe, 0xff],
        }
    }

    /// Where the last whole line of `block` ends, which begins at an even place of its file.
    pub fn after_last_line(self, block: &[u8]) -> Option<usize> {
        match self {
            Encoding::Bytes => memchr::memrchr(b'\n', block).map(|at| at + 1),
            _ => (2..=block.len() & !1).rev().step_by(2).find(|at| self.begins_line(&block[at - 2..*at])),
        }
    }

    /// Writes the characters of `bytes`, which stand at `offset` of their file, to `text`. With `all` also half a
    /// character at the end.
    pub fn transcode<'a>(self, bytes: &[u8], offset: u64, all: bool, text: &'a mut Vec<u8>) -> Mapped<'a> {
        text.clear();
        // After a piece that ended within a character, its other half is no character of its own.
        let lead = match offset {
            0 if Encoding::of(bytes) == self && self != Encoding::Bytes => MARK_BYTES,
            offset => usize::from(offset % 2 == 1).min(bytes.len()),
        };
        let (pairs, odd) = bytes[lead..].as_chunks::<2>();
        let mut units = pairs.iter().map(|pair| match self {
            Encoding::Utf16Be => u16::from_be_bytes(*pair),
            _ => u16::from_le_bytes(*pair),
        });
        let last = units.clone().next_back().filter(|unit| !all && matches!(unit, 0xd800..=0xdbff));
        let count = pairs.len() - usize::from(last.is_some());
        let mut utf8 = [0; 4];
        for unit in char::decode_utf16(units.by_ref().take(count)) {
            let character = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
            text.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        }
        let half = all && !odd.is_empty();
        if half {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
        Mapped { text, at: 0, lead: lead as u64, half }
    }
}

/// Text that was transcoded, and how far records have taken it.
#[derive(Debug, Clone, Copy)]
pub struct Mapped<'a> {
    pub text: &'a [u8],
    at: usize,
    lead: u64,
    /// The last character stands for one byte.
    half: bool,
}

impl Mapped<'_> {
    /// The bytes of the file behind the next `advance` bytes of the text.
    pub fn file_bytes(&mut self, advance: u64) -> u64 {
        let end = (self.at + advance as usize).min(self.text.len());
        // Every character is two bytes, and one of four bytes of UTF-8 is four.
        let taken = &self.text[self.at..end];
        let units = taken.iter().map(|byte| u64::from(byte & 0xc0 != 0x80) + u64::from(*byte >= 0xf0)).sum::<u64>();
        self.at = end;
        let half = self.half && end == self.text.len() && !taken.is_empty();
        2 * units + std::mem::take(&mut self.lead) - u64::from(half)
    }
}

#[cfg(test)]
mod tests;
