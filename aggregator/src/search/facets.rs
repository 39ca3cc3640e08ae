//! The most frequent values of fields: the `facets` pipe, over all rows, and the list beside the rows of the page, over a
//! sample of the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use logweir_proto::api::{MissingRange, Order, Warning};
use logweir_proto::query::ast::Query;
use logweir_proto::record::field;
use schemars::JsonSchema;
use serde::Serialize;

use super::Error;
use super::aggregate::group::{GroupBy, Groups, NO_GROUP};
use super::cell::{Value, canonical};
use super::execute::{self, Request};
use super::fields::{list, place};
use super::mask::Mask;
use super::plan::{self, Plan};
use super::scan::Scan;
use super::table::{Table, TableRow};
use crate::store::segment::Segment;

/// Events that the list is counted over, the newest; the answer says when there were more.
pub const SAMPLE_ROWS_MAX: u64 = 100_000;

/// Most fields of one answer of facets.
pub const FACET_FIELDS_MAX: usize = 50;

/// Most different values of a field that are counted.
pub const FACET_VALUES_MAX: usize = 10_000;

/// The columns of the `facets` pipe.
pub const FACET_COLUMNS: [&str; 5] = ["field", "value", "count", "percent", "distinct"];

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Facet {
    pub field: String,
    /// Events of the sample that have it.
    pub rows: u64,
    /// Different values among them, counted up to [`FACET_VALUES_MAX`].
    pub distinct: usize,
    /// The most frequent ones.
    pub values: Vec<FacetValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FacetValue {
    pub value: serde_json::Value,
    pub count: u64,
}

/// Which values of a field are listed.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    pub limit: usize,
    /// Only those that begin so, in whatever case.
    pub prefix: &'a str,
}

/// Facets over a sample of the newest events.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Facets {
    pub facets: Vec<Facet>,
    /// Events that were looked at.
    pub rows: u64,
    /// `false` when there were more events than the sample, or a part of them could not be read.
    pub complete: bool,
    /// Parts of the time that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingRange>,
    /// Fields of the query, and those that were asked for, which no event has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// The most frequent values of fields over a sample of a query, whose pipes count as far as for [`super::hits`]; without
/// `fields`, of all that are likely to have few.
pub fn facets(
    query: &Query,
    request: &Request<'_>,
    fields: Option<&[String]>,
    shown: Shown<'_>,
    segments: &[Arc<dyn Segment>],
) -> Result<Facets, Error> {
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    let plan = Plan::new(query, range, Order::Desc);
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
    let (filter, steps) = execute::compile_rows(&plan, plan.making(), request, segments, 0)?;
    let mut scan = Scan::new(segments, &filter, range, Order::Desc, request.patience()).with_steps(&steps);
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
    let coverage = scan.finish(sampled);
    let complete = coverage.reason.is_none() && !sampled;
    let facets = counters.into_iter().map(|counter| counter.finish(shown)).filter(|facet| facet.rows > 0);
    let mut warnings = plan::unknown_fields(query, range, segments);
    let asked: Vec<String> = fields.unwrap_or_default().iter().filter(|name| !plan.makes(name)).cloned().collect();
    warnings.extend(plan::unknown_names(&asked, range, segments));
    Ok(Facets { facets: facets.collect(), rows, complete, missing: coverage.missing, warnings })
}

/// Texts and identities are different on nearly every row: nobody picks one from a list.
fn is_facet(name: &str) -> bool {
    !matches!(name, field::TIME | field::SEQ | field::MESSAGE | field::EXCEPTION_STACK | field::TRACE_ID)
}

/// The values of one field under way.
#[derive(Debug)]
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
        self.counts.resize(self.groups.len(), 0);
        groups.into_iter().filter(|group| *group != NO_GROUP).for_each(|group| self.counts[group as usize] += 1);
    }

    fn finish(self, shown: Shown<'_>) -> Facet {
        let prefix = shown.prefix.to_lowercase();
        let begins = |group: &usize| {
            prefix.is_empty()
                || self.groups.value(*group).is_some_and(|value| value.text().to_lowercase().starts_with(&prefix))
        };
        let other = self.groups.other.map(|other| other as usize);
        let mut order: Vec<usize> = (0..self.counts.len()).filter(|group| Some(*group) != other).collect();
        order.sort_by_cached_key(|group| {
            let text = self.groups.value(*group).map(|value| value.text().into_owned());
            (std::cmp::Reverse(self.counts[*group]), text)
        });
        let value = |group: usize| FacetValue {
            value: self.groups.value(group).map_or(serde_json::Value::Null, |value| value.to_json()),
            count: self.counts[group],
        };
        Facet {
            rows: self.counts.iter().sum(),
            distinct: order.len(),
            values: order.into_iter().filter(begins).take(shown.limit).map(value).collect(),
            field: self.field,
        }
    }
}

/// The `facets` pipe under way.
#[derive(Debug)]
pub struct Counters {
    limit: usize,
    rows: u64,
    counters: BTreeMap<String, Counter>,
}

impl Counters {
    pub fn new(limit: usize) -> Counters {
        Counters { limit, rows: 0, counters: BTreeMap::new() }
    }

    /// The fields of a segment that are counted, those of most rows first.
    pub fn columns(segment: &dyn Segment) -> Vec<String> {
        let mut fields: Vec<(&String, u64)> = segment.fields().iter().map(|(name, stat)| (name, stat.rows)).collect();
        fields.retain(|(name, _)| is_facet(name));
        fields.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        fields.into_iter().take(FACET_FIELDS_MAX).map(|(name, _)| name.clone()).collect()
    }

    /// Adds rows of these fields.
    pub fn add(&mut self, batch: &RecordBatch, mask: &Mask, names: &[String]) {
        let rows: Vec<usize> = mask.rows().collect();
        self.rows += rows.len() as u64;
        for name in names.iter().filter(|name| is_facet(name)) {
            if self.counters.len() < FACET_FIELDS_MAX || self.counters.contains_key(name) {
                self.counters.entry(name.clone()).or_insert_with(|| Counter::new(name)).add(batch, &rows);
            }
        }
    }

    pub fn finish(self) -> (Table, Vec<Warning>) {
        let total = self.rows.max(1) as f64;
        let mut facets: Vec<(Facet, bool)> = self
            .counters
            .into_values()
            .map(|counter| {
                let is_cut = counter.groups.other.is_some();
                (counter.finish(Shown { limit: self.limit, prefix: "" }), is_cut)
            })
            .filter(|(facet, _)| facet.rows > 0)
            .collect();
        facets.sort_by(|(a, _), (b, _)| (place(&a.field), &a.field).cmp(&(place(&b.field), &b.field)));
        let cut = facets.iter().filter(|(_, is_cut)| *is_cut).map(|(facet, _)| Warning {
            field: Some(facet.field.clone()),
            ..Warning::new(
                "values_truncated",
                format!("only the first {FACET_VALUES_MAX} values of {} were told apart", facet.field),
            )
        });
        let warnings = cut.collect();
        let rows = facets.into_iter().flat_map(|(Facet { field, distinct, values, .. }, _)| {
            values.into_iter().map(move |FacetValue { value, count }| {
                let percent = (10_000.0 * count as f64 / total).round() / 100.0;
                let values = vec![
                    Value::Text(field.as_str().into()),
                    Value::of_json(&field, &value),
                    Value::Int(count as i64),
                    Value::Float(percent),
                    Value::Int(distinct as i64),
                ];
                TableRow { id: None, values }
            })
        });
        (Table { columns: FACET_COLUMNS.map(str::to_owned).to_vec(), rows: rows.collect() }, warnings)
    }
}
