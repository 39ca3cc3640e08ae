//! Lines in blocks, and the bytes of a split where a reader finds them.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use logweir_aggregator::names::Names;
use logweir_aggregator::parse::line::Line;
use logweir_aggregator::parse::{Input, Parser};
use logweir_aggregator::store::block::{Block, BlockBuilder};
use logweir_aggregator::store::objects::Objects;
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use object_store::memory::InMemory;
use tokio::runtime::{Builder, Runtime};

/// 2026-11-20T12:00:00Z
pub const NOW_NS: i64 = 1_795_176_000_000_000_000;

/// Lines with every type of value, a message that others tell, late fields and one that is kept as it is.
pub const SHOP: [&[u8]; 8] = [
    br#"{"level":"info","service":"api","message":"GET /cart HTTP/1.1","method":"GET","path":"/cart","protocol":"HTTP/1.1","status":200,"duration_ms":1.5}"#,
    br#"{"level":"warn","service":"api","message":"GET /pay HTTP/1.1","method":"GET","path":"/pay","protocol":"HTTP/1.1","status":502,"duration_ms":1500}"#,
    br#"{"level":"error","service":"db","message":"connection reset, timeout","trace_id":"4bf92f3577b34da6","ok":false,"n":7}"#,
    br#"{"level":"error","service":"db","message":"connection reset, timeout","trace_id":"00f067aa0ba902b7","ok":true,"n":"seven"}"#,
    br#"{"a":1.0,"a":007,"b":[1,{"c":null}],"d":{"e":{"f":"\u00fc\ud83d\ude00"}},"user_id":"u-17","client_ip":"10.1.2.3"}"#,
    b"no json \xff\xfe at all",
    b"",
    br#"{"message":"took 12ms","status":"ok","exception":{"type":"E","stack":"E: x\n    at y (z.js:1:2)"}}"#,
];

/// The name of the one object of a [`Place`].
pub const PATH: &str = "splits/fuzz.split";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| match Builder::new_current_thread().build() {
    Ok(runtime) => runtime,
    Err(error) => panic!("no runtime: {error}"),
});

/// An object in memory.
#[derive(Debug)]
pub struct Place {
    pub objects: Objects,
}

impl Place {
    /// # Panics
    /// When memory does not take an object.
    pub fn new(bytes: Bytes) -> Place {
        let objects = Objects::new(Arc::new(InMemory::new()), RUNTIME.handle().clone());
        if let Err(error) = objects.put(PATH, bytes) {
            panic!("{error}");
        }
        Place { objects }
    }
}

/// What a parser makes of lines. Their times are those that it finds, in rising order all the same.
pub fn block(kind: SourceKind, format: &str, lines: &[&[u8]]) -> Block {
    let (path, format) = ("/var/log/fuzz.log".to_owned(), format.to_owned());
    let source = SourceInfo { id: "s".into(), kind, path, format, labels: Default::default() };
    let mut names = Names::default();
    let mut parser = Parser::new(&source, "web-1", &mut names);
    let (mut line, mut builder) = (Line::default(), BlockBuilder::default());
    let mut last_ns = 0;
    for (seq, text) in lines.iter().enumerate() {
        line.clear();
        let input = Input { text, time_ns: None, stream: Stream::None, received_ns: NOW_NS };
        let mut rising = |told: Option<i64>| {
            last_ns = told.filter(|time_ns| (last_ns..=NOW_NS).contains(time_ns)).unwrap_or(last_ns);
            last_ns
        };
        parser.read(&mut names, input, None, &mut line);
        builder.push(&names, &line, text, rising(line.time_ns), seq as u64);
    }
    builder.finish()
}
