//! Query texts: the parser, what it prints, and a run over a handful of lines.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use logweir_aggregator::search::execute::{self, Request};
use logweir_aggregator::store::head::HeadSegment;
use logweir_aggregator::store::segment::Segment;
use logweir_fuzz::lines;
use logweir_proto::api::Order;
use logweir_proto::batch::SourceKind;
use logweir_proto::query::parse::parse;

logweir_fuzz::target!(run);

static STORED: LazyLock<Vec<Arc<dyn Segment>>> = LazyLock::new(|| {
    let block = lines::block(SourceKind::Json, "", &lines::SHOP);
    vec![Arc::new(HeadSegment::new("head", vec![Arc::new(block)]))]
});

static NEVER: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let query = match parse(text) {
        Ok(query) => query,
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                // The place of a mistake can be shown.
                assert!(text.get(error.span.start..error.span.end).is_some(), "{error:?}");
            }
            return;
        }
    };
    let printed = query.to_string();
    assert_eq!(parse(&printed).as_ref(), Ok(&query), "printed as {printed}");
    let request = Request {
        from_ns: Some(i64::MIN),
        to_ns: None,
        limit: 10,
        order: Order::Desc,
        cursor: None,
        fields: None,
        now_ns: lines::NOW_NS,
        deadline: Instant::now() + Duration::from_secs(10),
        memory_bytes: 16 << 20,
        cancel: &NEVER,
    };
    // An error is an answer, too.
    let _ = execute::run(&query, &request, &STORED, &mut |_| ControlFlow::Continue(()));
}
