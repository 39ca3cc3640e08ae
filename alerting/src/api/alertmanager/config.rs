//! The routing file as Alertmanager would write it, so that `amtool config routes show` and `test` work. Channels, times and
//! what Alertmanager does not know are left out.

use std::time::Duration;

use logweir_proto::text::format_duration;
use serde_json::{Map, Value, json};

use crate::route::Routing;
use crate::route::matcher::Matcher;
use crate::route::tree::Route;

const HEAD: &str =
    "# The routes of alerting.yaml, without channels and times: `logweir route-test LABELS` knows all of it.\n";

/// YAML that is JSON behind a comment.
pub(super) fn text(routing: Option<&Routing>) -> String {
    let Some(routing) = routing else { return "# No routing file is in force.\n".to_owned() };
    let receivers: Vec<Value> = routing.receivers.iter().map(|receiver| json!({"name": receiver.name})).collect();
    let inhibit = routing.inhibit.iter().map(|rule| {
        json!({"source_matchers": matchers(&rule.source), "target_matchers": matchers(&rule.target), "equal": rule.equal})
    });
    let config = json!({
        "route": route(&routing.root, true),
        "receivers": receivers,
        "inhibit_rules": inhibit.collect::<Vec<Value>>(),
    });
    format!("{HEAD}{config:#}\n")
}

fn route(from: &Route, first: bool) -> Value {
    let span = |ns: i64| format_duration(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
    let mut out = Map::new();
    out.insert("receiver".to_owned(), json!(from.receiver));
    // The first route takes everything there.
    if !first && !from.matchers.is_empty() {
        out.insert("matchers".to_owned(), json!(matchers(&from.matchers)));
    }
    out.insert("group_by".to_owned(), from.group_by.as_ref().map_or(json!(["..."]), |labels| json!(labels)));
    out.insert("group_wait".to_owned(), json!(span(from.group_wait_ns)));
    out.insert("group_interval".to_owned(), json!(span(from.group_interval_ns)));
    out.insert("repeat_interval".to_owned(), json!(span(from.repeat_interval_ns)));
    if from.go_on && !first {
        out.insert("continue".to_owned(), json!(true));
    }
    if !from.routes.is_empty() {
        let below: Vec<Value> = from.routes.iter().map(|below| route(below, false)).collect();
        out.insert("routes".to_owned(), json!(below));
    }
    Value::Object(out)
}

/// `severity="critical"`, its text quoted as Alertmanager reads it.
fn matchers(all: &[Matcher]) -> Vec<String> {
    let text = |matcher: &Matcher| {
        let parts = matcher.parts();
        let operator = match (parts.equal, parts.regex) {
            (true, false) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (false, true) => "!~",
        };
        format!("{}{operator}{}", parts.label, Value::from(parts.value))
    };
    all.iter().map(text).collect()
}
