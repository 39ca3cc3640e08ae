//! Lines of any bytes through every parser of the server, and back out of a block and of a split, byte for byte.
//!
//! The first byte chooses the parser and whether a split is written; lines end with newlines.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::Arc;

use logweir_aggregator::ranges::SourceRanges;
use logweir_aggregator::store::head::HeadSegment;
use logweir_aggregator::store::segment::{Projection, Segment};
use logweir_aggregator::store::split::columns::Columns;
use logweir_aggregator::store::split::reader::OpenSplit;
use logweir_aggregator::store::split::writer::{SplitSource, write};
use logweir_fuzz::lines;
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

/// Every kind of source, and every format that a file can be said to have.
const PARSERS: [(SourceKind, &str); 31] = [
    (SourceKind::File, ""),
    (SourceKind::NginxAccess, ""),
    (SourceKind::NginxAccess, r#"escape=json;{"time":"$time_iso8601","request":"$request","status":$status}"#),
    (SourceKind::NginxAccess, r#"escape=none;$remote_addr "$request" $status "$http_user_agent""#),
    (SourceKind::NginxError, ""),
    (SourceKind::Pm2, ""),
    (SourceKind::Pm2Daemon, ""),
    (SourceKind::Docker, ""),
    (SourceKind::Cri, ""),
    (SourceKind::Json, ""),
    (SourceKind::Syslog, ""),
    (SourceKind::Journald, ""),
    (SourceKind::File, "text"),
    (SourceKind::File, "json"),
    (SourceKind::File, "nginx"),
    (SourceKind::File, "nginx_error"),
    (SourceKind::File, "logfmt"),
    (SourceKind::File, "iis"),
    (SourceKind::File, "mysql_slow"),
    (SourceKind::File, "haproxy"),
    (SourceKind::File, "traefik"),
    (SourceKind::File, "envoy"),
    (SourceKind::File, "apache"),
    (SourceKind::File, "apache_error"),
    (SourceKind::File, "postgresql"),
    (SourceKind::File, "mysql"),
    (SourceKind::File, "redis"),
    (SourceKind::File, "java"),
    (SourceKind::File, "python"),
    (SourceKind::File, "go"),
    (SourceKind::File, "leveled"),
];

/// Lines of one input: a block.
const LINES_MAX: usize = 4096;

pub(crate) fn run(data: &[u8]) {
    let Some((how, text)) = data.split_first() else { return };
    let (kind, format) = PARSERS[usize::from(how & 0x7f) % PARSERS.len()];
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').take(LINES_MAX).collect();
    let block = Arc::new(lines::block(kind, format, &lines));
    let all: Vec<u32> = (0..lines.len() as u32).collect();
    let head = HeadSegment::new("head", vec![Arc::clone(&block)]);
    head.read(0, &Projection::All, None).expect("a block in memory is read");
    assert_eq!(head.raw(0, &all).expect("its lines are rebuilt"), lines);
    if how & 0x80 == 0 {
        return;
    }
    let (path, ranges) = ("splits/fuzz.split".to_owned(), SourceRanges::default());
    let file = write(&[block], SplitSource { path, wal: (1, 2), ranges, class: String::new() }).expect("a split");
    let place = lines::Place::new(file.bytes);
    let split = OpenSplit::open(&place.objects, lines::PATH, &Arc::new(Columns::new(0))).expect("it opens");
    split.read(0, &Projection::All, None).expect("its block is read");
    assert_eq!(split.raw(0, &all).expect("its lines are rebuilt"), lines);
    assert_eq!(split.check_sections(), [""; 0]);
}
