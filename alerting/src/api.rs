//! The HTTP surface of alerting: what fires, by which rules, and what became of every message.

mod about;
pub(crate) mod actions;
pub mod alertmanager;
mod explain;
mod hooks;
mod marks;
mod prometheus;

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use http::Method;
use logweir_proto::api::{Acknowledged, AlertSample, AlertView, ErrorCode};
use logweir_rules::evaluate::{Instance, Phase};
use logweir_rules::model::{Labels, Rule};
use logweir_runtime::clock::rfc3339;
use logweir_runtime::http_error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::evaluate::{Links, episode_id, instance_key, split_key};
use crate::handle::Handle;
use crate::notify::template::{Facts, Renderer};
use crate::state::store::{EPISODES, FINISHED, HEALTH, INSTANCES, OUTBOX, StoreError, View};
use crate::state::{Episode, OutboxRow};

/// Alerts of one answer.
pub const ALERTS_MAX: usize = 1_000;
/// Finished messages of one answer.
pub const NOTIFICATIONS_MAX: usize = 200;
/// Bodies of requests; what Slack sends is the longest.
pub const BODY_BYTES_MAX: usize = 256 << 10;
/// When to ask again after the store could not be read.
const RETRY_AFTER_S: u64 = 5;
/// The end of the id of an alert that waits for its time: it has no episode yet.
const PENDING: &str = "-pending";

type Answer = Result<Json<Value>, ApiError>;
/// Parameters that may come more than once.
type Pairs = Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>;

/// What a route asks of who calls it. The server maps it to the scopes of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To ask.
    Query,
    /// To change rules, and with them silences, acknowledgements and messages.
    Change,
    /// To send logs: heartbeats are as good as those.
    Ingest,
    /// None: the request carries its own proof.
    Proof,
}

impl Right {
    pub const ALL: [Right; 4] = [Right::Query, Right::Change, Right::Ingest, Right::Proof];
}

/// One path and method of the API.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub right: Right,
    handler: MethodRouter<Handle>,
}

impl Route {
    fn new<H: Handler<T, Handle>, T: 'static>(method: Method, path: &'static str, right: Right, handler: H) -> Route {
        let filter = match method {
            Method::POST => MethodFilter::POST,
            Method::DELETE => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        Route { method, path, right, handler: on(filter, handler) }
    }

    /// What it does, in a sentence.
    pub fn about(&self) -> &'static str {
        about::about(&self.method, self.path)
    }
}

/// Every route of alerting: the routers are made of them, and so are their tests.
pub fn routes() -> Vec<Route> {
    let query = Right::Query;
    let mut all = vec![
        Route::new(Method::GET, "/api/v1/rules", query, rules),
        Route::new(Method::POST, "/api/v1/rules/backtest", query, crate::backtest::api::backtest),
        Route::new(Method::GET, "/api/v1/rules/hygiene", query, hygiene),
        Route::new(Method::GET, "/api/v1/rules/{name}/explain", query, explain::explain),
        Route::new(Method::GET, "/api/v1/alerts", query, alerts),
        Route::new(Method::GET, "/api/v1/alerts/{id}", query, alert),
        Route::new(Method::GET, "/api/v1/alerts/{id}/why", query, why),
        Route::new(Method::GET, "/api/v1/notifications", query, notifications),
        Route::new(Method::GET, "/api/v1/notifications/dead", query, dead),
        Route::new(Method::GET, "/api/v1/silences", query, silences),
        Route::new(Method::POST, "/api/v1/route-test", query, route_test),
        Route::new(Method::POST, "/api/v1/heartbeat/{name}", Right::Ingest, heartbeat),
    ];
    all.extend(actions::routes());
    all.extend(hooks::routes());
    all.extend(marks::routes());
    all.extend(alertmanager::routes());
    all.extend(prometheus::routes());
    all
}

/// The paths that ask for one right, to be merged into the server's router behind it.
pub fn router(handle: Handle, right: Right) -> Router {
    let own = routes().into_iter().filter(|route| route.right == right);
    let router = own.fold(Router::new(), |router, route| router.route(route.path, route.handler));
    router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(handle)
}

/// Which rules are of no use, or a burden.
async fn hygiene(State(handle): State<Handle>) -> Answer {
    let now_wall = handle.clock.now_ns();
    let pasts =
        handle.store.read_async(move |view| crate::hygiene::pasts(view, now_wall)).await.map_err(unavailable)?;
    let judged = crate::hygiene::report(&handle.live.rules(), &pasts, &*handle.source.0, now_wall).await;
    Ok(Json(json!({"rules": judged})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertsParams {
    /// Also those that ended within the last week.
    #[serde(default)]
    resolved: bool,
}

async fn alerts(
    State(handle): State<Handle>,
    params: Result<Query<AlertsParams>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(params) = params.map_err(|_| ApiError::bad_request("the only parameter is resolved=true"))?;
    let asked = handle.clone();
    let alerts = handle.store.read_async(move |view| views(&asked, view, params.resolved)).await;
    Ok(Json(json!({"alerts": alerts.map_err(unavailable)?})))
}

async fn alert(State(handle): State<Handle>, Path(id): Path<String>) -> Answer {
    let asked = handle.clone();
    let found = handle.store.read_async(move |view| {
        let episode = view.get(EPISODES, &id)?;
        let alert = match &episode {
            Some(episode) => {
                let instance = view.get(INSTANCES, &instance_key(&episode.rule, &episode.instance))?;
                Some(episode_view(episode, state(episode, instance.as_ref()), asked.clock.now_ns()))
            }
            None if is_pending(&id) => all_pending(&asked, view)?.into_iter().find(|alert| alert.id == id),
            None => None,
        };
        let Some(alert) = alert else { return Ok(None) };
        let about = |rows: Vec<(String, OutboxRow)>| {
            let rows = rows.into_iter().map(|(_, row)| row).filter(|row| row.episodes.contains(&id));
            rows.map(|row| row_json(&row)).collect::<Vec<_>>()
        };
        let mut messages = about(view.scan(OUTBOX, "")?);
        messages.extend(about(view.scan(FINISHED, "")?));
        let why = episode.map(|episode| json!({"fired": episode.reason, "closed": episode.close_reason, "rule": episode.rule_at, "first_values": episode.first_values}));
        Ok(Some(json!({"alert": alert, "why": why, "notifications": messages})))
    });
    let found = found.await.map_err(unavailable)?;
    found.map(Json).ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such alert"))
}

async fn why(State(handle): State<Handle>, Path(id): Path<String>) -> Answer {
    let why = handle.why(&id).await.map_err(unavailable)?;
    why.map(Json).ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such alert"))
}

async fn silences(State(handle): State<Handle>) -> Answer {
    let silences = handle.silences().await.map_err(unavailable)?;
    let now_wall = handle.clock.now_ns();
    let silences: Vec<Value> = silences.iter().map(|silence| actions::silence_json(silence, now_wall)).collect();
    Ok(Json(json!({"silences": silences})))
}

async fn dead(State(handle): State<Handle>) -> Answer {
    let rows = handle.dead().await.map_err(unavailable)?;
    Ok(Json(json!({"dead": rows.iter().take(NOTIFICATIONS_MAX).map(row_json).collect::<Vec<_>>()})))
}

/// `{"labels":{"severity":"critical"},"at":"2026-01-05T03:00:00Z"}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteTestBody {
    labels: Labels,
    at: Option<String>,
}

async fn route_test(State(handle): State<Handle>, body: Bytes) -> Answer {
    let body: RouteTestBody = actions::read(&body)?;
    let at_wall = body.at.as_deref().map(|text| actions::time("at", text)).transpose()?;
    let found = handle.route_test(body.labels, at_wall).await.map_err(unavailable)?;
    Ok(Json(json!({"destinations": found})))
}

/// Heartbeats of others: whoever may send logs may send these.
async fn heartbeat(State(handle): State<Handle>, Path(name): Path<String>) -> Answer {
    if handle.live.routing().is_none() {
        let error = ApiError::new(ErrorCode::Unavailable, "the routing file is not in force yet");
        return Err(error.retry_after(RETRY_AFTER_S));
    }
    match handle.heartbeat(&name).await.map_err(unavailable)? {
        true => Ok(Json(json!({"heartbeat": name}))),
        false => Err(ApiError::new(ErrorCode::NotFound, "no heartbeat of this name is expected")),
    }
}

async fn notifications(State(handle): State<Handle>) -> Answer {
    let read = handle.store.read_async(|view| {
        let waiting: Vec<Value> = view.scan(OUTBOX, "")?.iter().map(|(_, row)| row_json(row)).collect();
        let finished = view.scan(FINISHED, "")?;
        let finished: Vec<Value> =
            finished.iter().rev().take(NOTIFICATIONS_MAX).map(|(_, row)| row_json(row)).collect();
        let failing: BTreeMap<String, Value> = view
            .scan(HEALTH, "")?
            .into_iter()
            .map(|(channel, health)| {
                (channel, json!({"since": health.failing_since_wall.map(rfc3339), "error": health.last_error}))
            })
            .collect();
        Ok(json!({"outbox": waiting, "finished": finished, "failing": failing}))
    });
    read.await.map(Json).map_err(unavailable)
}

async fn rules(State(handle): State<Handle>) -> Json<Value> {
    let set = handle.live.rules();
    let groups: Vec<Value> = set
        .groups
        .iter()
        .map(|group| {
            let rules: Vec<Value> = group.rules.iter().map(|rule| rule_json(&handle, rule)).collect();
            json!({
                "name": group.name,
                "file": format!("{}:{}", group.file, group.at.line),
                "every_ms": group.every_ns / 1_000_000,
                "owner": group.owner,
                "rules": rules,
            })
        })
        .collect();
    let routing = handle.live.routing();
    let receivers: Vec<&str> =
        routing.iter().flat_map(|routing| &routing.receivers).map(|receiver| receiver.name.as_str()).collect();
    Json(json!({"groups": groups, "receivers": receivers, "problems": handle.live.problems()}))
}

fn rule_json(handle: &Handle, rule: &Rule) -> Value {
    let status = handle.live.status(&rule.name);
    let levels: BTreeMap<&str, Vec<&str>> = rule
        .levels
        .iter()
        .map(|level| (level.severity.as_str(), level.any.iter().map(|one| one.when.text.as_str()).collect()))
        .collect();
    let queries: BTreeMap<&str, String> =
        rule.queries().map(|(signal, query)| (signal.name.as_str(), query.text())).collect();
    json!({
        "name": rule.name,
        "file": format!("{}:{}", rule.file, rule.at.line),
        "owner": rule.owner,
        "time": rule.time.as_str(),
        "labels": rule.labels,
        "queries": queries,
        "levels": levels,
        "last_evaluation": status.last_at.map(rfc3339),
        "error": status.error,
        "instances": status.instances,
    })
}

/// Everything that is not ok, the worst first, and on request what ended.
fn views(handle: &Handle, view: &View, resolved: bool) -> Result<Vec<AlertView>, StoreError> {
    let mut episodes: Vec<Episode> = view.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode).collect();
    episodes.retain(|episode| resolved || episode.is_firing());
    episodes.sort_by_key(|e| (!e.is_firing(), std::cmp::Reverse((e.severity, e.opened_at))));
    let instances: BTreeMap<String, Instance> = view.scan(INSTANCES, "")?.into_iter().collect();
    let now_wall = handle.clock.now_ns();
    let mut all: Vec<AlertView> = episodes
        .iter()
        .map(|episode| {
            let instance = instances.get(&instance_key(&episode.rule, &episode.instance));
            episode_view(episode, state(episode, instance), now_wall)
        })
        .collect();
    // Firing ones, then pending ones, then what ended.
    let ended = episodes.iter().position(|episode| !episode.is_firing()).unwrap_or(all.len());
    all.splice(ended..ended, pending(handle, &instances));
    all.truncate(ALERTS_MAX);
    Ok(all)
}

fn is_pending(id: &str) -> bool {
    id.ends_with(PENDING)
}

fn state(episode: &Episode, instance: Option<&Instance>) -> &'static str {
    match instance {
        _ if !episode.is_firing() => "resolved",
        Some(instance) if instance.phase == Phase::Recovering => "recovering",
        _ => "firing",
    }
}

fn all_pending(handle: &Handle, view: &View) -> Result<Vec<AlertView>, StoreError> {
    Ok(pending(handle, &view.scan(INSTANCES, "")?.into_iter().collect()))
}

fn pending(handle: &Handle, instances: &BTreeMap<String, Instance>) -> Vec<AlertView> {
    let set = handle.live.rules();
    let waiting = instances.iter().filter(|(_, instance)| instance.fired_at.is_none());
    let views = waiting.filter_map(|(key, instance)| {
        let (rule, labels) = split_key(key)?;
        let (group, rule) = set.rule(&rule)?;
        Some(pending_view(handle, &group.name, rule, &labels, instance))
    });
    views.collect()
}

fn episode_view(episode: &Episode, state: &str, now_wall: i64) -> AlertView {
    let sample = |sample: &crate::state::Sample| AlertSample {
        id: sample.id.clone(),
        time: sample.time.clone(),
        line: sample.line.clone(),
    };
    AlertView {
        id: episode.id.clone(),
        rule: episode.rule.clone(),
        group: episode.group.clone(),
        state: state.to_owned(),
        severity: Some(episode.severity.to_string()),
        labels: episode.labels.clone(),
        annotations: episode.annotations.clone(),
        summary: episode.summary.clone(),
        since: rfc3339(episode.opened_at),
        values: episode.values.clone(),
        samples: episode.samples.iter().map(sample).collect(),
        query: episode.query.clone(),
        link: episode.link.clone(),
        resolved_at: episode.closed_at.map(rfc3339),
        acknowledged: episode.acked(now_wall).filter(|_| episode.is_firing()).map(|ack| Acknowledged {
            by: ack.by.clone(),
            at: rfc3339(ack.wall),
            until: ack.until_wall.map(rfc3339),
            comment: ack.comment.clone(),
        }),
    }
}

fn pending_view(handle: &Handle, group: &str, rule: &Rule, labels: &Labels, instance: &Instance) -> AlertView {
    let mut all = rule.labels.clone();
    all.extend(labels.clone());
    all.insert("alertname".to_owned(), rule.name.clone());
    let facts = Facts {
        rule,
        group,
        labels: &all,
        values: &instance.values,
        texts: &instance.texts,
        severity: instance.severity,
    };
    let query = rule.context_filter(labels);
    let links = Links { base_url: handle.live.base_url.clone() };
    let from_ns = instance.pending_since.saturating_sub(rule.window_ns());
    AlertView {
        id: format!("{}{PENDING}", episode_id(&rule.name, labels, instance.pending_since)),
        rule: rule.name.clone(),
        group: group.to_owned(),
        state: "pending".to_owned(),
        severity: Some(instance.severity.to_string()),
        annotations: BTreeMap::new(),
        summary: Renderer::default().render(&rule.summary, facts),
        labels: all,
        since: rfc3339(instance.pending_since),
        values: instance.values.clone(),
        samples: Vec::new(),
        link: links.search(&query, from_ns, instance.evaluated_at),
        query,
        resolved_at: None,
        acknowledged: None,
    }
}

pub(crate) fn row_json(row: &OutboxRow) -> Value {
    let attempts: Vec<Value> = row
        .recent
        .iter()
        .map(|attempt| json!({"at": rfc3339(attempt.wall), "outcome": attempt.outcome, "in_doubt": attempt.in_doubt}))
        .collect();
    let waits = row.finished_wall.is_none();
    json!({
        "id": row.id,
        "receiver": row.receiver,
        "channel": row.integration,
        "state": row.state,
        "severity": row.severity,
        "episodes": row.episodes,
        "group": row.group_labels,
        "created": rfc3339(row.created_wall),
        "next_try": waits.then(|| rfc3339(row.next_try_wall)),
        "finished": row.finished_wall.map(rfc3339),
        "attempts": row.attempts,
        "log": attempts,
        "note": row.note,
        "kind": row.kind,
    })
}

pub(crate) fn unavailable(error: StoreError) -> ApiError {
    tracing::error!(error = %error, "cannot read the alert store");
    ApiError::new(ErrorCode::Unavailable, error.to_string()).retry_after(RETRY_AFTER_S)
}
