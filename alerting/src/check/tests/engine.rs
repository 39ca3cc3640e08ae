//! A line engine small enough to be obviously right: JSON and a few patterns in, filters over maps, counts out. The
//! real one, with the store's parser and search, is wired by the command line.

use std::collections::BTreeMap;

use logweir_proto::query::ast::{AggFunc, PipeKind};
use logweir_proto::query::parse::parse;
use regex::Regex;

use super::*;
use crate::evaluate::testing::filter::matches;

#[derive(Default)]
pub(super) struct MiniEngine {
    events: Vec<(i64, BTreeMap<String, String>)>,
}

impl LineEngine for MiniEngine {
    fn load(&mut self, lines: Vec<TestLine>) -> Result<(), String> {
        self.events = lines.iter().map(|line| (line.at_ns, fields(line))).collect();
        Ok(())
    }

    fn query(&self, query: &str, from_ns: i64, to_ns: i64) -> Result<Vec<logweir_proto::api::Row>, String> {
        let query = parse(query).map_err(|errors| format!("{errors:?}"))?;
        let PipeKind::Stats { aggs, by } = &query.pipes[0].kind else { return Err("only stats".to_owned()) };
        assert!(matches!(aggs[0].func, AggFunc::Count(None)), "only count");
        let mut counts: BTreeMap<Vec<Option<String>>, u64> = BTreeMap::new();
        for (at, event) in &self.events {
            let get = |name: &str| event.get(name).map(String::as_str);
            if (from_ns..to_ns).contains(at) && matches(&query.filter, &get) {
                *counts.entry(by.iter().map(|group| event.get(group.column()).cloned()).collect()).or_default() += 1;
            }
        }
        let row = |(key, count): (Vec<Option<String>>, u64)| {
            let mut row = logweir_proto::api::Row::new();
            row.insert(aggs[0].column(), count.into());
            for (group, value) in by.iter().zip(key) {
                row.insert(group.column().to_owned(), value.into());
            }
            row
        };
        Ok(counts.into_iter().map(row).collect())
    }
}

fn fields(line: &TestLine) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = line.set.clone();
    let mut put = |key: &str, value: &str| {
        out.insert(key.to_owned(), value.to_owned());
    };
    if line.json {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line.text).expect("JSON");
        for (key, value) in object {
            put(&key, value.as_str().map_or(value.to_string(), str::to_owned).as_str());
        }
        return out;
    }
    let format = line.parser.as_deref().expect("raw lines name their format");
    let (source, pattern) = match format {
        "nginx_access" => ("nginx", r#"" (?<status>\d{3}) "#),
        "nginx_error" => ("nginx", r#"(?<message>upstream .*), client: .*upstream: "http://(?<upstream>[^/]*)"#),
        "pm2_daemon" => ("pm2", r"PM2 \w+: (?<message>(App \[(?<pm2_app>\w+):\d+\])?.*)"),
        other => panic!("unknown format {other}"),
    };
    put("source", source);
    let regex = Regex::new(pattern).expect("a regex");
    let found = regex.captures(&line.text).unwrap_or_else(|| panic!("{}", line.text));
    for name in regex.capture_names().flatten() {
        if let Some(value) = found.name(name) {
            put(name, value.as_str());
        }
    }
    out
}
