//! The search engine as alerting asks it: in this process, on a pool of its own beside everybody's queries.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use logweir_aggregator::api::App;
use logweir_aggregator::api::error::ApiError;
use logweir_aggregator::api::query::{ALERTING, Asked, collect, parse_query, start};
use logweir_aggregator::api::values::together;
use logweir_aggregator::live;
use logweir_aggregator::receive::{DEFAULT_TENANT, Received, json};
use logweir_aggregator::search::execute::LIMIT_MAX;
use logweir_aggregator::spans::Spans;
use logweir_aggregator::store::receipts::Told;
use logweir_alerting::source::{
    AgentHealth, Ahead, Answer, Arrival, Health, HostMark, LowDisk, QueryError, QuerySource,
};
use logweir_proto::api::{End, ErrorCode, QueryRequest, Row};
use logweir_proto::query::ast::Query;
use logweir_proto::record::field;

/// An agent speaks of each of its sources with every heartbeat; one that it left out for so long has ended.
const SOURCE_ENDED_NS: i64 = 20 * 1_000_000_000;

/// The name of this machine, as the server's own events have it.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

pub(super) struct Engine {
    app: App,
    host: String,
}

impl Engine {
    pub(super) fn new(app: App) -> Engine {
        let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default().trim().to_owned();
        Engine { app, host }
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

    async fn ask_all(
        &self,
        queries: &[String],
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> Result<Vec<Result<Answer, QueryError>>, ApiError> {
        let parsed: Vec<Query> = queries.iter().map(|text| parse_query(text)).collect::<Result<_, _>>()?;
        let first = queries.first().map_or("", String::as_str);
        let request =
            QueryRequest { query: first.to_owned(), limit: Some(limit.clamp(1, LIMIT_MAX)), ..QueryRequest::default() };
        let mut asked = Asked::new(&request, ALERTING, &self.app)?;
        asked.text = format!("{} queries at once, the first of them: {first}", queries.len());
        (asked.from_ns, asked.to_ns) = (Some(from_ns), Some(to_ns));
        let answers = together(&self.app, asked, parsed).await?.into_iter();
        let answer = |answer: Result<(Vec<Row>, End), ApiError>| {
            let (rows, end) = answer.map_err(query_error)?;
            Ok(Answer { rows, complete: end.complete, reason: end.reason })
        };
        Ok(answers.map(answer).collect())
    }
}

fn query_error(error: ApiError) -> QueryError {
    let message = error.detail.message.clone();
    match error.detail.code {
        ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::Timeout => QueryError::Unavailable(message),
        _ => QueryError::Failed(message),
    }
}

impl QuerySource for Engine {
    fn hosts(&self) -> Vec<HostMark> {
        let mut hosts: BTreeMap<String, HostMark> = BTreeMap::new();
        for (_, agent) in self.app.sources.agents() {
            let (host, heard_wall, passing) = (agent.host, agent.last_seen_ns, agent.heartbeat.passing);
            let new = HostMark { host: host.clone(), heard_wall, watermark_ns: None, passing };
            let mark = hosts.entry(host).or_insert_with(|| new.clone());
            match (mark.passing, passing) {
                // One that stays counts, whatever else runs there for a moment.
                (true, false) => *mark = new,
                (false, true) => {}
                _ => mark.heard_wall = mark.heard_wall.max(heard_wall),
            }
        }
        for (_, source) in self.app.sources.snapshot() {
            let Some(mark) = hosts.get_mut(&source.host) else { continue };
            // A source that its agent does not speak of any more has ended: a file that was rotated away.
            if let Some(own) = source.watermark_ns
                && mark.heard_wall.saturating_sub(source.last_seen_ns) <= SOURCE_ENDED_NS
            {
                mark.watermark_ns = Some(mark.watermark_ns.map_or(own, |least| least.min(own)));
            }
        }
        hosts.into_values().collect()
    }

    fn oldest_ns(&self) -> Option<i64> {
        let view = self.app.store.view();
        view.segments.iter().filter_map(|segment| segment.time_range()).map(|(oldest, _)| oldest).min()
    }

    fn searchable_upto_ns(&self) -> Option<i64> {
        Some(self.app.admission.searchable_upto_ns(self.app.clock.now_ns()))
    }

    fn received_since_ns(&self) -> Option<i64> {
        let view = self.app.store.view();
        let told: Vec<Told> = view.segments.iter().map(|segment| segment.received()).collect();
        let first_ns = told.iter().filter_map(|told| told.span).map(|(first_ns, _)| first_ns).min();
        told.iter().any(|told| told.unknown > 0).then(|| first_ns.unwrap_or_else(|| self.app.clock.now_ns()))
    }

    fn arrivals(&self, after: u64) -> Vec<Arrival> {
        let own = |new: live::Arrival| Arrival {
            number: new.number,
            wall: new.wall_ns,
            oldest_ns: new.oldest_ns,
            newest_ns: new.newest_ns,
            received: new.received,
        };
        self.app.live.arrivals.after(after).into_iter().map(own).collect()
    }

    fn say(&self, event: serde_json::Value) -> BoxFuture<'_, Result<(), QueryError>> {
        async move {
            let unavailable = |reason: String| QueryError::Unavailable(reason);
            let mut event = event;
            event[field::SERVICE] = "logweir".into();
            event[field::SOURCE] = "logweir".into();
            event[field::HOST] = self.host.as_str().into();
            let sender = json::Sender { host: self.host.clone(), ..json::Sender::default() };
            let text = event.to_string();
            let batch = json::batch(&sender, &[text.as_bytes()]).map_err(|error| unavailable(error.to_string()))?;
            let now_ns = self.app.clock.now_ns();
            let mut ticket =
                self.app.admission.enter(now_ns).map_err(|refusal| unavailable(refusal.reason().into_owned()))?;
            let received_ns = ticket.receive(&self.app.admission, now_ns);
            let received = Received::built(DEFAULT_TENANT.to_owned(), received_ns, batch, Spans::default(), ticket);
            let received = received.map_err(|error| unavailable(error.to_string()))?;
            self.app.writer.append(received).await.map(drop).map_err(|error| unavailable(error.to_string()))
        }
        .boxed()
    }

    fn want_marks(&self, every_ns: Option<i64>) {
        let every_ms = every_ns.and_then(|every_ns| u64::try_from(every_ns / 1_000_000).ok());
        self.app.sources.want_heartbeat(every_ms);
    }

    fn health(&self) -> Health {
        let mut agents: BTreeMap<String, AgentHealth> = BTreeMap::new();
        for (_, agent) in self.app.sources.agents() {
            let health = agents.entry(agent.host.clone()).or_default();
            (health.host, health.skew_ns) = (agent.host, agent.skew_ns);
        }
        for (_, source) in self.app.sources.snapshot() {
            let (Some(health), Some(ahead)) = (agents.get_mut(&source.host), source.ahead) else { continue };
            if health.ahead.as_ref().is_none_or(|known| known.wall < ahead.received_ns) {
                health.ahead = Some(Ahead { path: source.path, wall: ahead.received_ns, by_ns: ahead.by_ns });
            }
        }
        let admission = &self.app.admission;
        let disk = match (admission.disk_health(), admission.disk_warning()) {
            (Err(reason), _) => Some(LowDisk { full: true, reason }),
            (Ok(()), warning) => warning.map(|reason| LowDisk { full: false, reason }),
        };
        Health { host: self.host.clone(), agents: agents.into_values().collect(), disk }
    }

    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        async move { self.ask(query, from_ns, to_ns, limit).await.map_err(query_error) }.boxed()
    }

    fn query_all<'a>(
        &'a self,
        queries: &'a [String],
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Vec<Result<Answer, QueryError>>> {
        async move {
            self.ask_all(queries, from_ns, to_ns, limit).await.unwrap_or_else(|error| {
                let error = query_error(error);
                queries.iter().map(|_| Err(error.clone())).collect()
            })
        }
        .boxed()
    }
}
