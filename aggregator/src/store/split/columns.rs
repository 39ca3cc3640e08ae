//! Decoded columns of blocks, and what searches found in them, bounded by bytes, so that a search that comes again reads
//! and decodes nothing.
//!
//! Two generations stand for the order of use: what is used moves to the younger one, and when that holds half of what
//! may be held the older one is let go. Wide columns (texts) have generations of their own, so that a search through
//! all messages does not push out the small columns that most searches ask for; and so have answers: one takes 512 bytes
//! and saves a look at all texts of its block, so columns must not push it out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, UInt16Type};

/// A column with more bytes in a block is a wide one: three times what 4,096 numbers take.
pub const WIDE_BYTES: u64 = 96 << 10;

/// The share of wide columns is one part of so many.
const WIDE_PART: u64 = 2;

/// The share of answers is one part of so many.
const ANSWER_PART: u64 = 8;

/// Of the machine's memory one part in so many is for columns when nobody says, within the two bounds.
const MEMORY_PART: u64 = 32;
pub const COLUMN_CACHE_BYTES_LEAST: u64 = 64 << 20;
pub const COLUMN_CACHE_BYTES_MOST: u64 = 1 << 30;

/// What a small entry costs beside its values.
const ENTRY_BYTES: u64 = 256;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnAt {
    split: u64,
    place: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// Of a block.
    Column(u32),
    /// The values that the numbers of a column in a row group stand for.
    Dictionary(u32),
    /// Pages of a column in a row group, as they are stored.
    Ahead(u32),
    /// What a search found in a block, under the number of its question.
    Answer(u128),
}

impl ColumnAt {
    pub fn block(split: u64, column: usize, block: usize) -> ColumnAt {
        ColumnAt { split, place: block as u32, what: What::Column(column as u32) }
    }

    pub fn dictionary(split: u64, column: usize, group: usize) -> ColumnAt {
        ColumnAt { split, place: group as u32, what: What::Dictionary(column as u32) }
    }

    pub fn ahead(split: u64, column: usize, group: usize) -> ColumnAt {
        ColumnAt { split, place: group as u32, what: What::Ahead(column as u32) }
    }

    pub fn answer(split: u64, question: u128, block: usize) -> ColumnAt {
        ColumnAt { split, place: block as u32, what: What::Answer(question) }
    }
}

/// What a machine of this memory has for columns.
pub fn bytes_for_machine() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    share_of(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"))
}

/// `group` is what a container may take, or `max`.
fn share_of(meminfo: &str, group: &str) -> u64 {
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let machine = total.map_or(0, |kib: u64| kib.saturating_mul(1024));
    let memory = group.trim().parse().map_or(machine, |group: u64| group.min(machine));
    (memory / MEMORY_PART).clamp(COLUMN_CACHE_BYTES_LEAST, COLUMN_CACHE_BYTES_MOST)
}

/// Decoded columns of all splits.
#[derive(Debug)]
pub struct Columns {
    small: Mutex<Generations>,
    wide: Mutex<Generations>,
    answers: Mutex<Generations>,
    splits: AtomicU64,
}

#[derive(Debug, Default)]
struct Generations {
    bytes_max: u64,
    young: HashMap<ColumnAt, ArrayRef>,
    young_bytes: u64,
    old: HashMap<ColumnAt, ArrayRef>,
}

impl Columns {
    pub fn new(bytes_max: u64) -> Columns {
        let part = |bytes_max| Mutex::new(Generations { bytes_max, ..Generations::default() });
        let (wide, answers) = (bytes_max / WIDE_PART, bytes_max / ANSWER_PART);
        let small = bytes_max - wide - answers;
        Columns { small: part(small), wide: part(wide), answers: part(answers), splits: AtomicU64::new(0) }
    }

    /// A number for a split that was opened: what an earlier opening left under its own is never found again.
    pub fn split(&self) -> u64 {
        self.splits.fetch_add(1, Ordering::Relaxed)
    }

    pub fn get(&self, at: ColumnAt) -> Option<ArrayRef> {
        let in_part = |part: &Mutex<Generations>| part.lock().unwrap_or_else(PoisonError::into_inner).get(at);
        match at.what {
            What::Answer(_) => in_part(&self.answers),
            What::Dictionary(_) => in_part(&self.small),
            What::Ahead(_) => in_part(&self.wide),
            What::Column(_) => in_part(&self.small).or_else(|| in_part(&self.wide)),
        }
    }

    pub fn insert(&self, at: ColumnAt, array: &ArrayRef) {
        let bytes = bytes_of(array);
        let part = match at.what {
            What::Answer(_) => &self.answers,
            // A dictionary is asked for with every block of its row group.
            What::Dictionary(_) => &self.small,
            // Once they are decoded nobody asks for them again.
            What::Ahead(_) => &self.wide,
            What::Column(_) => {
                if bytes > WIDE_BYTES {
                    &self.wide
                } else {
                    &self.small
                }
            }
        };
        part.lock().unwrap_or_else(PoisonError::into_inner).insert(at, array.clone(), bytes);
    }
}

impl Generations {
    fn get(&mut self, at: ColumnAt) -> Option<ArrayRef> {
        if let Some(array) = self.young.get(&at) {
            return Some(array.clone());
        }
        let array = self.old.remove(&at)?;
        self.insert(at, array.clone(), bytes_of(&array));
        Some(array)
    }

    fn insert(&mut self, at: ColumnAt, array: ArrayRef, bytes: u64) {
        let half = self.bytes_max / 2;
        if bytes > half {
            return;
        }
        if self.young_bytes + bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        match self.young.insert(at, array) {
            None => self.young_bytes += bytes,
            Some(before) => self.young_bytes = (self.young_bytes + bytes).saturating_sub(bytes_of(&before)),
        }
    }
}

/// The bytes of an array of its own: the values of a dictionary are shared, and an entry themselves.
fn bytes_of(array: &ArrayRef) -> u64 {
    let bytes = match array.data_type() {
        DataType::Dictionary(..) => match array.as_dictionary_opt::<UInt16Type>() {
            Some(numbered) => numbered.keys().get_array_memory_size(),
            None => array.get_array_memory_size(),
        },
        _ => array.get_array_memory_size(),
    };
    bytes as u64 + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn a_small_machine_gives_little() {
        let memory = |gib: u64| format!("MemFree: 7 kB\nMemTotal:       {} kB\n", gib << 20);
        assert_eq!(share_of("", ""), COLUMN_CACHE_BYTES_LEAST);
        assert_eq!(share_of(&memory(8), "max\n"), 256 << 20);
        assert_eq!(share_of(&memory(8), "4294967296\n"), 128 << 20);
        assert_eq!(share_of(&memory(512), "max\n"), COLUMN_CACHE_BYTES_MOST);
    }

    #[test]
    fn what_is_used_stays_and_what_is_held_is_bounded() {
        let array = |len: usize| Arc::new(Int64Array::from(vec![7; len])) as ArrayRef;
        let columns = Columns::new(800 << 10);
        let split = columns.split();
        let used = ColumnAt::block(split, 0, 0);
        columns.insert(used, &array(1000));
        let answer = ColumnAt::answer(split, 7, 0);
        columns.insert(answer, &array(64));
        for block in 1..200 {
            columns.insert(ColumnAt::block(split, 1, block), &array(1000));
            columns.insert(ColumnAt::block(split, 2, block), &array(30_000));
            assert!(columns.get(used).is_some(), "after {block}");
        }
        let held = (1..200).filter(|block| columns.get(ColumnAt::block(split, 1, *block)).is_some()).count();
        assert!((10..40).contains(&held), "{held}");
        assert!(columns.get(answer).is_some(), "columns do not push out answers");
        assert!(columns.get(ColumnAt::block(split, 2, 199)).is_none(), "wider than half of what may be held");
        assert!(columns.get(ColumnAt::block(columns.split(), 0, 0)).is_none());
        assert!(columns.get(ColumnAt::dictionary(split, 0, 0)).is_none());
    }
}
