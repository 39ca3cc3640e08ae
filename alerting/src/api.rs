//! The HTTP surface of alerting: what fires, by which rules, and what became of every message.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use logweir_proto::api::{AlertSample, AlertView, ErrorBody, ErrorCode, ErrorDetail};
use logweir_rules::evaluate::{Instance, Phase};
use logweir_rules::model::{Labels, Rule};
use logweir_runtime::clock::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::evaluate::{Links, episode_id};
use crate::notify::template::{Facts, Renderer};
use crate::service::Handle;
use crate::state::store::{EPISODES, FINISHED, HEALTH, INSTANCES, OUTBOX, StoreError, View};
use crate::state::{Episode, OutboxRow};

/// Alerts of one answer.
pub const ALERTS_MAX: usize = 1_000;
/// Finished messages of one answer.
pub const NOTIFICATIONS_MAX: usize = 200;

/// All paths, to be merged into the server's router.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/alerts/{id}", get(alert))
        .route("/api/v1/notifications", get(notifications))
        .with_state(handle)
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
) -> Response {
    let Ok(Query(params)) = params else {
        return refuse(ErrorCode::BadRequest, "the only parameter is resolved=true".to_owned());
    };
    let asked = handle.clone();
    match handle.store.read_async(move |view| views(&asked, view, params.resolved)).await {
        Ok(alerts) => Json(json!({"alerts": alerts})).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn alert(State(handle): State<Handle>, Path(id): Path<String>) -> Response {
    let asked = handle.clone();
    let found = handle.store.read_async(move |view| {
        let Some(alert) = views(&asked, view, true)?.into_iter().find(|alert| alert.id == id) else { return Ok(None) };
        let episode = view.get(EPISODES, &id)?;
        let about = |rows: Vec<(String, OutboxRow)>| {
            let rows = rows.into_iter().map(|(_, row)| row).filter(|row| row.episodes.contains(&id));
            rows.map(|row| row_json(&row)).collect::<Vec<_>>()
        };
        let mut messages = about(view.scan(OUTBOX, "")?);
        messages.extend(about(view.scan(FINISHED, "")?));
        let why = episode.map(|episode| json!({"fired": episode.reason, "closed": episode.close_reason, "rule": episode.rule_at, "first_values": episode.first_values}));
        Ok(Some(json!({"alert": alert, "why": why, "notifications": messages})))
    });
    match found.await {
        Ok(Some(body)) => Json(body).into_response(),
        Ok(None) => refuse(ErrorCode::NotFound, "there is no such alert".to_owned()),
        Err(error) => unavailable(&error),
    }
}

async fn notifications(State(handle): State<Handle>) -> Response {
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
    match read.await {
        Ok(body) => Json(body).into_response(),
        Err(error) => unavailable(&error),
    }
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
    let set = handle.live.rules();
    let mut phases: BTreeMap<String, Phase> = BTreeMap::new();
    let mut pending = Vec::new();
    for (key, instance) in view.scan(INSTANCES, "")? {
        let Some((rule, labels)) = key.split_once('\0') else { continue };
        let Ok(labels) = serde_json::from_str::<Labels>(labels) else { continue };
        match instance.fired_at {
            Some(fired_at) => {
                phases.insert(episode_id(rule, &labels, fired_at), instance.phase);
            }
            None => {
                if let Some((group, rule)) = set.rule(rule) {
                    pending.push(pending_view(handle, &group.name, rule, &labels, &instance));
                }
            }
        }
    }
    let mut episodes: Vec<Episode> = view.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode).collect();
    episodes.retain(|episode| resolved || episode.is_firing());
    episodes.sort_by_key(|e| (!e.is_firing(), std::cmp::Reverse((e.severity, e.opened_at))));
    let firing = episodes.iter().map(|episode| {
        let recovering = phases.get(&episode.id) == Some(&Phase::Recovering);
        let state = match (episode.is_firing(), recovering) {
            (false, _) => "resolved",
            (true, true) => "recovering",
            (true, false) => "firing",
        };
        episode_view(episode, state)
    });
    let mut all: Vec<AlertView> = firing.collect();
    // Firing ones, then pending ones, then what ended.
    let ended = all.iter().position(|alert| alert.state == "resolved").unwrap_or(all.len());
    all.splice(ended..ended, pending);
    all.truncate(ALERTS_MAX);
    Ok(all)
}

fn episode_view(episode: &Episode, state: &str) -> AlertView {
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
    }
}

fn pending_view(handle: &Handle, group: &str, rule: &Rule, labels: &Labels, instance: &Instance) -> AlertView {
    let mut all = rule.labels.clone();
    all.extend(labels.clone());
    all.insert("alertname".to_owned(), rule.name.clone());
    let facts = Facts { rule, group, labels: &all, values: &instance.values, severity: instance.severity };
    let query = rule.context_filter(labels);
    let links = Links { base_url: handle.live.base_url.clone() };
    let from_ns = instance.pending_since.saturating_sub(rule.window_ns());
    AlertView {
        id: format!("{}-pending", episode_id(&rule.name, labels, instance.pending_since)),
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
    }
}

fn row_json(row: &OutboxRow) -> Value {
    let attempts: Vec<Value> =
        row.recent.iter().map(|attempt| json!({"at": rfc3339(attempt.wall), "outcome": attempt.outcome})).collect();
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
    })
}

fn refuse(code: ErrorCode, message: String) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = ErrorDetail { code, message, pos: None, len: None, hint: None };
    (status, Json(ErrorBody { error })).into_response()
}

fn unavailable(error: &StoreError) -> Response {
    tracing::error!(error = %error, "cannot read the alert store");
    refuse(ErrorCode::Unavailable, error.to_string())
}
