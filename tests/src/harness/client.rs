//! The HTTP side of Logweir, as a program of a user would use it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use logweir_proto::api::{IngestAnswer, QueryAnswer, QueryRequest, Row};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

/// Rows a page: small enough that every larger test turns pages.
const PAGE_ROWS: usize = 5_000;
/// A bound for [`Client::all_rows`], against a cursor that does not advance.
const PAGES_MAX: usize = 1_000;

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub fn new(base: &str) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build()?;
        Ok(Client { http, base: base.to_owned() })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    pub async fn status_of(&self, path: &str) -> anyhow::Result<StatusCode> {
        Ok(self.get(path).send().await?.status())
    }

    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        parse(self.get(path).send().await?).await
    }

    /// One page of a query.
    pub async fn query(&self, request: &QueryRequest) -> anyhow::Result<QueryAnswer> {
        let send = self.post("/api/v1/query").header(ACCEPT, "application/json").json(request).send();
        parse(send.await?).await.with_context(|| format!("query {:?}", request.query))
    }

    /// All rows of the last day that match, page after page.
    pub async fn all_rows(&self, query: &str, fields: Option<&str>) -> anyhow::Result<Vec<Row>> {
        let mut request = QueryRequest {
            query: query.to_owned(),
            from: Some("-24h".to_owned()),
            limit: Some(PAGE_ROWS),
            fields: fields.map(str::to_owned),
            ..QueryRequest::default()
        };
        let mut rows = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.query(&request).await?;
            ensure!(answer.end.complete, "{query:?}: an incomplete answer: {:?}", answer.end);
            rows.extend(answer.rows);
            match answer.end.cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => return Ok(rows),
            }
        }
        bail!("{query:?}: over {PAGES_MAX} pages")
    }

    /// How many events of the last day match.
    pub async fn count(&self, filter: &str) -> anyhow::Result<u64> {
        let query = format!("{filter} | stats count as n");
        let request = QueryRequest { query, from: Some("-24h".to_owned()), ..QueryRequest::default() };
        let answer = self.query(&request).await?;
        ensure!(answer.end.complete, "{filter:?}: an incomplete answer: {:?}", answer.end);
        let n = answer.rows.first().map_or(Some(0), |row| row.get("n").and_then(serde_json::Value::as_u64));
        n.with_context(|| format!("{filter:?}: no number in {:?}", answer.rows))
    }

    /// `POST /api/v1/ingest`; any status but 200 is an error.
    pub async fn ingest(&self, body: impl Into<reqwest::Body>) -> anyhow::Result<IngestAnswer> {
        parse(self.ingest_response(body).await?).await.context("ingest")
    }

    pub async fn ingest_response(&self, body: impl Into<reqwest::Body>) -> anyhow::Result<Response> {
        let request = self.post("/api/v1/ingest").header(CONTENT_TYPE, "application/x-ndjson").body(body);
        Ok(request.send().await?)
    }
}

/// The body of a 200, or an error that shows what came instead.
async fn parse<T: DeserializeOwned>(response: Response) -> anyhow::Result<T> {
    let status = response.status();
    let body = response.bytes().await?;
    if status != StatusCode::OK {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body)
        .with_context(|| format!("not the shape of the contract: {}", String::from_utf8_lossy(&body)))
}
