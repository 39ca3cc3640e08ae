//! Every recorded log through its parser, a block and a split, and back: byte for byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::Array;
use expect_test::expect;
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use object_store::memory::InMemory;

use super::block::{Block, BlockBuilder};
use super::fixture::{self, Row};
use super::head::Head;
use super::objects::Objects;
use super::segment::Segment;
use super::split::cache::{SplitCache, SplitSegment};
use super::split::writer::{SplitSource, write};
use crate::names::Names;
use crate::parse::line::Line;
use crate::parse::{Input, Parser};
use crate::ranges::SourceRanges;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/samples")
}

/// The files below a folder of the samples, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the samples are in the clone") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn rows(file: &Path, first_seq: u64) -> Vec<Row> {
    let bytes = std::fs::read(file).expect("a sample");
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines.map(|(i, raw)| Row { time_ns: 0, seq: first_seq + i as u64, raw: raw.to_vec() }).collect()
}

/// Parses rows, and gives them the times that the parser found.
fn block(rows: &mut [Row], kind: SourceKind) -> Block {
    let (path, format) = ("/var/log/sample.log".to_owned(), String::new());
    let source = SourceInfo { id: "s".into(), kind, path, format, labels: Default::default() };
    let mut names = Names::default();
    let mut parser = Parser::new(&source, "web-1", &mut names);
    let (mut line, mut builder) = (Line::default(), BlockBuilder::default());
    for row in rows {
        let received_ns = 1_795_176_000_000_000_000;
        line.clear();
        let input = Input { text: &row.raw, time_ns: None, stream: Stream::None, received_ns };
        parser.read(&mut names, input, None, &mut line);
        row.time_ns = line.time_ns.unwrap_or(received_ns);
        builder.push(&names, &line, &row.raw, row.time_ns, row.seq);
    }
    builder.finish()
}

#[test]
fn every_recorded_line_comes_back_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let objects = Objects::new(Arc::new(InMemory::new()), runtime.handle().clone());
    let cache = Arc::new(SplitCache::new(objects.clone(), 64 << 20, 1 << 20));
    let mut report = Vec::new();
    for (folder, kind) in [
        ("nginx", SourceKind::NginxAccess),
        ("nginx", SourceKind::NginxError),
        ("pm2", SourceKind::Pm2),
        ("docker", SourceKind::Docker),
        ("cri", SourceKind::File),
        // Some of its quotes are doubled.
        ("postgresql", SourceKind::File),
    ] {
        let (mut all, mut head) = (Vec::new(), Head::default());
        let (mut kept_raw, mut shapes) = (0, 0);
        for file in files(folder) {
            let mut more = rows(&file, all.len() as u64);
            for part in more.chunks_mut(4096) {
                let block = block(part, kind);
                kept_raw += block.len() - block.batch().column(block.layout().raw()).null_count();
                shapes += block.shapes().len();
                head.append(block).expect("append");
            }
            all.append(&mut more);
        }
        fixture::check(&head.snapshot("head"), &all);
        let source = SplitSource {
            path: format!("splits/{folder}{kind:?}"),
            wal: (1, 2),
            ranges: SourceRanges::default(),
            class: String::new(),
        };
        let file = write(head.blocks(), source).expect("a split");
        objects.put(&file.meta.path, file.bytes.clone()).expect("put");
        let split = SplitSegment::new(Arc::new(file.meta), Arc::clone(&cache));
        fixture::check(&split, &all);
        assert!(split.bytes_read() > 0);
        report.push(format!("{folder} as {kind:?}: {} lines, {kept_raw} kept raw, {shapes} skeletons", all.len()));
    }
    expect![[r#"
        nginx as NginxAccess: 343 lines, 37 kept raw, 36 skeletons
        nginx as NginxError: 343 lines, 37 kept raw, 38 skeletons
        pm2 as Pm2: 7203 lines, 188 kept raw, 66 skeletons
        docker as Docker: 3318 lines, 44 kept raw, 41 skeletons
        cri as File: 177 lines, 1 kept raw, 4 skeletons
        postgresql as File: 120 lines, 6 kept raw, 21 skeletons"#]]
    .assert_eq(&report.join("\n"));
}
