//! The engine over what the store really makes: the head and splits, each with its own index. An index may only leave
//! out what does not match, so every query must find the same rows with it as without.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use logweir_proto::query::parse::parse;
use object_store::memory::InMemory;
use proptest::prelude::*;

use crate::ranges::{SourceKey, SourceRanges};
use crate::search::testing::{ask, request};
use crate::store::block::Block;
use crate::store::fixture::{any_rows, blocks};
use crate::store::head::HeadSegment;
use crate::store::objects::Objects;
use crate::store::segment::{BlockStat, FieldStat, Probe, Projection, Segment, SegmentError};
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

fn split(objects: &Objects, blocks: Vec<Block>) -> Arc<dyn Segment> {
    let mut ranges = SourceRanges::default();
    ranges.insert(&SourceKey::new("agent", "file"), 0, 9);
    let source = SplitSource { path: "splits/one".to_owned(), wal: (0, 9), ranges };
    let blocks: Vec<Arc<Block>> = blocks.into_iter().map(Arc::new).collect();
    let file = write(&blocks, source).expect("the split is written");
    objects.put(&file.meta.path, file.bytes.clone()).expect("the split is put");
    let cache = Arc::new(SplitCache::new(objects.clone(), 64 << 20, 1 << 20));
    Arc::new(SplitSegment::new(Arc::new(file.meta), cache))
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_index_hides_nothing(
        rows in any_rows(60),
        queries in prop::collection::vec(any_query(), 1..12),
        block_rows in 1usize..20,
    ) {
        prop_assume!(!rows.is_empty());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let objects = Objects::new(Arc::new(InMemory::new()), runtime.handle().clone());
        let in_memory = blocks(&rows, block_rows).into_iter().map(Arc::new).collect();
        let head: Arc<dyn Segment> = Arc::new(HeadSegment::new("head", in_memory));
        let split = split(&objects, blocks(&rows, block_rows));
        let plain: Vec<Arc<dyn Segment>> = vec![Arc::new(Plain(Arc::clone(&head)))];
        for query in &queries {
            for text in [query.clone(), format!("{query} | count by level"), format!("{query} | stats count, dc(status) by service")] {
                let query = parse(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
                let want = ask(&query, &request(1000), &plain);
                for segment in [&head, &split] {
                    let got = ask(&query, &request(1000), &[Arc::clone(segment)]);
                    prop_assert!(got.outcome.is_complete());
                    prop_assert_eq!(&got.rows, &want.rows, "{} in {}", text, segment.name());
                }
            }
        }
    }
}
