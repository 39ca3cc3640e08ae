//! What a byte of log costs on disk and in CPU once it is parsed: `cargo bench -p logweir-aggregator --bench size --
//! [megabytes] [set] [again] [once] [/folder to keep the splits in]`. Seals the bench sets and the worst cases
//! as the server does, merges small splits (not with `once`), and says what each column and each section takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logweir_aggregator::names::Names;
use logweir_aggregator::parse::line::Line;
use logweir_aggregator::parse::{Input, Parser};
use logweir_aggregator::ranges::SourceRanges;
use logweir_aggregator::store::block::{Block, BlockBuilder};
use logweir_aggregator::store::objects::Objects;
use logweir_aggregator::store::split::columns::Columns;
use logweir_aggregator::store::split::footer::{Footer, TRAILER_BYTES, Trailer};
use logweir_aggregator::store::split::reader::OpenSplit;
use logweir_aggregator::store::split::writer::{SplitFile, SplitSource, write};
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use parquet::file::metadata::ParquetMetaDataReader;

#[path = "../../tests/src/faults/dice.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests use the rest, from other crates")]
mod dice;
mod faults {
    pub(crate) use super::dice::Dice;
}
#[path = "../../tests/src/bench/generate.rs"]
#[expect(unreachable_pub, unused_imports, reason = "the bench of the server uses it from another crate")]
mod generate;

use dice::Dice;
use generate::Generator;

/// What the server seals at, and what it may seal for its age.
const SEAL_BYTES: usize = 64 << 20;
const SMALL_BYTES: usize = 8 << 20;

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

const DAY_NS: i64 = 1_795_132_800_000_000_000;

const SETS: [&str; 8] = ["json", "nginx", "random", "hex", "non-ascii", "huge", "tiny", "shuffled"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let megabytes: usize = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(100);
    for set in SETS {
        let named = args.iter().any(|arg| arg == set);
        if named || !args.iter().any(|arg| SETS.contains(&&**arg)) {
            measure(set, megabytes * 1_000_000);
        }
    }
}

fn measure(set: &str, bytes: usize) {
    let lines = lines(set, bytes);
    let raw: usize = lines.iter().map(|line| line.len() + 1).sum();
    let gb = raw as f64 / 1e9;
    let text = lines.join(&b'\n');
    let before = cpu_s();
    let zstd = zstd::bulk::compress(&text, 1).map_or(0, |bytes| bytes.len());
    let zstd_s = cpu_s() - before;
    drop(text);
    let before = cpu_s();
    let blocks = blocks(set, &lines);
    let parse_s = cpu_s() - before;
    let memory: usize = blocks.iter().map(|block| block.memory_bytes()).sum();
    if args_have("again") {
        // For a profiler: hardly anything but sealing.
        (0..20).for_each(|_| drop(parts(&blocks, SEAL_BYTES).next().map(seal)));
    }
    let before = cpu_s();
    let splits: Vec<SplitFile> = parts(&blocks, SEAL_BYTES).map(seal).collect();
    let seal_s = cpu_s() - before;
    let stored: usize = splits.iter().map(|split| split.bytes.len()).sum();
    eprintln!(
        "\n{set}: {:.0} MB, {} lines; zstd -1 {:.2} % at {:.2} CPU-s/GB; parse {:.2}, {:.0} % in memory; seal {:.2}; {} splits, {:.2} %",
        raw as f64 / 1e6,
        lines.len(),
        100.0 * zstd as f64 / raw as f64,
        zstd_s / gb,
        parse_s / gb,
        100.0 * memory as f64 / raw as f64,
        seal_s / gb,
        splits.len(),
        100.0 * stored as f64 / raw as f64,
    );
    show(&splits, raw, lines.len());
    if let Some(dir) = std::env::args().skip(1).find(|arg| arg.starts_with('/')) {
        for (i, split) in splits.iter().enumerate() {
            std::fs::write(format!("{dir}/{set}-{i}.split.parquet"), &split.bytes).expect("the folder is there");
        }
    }
    if args_have("once") {
        return;
    }
    let small: Vec<SplitFile> = parts(&blocks, SMALL_BYTES).map(seal).collect();
    let small_bytes: usize = small.iter().map(|split| split.bytes.len()).sum();
    let merged = merge(&small);
    eprintln!(
        "small splits: {} of {:.2} %; merged {:.2} CPU-s/GB to {:.2} %",
        small.len(),
        100.0 * small_bytes as f64 / raw as f64,
        merged.0 / gb,
        100.0 * merged.1.bytes.len() as f64 / raw as f64
    );
}

fn args_have(word: &str) -> bool {
    std::env::args().any(|arg| arg == word)
}

/// CPU time of this thread.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn merge(small: &[SplitFile]) -> (f64, SplitFile) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let objects = Objects::new(Arc::new(object_store::memory::InMemory::new()), runtime.handle().clone());
    for (i, split) in small.iter().enumerate() {
        objects.put(&format!("splits/{i}"), split.bytes.clone()).expect("put");
    }
    let before = cpu_s();
    let mut blocks = Vec::new();
    for i in 0..small.len() {
        let split =
            OpenSplit::open(&objects, &format!("splits/{i}"), &Arc::new(Columns::new(64 << 20))).expect("a split");
        blocks.extend(split.to_blocks().expect("blocks").into_iter().map(Arc::new));
    }
    let merged = seal(&blocks);
    (cpu_s() - before, merged)
}

/// Prints what each column and section takes, in % of the raw lines and bytes a line.
fn show(splits: &[SplitFile], raw: usize, lines: usize) {
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    let mut add = |name: &str, bytes: usize| *parts.entry(name.to_owned()).or_default() += bytes;
    for split in splits {
        let (footer, footer_bytes, metadata) = open(&split.bytes);
        let metadata_bytes = metadata.len();
        let parsed = ParquetMetaDataReader::decode_metadata(&metadata).expect("metadata");
        let mut columns = 0;
        for group in parsed.row_groups() {
            for column in group.columns() {
                let encodings: Vec<String> = column.encodings().map(|e| format!("{e:?}")).collect();
                let name = format!("column {} ({})", column.column_path().string(), encodings.join(" "));
                add(&name, column.compressed_size() as usize);
                columns += column.compressed_size() as usize;
            }
        }
        add("= columns", columns);
        add("= page indexes", footer.sections.rows_bytes as usize - columns);
        add("= sums", footer.sections.sums.bytes as usize);
        add("= lexicon", footer.sections.lexicon.bytes as usize);
        add("= hashes", footer.sections.hashes.bytes as usize);
        add("= shapes", footer.sections.shapes.bytes as usize);
        add("= receipts", footer.sections.receipts.bytes as usize);
        add("= footer", footer_bytes);
        add("= parquet metadata", metadata_bytes);
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (name, bytes) in parts.into_iter().filter(|(_, bytes)| bytes * 10_000 > raw) {
        eprintln!("  {:6.2} % {:7.2} B/line  {name}", 100.0 * bytes as f64 / raw as f64, bytes as f64 / lines as f64);
    }
}

fn open(bytes: &Bytes) -> (Footer, usize, Bytes) {
    let end = bytes.len();
    let length = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let at = end - 8 - length(end - 8);
    let trailer = Trailer::decode(&bytes[at - TRAILER_BYTES..at]).expect("a trailer");
    let from = trailer.footer.offset as usize;
    let footer = Footer::decode(&bytes[from..from + trailer.footer.bytes as usize]).expect("a footer");
    (footer, trailer.footer.bytes as usize, bytes.slice(at..end - 8))
}

fn seal(blocks: &[Arc<Block>]) -> SplitFile {
    let source = SplitSource {
        path: "splits/bench".to_owned(),
        wal: (1, 2),
        ranges: SourceRanges::default(),
        class: String::new(),
    };
    write(blocks, source).expect("the split is written")
}

/// The blocks in parts of so many bytes of lines.
fn parts(blocks: &[Arc<Block>], bytes: usize) -> impl Iterator<Item = &[Arc<Block>]> {
    let mut filled = 0;
    let full = move |_: &Arc<Block>, next: &Arc<Block>| {
        filled += next.raw_bytes() as usize;
        let same = filled < bytes;
        if !same {
            filled = 0;
        }
        same
    };
    blocks.chunk_by(full)
}

fn blocks(set: &str, lines: &[Vec<u8>]) -> Vec<Arc<Block>> {
    let source = SourceInfo {
        id: "1".into(),
        kind: if set == "nginx" { SourceKind::NginxAccess } else { SourceKind::File },
        path: "/var/log/bench.log".into(),
        format: if set == "nginx" { COMBINED.to_owned() } else { String::new() },
        labels: [("service".to_owned(), "bench".to_owned())].into(),
    };
    let mut names = Names::default();
    let mut parser = Parser::new(&source, "bench", &mut names);
    let (mut line, mut builder, mut blocks) = (Line::default(), BlockBuilder::default(), Vec::new());
    for (i, text) in lines.iter().enumerate() {
        let received_ns = DAY_NS + i as i64 * 1_000_000;
        let input = Input { text, time_ns: None, stream: Stream::None, received_ns };
        // As in the WAL: records of 4 MB.
        let seq = ((i / 15_000) as u64) << 24 | (i % 15_000) as u64;
        builder.receive(seq, received_ns);
        parser.read(&mut names, input, None, &mut line);
        builder.push(&names, &line, text, line.time_ns.unwrap_or(received_ns), seq);
        if builder.is_full() {
            blocks.push(Arc::new(std::mem::take(&mut builder).finish()));
        }
    }
    if !builder.is_empty() {
        blocks.push(Arc::new(builder.finish()));
    }
    blocks
}

fn lines(set: &str, bytes: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(7);
    let count = bytes as u64 / if set == "nginx" { 208 } else { 303 };
    let mut generator = Generator::new(DAY_NS, count);
    let mut generated = |nginx: bool| {
        let mut line = String::new();
        if nginx {
            generator.nginx(&mut line)
        } else {
            generator.json(&mut line)
        };
        line.into_bytes()
    };
    let mut random = |count: usize, of: &[char]| -> String {
        (0..count).map(|_| of[dice.below(of.len() as u64) as usize]).collect()
    };
    let printable: Vec<char> = (' '..='~').collect();
    let letters: Vec<char> = ('а'..='я').chain('一'..='丿').collect();
    match set {
        "json" => (0..count).map(|_| generated(false)).collect(),
        "nginx" => (0..count).map(|_| generated(true)).collect(),
        "random" => (0..bytes / 200).map(|_| random(199, &printable).into_bytes()).collect(),
        "hex" => {
            let hex: Vec<char> = "0123456789abcdef".chars().collect();
            (0..bytes / 100)
                .map(|_| format!("id {} done {}", random(32, &hex), random(16, &hex)).into_bytes())
                .collect()
        }
        "non-ascii" => (0..bytes / 200).map(|_| random(70, &letters).into_bytes()).collect(),
        "huge" => vec![random((bytes / 4).min(15 << 20), &printable).into_bytes()],
        "tiny" => (0..100).map(|_| generated(false)).collect(),
        _ => {
            let mut lines: Vec<_> = (0..count).map(|_| generated(false)).collect();
            dice.shuffle(&mut lines);
            lines
        }
    }
}
