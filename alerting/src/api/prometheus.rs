//! The rules and alerts of Prometheus' HTTP API, to be read by whatever shows those: `/prometheus/api/v1/rules`,
//! `/prometheus/api/v1/alerts`. Nothing can be queried here: Logweir has lines, not series.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::StatusCode};
use http::Method;
use logweir_proto::api::AlertView;
use logweir_rules::model::{Group, Rule};
use logweir_runtime::clock::rfc3339;
use serde_json::{Value, json};

use super::{Right, Route, views};
use crate::handle::Handle;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/prometheus/api/v1/rules", Right::Query, rules),
        Route::new(Method::GET, "/prometheus/api/v1/alerts", Right::Query, alerts),
        Route::new(Method::GET, "/prometheus/api/v1/status/buildinfo", Right::Query, build),
    ]
}

fn success(data: Value) -> Response {
    Json(json!({"status": "success", "data": data})).into_response()
}

fn failure(status: StatusCode, kind: &str, text: &str) -> Response {
    (status, Json(json!({"status": "error", "errorType": kind, "error": text}))).into_response()
}

async fn build() -> Response {
    success(json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "logweir", "buildUser": "", "buildDate": "",
        "goVersion": "",
    }))
}

async fn alerts(State(handle): State<Handle>) -> Response {
    match shown(&handle).await {
        Ok(alerts) => success(json!({"alerts": alerts.iter().map(alert_json).collect::<Vec<_>>()})),
        Err(refused) => refused,
    }
}

async fn rules(State(handle): State<Handle>, pairs: super::Pairs) -> Response {
    let wanted = match pairs.map_err(|error| error.body_text()).and_then(|Query(pairs)| Wanted::read(pairs)) {
        Ok(wanted) => wanted,
        Err(text) => return failure(StatusCode::BAD_REQUEST, "bad_data", &text),
    };
    let alerts = match shown(&handle).await {
        Ok(alerts) => alerts,
        Err(refused) => return refused,
    };
    let mut by_rule: BTreeMap<&str, Vec<&AlertView>> = BTreeMap::new();
    for alert in &alerts {
        by_rule.entry(&alert.rule).or_default().push(alert);
    }
    let mut groups = Vec::new();
    for group in &handle.live.rules().groups {
        let rules = group.rules.iter().filter(|rule| wanted.wants(group, rule));
        let one = |rule: &std::sync::Arc<Rule>| {
            let alerts = by_rule.get(rule.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            rule_json(&handle, rule, alerts, wanted.with_alerts)
        };
        let rules: Vec<Value> = rules.map(one).collect();
        if !rules.is_empty() {
            groups.push(group_json(group, &handle, rules));
        }
    }
    success(json!({"groups": groups}))
}

async fn shown(handle: &Handle) -> Result<Vec<AlertView>, Response> {
    let asked = handle.clone();
    let alerts = handle.store.read_async(move |view| views(&asked, view, false)).await;
    alerts.map_err(|error| failure(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error.to_string()))
}

/// What of all rules is asked for.
#[derive(Debug, Default)]
struct Wanted {
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    recording: bool,
    with_alerts: bool,
}

impl Wanted {
    fn read(pairs: Vec<(String, String)>) -> Result<Wanted, String> {
        let mut wanted = Wanted { with_alerts: true, ..Wanted::default() };
        for (name, value) in pairs {
            match (name.as_str(), value.as_str()) {
                ("rule_name[]", _) => wanted.names.push(value),
                ("rule_group[]", _) => wanted.groups.push(value),
                ("file[]", _) => wanted.files.push(value),
                ("type", "alert") => {}
                // There are none.
                ("type", "record") => wanted.recording = true,
                ("exclude_alerts", "true" | "false") => wanted.with_alerts = value == "false",
                _ => return Err(format!("unknown parameter {name}={value}")),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, group: &Group, rule: &Rule) -> bool {
        let any = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        !self.recording
            && any(&self.names, &rule.name)
            && any(&self.groups, &group.name)
            && any(&self.files, &group.file)
    }
}

/// Prometheus' zero of time.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn group_json(group: &Group, handle: &Handle, rules: Vec<Value>) -> Value {
    let last = group.rules.iter().filter_map(|rule| handle.live.status(&rule.name).last_at).max();
    json!({
        "name": group.name,
        "file": &*group.file,
        "interval": seconds(group.every_ns),
        "limit": 0,
        "rules": rules,
        "evaluationTime": 0,
        "lastEvaluation": last.map_or(NEVER.to_owned(), rfc3339),
    })
}

fn rule_json(handle: &Handle, rule: &Rule, alerts: &[&AlertView], with_alerts: bool) -> Value {
    let status = handle.live.status(&rule.name);
    let state = match () {
        () if alerts.iter().any(|alert| state(alert) == "firing") => "firing",
        () if !alerts.is_empty() => "pending",
        () => "inactive",
    };
    let conditions: Vec<&str> =
        rule.levels.iter().flat_map(|level| &level.any).map(|one| one.when.text.as_str()).collect();
    let waits = rule.levels.iter().flat_map(|level| &level.any).map(|one| one.for_ns).min().unwrap_or(0);
    let mut annotations: BTreeMap<&str, &str> =
        rule.annotations.iter().map(|(name, template)| (name.as_str(), template.text.as_str())).collect();
    annotations.insert("summary", &rule.summary.text);
    if let Some(runbook) = &rule.runbook {
        annotations.insert("runbook_url", &runbook.text);
    }
    let mut out = json!({
        "type": "alerting",
        "name": rule.name,
        "state": state,
        "query": conditions.join(" or "),
        "duration": seconds(waits),
        "keepFiringFor": seconds(rule.keep_firing_for_ns),
        "labels": rule.labels,
        "annotations": annotations,
        "health": match (&status.error, status.last_at) { (Some(_), _) => "err", (None, Some(_)) => "ok", _ => "unknown" },
        "evaluationTime": 0,
        "lastEvaluation": status.last_at.map_or(NEVER.to_owned(), rfc3339),
    });
    if let Some(error) = status.error {
        out["lastError"] = json!(error);
    }
    if with_alerts {
        out["alerts"] = alerts.iter().copied().map(alert_json).collect();
    }
    out
}

fn state(alert: &AlertView) -> &'static str {
    if alert.state == "pending" { "pending" } else { "firing" }
}

fn alert_json(alert: &AlertView) -> Value {
    let mut labels = alert.labels.clone();
    labels.extend(alert.severity.clone().map(|severity| ("severity".to_owned(), severity)));
    let mut annotations = alert.annotations.clone();
    annotations.insert("summary".to_owned(), alert.summary.clone());
    json!({
        "labels": labels,
        "annotations": annotations,
        "state": state(alert),
        "activeAt": alert.since,
        "value": go_number(alert.values.values().next().copied().unwrap_or(1.0)),
    })
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// As Go writes it with the verb `e`: `4.1e-01`.
fn go_number(value: f64) -> String {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, text) in
            [(0.41, "4.1e-01"), (1.0, "1e+00"), (0.0, "0e+00"), (-12345.0, "-1.2345e+04"), (1e120, "1e+120")]
        {
            assert_eq!(go_number(value), text);
        }
    }

    #[test]
    fn parameters_are_those_of_prometheus_and_no_others() {
        let read = |pairs: &[(&str, &str)]| {
            Wanted::read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert!(!read(&[("exclude_alerts", "true"), ("type", "alert")]).expect("right").with_alerts);
        assert_eq!(read(&[("rule_name[]", "a"), ("rule_name[]", "b")]).expect("right").names, ["a", "b"]);
        assert!(read(&[("type", "other")]).is_err() && read(&[("x", "")]).is_err());
    }
}
