//! Where a filter finds the fields that it looks at: in a batch that is there, or in a block whose columns are read when
//! a part of the filter first asks for them, and which remembers what was found in it before.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::{Schema, UInt64Type};
use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;

use super::parted;
use super::text::TextTest;
use crate::search::mask::Mask;
use crate::search::scan::projection;
use crate::store::segment::{Segment, SegmentError};

/// A test, by a hash: what it found in a block can be kept, for blocks do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub number: u128,
    /// A test of text: the answer is worth keeping beyond the search that asks.
    pub is_dear: bool,
}

impl Question {
    /// `text` says all that the answer depends on.
    pub fn new(text: &str, is_dear: bool) -> Question {
        // Two secret seeds: nobody can write two questions that are taken for one.
        static SEEDS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [low, high] = SEEDS.each_ref().map(|seed| u128::from(seed.hash_one(text)));
        Question { number: high << 64 | low, is_dear }
    }
}

/// Rows to be filtered.
pub trait Source {
    /// A batch with everything there is of a field.
    fn field(&self, name: &str) -> Cow<'_, RecordBatch>;

    /// The rows of `within` whose texts of a field pass, where these are found without building the texts.
    fn scan_parts(&self, _name: &str, _test: &TextTest, _within: &Mask) -> Option<Mask> {
        None
    }

    /// How often a question is asked of these rows, about, when its answer is kept here; all rows are looked at when that
    /// costs no more than to ask so often of those that are meant.
    fn asked_times(&self, _question: Question) -> Option<usize> {
        None
    }

    fn recall(&self, _question: Question) -> Option<Mask> {
        None
    }

    /// Keeps which of all rows pass.
    fn remember(&self, _question: Question, _found: &Mask) {}
}

impl Source for RecordBatch {
    fn field(&self, _name: &str) -> Cow<'_, RecordBatch> {
        Cow::Borrowed(self)
    }
}

/// A search is refined, or comes again: what was found in most of the rows of a block is worth all of them.
const ASKED_TIMES: usize = 2;

/// A block of a segment.
pub struct BlockSource<'a> {
    segment: &'a dyn Segment,
    block: usize,
    rows: usize,
    failed: RefCell<Option<SegmentError>>,
}

impl<'a> BlockSource<'a> {
    pub fn new(segment: &'a dyn Segment, block: usize, rows: usize) -> BlockSource<'a> {
        BlockSource { segment, block, rows, failed: RefCell::new(None) }
    }

    /// The first field that could not be read: what was found without it means nothing.
    pub fn failure(&self) -> Option<SegmentError> {
        self.failed.borrow().clone()
    }
}

impl Source for BlockSource<'_> {
    fn field(&self, name: &str) -> Cow<'_, RecordBatch> {
        let read = self.segment.read(self.block, &projection(&BTreeSet::from([name])), None);
        Cow::Owned(read.unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            RecordBatch::new_empty(Arc::new(Schema::empty()))
        }))
    }

    fn scan_parts(&self, name: &str, test: &TextTest, within: &Mask) -> Option<Mask> {
        if name != field::MESSAGE || test.needle().is_none() {
            return None;
        }
        let scan = || {
            let Some(parts) = self.segment.parts(self.block)? else { return Ok(None) };
            let failed = |reason| SegmentError { segment: self.segment.name().to_owned(), reason };
            parted::scan(test, &*parts, within).map_err(failed)
        };
        scan().unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            Some(Mask::none(within.len()))
        })
    }

    fn asked_times(&self, question: Question) -> Option<usize> {
        question.is_dear.then_some(ASKED_TIMES)
    }

    fn recall(&self, question: Question) -> Option<Mask> {
        let words = self.segment.recall(self.block, question.number)?;
        Mask::from_words(words.as_primitive_opt::<UInt64Type>()?.values(), self.rows)
    }

    fn remember(&self, question: Question, found: &Mask) {
        if self.failed.borrow().is_none() {
            let words: ArrayRef = Arc::new(found.words().iter().copied().collect::<UInt64Array>());
            self.segment.remember(self.block, question.number, &words);
        }
    }
}
