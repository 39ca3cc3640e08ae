//! `GET /api/v1/rules/{name}/explain`: what a rule sees at one time, which of its conditions hold, and where it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use logweir_proto::api::{ErrorCode, Row};
use logweir_proto::text::{did_you_mean, format_duration};
use logweir_rules::evaluate::{Branch, Instance, Looked, Observation, Phase, RuleState, look};
use logweir_rules::model::{Group, Kind, Labels, LineTime, Rule, Signal, SignalQuery};
use logweir_rules::schedule;
use logweir_rules::signal::Table;
use logweir_runtime::clock::rfc3339;
use logweir_runtime::http_error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, actions, unavailable};
use crate::evaluate::{about, split_key};
use crate::handle::Handle;
use crate::source::QueryError;
use crate::state::store::{INSTANCES, SEEN, StoreError};

/// Rows of one signal.
const SIGNAL_ROWS_MAX: usize = 10_000;
/// Instances of one answer; those of which a condition holds come first.
const INSTANCES_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    at: Option<String>,
}

pub(super) async fn explain(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    params: Result<Query<Params>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(params) = params.map_err(|_| ApiError::bad_request("the only parameter is at=TIME"))?;
    let set = handle.live.rules();
    let Some((group, rule)) = set.rule(&name) else {
        let mut error = ApiError::new(ErrorCode::NotFound, format!("no rule '{name}' is in force"));
        let known = set.rules().map(|(_, rule)| rule.name.as_str());
        error.detail.hint = did_you_mean(&name, known).map(|meant| format!("did you mean '{meant}'?"));
        return Err(error);
    };
    let asked = params.at.as_deref().map(|text| actions::time("at", text)).transpose()?;
    let at = asked.unwrap_or_else(|| {
        let present = handle.clock.now_ns().saturating_sub(group.delay_ns);
        schedule::latest_at(present, group.every_ns, schedule::offset_ns(&group.name, group.every_ns))
    });
    let state = remembered(&handle, rule).await.map_err(unavailable)?;
    let (mut signals, mut tables, mut failed) = (Vec::new(), Vec::new(), None);
    for (signal, query) in rule.queries() {
        match ask(&handle, query, at).await {
            Ok(table) => {
                signals.push(signal_json(signal, query, at, &json!(table.len()), &Value::Null));
                tables.push(table);
            }
            Err(error) => {
                signals.push(signal_json(signal, query, at, &Value::Null, &json!(error.to_string())));
                failed = Some(error.to_string());
            }
        }
    }
    let mut seen = match &failed {
        None => {
            let known_since = match rule.time {
                LineTime::Event => handle.live.known_since(),
                LineTime::Ingest => handle.live.known_since().max(handle.source.0.received_since_ns()),
            };
            look(rule, &state, at, &Observation { known_since, ..Observation::of(&tables) })
        }
        Some(_) => Vec::new(),
    };
    seen.sort_by_key(|one| (!one.branches.iter().any(|branch| branch.holds), one.labels.clone()));
    let total = seen.len();
    seen.truncate(INSTANCES_MAX);
    let instances: Vec<Value> = seen.iter().map(|one| instance_json(one, state.instances.get(&one.labels))).collect();
    Ok(Json(json!({
        "rule": rule.name,
        "group": group.name,
        "file": format!("{}:{}", rule.file, rule.at.line),
        "at": rfc3339(at),
        "time": rule.time.as_str(),
        "summary": rule.summary.text,
        "signals": signals,
        "error": failed,
        "instances": instances,
        "more_instances": total.saturating_sub(INSTANCES_MAX),
        "last_evaluation": handle.live.status(&rule.name).last_at.map(rfc3339),
        "notes": notes(group, rule),
    })))
}

/// What the answer cannot show.
fn notes(group: &Group, rule: &Rule) -> Vec<String> {
    let mut notes = Vec::new();
    if rule.time == LineTime::Ingest {
        notes.push("its windows are over the time at which lines were received (time: ingest)".to_owned());
    }
    if matches!(rule.kind, Kind::Pattern(_) | Kind::Anomaly(_)) {
        notes.push("what this rule has learned is not asked again: 'now' has its verdict".to_owned());
    }
    if rule.levels.iter().flat_map(|level| &level.any).any(|one| one.for_ns > group.every_ns) {
        notes.push("'holds' is for this moment; a level is reached when it has held for its time".to_owned());
    }
    notes
}

/// What the rule remembers now, as far as it is kept.
async fn remembered(handle: &Handle, rule: &Rule) -> Result<RuleState, StoreError> {
    let (prefix, by) = (format!("{}\0", rule.name), rule.by().to_vec());
    handle
        .store
        .read_async(move |view| {
            let labels = |key: &str| split_key(key).map(|(_, labels)| labels);
            let instances: BTreeMap<Labels, Instance> = view
                .scan(INSTANCES, &prefix)?
                .into_iter()
                .filter_map(|(key, instance)| Some((labels(&key)?, instance)))
                .collect();
            let seen = view.scan(SEEN, &prefix)?.into_iter();
            let seen = seen.filter_map(|(key, at)| Some((labels(&key)?, at))).collect();
            Ok(RuleState { by, instances, seen, seeded: true, ..RuleState::default() })
        })
        .await
}

async fn ask(handle: &Handle, query: &SignalQuery, at: i64) -> Result<Table, QueryError> {
    let range = query.range(at);
    let answer = about(&*handle.source.0, query.time, &query.text(), range, SIGNAL_ROWS_MAX).await?;
    let rows: Vec<Row> = match answer.complete {
        true => answer.rows,
        false => {
            let reason = answer.reason.unwrap_or_else(|| "a part of the time range is missing".to_owned());
            return Err(QueryError::Unavailable(reason));
        }
    };
    Ok(query.table(&rows))
}

fn signal_json(signal: &Signal, query: &SignalQuery, at: i64, groups: &Value, error: &Value) -> Value {
    let (from_ns, to_ns) = query.range(at);
    json!({
        "name": signal.name,
        "query": match query.time {
            LineTime::Event => query.text(),
            LineTime::Ingest => query.time.bounded(&query.text(), (from_ns, to_ns)),
        },
        "from": rfc3339(from_ns),
        "to": rfc3339(to_ns),
        "groups": groups,
        "error": error,
    })
}

fn instance_json(seen: &Looked, now: Option<&Instance>) -> Value {
    let span = |ns: i64| format_duration(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
    let branches: Vec<Value> = seen
        .branches
        .iter()
        .map(|Branch { severity, when, for_ns, holds }| {
            let lasts = (*for_ns > 0).then(|| span(*for_ns));
            json!({"severity": severity, "when": when, "for": lasts, "holds": holds})
        })
        .collect();
    let now = now.map(|instance| {
        let since = instance.fired_at.unwrap_or(instance.pending_since);
        json!({
            "state": instance.phase,
            "severity": instance.severity,
            "since": rfc3339(since),
            "evaluated": rfc3339(instance.evaluated_at),
            "recovering_since": instance.clear_since.filter(|_| instance.phase == Phase::Recovering).map(rfc3339),
            "values": instance.values,
        })
    });
    json!({
        "labels": seen.labels,
        "values": seen.values,
        "texts": seen.texts,
        "branches": branches,
        "recovers": seen.recovers,
        "undecided": seen.undecided,
        "no_lines": seen.empty,
        "now": now,
    })
}
