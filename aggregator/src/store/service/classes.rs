//! Retention classes: a split holds rows of one class, so that expiry deletes whole objects.
//!
//! Rows are told apart when the head is sealed, each by the first class that it matches.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::error::ArrowError;
use logweir_proto::api::RetentionStatus;
use logweir_runtime::clock::rfc3339;

use super::{Store, StoreConfig};
use crate::store::block::Block;
use crate::store::split::footer::SplitMeta;

/// Most classes: each has splits of its own.
pub const CLASSES_MAX: usize = 16;

/// What the class without a name is called where people see it.
pub const DEFAULT_CLASS: &str = "default";

/// Which rows are of a class. The pipeline makes it from a filter of the query language.
pub trait RowFilter: Debug + Send + Sync {
    /// Rows that match, rising.
    fn rows(&self, block: &Block) -> Vec<u32>;
}

/// Rows that are kept for a time of their own.
#[derive(Debug, Clone)]
pub struct RetentionClass {
    pub name: String,
    pub days: u64,
    pub filter: Arc<dyn RowFilter>,
}

/// Which rows of some blocks are of which class.
#[derive(Debug)]
pub(super) struct Sorted {
    /// The default one first; none that has no rows.
    classes: Vec<String>,
    /// For each block the class of each row, as a place in `classes`.
    rows: Vec<Vec<u8>>,
}

impl Sorted {
    pub(super) fn new(blocks: &[Arc<Block>], classes: &[RetentionClass]) -> Sorted {
        let classes = classes.get(..CLASSES_MAX).unwrap_or(classes);
        let mut found = vec![0usize; classes.len() + 1];
        let mut rows: Vec<Vec<u8>> = blocks.iter().map(|block| vec![0; block.len()]).collect();
        for (block, rows) in blocks.iter().zip(&mut rows) {
            found[0] += rows.len();
            for (i, class) in classes.iter().enumerate() {
                for row in class.filter.rows(block) {
                    if let Some(of @ 0) = rows.get_mut(row as usize) {
                        *of = i as u8 + 1;
                        found[i + 1] += 1;
                        found[0] -= 1;
                    }
                }
            }
        }
        let names = std::iter::once("").chain(classes.iter().map(|class| &*class.name));
        let mut place = vec![0u8; found.len()];
        let mut kept = Vec::new();
        for (i, name) in names.enumerate().filter(|(i, _)| found[*i] > 0) {
            place[i] = kept.len() as u8;
            kept.push(name.to_owned());
        }
        for of in rows.iter_mut().flatten() {
            *of = place[usize::from(*of)];
        }
        Sorted { classes: kept, rows }
    }

    /// The classes that have rows.
    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(String::as_str)
    }

    /// The rows of a class in the blocks that were sorted.
    pub(super) fn blocks(&self, blocks: &[Arc<Block>], class: &str) -> Result<Vec<Arc<Block>>, ArrowError> {
        let Some(wanted) = self.classes.iter().position(|have| have == class) else { return Ok(Vec::new()) };
        if self.classes.len() == 1 {
            return Ok(blocks.to_vec());
        }
        let mut parts = Vec::new();
        for (block, rows) in blocks.iter().zip(&self.rows) {
            let rows: Vec<u32> =
                (0u32..).zip(rows).filter(|(_, of)| usize::from(**of) == wanted).map(|(row, _)| row).collect();
            match rows.len() {
                0 => {}
                all if all == block.len() => parts.push(Arc::clone(block)),
                _ => parts.push(Arc::new(block.part(&rows)?)),
            }
        }
        Ok(parts)
    }
}

impl Store {
    /// What is kept of each class, the default one first; classes that are configured no more, too.
    pub fn retention(&self) -> Vec<RetentionStatus> {
        let state = self.inner.state();
        retention_of(&self.inner.config, state.splits.values().map(|meta| &**meta))
    }
}

fn retention_of<'a>(config: &'a StoreConfig, splits: impl Iterator<Item = &'a SplitMeta>) -> Vec<RetentionStatus> {
    let status = |class: &str| RetentionStatus {
        class: if class.is_empty() { DEFAULT_CLASS.to_owned() } else { class.to_owned() },
        days: config.days_of(class),
        ..RetentionStatus::default()
    };
    let mut list: Vec<(&str, RetentionStatus, i64)> = vec![("", status(""), i64::MAX)];
    list.extend(config.classes.iter().map(|class| (&*class.name, status(&class.name), i64::MAX)));
    for meta in splits {
        let at = list.iter().position(|(class, ..)| *class == meta.class).unwrap_or_else(|| {
            list.push((&meta.class, status(&meta.class), i64::MAX));
            list.len() - 1
        });
        let (_, status, oldest_ns) = &mut list[at];
        status.splits += 1;
        status.bytes += meta.bytes;
        status.rows += meta.rows;
        *oldest_ns = meta.min_time_ns.min(*oldest_ns);
    }
    let finish = |(_, status, oldest_ns): (&str, RetentionStatus, i64)| RetentionStatus {
        oldest: (status.splits > 0).then(|| rfc3339(oldest_ns)),
        ..status
    };
    list.into_iter().map(finish).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::fixture::{blocks, row};
    use crate::store::segment::Projection;

    /// Rows whose `seq` is a multiple.
    #[derive(Debug)]
    struct Multiples(u64);

    impl RowFilter for Multiples {
        fn rows(&self, block: &Block) -> Vec<u32> {
            (0u32..).zip(block.seqs()).filter(|(_, seq)| *seq % self.0 == 0).map(|(row, _)| row).collect()
        }
    }

    pub(in crate::store) fn class(name: &str, of: u64) -> RetentionClass {
        RetentionClass { name: name.to_owned(), days: of, filter: Arc::new(Multiples(of)) }
    }

    #[test]
    fn the_first_class_that_matches_wins_and_each_row_is_in_one() {
        let rows: Vec<_> = (0..20).map(|i| row(i, i as u64, &format!("n={i} only{}=1", i % 7))).collect();
        let blocks: Vec<Arc<Block>> = blocks(&rows, 6).into_iter().map(Arc::new).collect();
        for (classes, want) in [
            (vec![], vec![(String::new(), 20)]),
            (vec![class("six", 6), class("two", 2)], vec![("".into(), 10), ("six".into(), 4), ("two".into(), 6)]),
            (vec![class("none", 100), class("all", 1)], vec![("none".into(), 1), ("all".into(), 19)]),
        ] {
            let sorted = Sorted::new(&blocks, &classes);
            let counts = sorted.classes().map(|class| {
                let parts = sorted.blocks(&blocks, class).expect("parts");
                for part in &parts {
                    let all: Vec<u32> = (0..part.len() as u32).collect();
                    for (seq, line) in part.seqs().iter().zip(part.raw(&all).expect("lines")) {
                        assert_eq!(line, rows[*seq as usize].raw);
                    }
                    assert!(part.read(&Projection::All, None).is_ok());
                }
                (class.to_owned(), parts.iter().map(|part| part.len()).sum::<usize>())
            });
            assert_eq!(counts.collect::<Vec<_>>(), want);
        }
    }
}
