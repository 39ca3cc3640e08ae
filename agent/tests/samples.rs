//! The decoders on real files (`tests/fixtures/samples`): covered without a hole, joined as the formats say.

use std::fs;
use std::path::{Path, PathBuf};

use logweir_agent::decode::{Close, Decoded, Format, Multiline, Scratch, Window, decode};
use logweir_proto::batch::{AgentInfo, BodyBuilder, ChunkBuilder, Envelope, Header, Heartbeat, SourceInfo, SourceKind};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/samples")
}

/// Decodes a file in one window and reads the records back through the wire: (text, advance, truncated).
fn records(kind: SourceKind, bytes: &[u8]) -> (Vec<(Vec<u8>, u64, bool)>, Decoded) {
    let mut chunk = ChunkBuilder::new(0);
    let format = Format::new(kind, "", &Multiline::Auto, 1 << 20);
    let decoded =
        decode(format, Window { bytes, mid_line: false, close: Close::All }, &mut Scratch::default(), &mut chunk);
    let source =
        SourceInfo { id: "s".into(), kind, path: "/a".into(), format: String::new(), labels: Default::default() };
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
    body.push(0, &chunk);
    let batch = body.finish(header, 1).expect("a batch");
    let envelope = Envelope::parse(&batch).expect("a batch");
    let mut out = Vec::new();
    let each = |_: usize, r: logweir_proto::batch::RecordRef<'_>| out.push((r.text.to_vec(), r.advance, r.truncated));
    envelope.decompress().expect("its body").for_each(&envelope.header, each).expect("its records");
    (out, decoded)
}

fn read(name: &str) -> Vec<u8> {
    let path = fixtures().join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn docker_log(name: &str) -> Vec<u8> {
    let dir = fixtures().join("docker").join(name);
    let log = fs::read_dir(&dir).expect("a directory").filter_map(|entry| Some(entry.ok()?.path()));
    let log = log.filter(|path| path.to_string_lossy().ends_with("-json.log")).collect::<Vec<_>>();
    fs::read(&log[0]).expect("a log")
}

fn lines(records: &[(Vec<u8>, u64, bool)]) -> Vec<String> {
    records.iter().map(|(text, ..)| String::from_utf8_lossy(text).into_owned()).collect()
}

#[test]
fn every_file_is_covered() {
    for (dir, kind) in [
        ("nginx", SourceKind::NginxAccess),
        ("nginx", SourceKind::NginxError),
        ("pm2", SourceKind::Pm2),
        ("cri", SourceKind::Cri),
    ] {
        for entry in fs::read_dir(fixtures().join(dir)).expect("fixtures") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            let (records, decoded) = records(kind, &bytes);
            assert_eq!(decoded.consumed, bytes.len(), "{}", path.display());
            assert_eq!(records.iter().map(|(_, advance, _)| advance).sum::<u64>(), bytes.len() as u64);
        }
    }
}

#[test]
fn docker_lines_of_every_sort() {
    let texts = lines(&records(SourceKind::Docker, &docker_log("dbasic")).0);
    assert!(texts.contains(&"plain line".to_owned()) && texts.contains(&"to stderr".to_owned()), "{texts:?}");
    assert!(
        texts.iter().any(|text| text.starts_with("tab\there \"quoted\" back\\slash <html> & \u{1b}[31mred")),
        "{texts:?}"
    );
    assert!(texts.contains(&"crlf".to_owned()) && texts.contains(&"café \u{2028} ls".to_owned()), "{texts:?}");
    assert!(texts.contains(&"no newline at end".to_owned()), "{texts:?}");
    assert!(texts.contains(&"nul \0 byte".to_owned()), "{texts:?}");
}

#[test]
fn docker_pieces_become_lines() {
    let (records, _) = records(SourceKind::Docker, &docker_log("dlong"));
    for (text, _, truncated) in &records {
        let letter = text.iter().find(|byte| byte.is_ascii_alphabetic()).copied().unwrap_or(b'-');
        assert!(text.iter().all(|byte| *byte == letter), "{} and others in one line", letter as char);
        assert!(text.len() > 16_000 || *truncated || text.len() < 100, "{} bytes of {}", text.len(), letter as char);
    }
    let of = |letter: u8| -> Vec<usize> {
        records.iter().filter(|(text, ..)| text.first() == Some(&letter)).map(|(text, ..)| text.len()).collect()
    };
    // 16,384 bytes exactly end in a piece that is only the newline.
    assert_eq!(of(b'b'), [16_384]);
    assert_eq!(of(b'c'), [16_385]);
}

#[test]
fn a_terminal_ends_its_lines_with_crlf() {
    let texts = lines(&records(SourceKind::Docker, &docker_log("dtty")).0);
    assert_eq!(texts[..2], ["one", "two"]);
    assert!(texts.iter().all(|text| !text.ends_with('\r')));
}

#[test]
fn cri_pieces_become_lines() {
    let (records, _) = records(SourceKind::Cri, &read("cri/c1.log"));
    let texts = lines(&records);
    assert_eq!(texts[0], "one");
    assert!(texts.contains(&"partial then rest".to_owned()), "{texts:?}");
    assert!(records.iter().any(|(text, ..)| text.len() > 19_000 && text.iter().all(|byte| *byte == b'a')));
}

#[test]
fn traces_of_pm2_are_one_event_each() {
    for name in
        ["api-error.log", "api-dated-error.log", "api-time-error.log", "clu-merged-error.log", "py-worker-error.log"]
    {
        let (records, _) = records(SourceKind::Pm2, &read(&format!("pm2/{name}")));
        for text in lines(&records) {
            let first = text.lines().next().unwrap_or_default();
            assert!(!first.trim_start().starts_with("at ") && !first.contains(": at "), "{name}: {text}");
            assert!(!first.starts_with("KeyError"), "{name}: {text}");
        }
        assert!(records.iter().any(|(text, ..)| text.contains(&b'\n')), "{name} has no trace");
    }
}
