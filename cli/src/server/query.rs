//! The search engine as alerting asks it: in this process, on a pool of its own beside everybody's queries.

use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use logweir_aggregator::api::App;
use logweir_aggregator::api::error::ApiError;
use logweir_aggregator::api::query::{ALERTING, Asked, collect, start};
use logweir_aggregator::search::execute::LIMIT_MAX;
use logweir_alerting::source::{Answer, QueryError, QuerySource};
use logweir_proto::api::{ErrorCode, QueryRequest};

pub(super) struct Engine {
    app: App,
}

impl Engine {
    pub(super) fn new(app: App) -> Engine {
        Engine { app }
    }

    async fn ask(&self, query: &str, from_ns: i64, to_ns: i64, limit: usize) -> Result<Answer, ApiError> {
        // The raw line of an event is its evidence; rows that a pipe made have no such thing.
        let events = !query.contains('|');
        let request = QueryRequest {
            query: query.to_owned(),
            limit: Some(limit.clamp(1, LIMIT_MAX)),
            fields: events.then(|| "time,level,service,host,message,raw".to_owned()),
            ..QueryRequest::default()
        };
        let mut asked = Asked::new(&request, ALERTING, &self.app)?;
        asked.from_ns = Some(from_ns);
        asked.to_ns = Some(to_ns);
        let answer = collect(start(&self.app, &self.app.rules_pool, asked, None).await?, Instant::now()).await?;
        Ok(Answer { rows: answer.rows, complete: answer.end.complete, reason: answer.end.reason })
    }
}

impl QuerySource for Engine {
    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        async move {
            self.ask(query, from_ns, to_ns, limit).await.map_err(|error| {
                let message = error.detail.message.clone();
                match error.detail.code {
                    ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::Timeout => {
                        QueryError::Unavailable(message)
                    }
                    _ => QueryError::Failed(message),
                }
            })
        }
        .boxed()
    }
}
