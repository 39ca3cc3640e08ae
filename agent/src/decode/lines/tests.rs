use std::collections::BTreeMap;

use logweir_proto::batch::{AgentInfo, BodyBuilder, ChunkBuilder, Envelope, Header, Heartbeat, SourceInfo, Stream};
use proptest::prelude::*;

use super::*;
use crate::decode::{Multiline, Scratch, decode as decode_any};

/// A record as the server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub start: u64,
    pub advance: u64,
    pub time_ns: Option<i64>,
    pub stream: Stream,
    pub truncated: bool,
    pub text: Vec<u8>,
}

/// Reads a chunk back through the wire.
pub(crate) fn records(chunk: &ChunkBuilder) -> Vec<Owned> {
    let source = SourceInfo {
        id: "s".into(),
        kind: SourceKind::File,
        path: "/a".into(),
        format: String::new(),
        labels: BTreeMap::new(),
    };
    let header = Header {
        agent: AgentInfo { id: "a".into(), host: "h".into(), version: "0".into(), utc_offset_minutes: 0 },
        seq: 1,
        sources: vec![source],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat::default(),
    };
    let mut body = BodyBuilder::default();
    body.push(0, chunk);
    let bytes = body.finish(header, 1).expect("a batch");
    let envelope = Envelope::parse(&bytes).expect("a batch");
    let mut out = Vec::new();
    envelope
        .decompress()
        .expect("its body")
        .for_each(&envelope.header, |_, r| {
            out.push(Owned {
                start: r.start,
                advance: r.advance,
                time_ns: r.time_ns,
                stream: r.stream,
                truncated: r.truncated,
                text: r.text.to_vec(),
            });
        })
        .expect("records that fill the chunk");
    out
}

/// `text+advance`, with a `!` where it was cut.
fn show(bytes: &[u8], close: Close, mid_line: bool, line_bytes: usize) -> (Vec<String>, usize) {
    let mut chunk = ChunkBuilder::new(0);
    let format = Format::new(SourceKind::NginxAccess, "", &Multiline::None, line_bytes);
    let decoded = decode_any(format, Window { bytes, mid_line, close }, &mut Scratch::default(), &mut chunk);
    let shown = |r: &Owned| {
        let cut = if r.truncated { "!" } else { "" };
        format!("{}+{}{cut}", String::from_utf8_lossy(&r.text), r.advance)
    };
    (records(&chunk).iter().map(shown).collect(), decoded.consumed)
}

#[test]
fn line_ends() {
    for (input, close, want, consumed) in [
        ("one\ntwo\n", Close::Nothing, vec!["one+4", "two+4"], 8),
        ("crlf\r\n\r\n\n", Close::Nothing, vec!["crlf+6", "+2", "+1"], 9),
        ("whole\nhalf", Close::Nothing, vec!["whole+6"], 6),
        ("whole\nhalf", Close::Group, vec!["whole+6"], 6),
        ("whole\nhalf", Close::All, vec!["whole+6", "half+4"], 10),
        ("nul\0byte\n", Close::Nothing, vec!["nul\0byte+9"], 9),
        ("", Close::All, vec![], 0),
    ] {
        let (shown, taken) = show(input.as_bytes(), close, false, 100);
        assert_eq!((shown, taken), (want.iter().map(|s| (*s).to_owned()).collect(), consumed), "{input:?} {close:?}");
    }
}

#[test]
fn long_lines_are_cut_and_every_piece_says_so() {
    assert_eq!(show(b"abcdefghij\nnext\n", Close::Nothing, false, 4).0, ["abcd+4!", "efgh+4!", "ij+3!", "next+5"]);
    // The rest of a line that was cut in the window before.
    assert_eq!(show(b"ij\nnext\n", Close::Nothing, true, 4).0, ["ij+3!", "next+5"]);
    // Before its end is known, only what is certain is cut.
    assert_eq!(show(b"abcdefgh", Close::Nothing, false, 4), (vec!["abcd+4!".to_owned()], 4));
    // Not within a character.
    assert_eq!(show("abcé…\n".as_bytes(), Close::Nothing, false, 4).0, ["abc+3!", "é+2!", "…+4!"]);
}

#[test]
fn a_line_that_may_go_on_waits_and_a_trace_waits_longer() {
    let open = |text: &str, close| {
        let mut chunk = ChunkBuilder::new(0);
        let format = Format::new(SourceKind::File, "", &Multiline::Auto, 1 << 20);
        let window = Window { bytes: text.as_bytes(), mid_line: false, close };
        let decoded = decode_any(format, window, &mut Scratch::default(), &mut chunk);
        (records(&chunk).len(), decoded.open)
    };
    assert_eq!(open("one\ntwo\n", Close::Nothing), (1, Some(Open::Line)));
    assert_eq!(open("one\ntwo\n", Close::Group), (2, None));
    assert_eq!(open("one\nTypeError: x\n", Close::Nothing), (1, Some(Open::Trace)));
    assert_eq!(open("one\nx\n  at y\n", Close::Nothing), (1, Some(Open::Trace)));
    assert_eq!(open("{\"a\":1}\n", Close::Nothing), (1, None));
    assert_eq!(open("{\"a\":1}\nhalf", Close::Group), (1, Some(Open::Piece)));
    assert_eq!(open("one\nhalf", Close::Group), (1, Some(Open::Piece)));
}

proptest! {
    /// Whatever the bytes and wherever the windows end: the records cover the input, and say its bytes again.
    #[test]
    fn any_bytes_are_covered_without_a_hole(
        parts in prop::collection::vec(prop_oneof![
            Just(b"\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"  at x".to_vec()), Just(b"Traceback (most recent call last):".to_vec()),
            Just(b"panic: x\n\ngoroutine 1 [running]:\n".to_vec()), prop::collection::vec(any::<u8>(), 0..30)], 0..30),
        window in 1usize..80, joined: bool, line_bytes in 8usize..60,
    ) {
        let input: Vec<u8> = parts.concat();
        let kind = if joined { SourceKind::Pm2 } else { SourceKind::NginxAccess };
        let format = Format::new(kind, "", &Multiline::Auto, line_bytes);
        let mut chunk = ChunkBuilder::new(0);
        let mut scratch = Scratch::default();
        let mut at = 0;
        let mut want = window;
        while at < input.len() {
            let end = (at + want).min(input.len());
            let close = if end == input.len() && want > 400 { Close::All } else { Close::Nothing };
            let mid_line = at > 0 && input[at - 1] != b'\n';
            let decoded = decode_any(format, Window { bytes: &input[at..end], mid_line, close }, &mut scratch, &mut chunk);
            prop_assert!(decoded.open.is_some() || decoded.consumed == end - at);
            at += decoded.consumed;
            want = if decoded.consumed == 0 { want * 2 } else { window };
        }
        let mut back = Vec::new();
        for record in records(&chunk) {
            prop_assert_eq!(record.start as usize, back.len());
            back.extend_from_slice(&record.text);
            let left = record.advance as usize - record.text.len();
            prop_assert!(left <= 2);
            back.extend_from_slice(&input[back.len()..back.len() + left]);
        }
        prop_assert_eq!(back, input);
    }
}
