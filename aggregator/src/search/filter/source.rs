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

/// A test of text, by a hash: what it found in a block can be kept, for blocks do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question(u128);

impl Question {
    /// `text` says all that the answer depends on.
    pub fn new(text: &str) -> Question {
        // Two secret seeds: nobody can write two questions that are taken for one.
        static SEEDS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [low, high] = SEEDS.each_ref().map(|seed| u128::from(seed.hash_one(text)));
        Question(high << 64 | low)
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

    /// Whether answers are kept here.
    fn remembers(&self) -> bool {
        false
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
    pub fn finish(self) -> Result<(), SegmentError> {
        self.failed.into_inner().map_or(Ok(()), Err)
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

    fn remembers(&self) -> bool {
        true
    }

    fn recall(&self, question: Question) -> Option<Mask> {
        let words = self.segment.recall(self.block, question.0)?;
        Mask::from_words(words.as_primitive_opt::<UInt64Type>()?.values(), self.rows)
    }

    fn remember(&self, question: Question, found: &Mask) {
        if self.failed.borrow().is_none() {
            let words: ArrayRef = Arc::new(found.words().iter().copied().collect::<UInt64Array>());
            self.segment.remember(self.block, question.0, &words);
        }
    }
}
