//! The engine over what the store really makes: the head and splits, each with its own index. An index may only leave
//! out what does not match, so every query must find the same rows with it as without.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use logweir_proto::api::Order;
use logweir_proto::query::parse::parse;
use object_store::memory::InMemory;
use proptest::prelude::*;

use crate::ranges::{SourceKey, SourceRanges};
use crate::search::execute::{Request, explain};
use crate::search::testing::{ask, request};
use crate::store::block::Block;
use crate::store::fixture::{Row, any_rows, blocks, row};
use crate::store::head::HeadSegment;
use crate::store::objects::Objects;
use crate::store::segment::{BLOCK_ROWS_MAX, BlockStat, FieldStat, Probe, Projection, Segment, SegmentError};
use crate::store::split::cache::{SplitCache, SplitSegment};
use crate::store::split::writer::{SplitSource, write};

/// A segment without index and counts.
struct Plain(Arc<dyn Segment>);

impl Segment for Plain {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn blocks(&self) -> &[BlockStat] {
        self.0.blocks()
    }

    fn fields(&self) -> &BTreeMap<String, FieldStat> {
        self.0.fields()
    }

    fn candidates(&self, _: &Probe) -> Result<Vec<bool>, SegmentError> {
        Ok(vec![true; self.blocks().len()])
    }

    fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, SegmentError> {
        self.0.read(block, projection, rows)
    }

    fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, SegmentError> {
        self.0.raw(block, rows)
    }

    fn counts(&self, _: usize, _: &str) -> Option<&[(String, u32)]> {
        None
    }

    fn bytes_read(&self) -> u64 {
        self.0.bytes_read()
    }
}

/// The objects of a case and the splits in them.
pub(super) struct Place {
    objects: Objects,
    cache: Arc<SplitCache>,
    _runtime: tokio::runtime::Runtime,
}

impl Place {
    pub(super) fn new() -> Place {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let objects = Objects::new(Arc::new(InMemory::new()), runtime.handle().clone());
        let cache = Arc::new(SplitCache::new(objects.clone(), 64 << 20, 4 << 20));
        Place { objects, cache, _runtime: runtime }
    }

    pub(super) fn split(&self, name: &str, blocks: Vec<Block>) -> Arc<dyn Segment> {
        let mut ranges = SourceRanges::default();
        ranges.insert(&SourceKey::new("agent", "file"), 0, 9);
        let source = SplitSource { path: format!("splits/{name}"), wal: (0, 9), ranges, class: String::new() };
        let blocks: Vec<Arc<Block>> = blocks.into_iter().map(Arc::new).collect();
        let file = write(&blocks, source).expect("the split is written");
        self.objects.put(&file.meta.path, file.bytes.clone()).expect("the split is put");
        Arc::new(SplitSegment::new(Arc::new(file.meta), Arc::clone(&self.cache)))
    }

    /// What compaction makes of some splits.
    pub(super) fn merged(&self, name: &str, splits: &[Arc<dyn Segment>]) -> Arc<dyn Segment> {
        let blocks = splits.iter().flat_map(|split| {
            let open = self.cache.get(split.name()).expect("the split opens");
            open.to_blocks().expect("its rows")
        });
        self.split(name, blocks.collect())
    }
}

fn any_query() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "get",
        "REFUSED",
        "\"connection refused\"",
        "\"GET Ünï\"",
        "user4*",
        "con*",
        "9f86*",
        "*ead*",
        "deadbeefdeadbeefdeadbeef",
        "k",
        "~\"[xK]\"",
        "status:500",
        "status>=300",
        "status:ok",
        "status:5xx",
        "status=200",
        "status:*",
        "level:error",
        "level>=info",
        "level:(error OR debug)",
        "service:api",
        "service:WEB",
        "service=Web",
        "service:(api, db)",
        "service:w*",
        "a:1",
        "a>1",
        "a:true",
        "a:text",
        "a:*",
        "user_id:u-17",
        "trace_id:9f86D081",
        "trace_id=9F86d081",
        "dur:007",
        "dur>6",
        "x:1000",
        "message:connection",
        "message=12",
        "host:web-1",
        "user_id:in(level:error | fields user_id)",
        "nothing:*",
    ]);
    let part = (prop::bool::weighted(0.2), part)
        .prop_map(|(not, part)| if not { format!("-{part}") } else { part.to_owned() });
    (prop::collection::vec(part, 1..4), any::<bool>()).prop_map(|(parts, or)| parts.join(if or { " OR " } else { " " }))
}

/// A segment that says when it is opened.
struct Watched {
    segment: Plain,
    times: (i64, i64),
    opened: AtomicBool,
}

impl Watched {
    fn open(&self) -> &Plain {
        self.opened.store(true, Ordering::Relaxed);
        &self.segment
    }
}

impl Segment for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    fn time_range(&self) -> Option<(i64, i64)> {
        Some(self.times)
    }

    fn blocks(&self) -> &[BlockStat] {
        self.open().blocks()
    }

    fn fields(&self) -> &BTreeMap<String, FieldStat> {
        self.open().fields()
    }

    fn candidates(&self, probe: &Probe) -> Result<Vec<bool>, SegmentError> {
        self.open().candidates(probe)
    }

    fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, SegmentError> {
        self.open().read(block, projection, rows)
    }

    fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, SegmentError> {
        self.open().raw(block, rows)
    }

    fn counts(&self, _: usize, _: &str) -> Option<&[(String, u32)]> {
        None
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}

#[test]
fn a_search_that_soon_has_enough_opens_few_segments() {
    let watched = |i: i64| {
        let rows: Vec<Row> = (0..10).map(|n| row(i * 1000 + n, n as u64, &format!("user_id=u{i}"))).collect();
        let head = HeadSegment::new("head", blocks(&rows, 4).into_iter().map(Arc::new).collect());
        let times = (i * 1000, i * 1000 + 9);
        Arc::new(Watched { segment: Plain(Arc::new(head)), times, opened: AtomicBool::new(false) })
    };
    for (text, order, want) in [
        ("*", Order::Desc, vec![48, 49]),
        ("*", Order::Asc, vec![0, 1]),
        ("user_id:u47 | head 5", Order::Desc, vec![47, 48, 49]),
        ("* | head 15", Order::Desc, vec![48, 49]),
    ] {
        let segments: Vec<Arc<Watched>> = (0..50).map(watched).collect();
        let dynamic: Vec<Arc<dyn Segment>> = segments.iter().map(|segment| Arc::clone(segment) as _).collect();
        let query = parse(text).expect("a query");
        let answer = ask(&query, &Request { order, ..request(15) }, &dynamic);
        assert!(answer.outcome.is_complete() && !answer.rows.is_empty());
        let opened = segments.iter().enumerate().filter(|(_, segment)| segment.opened.load(Ordering::Relaxed));
        assert_eq!(opened.map(|(place, _)| place).collect::<Vec<_>>(), want, "{text}");
    }
}

/// A plan says what it would read, and a search that goes to the end reads about that.
#[test]
fn an_explanation_knows_the_bytes_of_the_columns_that_would_be_read() {
    let place = Place::new();
    let mut noise = 7u64;
    let rows: Vec<Row> = (0..20_000)
        .map(|n| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            row(n, n as u64, &format!("user_id=u{} status={} text=w{noise:x}", noise >> 50, 200 + n % 7))
        })
        .collect();
    let segments = vec![place.split("a", blocks(&rows, 4096))];
    let of = |text: &str| {
        let query = parse(text).expect("a query");
        explain(&query, &request(10), &segments).expect("a plan").bytes_estimate
    };
    let (status, all, text) = (of("status:203 | count"), of("* | facets"), of("* | stats dc(text)"));
    assert!(status > 0 && 3 * status < text && text < all, "{status} {text} {all}");
    assert_eq!(of("status:203 nothing-is-called-so | count"), 0, "the index knows the word");
    assert!(of("* | head 10") < of("*  | sort text | head 10000"));
    let query = parse("* | stats dc(text)").expect("a query");
    let read = ask(&query, &request(10), &segments).outcome.stats.bytes;
    // Metadata and the rest of the pieces that have one checksum come on top.
    assert!(text <= read && read < 2 * text, "{read} were read, {text} were foretold");
    let head: Arc<dyn Segment> =
        Arc::new(HeadSegment::new("head", blocks(&rows[..10], 10).into_iter().map(Arc::new).collect()));
    assert_eq!(explain(&query, &request(10), &[head]).expect("a plan").bytes_estimate, 0, "it is in memory");
}

/// What follows the filter. Fractions are not added up: their sum depends on the order.
const PIPES: [&str; 10] = [
    "",
    "| count by level",
    "| stats count, dc(status) by service",
    "| stats p95(dur), min(a), max(a), sum(status), avg(status) by level",
    "| stats first(message), last(user_id), values(service), count(level:error)",
    "| timechart 1000d count",
    "| timechart 1000d count by level",
    "| top 3 user_id",
    "| rare 2 service by level",
    "| sort -status | head 7",
];

/// A longer run: `PROPTEST_CASES=20000 PROPTEST_RNG_SEED=1 cargo test -p logweir-aggregator --lib search::tests`.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: (config.cases / 10).max(8), ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_index_hides_nothing_and_what_is_kept_is_true(
        rows in any_rows(60),
        queries in prop::collection::vec((any_query(), prop::sample::subsequence(&PIPES[..], 3)), 1..8),
        block_rows in 1usize..20,
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assume!(rows.len() > 1);
        let place = Place::new();
        let head = |rows: &[Row], block_rows: usize| -> Arc<dyn Segment> {
            let blocks = blocks(rows, block_rows).into_iter().map(Arc::new).collect();
            Arc::new(HeadSegment::new("head", blocks))
        };
        let (first, second) = rows.split_at(cut.index(rows.len() - 1) + 1);
        let halves = vec![
            place.split("first", blocks(first, block_rows)),
            place.split("second", blocks(second, block_rows)),
        ];
        let stores = [
            ("blocks in memory", vec![head(&rows, block_rows)]),
            ("a split", vec![place.split("whole", blocks(&rows, block_rows))]),
            ("a merged split", vec![place.merged("merged", &halves)]),
            ("a split and memory", vec![Arc::clone(&halves[0]), head(second, block_rows)]),
            ("two splits", halves),
        ];
        // One block without index or counts, looked at by one thread.
        let plain: Vec<Arc<dyn Segment>> = vec![Arc::new(Plain(head(&rows, BLOCK_ROWS_MAX)))];
        for (filter, pipes) in &queries {
            for text in pipes.iter().map(|pipe| format!("{filter} {pipe}")) {
                let query = parse(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
                let want = ask(&query, &request(1000), &plain);
                for (name, segments) in &stores {
                    // The second time from what is kept.
                    for _ in 0..2 {
                        let got = ask(&query, &request(1000), segments);
                        prop_assert!(got.outcome.is_complete());
                        prop_assert_eq!(&got.rows, &want.rows, "{} in {}", text, name);
                    }
                }
            }
        }
    }
}
