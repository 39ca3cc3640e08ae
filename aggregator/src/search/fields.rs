//! What there is to search for: the fields, and the most frequent values of a field.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use logweir_proto::api::Order;
use logweir_proto::query::ast::Query;
use logweir_proto::record::field;
use serde::Serialize;

use super::Error;
use super::aggregate::group::{GroupBy, Groups, NO_GROUP};
use super::cell::canonical;
use super::execute::{self, Request};
use super::plan::{self, Plan};
use super::scan::{Scan, TimeRange};
use crate::store::segment::Segment;

/// Events that facets are counted over, the newest; the answer says when there were more.
pub const SAMPLE_ROWS_MAX: u64 = 100_000;

/// Most fields of one answer of facets.
pub const FACET_FIELDS_MAX: usize = 50;

/// Most different values of a field that are counted.
pub const FACET_VALUES_MAX: usize = 10_000;

/// A field that some event has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldInfo {
    pub name: String,
    /// `str`, `int`, `float`, `bool`.
    pub types: Vec<&'static str>,
    /// Events that have it, among those of the segments within the range.
    pub rows: u64,
    /// The share of these events, in percent.
    pub coverage: f64,
}

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facet {
    pub field: String,
    /// Events of the sample that have it.
    pub rows: u64,
    /// Different values among them, counted up to [`FACET_VALUES_MAX`].
    pub distinct: usize,
    /// The most frequent ones.
    pub values: Vec<FacetValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FacetValue {
    pub value: serde_json::Value,
    pub count: u64,
}

/// Facets over a sample of the newest events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facets {
    pub facets: Vec<Facet>,
    /// Events that were looked at.
    pub rows: u64,
    /// `false` when there were more events than the sample, or a part of them could not be read.
    pub complete: bool,
}

/// The fields of all segments that reach into the range, canonical ones first.
pub fn list(segments: &[Arc<dyn Segment>], range: TimeRange) -> Vec<FieldInfo> {
    let mut total = 0;
    let mut infos: BTreeMap<(usize, &str), FieldInfo> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| range.reaches(&***segment)) {
        total += segment.blocks().iter().map(|block| u64::from(block.rows)).sum::<u64>();
        for (name, stat) in segment.fields() {
            let info = infos.entry((place(name), name)).or_insert_with(|| FieldInfo {
                name: name.clone(),
                types: Vec::new(),
                rows: 0,
                coverage: 0.0,
            });
            info.rows += stat.rows;
            info.types.extend(stat.types.iter().copied());
        }
    }
    let infos = infos.into_values().map(|mut info| {
        info.types.sort_unstable();
        info.types.dedup();
        info.coverage = 100.0 * info.rows as f64 / (total as f64).max(1.0);
        info
    });
    infos.collect()
}

fn place(name: &str) -> usize {
    field::ALL.iter().position(|field| *field == name).unwrap_or(field::ALL.len())
}

/// The most frequent values of fields over a sample of a query; without `fields`, of all that are likely to have few.
pub fn facets(
    query: &Query,
    request: &Request<'_>,
    fields: Option<&[String]>,
    limit: usize,
    segments: &[Arc<dyn Segment>],
) -> Result<Facets, Error> {
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    let plan = Plan::new(query, range, Order::Desc);
    let filter = execute::compile(&plan.filter, range, request, segments, 0)?;
    let names: Vec<String> = match fields {
        Some(fields) => fields.iter().map(|name| canonical(name).to_owned()).take(FACET_FIELDS_MAX).collect(),
        None => list(segments, range)
            .into_iter()
            .map(|info| info.name)
            .filter(|name| is_facet(name))
            .take(FACET_FIELDS_MAX)
            .collect(),
    };
    let columns: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut counters: Vec<Counter> = names.iter().map(|name| Counter::new(name)).collect();
    let mut scan = Scan::new(segments, &filter, range, Order::Desc, request.patience());
    let mut rows = 0;
    let mut sampled = false;
    while let Some(block) = scan.next_block() {
        if rows >= SAMPLE_ROWS_MAX {
            sampled = true;
            break;
        }
        let Some((batch, mask)) = scan.select(&block, &columns) else { continue };
        let picked: Vec<usize> = mask.rows().collect();
        rows += picked.len() as u64;
        counters.iter_mut().for_each(|counter| counter.add(&batch, &picked));
    }
    let complete = scan.finish(sampled).reason.is_none() && !sampled;
    let facets = counters.into_iter().map(|counter| counter.finish(limit)).filter(|facet| facet.rows > 0);
    Ok(Facets { facets: facets.collect(), rows, complete })
}

/// Texts and identities are different on nearly every row: nobody picks one from a list.
fn is_facet(name: &str) -> bool {
    !matches!(name, field::TIME | field::SEQ | field::MESSAGE | field::EXCEPTION_STACK | field::TRACE_ID)
}

struct Counter {
    field: String,
    groups: Groups,
    counts: Vec<u64>,
}

impl Counter {
    fn new(field: &str) -> Counter {
        let by = vec![GroupBy { field: field.to_owned(), bin: None }];
        Counter { field: field.to_owned(), groups: Groups::new(by, 1, FACET_VALUES_MAX), counts: Vec::new() }
    }

    fn add(&mut self, batch: &arrow::record_batch::RecordBatch, rows: &[usize]) {
        let groups = self.groups.of_rows(batch, rows);
        self.counts.resize(self.groups.values.len(), 0);
        groups.into_iter().filter(|group| *group != NO_GROUP).for_each(|group| self.counts[group as usize] += 1);
    }

    fn finish(self, limit: usize) -> Facet {
        let other = self.groups.other.map(|other| other as usize);
        let mut order: Vec<usize> = (0..self.counts.len()).filter(|group| Some(*group) != other).collect();
        order.sort_by_cached_key(|group| {
            let text = self.groups.values[*group].first().map(|value| value.text().into_owned());
            (std::cmp::Reverse(self.counts[*group]), text)
        });
        let value = |group: usize| FacetValue {
            value: self.groups.values[group].first().map_or(serde_json::Value::Null, |value| value.to_json()),
            count: self.counts[group],
        };
        Facet {
            rows: self.counts.iter().sum(),
            distinct: order.len(),
            values: order.into_iter().take(limit).map(value).collect(),
            field: self.field,
        }
    }
}
