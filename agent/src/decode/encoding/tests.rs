use logweir_proto::batch::{ChunkBuilder, SourceKind};
use proptest::prelude::*;

use super::*;
use crate::decode::lines::tests::records;
use crate::decode::{Close, Format, Multiline, Open, Scratch, Window, decode};

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

/// Decodes `bytes` in windows of `window` bytes: (start, advance, text, truncated).
fn run(bytes: &[u8], window: usize, line_bytes: usize) -> Vec<(u64, u64, String, bool)> {
    let encoding = Encoding::of(bytes);
    let multiline = Multiline::Auto;
    let format = Format { encoding, ..Format::new(SourceKind::File, "", &multiline, line_bytes) };
    let mut chunk = ChunkBuilder::new(0);
    let mut scratch = Scratch::default();
    let (mut at, mut want) = (0, window);
    while at < bytes.len() {
        let end = (at + want).min(bytes.len());
        let close = if end == bytes.len() { Close::All } else { Close::Nothing };
        let mid_line = !encoding.begins_line(&bytes[at.saturating_sub(2)..at]);
        let window_ = Window { bytes: &bytes[at..end], mid_line, close };
        let decoded = decode(format, window_, &mut scratch, &mut chunk);
        at += decoded.consumed;
        want = if decoded.consumed == 0 { want * 2 } else { window };
        if end == bytes.len() && decoded.consumed == 0 {
            break;
        }
    }
    let text = |text: &[u8]| String::from_utf8(text.to_vec()).expect("it was made of characters");
    records(&chunk).into_iter().map(|r| (r.start, r.advance, text(&r.text), r.truncated)).collect()
}

#[test]
fn both_orders_with_their_byte_ranges() {
    for big in [false, true] {
        let records = run(&utf16("grüße\r\n€ 😀\nlast", big), 1 << 10, 100);
        let want = [(0, 2 + 14, "grüße"), (16, 10, "€ 😀"), (26, 8, "last")];
        let want = want.map(|(start, advance, text)| (start, advance, text.to_owned(), false));
        assert_eq!(records, want, "{big}");
    }
}

#[test]
fn traces_are_joined_and_long_lines_cut() {
    let records = run(&utf16("Error: x\n    at f (a.js:1:2)\nnext\nabcdefghij\n", false), 1 << 10, 32 << 10);
    assert_eq!(records[0].2, "Error: x\n    at f (a.js:1:2)");
    let records = run(&utf16("abcdéfghij\n", false), 1 << 10, 5);
    let shown: Vec<(u64, &str, bool)> = records.iter().map(|r| (r.1, r.2.as_str(), r.3)).collect();
    assert_eq!(shown, [(2 + 8, "abcd", true), (8, "éfgh", true), (6, "ij", true)]);
}

#[test]
fn half_a_character_at_the_end_waits_and_is_not_forgotten() {
    let decoded = |bytes: &[u8], close| {
        let multiline = Multiline::Auto;
        let format = Format { encoding: Encoding::Utf16Le, ..Format::new(SourceKind::File, "", &multiline, 100) };
        let mut chunk = ChunkBuilder::new(0);
        let decoded = decode(format, Window { bytes, mid_line: false, close }, &mut Scratch::default(), &mut chunk);
        (decoded.consumed, decoded.open)
    };
    let bytes = [utf16("a\n", false), vec![b'x']].concat();
    assert_eq!(decoded(&bytes, Close::Group), (6, Some(Open::Piece)));
    assert_eq!(decoded(&bytes, Close::All), (7, None));
    // The mark alone waits, and then for nothing: it belongs to the line that comes first.
    assert_eq!(decoded(&bytes[..2], Close::Nothing), (0, Some(Open::Piece)));
    assert_eq!(decoded(&bytes[..2], Close::All), (0, None));
}

#[test]
fn half_characters_lose_nothing_but_themselves() {
    // Half a surrogate pair before a newline, and one byte at the end.
    let mut bytes = utf16("a", false);
    bytes.extend_from_slice(&[0x3d, 0xd8, b'\n', 0, b'x']);
    let records = run(&bytes, 1 << 10, 100);
    assert_eq!(records, [(0, 8, "a\u{fffd}".to_owned(), false), (8, 1, "\u{fffd}".to_owned(), false)]);
    // What follows later goes on behind the half.
    let mut text = Vec::new();
    let mut mapped = Encoding::Utf16Le.transcode(&[0, b'y', 0, b'\n', 0], 9, true, &mut text);
    assert_eq!((mapped.text, mapped.file_bytes(2)), (&b"y\n"[..], 5));
}

proptest! {
    /// Wherever windows end, the ranges cover the file and the text is what was written.
    #[test]
    fn any_text_is_covered(lines in prop::collection::vec("[ -~äé€😀]{0,40}", 0..20), big: bool, window in 2usize..300) {
        let text = lines.join("\n");
        let bytes = utf16(&text, big);
        let whole = run(&bytes, 1 << 20, 1 << 20);
        prop_assert_eq!(whole.iter().map(|r| r.1).sum::<u64>(), if text.is_empty() { 0 } else { bytes.len() as u64 });
        let again = run(&bytes, window, 1 << 20);
        let joined = |records: &[(u64, u64, String, bool)]| records.iter().map(|r| r.2.clone()).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(joined(&whole), text.trim_end_matches('\n').to_owned() + &"\n".repeat(newlines(&text)));
        prop_assert_eq!(joined(&again), joined(&whole));
    }

    #[test]
    fn any_bytes_are_covered(bytes in prop::collection::vec(any::<u8>(), 1..200), big: bool, window in 2usize..80) {
        let mut marked = if big { vec![0xfe, 0xff] } else { vec![0xff, 0xfe] };
        marked.extend_from_slice(&bytes);
        let records = run(&marked, window, 16);
        prop_assert_eq!(records.iter().map(|r| r.1).sum::<u64>(), marked.len() as u64);
    }
}

/// Newlines at the end, without the one that ends the last line.
fn newlines(text: &str) -> usize {
    (text.len() - text.trim_end_matches('\n').len()).saturating_sub(1)
}
