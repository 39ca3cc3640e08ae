//! The histogram above the rows: how many events there were when, by the values of a field.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Int64Array;
use logweir_proto::api::{HitsAnswer, Order};
use logweir_proto::query::ast::Query;
use logweir_proto::record::field;
use logweir_runtime::clock;

use super::Error;
use super::aggregate::easy_width_ns;
use super::aggregate::group::{GroupBy, Groups, NO_GROUP, OTHER, floor};
use super::cell::{Value, canonical};
use super::counted::counted;
use super::execute::{self, Request};
use super::plan::{self, Plan};
use super::scan::{Scan, TimeRange};
use crate::store::segment::Segment;

/// Buckets when the request does not say.
pub const BUCKETS_DEFAULT: usize = 60;

/// Most buckets of a histogram.
pub const BUCKETS_MAX: usize = 1000;

/// Most series that are shown; the smaller ones are one series `__other__`.
pub const SERIES_MAX: usize = 20;

/// Most values of the field that are counted apart.
const VALUES_MAX: usize = 1000;

/// Counts the events of a query over time. Pipes that look at one row by itself count as well; what stands behind them is left
/// out: the histogram is of events. With `compare_ns` there is a second histogram with the same bars, that much earlier.
pub fn hits(
    query: &Query,
    request: &Request<'_>,
    buckets: usize,
    by: &str,
    compare_ns: Option<i64>,
    segments: &[Arc<dyn Segment>],
) -> Result<HitsAnswer, Error> {
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    let known = plan::known_range(range, segments, request.now_ns);
    let buckets = buckets.clamp(1, BUCKETS_MAX) as i64;
    let width_ns = easy_width_ns(known.last_ns.saturating_sub(known.first_ns), buckets);
    let bars = Bars::new(known, width_ns, by);
    // Events ahead of the clock have no bar.
    let bounded = TimeRange { first_ns: range.first_ns, last_ns: known.last_ns };
    let plan = Plan::new(query, bounded, Order::Desc);
    let earlier = compare_ns.map(|shift_ns| {
        let shifted = |ns: i64| ns.saturating_sub(shift_ns);
        let bars = Bars { first_ns: shifted(bars.first_ns), ..bars.clone() };
        let range = TimeRange { first_ns: shifted(bounded.first_ns), last_ns: shifted(bounded.last_ns) };
        let request = Request { now_ns: shifted(request.now_ns), ..request.clone() };
        count(&Plan::new(query, range, Order::Desc), &request, bars, segments)
    });
    let answer = count(&plan, request, bars, segments)?;
    let previous = earlier.transpose()?;
    let mut warnings = plan::unknown_fields(query, range, segments);
    if !plan.makes(by) {
        warnings.extend(plan::unknown_asked(&[by.to_owned()], range, segments));
    }
    Ok(HitsAnswer {
        warnings,
        complete: answer.complete && previous.as_ref().is_none_or(|previous| previous.complete),
        previous: previous.map(Box::new),
        ..answer
    })
}

/// Counts the rows of the range of a plan.
fn count(
    plan: &Plan,
    request: &Request<'_>,
    mut bars: Bars,
    segments: &[Arc<dyn Segment>],
) -> Result<HitsAnswer, Error> {
    let range = plan.range;
    let (filter, steps) = execute::compile_rows(plan, plan.making(), request, segments, 0)?;
    let mut scan = Scan::new(segments, &filter, range, Order::Desc, request.patience()).with_steps(&steps);
    let by = bars.by.clone();
    let by = BTreeSet::from([by.as_str()]);
    let columns = by.iter().copied().chain([field::TIME]).collect();
    while let Some(block) = scan.next_block() {
        let segment = scan.reader().segment(&block);
        let known = steps.is_empty().then(|| counted(segment, &block, range, &filter, &by, Some(bars.width_ns)));
        match known.flatten() {
            Some(counted) => bars.add(&counted.batch, &counted.mask.rows().collect::<Vec<_>>(), &counted.weights),
            None => {
                if let Some((batch, mask)) = scan.select(&block, &columns) {
                    bars.add(&batch, &mask.rows().collect::<Vec<_>>(), &[]);
                }
            }
        }
    }
    let coverage = scan.finish(false);
    Ok(HitsAnswer { complete: coverage.reason.is_none(), missing: coverage.missing, ..bars.finish() })
}

#[derive(Clone)]
struct Bars {
    by: String,
    first_ns: i64,
    width_ns: i64,
    buckets: usize,
    groups: Groups,
    counts: Vec<Vec<u64>>,
}

impl Bars {
    fn new(range: TimeRange, width_ns: i64, by: &str) -> Bars {
        let first_ns = floor(range.first_ns, width_ns);
        let buckets = (range.last_ns.saturating_sub(first_ns) / width_ns) as usize + 1;
        let by = canonical(by).to_owned();
        let groups = Groups::new(vec![GroupBy { field: by.clone(), bin: None }], 0, VALUES_MAX);
        Bars { by, first_ns, width_ns, buckets, groups, counts: Vec::new() }
    }

    fn add(&mut self, batch: &arrow::record_batch::RecordBatch, rows: &[usize], weights: &[u64]) {
        let times = batch.column_by_name(field::TIME).and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let Some(times) = times else { return };
        let groups = self.groups.of_rows(batch, rows);
        self.counts.resize_with(self.groups.len(), || vec![0; self.buckets]);
        for (index, (row, group)) in rows.iter().zip(groups).enumerate() {
            let bucket = times.value(*row).saturating_sub(self.first_ns) / self.width_ns;
            let bar =
                usize::try_from(bucket).ok().and_then(|bucket| self.counts.get_mut(group as usize)?.get_mut(bucket));
            if let (Some(bar), true) = (bar, group != NO_GROUP) {
                *bar += weights.get(index).copied().unwrap_or(1);
            }
        }
    }

    fn finish(self) -> HitsAnswer {
        let name = |group| self.groups.value(group).map_or_else(String::new, |value: Value| value.text().into_owned());
        let mut series: Vec<(String, Vec<u64>)> = (0..self.groups.len()).map(name).zip(self.counts).collect();
        series.sort_by_cached_key(|(name, counts)| (name == OTHER, std::cmp::Reverse(counts.iter().sum::<u64>())));
        let mut shown: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (i, (name, counts)) in series.into_iter().enumerate() {
            let name = if i < SERIES_MAX { name } else { OTHER.to_owned() };
            let sum = shown.entry(name).or_insert_with(|| vec![0; self.buckets]);
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let span = self.width_ns.saturating_mul(self.buckets as i64);
        HitsAnswer {
            from: clock::rfc3339(self.first_ns),
            to: clock::rfc3339(self.first_ns.saturating_add(span)),
            width_ms: self.width_ns / 1_000_000,
            total: shown.values().flatten().sum(),
            series: shown,
            warnings: Vec::new(),
            complete: true,
            missing: Vec::new(),
            previous: None,
        }
    }
}
