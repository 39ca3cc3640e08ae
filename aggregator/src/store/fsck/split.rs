//! Checking one split: every byte by its checksum, and lines rebuilt of some blocks or of all.

use super::{Checked, Finding};
use crate::store::split::footer::SplitMeta;
use crate::store::split::reader::OpenSplit;

/// Holds a split against its checksums, its footer and what the catalogue says of it.
pub(super) fn check(split: &OpenSplit, meta: &SplitMeta, deep: bool, checked: &mut Checked) {
    let footer = &split.known().footer;
    let told = SplitMeta { bytes: meta.bytes, ..footer.meta.clone() };
    if told != *meta {
        checked.findings.push(Finding::of_split(meta, "its footer says other things of it than the catalogue"));
    }
    if footer.blocks.iter().map(|block| u64::from(block.rows)).sum::<u64>() != footer.meta.rows {
        checked.findings.push(Finding::of_split(meta, "its blocks have another number of rows than its footer says"));
    }
    let broken = split.check_sections();
    let whole = broken.is_empty();
    for reason in broken {
        checked.findings.push(Finding::of_split(meta, reason));
    }
    match split.check_rows() {
        Ok(()) => check_blocks(split, meta, deep || !whole, checked),
        Err(reason) => {
            let before = checked.findings.len();
            check_blocks(split, meta, true, checked);
            if checked.findings.len() == before {
                checked
                    .findings
                    .push(Finding::of_split(meta, format!("{reason}; every block can be read all the same")));
            }
        }
    }
}

/// Rebuilds the lines of all blocks, or of the first, a middle and the last one.
fn check_blocks(split: &OpenSplit, meta: &SplitMeta, all: bool, checked: &mut Checked) {
    let blocks = &split.known().footer.blocks;
    let sample = [0, blocks.len() / 2, blocks.len().saturating_sub(1)];
    checked.blocks += blocks.len() as u64;
    for (block, stat) in blocks.iter().enumerate().filter(|(block, _)| all || sample.contains(block)) {
        let rows: Vec<u32> = (0..stat.rows).collect();
        // The lines need some columns, a search may need any.
        let reason = match split.raw(block, &rows).and_then(|lines| Ok((lines, split.whole(block)?))) {
            Ok((lines, batch)) if lines.len() == batch.num_rows() => {
                checked.lines += lines.len() as u64;
                continue;
            }
            Ok(_) => "rows are missing".to_owned(),
            Err(reason) => reason,
        };
        let what = reason.strip_prefix(&format!("block {block}: ")).unwrap_or(&reason);
        let times_ns = Some((stat.min_time_ns, stat.max_time_ns));
        checked.findings.push(Finding { block: Some(block), times_ns, ..Finding::of(&meta.path, what) });
    }
}
