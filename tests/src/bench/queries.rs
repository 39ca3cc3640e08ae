//! The queries of the measurements of the peers, timed over HTTP.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::{QueryAnswer, QueryRequest};
use tokio::time::Instant;

use super::dataset::{Dataset, Kind};
use super::generate::{RARE_PATH, RARE_TRACE};
use crate::harness::{Client, Scratch, Server};

/// Warm runs of each query; the median is given.
const WARM_RUNS: usize = 7;
const ROWS: usize = 100;
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct QueryFigures {
    pub name: &'static str,
    pub query: String,
    /// The first run, in ms, of a server that has just started, with nothing of its files in the kernel's cache.
    pub cold_ms: f64,
    pub warm_ms: f64,
    /// The same with another text in each run, where there is one: no answer to an earlier query helps.
    pub fresh_ms: Option<f64>,
    pub rows: usize,
}

/// What a person asks of each set.
fn list(kind: Kind) -> Vec<(&'static str, String)> {
    let queries = match kind {
        Kind::Json => [
            ("a rare trace_id, 10 lines", format!("trace_id:{RARE_TRACE}")),
            ("b word and level, newest 100", "connection level:error".to_owned()),
            ("b3 newest 100 of everything", "*".to_owned()),
            ("c count by status", "* | stats count by status".to_owned()),
            ("d errors per minute", "level:error | timechart 1m count".to_owned()),
            ("e substring", "message=~\"yment decl\" | stats count".to_owned()),
            ("e2 regex in message", "message=~\"timeout after [0-9]+ms\" | stats count".to_owned()),
            ("f p95(duration_ms) by service", "* | stats p95(duration_ms) by service".to_owned()),
            ("g count of everything", "* | stats count".to_owned()),
            ("h count of a common word", "connection | stats count".to_owned()),
            ("i top 10 user_id of a word", "connection | top 10 user_id".to_owned()),
        ],
        Kind::Nginx => [
            ("a rare id in path, 10 lines", format!("path=~\"{RARE_PATH}\"")),
            ("b word and status 404, newest 100", "orders status:404".to_owned()),
            ("b3 newest 100 of everything", "*".to_owned()),
            ("c count by status", "* | stats count by status".to_owned()),
            ("d 404 per minute", "status:404 | timechart 1m count".to_owned()),
            ("e substring in path", "path=~\"pi/ord\" | stats count".to_owned()),
            ("e2 regex in user agent", "user_agent=~\"Firefox/[0-9]+\" | stats count".to_owned()),
            ("f p95(bytes) by method", "* | stats p95(bytes) by method".to_owned()),
            ("g count of everything", "* | stats count".to_owned()),
            ("h count of a common word", "orders | stats count".to_owned()),
            ("i top 10 client_ip of a word", "orders | top 10 client_ip".to_owned()),
        ],
    };
    queries.into()
}

/// The query with another text that is found as often: other letters in upper case, another part of the same phrase,
/// another way to write the same expression, or beside a needle another one that is nowhere. `None` where no text is
/// looked for.
fn fresh(query: &str, run: usize) -> Option<String> {
    const PHRASE: &str = "payment declined by issuer after";
    const PATHS: [&str; 8] = ["pi/orde", "api/or", "i/orde", "/order", "api/ord", "api/orde", "i/orders", "/orders"];
    for word in ["connection", "orders"] {
        if let Some(rest) = query.strip_prefix(word) {
            let cased = word.char_indices().map(|(i, letter)| match (run + 1) >> (i % 6) & 1 {
                1 => letter.to_ascii_uppercase(),
                _ => letter,
            });
            return Some(cased.chain(rest.chars()).collect());
        }
    }
    let nowhere = (run as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    if query.contains(RARE_TRACE) {
        return Some(format!("{query} OR trace_id:{nowhere:032x}"));
    }
    if query.contains(RARE_PATH) {
        return Some(format!("{query} OR path=~\"{:08x}\"", nowhere as u32));
    }
    let part = &PHRASE[run % (PHRASE.len() - 10)..][..10];
    let changed = query
        .replace("yment decl", part)
        .replace("pi/ord", PATHS[run % PATHS.len()])
        .replace("[0-9]+", &format!("[0-9]{{1,{}}}", run + 9));
    (changed != query).then_some(changed)
}

/// Each query cold and warm; the server is stopped and started for the first.
pub async fn measure(scratch: &Scratch, server: &mut Server, set: &Dataset) -> anyhow::Result<Vec<QueryFigures>> {
    let mut figures = Vec::new();
    for (name, query) in list(set.kind) {
        server.process().terminate(STOPPED_WITHIN).await?;
        forget(&server.data().join("store"))?;
        server.restart(scratch).await?;
        let (cold_ms, answer) = timed(server.client(), set, &set.from, &query).await?;
        ensure!(!answer.rows.is_empty(), "{query}: no rows");
        let warm_ms = median(server.client(), set, &set.from, |_| query.clone()).await?;
        let fresh_ms = match fresh(&query, 0) {
            Some(_) => {
                let other = |run| fresh(&query, run).unwrap_or_else(|| query.clone());
                Some(median(server.client(), set, &set.from, other).await?)
            }
            None => None,
        };
        figures.push(QueryFigures { name, query, cold_ms, warm_ms, fresh_ms, rows: answer.rows.len() });
    }
    Ok(figures)
}

/// The first run opens what the others find open, and is not counted.
async fn median(client: &Client, set: &Dataset, from: &str, query: impl Fn(usize) -> String) -> anyhow::Result<f64> {
    let mut warm = Vec::new();
    for run in 0..=WARM_RUNS {
        let query = query(run);
        let (ms, answer) = timed(client, set, from, &query).await?;
        ensure!(!answer.rows.is_empty(), "{query}: no rows");
        warm.extend((run > 0).then_some(ms));
    }
    warm.sort_by(f64::total_cmp);
    warm.get(WARM_RUNS / 2).copied().context("warm runs")
}

/// Warm medians of what must not grow with the store, over all that it has since `from`.
pub async fn growing(client: &Client, set: &Dataset, from: &str) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let mut figures = Vec::new();
    let queries = list(set.kind);
    for (name, query) in queries.iter().filter(|(name, _)| name.starts_with("a ") || name.starts_with("b")) {
        figures.push((*name, median(client, set, from, |_| query.clone()).await?));
    }
    let (_, needle) = queries.first().context("a needle")?;
    let other = |run| fresh(needle, run).unwrap_or_else(|| needle.clone());
    figures.push(("the first beside one that is nowhere, another each time", median(client, set, from, other).await?));
    Ok(figures)
}

/// Asks the kernel to forget the pages of all files below a folder; nobody may have them mapped.
fn forget(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

async fn timed(client: &Client, set: &Dataset, from: &str, query: &str) -> anyhow::Result<(f64, QueryAnswer)> {
    let request = QueryRequest {
        query: query.to_owned(),
        from: Some(from.to_owned()),
        to: Some(set.to.clone()),
        limit: Some(ROWS),
        ..QueryRequest::default()
    };
    let begin = Instant::now();
    let answer = client.query(&request).await?;
    let ms = begin.elapsed().as_secs_f64() * 1e3;
    ensure!(answer.end.complete, "{query}: incomplete: {:?}", answer.end);
    Ok((ms, answer))
}

/// How many lines of the set a query counts.
pub async fn count(client: &Client, set: &Dataset) -> anyhow::Result<u64> {
    let (_, answer) = timed(client, set, &set.from, "* | stats count as n").await?;
    Ok(answer.rows.first().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0))
}
