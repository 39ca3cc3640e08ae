mod found;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use logweir_proto::api::Row;
use logweir_proto::batch::{AgentInfo, BodyBuilder, ChunkBuilder, Heartbeat};
use logweir_runtime::clock::Clock;
use logweir_runtime::telemetry;

use super::*;
use crate::live::{Next, Subscription};
use crate::receive::Received;
use crate::receive::admission::Admission;
use crate::search::rows::{self, Show};
use crate::store::receipts::Told;
use crate::store::service::StoreConfig;

struct World {
    indexer: Indexer,
    subscription: Subscription,
    ranges: SourceRanges,
    record: u64,
    agent: &'static str,
    service: &'static str,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = StoreConfig {
            seal_bytes: 1 << 30,
            seal_age: Duration::from_secs(600),
            compaction_bytes_per_s: u64::MAX,
            column_cache_bytes: 1 << 20,
            retention_days: 30,
            retention_bytes: None,
            classes: Vec::new(),
        };
        let (store, _) = Store::open_local(dir.path(), config, Clock::manual(0)).expect("a store");
        let live = Live::default();
        let subscription = live.subscribe().expect("there is room");
        let indexer = Indexer::new(store, live);
        World {
            indexer,
            subscription,
            ranges: SourceRanges::default(),
            record: 0,
            agent: "agent",
            service: "shop",
            _dir: dir,
        }
    }

    /// Indexes lines, with whether each was cut, and answers their rows.
    fn rows(&mut self, lines: &[(&[u8], bool)]) -> Vec<Row> {
        let start = self.record * 10_000;
        let mut chunk = ChunkBuilder::new(start);
        for (text, truncated) in lines {
            chunk.push(text, text.len() as u64 + 1, None, Stream::None, *truncated);
        }
        let header = Header {
            agent: AgentInfo {
                id: self.agent.to_owned(),
                host: "web-1".to_owned(),
                version: String::new(),
                utc_offset_minutes: 0,
            },
            seq: 0,
            sources: vec![SourceInfo {
                id: "source".to_owned(),
                kind: SourceKind::File,
                path: "/var/log/app.log".to_owned(),
                format: String::new(),
                labels: [(field::SERVICE.to_owned(), self.service.to_owned())].into(),
            }],
            chunks: Vec::new(),
            watermarks: Vec::new(),
            gaps: Vec::new(),
            heartbeat: Heartbeat::default(),
        };
        let mut body = BodyBuilder::default();
        body.push(0, &chunk);
        let bytes = Bytes::from(body.finish(header, 1).expect("a batch"));
        let ticket = Admission::new(u64::MAX).enter(0).expect("there is room");
        let Received { tenant, received_ns, header, body, spans, ticket, .. } =
            Received::decode("default".to_owned(), 0, bytes, ticket).expect("a batch");
        let plans = dedup::decide(&mut self.ranges, &header);
        let record = self.record;
        self.record += 1;
        self.indexer.index(Durable { record, received_ns, tenant, header, body, spans, plans, ticket: Some(ticket) });
        self.indexer.publish();
        let Some(Next::Rows(block)) = self.subscription.next().now_or_never() else { panic!("a block") };
        assert_eq!(self.indexer.store.view().last_record, record, "what is shown live is stored already");
        rows::rows(block.batch(), &Show::All, None)
    }
}

#[test]
fn a_line_that_breaks_its_parser_becomes_plain_text_and_the_next_one_is_parsed() {
    telemetry::init_metrics();
    let mut world = World::new();
    world.indexer.parse = |parser, names, input, spans, line| {
        parser.read(names, input, spans, line);
        if input.text.starts_with(b"{\"bad") {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    };
    let lines: [(&[u8], bool); 3] =
        [(b"{\"a\":1}", false), (b"{\"bad\":\"\xFF\"}\n", false), (b"{\"level\":\"warn\",\"a\":2}", false)];
    let rows = world.rows(&lines);
    assert_eq!((&rows[0]["a"], &rows[2]["a"], &rows[2]["level"]), (&1.into(), &2.into(), &"warn".into()));
    assert_eq!(rows[1]["message"], "{\"bad\":\"\u{FFFD}\"}");
    assert_eq!((&rows[1]["service"], &rows[1]["host"]), (&"shop".into(), &"web-1".into()));
    assert_eq!(rows[1].get("bad"), None, "nothing half done is kept");
    assert!(telemetry::render_metrics().contains("logweir_parser_panics_total"));
}

#[test]
fn what_was_cut_and_what_did_not_fit_is_told() {
    telemetry::init_metrics();
    let mut world = World::new();
    let many: Vec<String> = (0..1100).map(|n| format!("\"f{n}\":{n}")).collect();
    let many = format!("{{{}}}", many.join(","));
    let rows = world.rows(&[(b"whole", false), (b"cut of", true), (many.as_bytes(), false)]);
    assert_eq!(rows[0].get("_truncated"), None);
    assert_eq!((&rows[1]["_truncated"], &rows[1]["message"]), (&true.into(), &"cut of".into()));
    assert!(telemetry::render_metrics().contains("logweir_fields_dropped_total"));
}

#[test]
fn a_time_that_cannot_be_is_that_of_the_receipt_and_is_told_of_its_source() {
    telemetry::init_metrics();
    let mut world = World::new();
    let line =
        |second: i64| format!("{{\"time\":\"1970-01-01T00:{:02}:{:02}Z\",\"n\":{second}}}", second / 60, second % 60);
    let (late, fast, wrong) = (r#"{"time":"1969-12-30T00:00:00Z","n":-1}"#.to_owned(), line(300), line(301));
    let rows = world.rows(&[(late.as_bytes(), false), (fast.as_bytes(), false), (wrong.as_bytes(), false)]);
    let times: Vec<String> = rows.iter().map(|row| format!("{} {}", row["n"], row["time"])).collect();
    expect_test::expect![[r#"
        -1 "1969-12-30T00:00:00.000000000Z"
        301 "1970-01-01T00:00:00.000000000Z"
        300 "1970-01-01T00:05:00.000000000Z""#]]
    .assert_eq(&times.join("\n"));
    assert!(telemetry::render_metrics().contains("logweir_future_times_total"));
    // Whatever they tell, all of them were received at once.
    let view = world.indexer.store.view();
    let told: Vec<_> =
        view.segments.iter().map(|segment| segment.received()).filter(|told| told.span.is_some()).collect();
    assert_eq!(told, [Told { span: Some((0, 0)), unknown: 0 }]);
}

#[test]
fn every_batch_gets_the_labels_that_it_came_with() {
    telemetry::init_metrics();
    let mut world = World::new();
    // Two senders without an identity, and a source whose label is changed while it goes on.
    for (agent, service) in [("", "a"), ("", "b"), ("", "a"), ("agent", "old"), ("agent", "new")] {
        (world.agent, world.service) = (agent, service);
        assert_eq!(world.rows(&[(b"{\"n\":1}", false)])[0]["service"], service, "{agent}");
    }
}
