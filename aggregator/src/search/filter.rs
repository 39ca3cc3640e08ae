//! A filter, compiled once and evaluated over whole record batches.
//!
//! A value is looked for wherever a field may keep it: in its typed columns and in the overflow column. Logic has two
//! values: a row without the field fails every test of it, so `NOT field:x` finds it. An AND looks only at the rows
//! that its earlier, cheaper parts left; an OR only at those that they did not find.

pub mod memo;
pub mod needle;
pub mod number;
pub mod parted;
pub mod shared;
pub mod source;
pub mod text;
pub mod value;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::record_batch::RecordBatch;
use logweir_proto::query::ast::{self, Literal, Pattern, Query, Test};
use logweir_proto::record::field;

use self::memo::Memo;
use self::source::{Question, Source};
use self::text::TextTest;
use self::value::{FieldTest, Hint, TEXT_FIELDS};
use crate::search::Error;
use crate::search::cell::{Column, FieldColumns, canonical};
use crate::search::counted::CountedValues;
use crate::search::mask::Mask;
use crate::search::scan::TimeRange;
use crate::store::segment::{FieldStat, Probe, Segment};
use crate::store::token::WORD_BYTES_MAX;

/// Values of an `in(…)` that are asked of the index; with more, only the presence of the field is.
const PROBE_VALUES_MAX: usize = 1024;

/// Runs a subquery and returns the values of its column, printed.
pub type Subquery<'a> = dyn FnMut(&Query) -> Result<HashSet<String>, Error> + 'a;

/// Runs none.
pub fn refuse(_: &Query) -> Result<HashSet<String>, Error> {
    Err(Error::Unsupported { what: "in(…) with a query" })
}

/// What compilation needs beside the filter.
pub struct Context<'a> {
    pub now_ns: i64,
    pub subquery: &'a mut Subquery<'a>,
}

/// A filter ready to run.
#[derive(Debug, Clone)]
pub struct Filter {
    root: Node,
    received: Option<TimeRange>,
}

#[derive(Debug, Clone)]
enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// In any of the text fields.
    Text {
        test: TextTest,
        question: Question,
    },
    Field {
        name: String,
        test: Box<FieldTest>,
        /// Without one what it finds depends on more than its text.
        question: Option<Question>,
    },
}

impl Filter {
    fn of(root: Node) -> Filter {
        Filter { received: root.received(), root }
    }

    pub fn all() -> Filter {
        Filter::of(Node::All)
    }

    /// Whether every row passes.
    pub fn is_all(&self) -> bool {
        match &self.root {
            Node::All => true,
            Node::And(nodes) => nodes.iter().all(|node| matches!(node, Node::All)),
            _ => false,
        }
    }

    /// The folded word, if that is all there is to it.
    pub fn word(&self) -> Option<&str> {
        let mut parts = match &self.root {
            Node::And(nodes) => nodes.as_slice(),
            node => std::slice::from_ref(node),
        }
        .iter()
        .filter(|part| !matches!(part, Node::All));
        match (parts.next()?, parts.next()) {
            (Node::Text { test: TextTest::Phrase(finder), .. }, None) => match finder.words() {
                [word] => Some(word),
                _ => None,
            },
            _ => None,
        }
    }

    /// What passes any of these.
    pub fn any<'a>(filters: impl Iterator<Item = &'a Filter>) -> Filter {
        Filter::of(Node::Or(filters.map(|filter| filter.root.clone()).collect()))
    }

    /// What it asks of the rows, as far as that has names.
    pub fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        self.root.questions(&mut questions);
        questions
    }

    pub fn compile(filter: &ast::Filter, context: &mut Context<'_>) -> Result<Filter, Error> {
        Ok(Filter::of(Node::compile(filter, context)?))
    }

    /// For where a subquery cannot run: classes of retention, pipes over the table of a window.
    pub fn compile_simple(filter: &ast::Filter, now_ns: i64) -> Result<Filter, Error> {
        Filter::compile(filter, &mut Context { now_ns, subquery: &mut refuse })
    }

    /// The rows of `within` that pass.
    pub fn eval(&self, batch: &RecordBatch, within: &Mask) -> Mask {
        self.root.eval(batch, within)
    }

    /// The same, where fields are read when they are asked for.
    pub fn eval_in(&self, source: &dyn Source, within: &Mask) -> Mask {
        self.root.eval(source, within)
    }

    /// The question to the index of a segment with these fields.
    pub fn probe(&self, fields: &BTreeMap<String, FieldStat>) -> Probe {
        self.root.probe(fields)
    }

    /// Between which times every line that passes was received, when it says so.
    pub fn received(&self) -> Option<TimeRange> {
        self.received
    }

    /// Whether a block may hold a match, by when its lines were received, and by the counts of values that its segment
    /// keeps: they know numbers too.
    pub fn may_match(&self, segment: &dyn Segment, block: usize) -> bool {
        let parts = match &self.root {
            Node::And(nodes) => nodes.as_slice(),
            node => std::slice::from_ref(node),
        };
        if self.received.is_some_and(|received| !received.meets(segment.block_received(block))) {
            return false;
        }
        parts.iter().all(|part| {
            let Node::Field { name, test, .. } = part else { return true };
            match CountedValues::of(segment, block, name) {
                Some(counted) => counted.cells().any(|counted| counted.is_none_or(|(cell, _)| test.is_match(&cell))),
                None => true,
            }
        })
    }

    /// The fields that it looks at.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut columns = BTreeSet::new();
        self.root.columns(&mut columns);
        columns
    }
}

impl Node {
    fn compile(filter: &ast::Filter, context: &mut Context<'_>) -> Result<Node, Error> {
        let mut all = |filters: &[ast::Filter]| -> Result<Vec<Node>, Error> {
            let mut nodes: Vec<Node> =
                filters.iter().map(|filter| Node::compile(filter, context)).collect::<Result<_, _>>()?;
            nodes.sort_by_key(Node::cost);
            Ok(nodes)
        };
        Ok(match filter {
            ast::Filter::All => Node::All,
            ast::Filter::And(filters) => Node::And(all(filters)?),
            ast::Filter::Or(filters) => Node::Or(all(filters)?),
            ast::Filter::Not(inner) => Node::Not(Box::new(Node::compile(inner, context)?)),
            ast::Filter::Text(pattern) => {
                let test = match pattern {
                    Pattern::Phrase(text) => TextTest::phrase(text)?,
                    Pattern::Glob(glob) => TextTest::text_glob(glob)?,
                    Pattern::Regex(pattern) => TextTest::Regex(text::Searcher::new(pattern)?),
                };
                Node::Text { test, question: Question::new(&format!("{pattern:?}"), true) }
            }
            ast::Filter::Field { field, test } => {
                let name = canonical(&field.name);
                let question = question(name, test);
                let test = Box::new(FieldTest::compile(name, test, context)?);
                Node::Field { name: name.to_owned(), test, question }
            }
        })
    }

    /// See [`Filter::received`].
    fn received(&self) -> Option<TimeRange> {
        match self {
            Node::And(nodes) => nodes.iter().filter_map(Node::received).reduce(TimeRange::both),
            Node::Or(nodes) => {
                let all: Option<Vec<TimeRange>> = nodes.iter().map(Node::received).collect();
                all?.into_iter().reduce(TimeRange::hull)
            }
            Node::Field { name, test, .. } if name == field::INGESTED => test.times(),
            _ => None,
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Node::All => 0,
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().map(Node::cost).sum(),
            Node::Not(inner) => inner.cost(),
            Node::Text { test, .. } => 10 + test.cost(),
            Node::Field { test, .. } => test.cost(),
        }
    }

    fn eval(&self, source: &dyn Source, within: &Mask) -> Mask {
        if within.is_empty() {
            return within.clone();
        }
        match self {
            Node::All => within.clone(),
            Node::And(nodes) => {
                let mut left = within.clone();
                for node in nodes {
                    left = node.eval(source, &left);
                    if left.is_empty() {
                        break;
                    }
                }
                left
            }
            Node::Or(nodes) => {
                let mut rest = within.clone();
                for node in nodes {
                    let found = node.eval(source, &rest);
                    rest = rest.and_not(&found);
                    if rest.is_empty() {
                        break;
                    }
                }
                within.clone().and_not(&rest)
            }
            Node::Not(inner) => within.clone().and_not(&inner.eval(source, within)),
            Node::Text { test, question } => answered(source, Some(*question), within, |within| {
                let mut rest = within.clone();
                for name in TEXT_FIELDS {
                    if let Some(found) = source.scan_parts(name, test, &rest) {
                        rest = rest.and_not(&found);
                        continue;
                    }
                    for column in FieldColumns::new(&source.field(name), name).columns {
                        let found = match column {
                            Column::Text(array) => test.scan(array, &rest),
                            Column::Numbered(keys, values) => test.scan_numbered(keys, values, &rest, &Memo::default()),
                            _ => continue,
                        };
                        rest = rest.and_not(&found);
                    }
                }
                within.clone().and_not(&rest)
            }),
            Node::Field { name, test, question } => answered(source, *question, within, |within| {
                let parted = test.of_texts().and_then(|test| source.scan_parts(name, test, within));
                parted.unwrap_or_else(|| test.scan(&FieldColumns::new(&source.field(name), name), within))
            }),
        }
    }

    fn probe(&self, fields: &BTreeMap<String, FieldStat>) -> Probe {
        match self {
            // A block without any row that passes the inner test may hold rows that pass its negation.
            Node::All | Node::Not(_) => Probe::Any,
            Node::And(nodes) => all_of(nodes.iter().map(|node| node.probe(fields)).collect()),
            Node::Or(nodes) => any_of(nodes.iter().map(|node| node.probe(fields)).collect()),
            Node::Text { test: TextTest::Phrase(finder), .. } => all_words(finder.words()),
            Node::Text { test: TextTest::Words(globs), .. } => {
                let (words, prefixes) = globs.needed();
                let prefixes = prefixes.into_iter().filter(|prefix| prefix.len() <= WORD_BYTES_MAX);
                all_of(std::iter::once(all_words(&words)).chain(prefixes.map(Probe::WordPrefix)).collect())
            }
            Node::Text { .. } => Probe::Any,
            Node::Field { name, test, .. } => {
                // Numbers and booleans are not in the index by value.
                let only_text = fields.get(name).is_some_and(|stat| stat.types == ["str"]);
                match &test.hint {
                    Hint::Values(values) if only_text && values.len() <= PROBE_VALUES_MAX => any_of(
                        values
                            .iter()
                            .map(|value| Probe::Value { field: name.clone(), folded: value.clone() })
                            .collect(),
                    ),
                    Hint::Words(words) if only_text => all_words(words),
                    Hint::Exists if only_text && test.part().is_some() => {
                        Probe::Part { field: name.clone(), part: test.part().unwrap_or_default().to_owned() }
                    }
                    _ if matches!(name.as_str(), field::TIME | field::SEQ | field::INGESTED) => Probe::Any,
                    _ => Probe::Exists { field: name.clone() },
                }
            }
        }
    }

    fn questions(&self, questions: &mut Vec<Question>) {
        match self {
            Node::All => {}
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.questions(questions)),
            Node::Not(inner) => inner.questions(questions),
            Node::Text { question, .. } => questions.push(*question),
            Node::Field { question, .. } => questions.extend(*question),
        }
    }

    fn columns<'a>(&'a self, columns: &mut BTreeSet<&'a str>) {
        match self {
            Node::All => {}
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.columns(columns)),
            Node::Not(inner) => inner.columns(columns),
            Node::Text { .. } => columns.extend(TEXT_FIELDS),
            Node::Field { name, .. } => {
                columns.insert(name);
            }
        }
    }
}

/// A test of a field as a question. Where a value stands in the query is no part of it.
fn question(name: &str, test: &Test) -> Option<Question> {
    let of_value = |kind: &str, value: &Literal| {
        Some(Question::new(&format!("{name} {kind} {} {:?}", value.quoted, value.text), false))
    };
    match test {
        Test::Regex(_) | Test::Glob(_) => Some(Question::new(&format!("{name} {test:?}"), true)),
        Test::Exists | Test::Cidr { .. } | Test::StatusClass(_) => {
            Some(Question::new(&format!("{name} {test:?}"), false))
        }
        Test::Match(value) => of_value("match", value),
        Test::Exact(value) => of_value("exact", value),
        Test::Cmp(op, value) => of_value(&format!("{op:?}"), value),
        Test::Range { .. } | Test::AnyOf(_) | Test::In(_) => None,
    }
}

/// What a test finds: known from before, or looked for. Where that pays all rows are looked at, so that the answer can be
/// kept.
fn answered(source: &dyn Source, question: Option<Question>, within: &Mask, look: impl Fn(&Mask) -> Mask) -> Mask {
    let times = question.and_then(|question| source.asked_times(question));
    let (Some(question), Some(times)) = (question, times) else { return look(within) };
    if let Some(known) = source.recall(question) {
        return known.and(within);
    }
    if within.count() * times < within.len() {
        return look(within);
    }
    let found = look(&Mask::all(within.len()));
    source.remember(question, &found);
    found.and(within)
}

/// Words too long for the index are left to the scan.
fn all_words(words: &[String]) -> Probe {
    all_of(words.iter().filter(|word| word.len() <= WORD_BYTES_MAX).map(|word| Probe::Word(word.clone())).collect())
}

fn all_of(mut probes: Vec<Probe>) -> Probe {
    if probes.contains(&Probe::None) {
        return Probe::None;
    }
    probes.retain(|probe| *probe != Probe::Any);
    match probes.len() {
        0 => Probe::Any,
        1 => probes.swap_remove(0),
        _ => Probe::And(probes),
    }
}

fn any_of(mut probes: Vec<Probe>) -> Probe {
    if probes.contains(&Probe::Any) {
        return Probe::Any;
    }
    probes.retain(|probe| *probe != Probe::None);
    match probes.len() {
        0 => Probe::None,
        1 => probes.swap_remove(0),
        _ => Probe::Or(probes),
    }
}
