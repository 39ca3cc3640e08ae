//! A store of logs for tests: lines that arrive when they arrive, and the few queries that rules ask.

pub(crate) mod examples;
pub(crate) mod filter;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use logweir_proto::query::ast::{Agg, AggFunc, Group, PipeKind, Query};
use logweir_proto::query::parse::parse;
use logweir_runtime::clock::rfc3339;
use serde_json::{Value, json};

use crate::source::{Answer, Arrival, HostMark, QueryError, QuerySource};

#[derive(Debug, Clone)]
pub(crate) struct TestLine {
    pub(crate) at: i64,
    /// It is searchable from this wall time on.
    pub(crate) arrives: i64,
    pub(crate) fields: BTreeMap<&'static str, String>,
}

pub(crate) fn line(at: i64, fields: &[(&'static str, &str)]) -> TestLine {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    TestLine { at, arrives: at, fields }
}

/// Lines, found by filters over their fields, counted and put in the order of their quantiles.
#[derive(Debug, Default)]
pub(crate) struct LineStore {
    /// In the order of time.
    pub(crate) lines: Vec<TestLine>,
    arrivals: Vec<Arrival>,
    pub(crate) now: Mutex<Option<i64>>,
    pub(crate) marks: Mutex<Vec<HostMark>>,
    pub(crate) questions: Mutex<usize>,
}

impl LineStore {
    pub(crate) fn new(mut lines: Vec<TestLine>) -> Arc<LineStore> {
        lines.sort_by_key(|line| line.at);
        let mut came: Vec<(i64, i64)> = lines.iter().map(|line| (line.arrives, line.at)).collect();
        came.sort_unstable();
        let arrival = |(number, (wall, at)): (u64, (i64, i64))| Arrival {
            number,
            wall,
            oldest_ns: at,
            newest_ns: at,
            received: (wall, wall),
        };
        let arrivals = (1..).zip(came).map(arrival).collect();
        Arc::new(LineStore { lines, arrivals, ..LineStore::default() })
    }

    pub(crate) fn set_now(&self, now: i64) {
        *self.now.lock().expect("not poisoned") = Some(now);
    }

    fn now(&self) -> i64 {
        self.now.lock().expect("not poisoned").unwrap_or(i64::MAX)
    }

    fn answer(&self, query: &Query, from: i64, to: i64, limit: usize) -> Answer {
        *self.questions.lock().expect("not poisoned") += 1;
        let (first, last) = (self.lines.partition_point(|l| l.at < from), self.lines.partition_point(|l| l.at < to));
        let now = self.now();
        let fits = |line: &&TestLine| {
            let received = rfc3339(line.arrives);
            let get = |name: &str| match name {
                "_ingested" => Some(received.as_str()),
                name => line.fields.get(name).map(String::as_str),
            };
            line.arrives <= now && filter::matches(&query.filter, &get)
        };
        let found: Vec<&TestLine> = self.lines[first..last.max(first)].iter().filter(fits).collect();
        let rows: Vec<Value> = match query.pipes.first().map(|pipe| &pipe.kind) {
            // A choice of columns: what is too much of a row does no harm.
            None | Some(PipeKind::Fields { .. }) => {
                let event = |line: &&TestLine| {
                    let mut row = json!({"time": rfc3339(line.at)});
                    for (name, value) in &line.fields {
                        row[*name] = json!(value);
                    }
                    row
                };
                found.iter().rev().take(limit).map(event).collect()
            }
            Some(PipeKind::Stats { aggs, by }) => grouped(&found, &aggs[0], by).into_iter().take(limit).collect(),
            Some(other) => panic!("not in the store of the tests: {other:?}"),
        };
        Answer { rows: serde_json::from_value(json!(rows)).expect("rows"), complete: true, reason: None }
    }
}

fn grouped(found: &[&TestLine], agg: &Agg, by: &[Group]) -> Vec<Value> {
    let mut groups: BTreeMap<Vec<Option<String>>, Vec<&TestLine>> = BTreeMap::new();
    if by.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    for line in found {
        let value = |group: &Group| match group {
            Group::Bin { field, width } => {
                let width_s: i64 = width.text.strip_suffix('s').and_then(|s| s.parse().ok()).expect("seconds");
                let width = width_s * 1_000_000_000;
                let time = if field.name == "_ingested" { line.arrives } else { line.at };
                Some(rfc3339(time.div_euclid(width) * width))
            }
            Group::Field(field) => line.fields.get(field.name.as_str()).cloned(),
        };
        groups.entry(by.iter().map(value).collect()).or_default().push(line);
    }
    let row = |(key, lines): (Vec<Option<String>>, Vec<&TestLine>)| {
        let number = |name: &str| {
            let mut all: Vec<f64> = lines.iter().filter_map(|l| l.fields.get(name)?.parse().ok()).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let value = match &agg.func {
            AggFunc::Count(None) => json!(lines.len()),
            AggFunc::Percentile(field, percent) => {
                let all = number(&field.name);
                let rank = (all.len() as f64 * percent / 100.0).ceil() as usize;
                all.get(rank.saturating_sub(1)).map_or(Value::Null, |value| json!(value))
            }
            other => panic!("not in the store of the tests: {other:?}"),
        };
        let mut row = json!({});
        row[agg.column()] = value;
        for (group, value) in by.iter().zip(key) {
            row[group.column()] = json!(value);
        }
        row
    };
    groups.into_iter().map(row).collect()
}

impl QuerySource for LineStore {
    fn hosts(&self) -> Vec<HostMark> {
        self.marks.lock().expect("not poisoned").clone()
    }

    fn searchable_upto_ns(&self) -> Option<i64> {
        *self.now.lock().expect("not poisoned")
    }

    fn arrivals(&self, after: u64) -> Vec<Arrival> {
        let now = self.now();
        let new = self.arrivals.iter().skip(after as usize);
        new.take_while(|arrival| arrival.wall <= now).copied().collect()
    }

    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        let query = parse(query).unwrap_or_else(|e| panic!("{query}: {e:?}"));
        let answer = self.answer(&query, from_ns, to_ns, limit);
        Box::pin(async move { Ok(answer) })
    }
}
