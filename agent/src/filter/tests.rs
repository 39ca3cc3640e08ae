use logweir_proto::batch::{AgentInfo, Envelope, Header, Heartbeat, SourceKind, Stream};
use proptest::prelude::*;

use super::*;
use crate::batch::Draft;
use crate::redact::{Action, Detector, Settings};

fn info(path: &str, service: &str) -> Info {
    Info {
        id: "1-ab".into(),
        kind: SourceKind::File,
        path: path.into(),
        format: Default::default(),
        labels: [("service", service)].into_iter().collect(),
    }
}

fn chunk(lines: &[&str]) -> ChunkBuilder {
    let mut chunk = ChunkBuilder::new(100);
    for line in lines {
        chunk.push(line.as_bytes(), line.len() as u64 + 1, None, Stream::Stdout, false);
    }
    chunk
}

fn records(chunk: &ChunkBuilder) -> Vec<(u64, u64, String)> {
    let mut records = Vec::new();
    chunk.for_each(|r| records.push((r.start, r.advance, String::from_utf8_lossy(r.text).into_owned())));
    records
}

fn rule(drop: &[&str], sample: Option<f64>) -> SourceRule {
    SourceRule { drop: drop.iter().map(ToString::to_string).collect(), sample, ..SourceRule::default() }
}

#[test]
fn what_is_left_out_stays_in_the_range() {
    let mut filter = Filter::new(&[rule(&["^debug", "healthz"], None)], &Settings::default()).expect("it is right");
    let source = info("/a.log", "shop");
    let kept = filter.apply(&source, chunk(&["debug 1", "one", "GET /healthz", "two", "debug 2"]));
    assert_eq!(records(&kept), [(100, 12, "one".into()), (112, 17, "two".into())]);
    assert_eq!((kept.start(), kept.end()), (100, 137));
    let nothing = filter.apply(&source, chunk(&["debug"]));
    assert_eq!((nothing.records(), nothing.start(), nothing.end()), (0, 100, 106));
    assert_eq!(filter.counts(), Counts { filtered_lines: 4, redacted_values: 0 });
}

#[test]
fn redacted_lines_keep_their_ranges() {
    let settings = Settings { detectors: vec![(Detector::Email, Action::Mask)], ..Settings::default() };
    let mut filter = Filter::new(&[], &settings).expect("it is right");
    let source = info("/a.log", "shop");
    let same = filter.apply(&source, chunk(&["nothing here"]));
    assert_eq!(records(&same), [(100, 13, "nothing here".into())]);
    let changed = filter.apply(&source, chunk(&["kept", "to someone@example.com", "kept"]));
    assert_eq!(records(&changed), [(100, 5, "kept".into()), (105, 23, "to [email]".into()), (128, 5, "kept".into())]);
    filter.report();
    assert_eq!(filter.counts(), Counts { filtered_lines: 0, redacted_values: 1 });
}

#[test]
fn a_line_that_grows_beyond_the_limit_is_cut() {
    let settings = Settings { detectors: vec![(Detector::Email, Action::Mask)], ..Settings::default() };
    let mut filter = Filter::new(&[], &settings).expect("it is right");
    let line = "a@b.de ".repeat(LINE_BYTES_MAX / 7);
    let cut = filter.apply(&info("/a.log", "shop"), chunk(&[&line]));
    cut.for_each(|record| assert!(record.truncated && record.text.len() <= LINE_BYTES_MAX));
    assert_eq!(cut.end(), 100 + line.len() as u64 + 1);
}

#[test]
fn rules_cover_what_they_name() {
    let by_path = SourceRule { paths: vec!["/var/log/*.log".into()], exclude: vec!["b*".into()], ..rule(&["x"], None) };
    let by_service = SourceRule { service: Some("shop".into()), ..rule(&["y"], None) };
    let filter = Filter::new(&[by_path, by_service, SourceRule::default()], &Settings::default()).expect("right");
    for (path, service, want) in [
        ("/var/log/a.log", "other", vec![0]),
        ("/var/log/a.log", "shop", vec![0, 1]),
        ("/var/log/b.log", "other", vec![]),
        ("/var/log/x/a.log", "other", vec![]),
        ("/srv/a.log", "shop", vec![1]),
    ] {
        let source = info(path, service);
        let covers: Vec<usize> = (0..filter.rules.len()).filter(|i| filter.rules[*i].covers(&source)).collect();
        assert_eq!(covers, want, "{path} {service}");
    }
}

#[test]
fn the_sample_is_the_same_each_time_and_of_the_right_size() {
    let lines: Vec<String> = (0..10_000).map(|n| format!("line {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sample = |share| {
        let mut filter = Filter::new(&[rule(&[], Some(share))], &Settings::default()).expect("it is right");
        records(&filter.apply(&info("/a.log", "shop"), chunk(&lines)))
    };
    let tenth = sample(0.1);
    assert!((900..1100).contains(&tenth.len()), "{}", tenth.len());
    assert_eq!(tenth, sample(0.1));
    assert_eq!((sample(0.0).len(), sample(1.0).len()), (0, 10_000));
}

proptest! {
    /// No packet holds a secret: neither the body of a batch nor its header, whatever stands around it.
    #[test]
    fn no_byte_of_a_secret_is_in_a_batch(
        lines in prop::collection::vec(("[ -~]{0,60}", any::<bool>(), "[ -~]{0,60}"), 1..20),
        name in "[a-z]{4,10}",
    ) {
        let secret = format!("{name}@example.com");
        let settings = Settings { detectors: vec![(Detector::Email, Action::Mask)], ..Settings::default() };
        let mut filter = Filter::new(&[rule(&["^x"], None)], &settings).expect("it is right");
        let source = info("/a.log", "shop");
        let mut chunk = ChunkBuilder::new(0);
        for (before, has, after) in &lines {
            let line = if *has { format!("{before} {secret} {after}") } else { format!("{before}{after}") };
            chunk.push(line.as_bytes(), line.len() as u64 + 1, None, Stream::None, false);
        }
        let end = chunk.end();
        let mut draft = Draft::default();
        draft.push(&source.to_source(), &filter.apply(&source, chunk), false);
        let built = draft.finish(header()).expect("a batch");
        let envelope = Envelope::parse(&built.bytes).expect("a batch");
        prop_assert_eq!(envelope.header.chunks[0].end, end);
        let head = serde_json::to_string(&envelope.header).expect("json");
        prop_assert!(!head.contains(&secret));
        let mut texts = Vec::new();
        let body = envelope.decompress().expect("its body");
        body.for_each(&envelope.header, |_, record| texts.push(record.text.to_vec())).expect("its records");
        for text in texts {
            prop_assert!(!String::from_utf8_lossy(&text).contains(&secret));
        }
    }
}

fn header() -> Header {
    Header {
        agent: AgentInfo { id: "a".into(), host: "h".into(), version: "0".into(), utc_offset_minutes: 0 },
        seq: 1,
        sources: Vec::new(),
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat::default(),
    }
}
