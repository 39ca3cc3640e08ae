//! A block that many filters look at: its columns are read once, and what several filters ask is looked for once.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::record_batch::RecordBatch;

use super::Filter;
use super::source::{BlockSource, Question, Source};
use super::text::TextTest;
use crate::search::mask::Mask;
use crate::search::scan::projection;
use crate::store::segment::{Segment, SegmentError};

/// How many of the filters ask each question.
#[derive(Debug, Default)]
pub struct Asked(HashMap<u128, usize>);

impl Asked {
    pub fn by<'a>(filters: impl Iterator<Item = &'a Filter>) -> Asked {
        let mut asked = Asked::default();
        for question in filters.flat_map(Filter::questions) {
            *asked.0.entry(question.number).or_default() += 1;
        }
        asked
    }

    fn times(&self, question: Question) -> usize {
        self.0.get(&question.number).copied().unwrap_or(0)
    }
}

/// A block, for as long as the filters look at it.
pub struct SharedBlock<'a> {
    own: BlockSource<'a>,
    segment: &'a dyn Segment,
    block: usize,
    asked: &'a Asked,
    answers: RefCell<HashMap<u128, Mask>>,
    fields: RefCell<BTreeMap<String, RecordBatch>>,
    batches: RefCell<Vec<(BTreeSet<String>, RecordBatch)>>,
}

impl<'a> SharedBlock<'a> {
    pub fn new(segment: &'a dyn Segment, block: usize, rows: usize, asked: &'a Asked) -> SharedBlock<'a> {
        SharedBlock {
            own: BlockSource::new(segment, block, rows),
            segment,
            block,
            asked,
            answers: RefCell::default(),
            fields: RefCell::default(),
            batches: RefCell::default(),
        }
    }

    /// The rows of `within` that pass; an error when a field of it could not be read.
    pub fn eval(&self, filter: &Filter, within: &Mask) -> Result<Mask, SegmentError> {
        let mask = filter.eval_in(self, within);
        self.own.failure().map_or(Ok(mask), Err)
    }

    /// A batch with these fields.
    pub fn batch(&self, fields: &BTreeSet<&str>) -> Result<RecordBatch, SegmentError> {
        let mut batches = self.batches.borrow_mut();
        let same = |known: &BTreeSet<String>| known.iter().map(String::as_str).eq(fields.iter().copied());
        if let Some((_, batch)) = batches.iter().find(|(known, _)| same(known)) {
            return Ok(batch.clone());
        }
        let batch = self.segment.read(self.block, &projection(fields), None)?;
        batches.push((fields.iter().map(|name| (*name).to_owned()).collect(), batch.clone()));
        Ok(batch)
    }
}

impl Source for SharedBlock<'_> {
    fn field(&self, name: &str) -> Cow<'_, RecordBatch> {
        if let Some(batch) = self.fields.borrow().get(name) {
            return Cow::Owned(batch.clone());
        }
        let batch = self.own.field(name).into_owned();
        self.fields.borrow_mut().insert(name.to_owned(), batch.clone());
        Cow::Owned(batch)
    }

    fn scan_parts(&self, name: &str, test: &TextTest, within: &Mask) -> Option<Mask> {
        self.own.scan_parts(name, test, within)
    }

    fn asked_times(&self, question: Question) -> Option<usize> {
        match self.asked.times(question) {
            0 | 1 => self.own.asked_times(question),
            times => Some(times),
        }
    }

    fn recall(&self, question: Question) -> Option<Mask> {
        if let Some(known) = self.answers.borrow().get(&question.number) {
            return Some(known.clone());
        }
        let known = self.own.recall(question).filter(|_| question.is_dear)?;
        self.answers.borrow_mut().insert(question.number, known.clone());
        Some(known)
    }

    fn remember(&self, question: Question, found: &Mask) {
        self.answers.borrow_mut().insert(question.number, found.clone());
        if question.is_dear {
            self.own.remember(question, found);
        }
    }
}
