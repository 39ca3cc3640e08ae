use expect_test::{Expect, expect};
use logweir_proto::batch::{ChunkBuilder, SourceKind};
use proptest::prelude::*;

use super::*;
use crate::decode::lines::tests::{Owned, records};

fn run(kind: SourceKind, input: &[u8], close: Close) -> (Vec<Owned>, Decoded) {
    let envelope = if kind == SourceKind::Docker { Envelope::Docker } else { Envelope::Cri };
    let format = Format::new(kind, "", &Multiline::Auto, 64 << 10);
    let mut chunk = ChunkBuilder::new(0);
    let window = Window { bytes: input, mid_line: false, close };
    let decoded = decode(envelope, format, window, &mut Buffers::default(), &mut Sink::new(&mut chunk, None, None));
    (records(&chunk), decoded)
}

fn check(kind: SourceKind, input: &str, close: Close, want: &Expect) {
    let (records, decoded) = run(kind, input.as_bytes(), close);
    let mut shown = String::new();
    for record in &records {
        let stream = record.stream.as_str().unwrap_or("-");
        let cut = if record.truncated { " cut" } else { "" };
        let text = String::from_utf8_lossy(&record.text).replace('\n', "⏎").replace('\t', "⇥").replace('\x1b', "␛");
        shown.push_str(&format!("[{}, {}) {stream}{cut} {text}\n", record.start, record.start + record.advance));
    }
    shown.push_str(&format!("{} of {} {:?}", decoded.consumed, input.len(), decoded.open));
    want.assert_eq(&shown);
}

/// A line of Docker with a short time, so that the offsets can be followed: 57 bytes and the text.
fn docker(log: &str, stream: &str) -> String {
    let log = serde_json::to_string(log).expect("json");
    format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-11-20T09:15:35.7Z\"}}\n")
}

#[test]
fn docker_lines() {
    let input =
        docker("plain\n", "stdout") + &docker("crlf\r\n", "stderr") + &docker("tab\t\"q\" \\ \u{1b}[31m é\n", "stdout");
    check(
        SourceKind::Docker,
        &input,
        Close::Group,
        &expect![[r#"
            [0, 68) stdout plain
            [68, 137) stderr crlf
            [137, 227) stdout tab⇥"q" \ ␛[31m é
            227 of 227 None"#]],
    );
    let (records, _) = run(SourceKind::Docker, input.as_bytes(), Close::Group);
    assert_eq!(records[0].time_ns, Some(1_795_166_135_700_000_000));
}

#[test]
fn docker_pieces_interleave() {
    let pieces =
        [docker("one-", "stdout"), docker("err\n", "stderr"), docker("two-", "stdout"), docker("end\n", "stdout")];
    // Until the last piece is there nothing can be cut, although a line is complete.
    check(SourceKind::Docker, &pieces[..3].concat(), Close::Group, &expect!["0 of 196 Some(Piece)"]);
    check(
        SourceKind::Docker,
        &pieces.concat(),
        Close::Group,
        &expect![[r#"
            [0, 131) stderr err
            [131, 262) stdout one-two-end
            262 of 262 None"#]],
    );
    // What comes before the first open piece is free.
    let input = docker("free\n", "stderr") + &docker("next\n", "stderr") + &pieces[0];
    check(
        SourceKind::Docker,
        &input,
        Close::Group,
        &expect![[r#"
            [0, 67) stderr free
            [67, 134) stderr next
            134 of 199 Some(Piece)"#]],
    );
    // A container that died leaves a piece without an end.
    check(
        SourceKind::Docker,
        &pieces[..3].concat(),
        Close::All,
        &expect![[r#"
            [0, 131) stderr err
            [131, 196) stdout cut one-two-
            196 of 196 None"#]],
    );
}

#[test]
fn docker_traces_are_joined_within_their_stream() {
    let input = docker("Error: x\n", "stderr") + &docker("    at y\n", "stderr") + &docker("ready\n", "stdout");
    check(
        SourceKind::Docker,
        &input,
        Close::Nothing,
        &expect![[r#"
            [0, 142) stderr Error: x⏎    at y
            142 of 210 Some(Line)"#]],
    );
}

#[test]
fn what_is_no_envelope_is_a_line() {
    check(
        SourceKind::Docker,
        "not json\n{\"log\":5}\n{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"t\"},\"time\":\"2026-11-20T09:15:39Z\"}\n",
        Close::Group,
        &expect![[r#"
            [0, 9) - not json
            [9, 19) - {"log":5}
            [19, 101) stdout x
            101 of 101 None"#]],
    );
}

/// Found by the fuzzer: lines on trial that were taken back lost another one each time.
#[test]
fn one_carriage_return_is_a_part_of_the_line_end_and_no_more() {
    let text = |record: &Owned| String::from_utf8_lossy(&record.text).into_owned();
    for kind in [SourceKind::Docker, SourceKind::Cri] {
        let (records, _) = run(kind, b"Error: x\r\r\nits message\r\r\r\n[info] next\r\n", Close::All);
        let texts: Vec<String> = records.iter().map(text).collect();
        assert_eq!(texts, ["Error: x\r", "its message\r\r", "[info] next"], "{kind:?}");
    }
    let pieces = docker("one\r", "stdout") + &docker("two\r\r\n", "stdout") + &docker("last\r", "stdout");
    let (records, _) = run(SourceKind::Docker, (pieces + &docker("\n", "stdout")).as_bytes(), Close::All);
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["one\rtwo\r", "last"]);
}

/// Found by the fuzzer: the last piece was not marked when a read ended before it.
#[test]
fn every_piece_of_a_long_foreign_line_is_marked_wherever_the_reads_end() {
    let input = b"a foreign line of twice the limit and more\nnext\n";
    let format = Format::new(SourceKind::Docker, "", &Multiline::Auto, 20);
    let marked = |window: usize| {
        let mut chunk = ChunkBuilder::new(0);
        let (mut at, mut buffers, mut truncated) = (0, Buffers::default(), 0);
        while at < input.len() {
            let end = (at + window).min(input.len());
            let close = if end == input.len() { Close::All } else { Close::Nothing };
            let mid_line = at > 0 && input[at - 1] != b'\n';
            let window = Window { bytes: &input[at..end], mid_line, close };
            let decoded =
                decode(Envelope::Docker, format, window, &mut buffers, &mut Sink::new(&mut chunk, None, None));
            at += decoded.consumed;
            truncated += decoded.truncated;
        }
        let marks: Vec<bool> = records(&chunk).iter().map(|record| record.truncated).collect();
        (marks, truncated)
    };
    for window in 43..=input.len() {
        assert_eq!(marked(window), (vec![true, true, true, false], 1), "{window}");
    }
}

#[test]
fn cri_lines() {
    let time = "2026-11-20T09:18:45.235954239+00:00";
    let input = format!(
        "{time} stdout F one\n{time} stdout F \n{time} stdout P par\n{time} stderr F err\n{time} stdout P:x tial \n{time} stdout F rest\nodd\n"
    );
    check(
        SourceKind::Cri,
        &input,
        Close::Group,
        &expect![[r#"
            [0, 49) stdout one
            [49, 95) stdout 
            [95, 193) stderr err
            [193, 296) stdout partial rest
            [296, 300) - odd
            300 of 300 None"#]],
    );
}

proptest! {
    /// Any mix of pieces, foreign lines and bytes, cut into windows anywhere: covered without a hole, in order.
    #[test]
    fn any_pieces_are_covered(
        parts in prop::collection::vec((0u8..6, "[a-z ]{0,12}"), 0..25),
        window in 40usize..400,
    ) {
        let input: String = parts.iter().map(|(kind, text)| match kind {
            0 => docker(&format!("{text}\n"), "stdout"),
            1 => docker(&format!("{text}\n"), "stderr"),
            2 => docker(text, "stdout"),
            3 => docker(text, "stderr"),
            4 => docker(&format!("  at {text}\n"), "stderr"),
            _ => format!("{text}\n"),
        }).collect();
        let whole = run(SourceKind::Docker, input.as_bytes(), Close::All).0;
        prop_assert_eq!(whole.iter().map(|r| r.advance).sum::<u64>(), input.len() as u64);
        let format = Format::new(SourceKind::Docker, "", &Multiline::Auto, 64 << 10);
        let mut chunk = ChunkBuilder::new(0);
        let mut buffers = Buffers::default();
        let (mut at, mut want) = (0, window);
        while at < input.len() {
            let end = (at + want).min(input.len());
            let close = if end == input.len() { Close::All } else { Close::Nothing };
            let window = Window { bytes: &input.as_bytes()[at..end], mid_line: false, close };
            let decoded = decode(Envelope::Docker, format, window, &mut buffers, &mut Sink::new(&mut chunk, None, None));
            at += decoded.consumed;
            want = if decoded.consumed == 0 { want * 2 } else { want };
        }
        prop_assert_eq!(records(&chunk), whole);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), docker: bool) {
        let kind = if docker { SourceKind::Docker } else { SourceKind::Cri };
        let (_, decoded) = run(kind, &bytes, Close::All);
        prop_assert_eq!(decoded.consumed, bytes.len());
    }
}
