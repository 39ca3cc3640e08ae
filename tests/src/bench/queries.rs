//! The queries of the measurements of the peers, timed over HTTP.

use anyhow::{Context, ensure};
use logweir_proto::api::{QueryAnswer, QueryRequest};
use tokio::time::Instant;

use super::dataset::{Dataset, Kind};
use super::generate::{RARE_PATH, RARE_TRACE};
use crate::harness::Client;

/// Warm runs of each query; the median is given.
const WARM_RUNS: usize = 7;
const ROWS: usize = 100;

#[derive(Debug, Clone)]
pub struct QueryFigures {
    pub name: &'static str,
    pub query: String,
    /// The first run after the server started, in ms.
    pub cold_ms: f64,
    pub warm_ms: f64,
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

pub async fn measure(client: &Client, set: &Dataset) -> anyhow::Result<Vec<QueryFigures>> {
    let mut figures = Vec::new();
    for (name, query) in list(set.kind) {
        let (cold_ms, answer) = timed(client, set, &query).await?;
        ensure!(!answer.rows.is_empty(), "{query}: no rows");
        let mut warm = Vec::new();
        for _ in 0..WARM_RUNS {
            warm.push(timed(client, set, &query).await?.0);
        }
        warm.sort_by(f64::total_cmp);
        let warm_ms = warm.get(WARM_RUNS / 2).copied().context("warm runs")?;
        figures.push(QueryFigures { name, query, cold_ms, warm_ms, rows: answer.rows.len() });
    }
    Ok(figures)
}

async fn timed(client: &Client, set: &Dataset, query: &str) -> anyhow::Result<(f64, QueryAnswer)> {
    let request = QueryRequest {
        query: query.to_owned(),
        from: Some(set.from.clone()),
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
    let (_, answer) = timed(client, set, "* | stats count as n").await?;
    Ok(answer.rows.first().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0))
}
