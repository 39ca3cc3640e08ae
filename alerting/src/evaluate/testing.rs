//! A store of logs for tests: lines that arrive when they arrive, and the few queries that rules ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
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

/// Filters are `field=value` and `field:value` terms in parentheses, or everything.
#[derive(Debug, Default)]
pub(crate) struct LineStore {
    pub(crate) lines: Mutex<Vec<TestLine>>,
    pub(crate) now: Mutex<Option<i64>>,
    pub(crate) marks: Mutex<Vec<HostMark>>,
    pub(crate) questions: Mutex<usize>,
}

impl LineStore {
    pub(crate) fn new(lines: Vec<TestLine>) -> Arc<LineStore> {
        let store = LineStore::default();
        *store.lines.lock().expect("not poisoned") = lines;
        Arc::new(store)
    }

    pub(crate) fn set_now(&self, now: i64) {
        *self.now.lock().expect("not poisoned") = Some(now);
    }

    fn answer(&self, query: &str, from: i64, to: i64, limit: usize) -> Answer {
        *self.questions.lock().expect("not poisoned") += 1;
        let now = self.now.lock().expect("not poisoned").unwrap_or(i64::MAX);
        let (filter, pipes) = query.split_once(" | stats count as v").unwrap_or((query, "events"));
        let terms: Vec<(String, String)> = filter
            .split(['(', ')', ' '])
            .filter_map(|term| term.split_once(['=', ':']))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        let lines = self.lines.lock().expect("not poisoned");
        let fits = |line: &&TestLine| {
            let field = |(name, value): &(String, String)| line.fields.get(name.as_str()) == Some(value);
            (from..to).contains(&line.at) && line.arrives <= now && terms.iter().all(field)
        };
        let mut found: Vec<&TestLine> = lines.iter().filter(fits).collect();
        found.sort_by_key(|line| line.at);
        let rows: Vec<Value> = if pipes == "events" {
            let event = |line: &&TestLine| {
                let mut row = json!({"time": rfc3339(line.at)});
                for (name, value) in &line.fields {
                    row[*name] = json!(value);
                }
                row
            };
            found.iter().rev().take(limit).map(event).collect()
        } else {
            grouped(&found, pipes).into_iter().take(limit).collect()
        };
        Answer { rows: serde_json::from_value(json!(rows)).expect("rows"), complete: true, reason: None }
    }
}

fn grouped(found: &[&TestLine], pipes: &str) -> Vec<Value> {
    let by = pipes.trim().strip_prefix("by ").unwrap_or("");
    let by = by.split(" | ").next().unwrap_or("");
    let (width, names) = match by.strip_prefix("bin(time, ") {
        Some(rest) => {
            let (width, rest) = rest.split_once("s)").expect("a width in seconds");
            (width.parse::<i64>().ok().map(|s| s * 1_000_000_000), rest.trim_start_matches(", "))
        }
        None => (None, by),
    };
    let names: Vec<&str> = names.split(", ").filter(|name| !name.is_empty()).collect();
    let mut counts: BTreeMap<(Option<i64>, Vec<Option<String>>), u64> = BTreeMap::new();
    if by.is_empty() {
        counts.insert((None, Vec::new()), 0);
    }
    for line in found {
        let bucket = width.map(|width| line.at.div_euclid(width) * width);
        let key = names.iter().map(|name| line.fields.get(name).cloned()).collect();
        *counts.entry((bucket, key)).or_default() += 1;
    }
    let row = |((bucket, values), count): ((Option<i64>, Vec<Option<String>>), u64)| {
        let mut row = json!({"v": count});
        if let Some(bucket) = bucket {
            row["time"] = json!(rfc3339(bucket));
        }
        for (name, value) in names.iter().zip(values) {
            row[*name] = json!(value);
        }
        row
    };
    counts.into_iter().map(row).collect()
}

impl QuerySource for LineStore {
    fn hosts(&self) -> Vec<HostMark> {
        self.marks.lock().expect("not poisoned").clone()
    }

    fn arrivals(&self, after: u64) -> Vec<Arrival> {
        let now = self.now.lock().expect("not poisoned").unwrap_or(i64::MAX);
        let lines = self.lines.lock().expect("not poisoned");
        let came = lines.iter().filter(|line| line.arrives <= now);
        let mut all: Vec<(i64, i64)> = came.map(|line| (line.arrives, line.at)).collect();
        all.sort_unstable();
        let arrival = |(number, (wall, at)): (u64, (i64, i64))| Arrival { number, wall, oldest_ns: at, newest_ns: at };
        (1..).zip(all).map(arrival).filter(|arrival| arrival.number > after).collect()
    }

    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        logweir_proto::query::parse::parse(query).unwrap_or_else(|e| panic!("{query}: {e:?}"));
        let answer = self.answer(query, from_ns, to_ns, limit);
        Box::pin(async move { Ok(answer) })
    }
}
