//! Alertmanager's API version 2, as much of it as people's tools use: amtool, karma, dashboards.
//!
//! Everything is under `/alertmanager`, so `amtool --alertmanager.url=http://HOST:7171/alertmanager`. What fires is
//! listed, with its silences and inhibitions by id; silences are ours in both directions. Alerts of others are not
//! taken: an alert here is an episode of a rule, a heartbeat or Logweir itself, and must have an end that is known.

mod config;

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use logweir_proto::api::ErrorCode;
use logweir_rules::model::Labels;
use logweir_runtime::clock::rfc3339;
use logweir_runtime::http_error::ApiError;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::actions::{read, time};
use super::{ALERTS_MAX, Right, Route, unavailable};
use crate::handle::Handle;
use crate::notify::webhook::fingerprint;
use crate::route::Routing;
use crate::route::group::routing_labels;
use crate::route::matcher::Matcher;
use crate::route::silence::{Compiled, NewSilence, SilenceError};
use crate::route::standing::Surroundings;
use crate::state::store::{EPISODES, StoreError};
use crate::state::{Episode, Silence};

/// Where the API stands.
pub const PREFIX: &str = "/alertmanager";
/// What fires now is said to fire for so long, as Alertmanager's `resolve_timeout` does.
const RESOLVE_TIMEOUT_NS: i64 = 300 * 1_000_000_000;
/// Matchers of one question.
const FILTERS_MAX: usize = 20;

type Answer = Result<Json<Value>, Refusal>;

pub(super) fn routes() -> Vec<Route> {
    let query = Right::Query;
    vec![
        Route::new(Method::GET, "/alertmanager/-/healthy", query, healthy),
        Route::new(Method::GET, "/alertmanager/-/ready", query, healthy),
        Route::new(Method::GET, "/alertmanager/api/v2/status", query, status),
        Route::new(Method::GET, "/alertmanager/api/v2/receivers", query, receivers),
        Route::new(Method::GET, "/alertmanager/api/v2/alerts", query, alerts),
        Route::new(Method::POST, "/alertmanager/api/v2/alerts", Right::Change, not_taken),
        Route::new(Method::GET, "/alertmanager/api/v2/alerts/groups", query, groups),
        Route::new(Method::GET, "/alertmanager/api/v2/silences", query, silences),
        Route::new(Method::POST, "/alertmanager/api/v2/silences", Right::Change, add_silence),
        Route::new(Method::GET, "/alertmanager/api/v2/silence/{id}", query, silence),
        Route::new(Method::DELETE, "/alertmanager/api/v2/silence/{id}", Right::Change, end_silence),
    ]
}

/// An error as this API has it: a text in quotes.
#[derive(Debug)]
pub(super) struct Refusal(ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal(unavailable(error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = Json(self.0.detail.message.clone());
        // The status, the counter and the time to come again are those of every error here.
        let (mut parts, _) = self.0.into_response().into_parts();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        (parts.status, parts.headers, text).into_response()
    }
}

async fn healthy() -> &'static str {
    "OK"
}

async fn status(State(handle): State<Handle>) -> Json<Value> {
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {
            "version": version, "revision": "", "branch": "logweir", "buildUser": "", "buildDate": "", "goVersion": "",
        },
        "config": {"original": config::text(handle.live.routing().as_deref())},
        "uptime": rfc3339(handle.started_wall),
    }))
}

async fn receivers(State(handle): State<Handle>) -> Json<Value> {
    let routing = handle.live.routing();
    let all = routing.iter().flat_map(|routing| &routing.receivers);
    Json(all.map(|receiver| json!({"name": receiver.name})).collect())
}

async fn not_taken() -> Refusal {
    let message = "Logweir takes no alerts of others: it evaluates its own rules, and a heartbeat tells of what runs elsewhere (POST /api/v1/heartbeat/NAME)";
    ApiError::new(ErrorCode::MethodNotAllowed, message).into()
}

type Pairs = Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>;

/// What of all alerts or silences is wanted.
#[derive(Debug)]
struct Wanted {
    filters: Vec<Matcher>,
    receiver: Option<Regex>,
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
}

impl Wanted {
    fn read(pairs: Pairs) -> Result<Wanted, ApiError> {
        let Query(pairs) = pairs.map_err(|error| ApiError::bad_request(error.body_text()))?;
        let (filters, receiver) = (Vec::new(), None);
        let mut wanted = Wanted { filters, receiver, active: true, silenced: true, inhibited: true, muted: true };
        for (name, value) in pairs {
            let yes = || value.parse::<bool>().map_err(|_| ApiError::bad_request(format!("{name} is true or false")));
            match name.as_str() {
                "filter" if wanted.filters.len() < FILTERS_MAX => wanted.filters.push(filter(&value)?),
                "filter" => return Err(ApiError::bad_request(format!("at most {FILTERS_MAX} filters"))),
                "receiver" => {
                    let regex = Regex::new(&format!("^(?:{value})$"));
                    wanted.receiver = Some(regex.map_err(|error| ApiError::bad_request(format!("receiver: {error}")))?);
                }
                "active" => wanted.active = yes()?,
                "silenced" => wanted.silenced = yes()?,
                "inhibited" => wanted.inhibited = yes()?,
                "muted" => wanted.muted = yes()?,
                // Nothing here is ever unprocessed.
                "unprocessed" => drop(yes()?),
                _ => return Err(ApiError::bad_request(format!("there is no parameter '{name}'"))),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, alert: &Listed) -> bool {
        let Status { silenced_by, inhibited_by, muted_by, .. } = &alert.status;
        let held = [(silenced_by, self.silenced), (inhibited_by, self.inhibited), (muted_by, self.muted)];
        let active = held.iter().all(|(by, _)| by.is_empty());
        let receiver = |regex: &Regex| alert.receivers.iter().any(|receiver| regex.is_match(&receiver.name));
        self.filters.iter().all(|matcher| matcher.matches(&alert.labels))
            && self.receiver.as_ref().is_none_or(receiver)
            && (self.active || !active)
            && held.iter().all(|(by, shown)| by.is_empty() || *shown)
    }
}

/// `name="value"` with the escapes of Go in its value.
fn filter(text: &str) -> Result<Matcher, ApiError> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if text.ends_with('"') => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            c => plain.push(c),
        }
    }
    Matcher::parse(&plain).map_err(|error| ApiError::bad_request(format!("filter: {error}")))
}

#[derive(Debug, Clone, Serialize)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: &'static str,
    silenced_by: Vec<String>,
    inhibited_by: Vec<String>,
    muted_by: Vec<String>,
}

/// An alert as this API lists it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    fingerprint: String,
    labels: Labels,
    annotations: Labels,
    starts_at: String,
    ends_at: String,
    updated_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    receivers: Vec<Named>,
    status: Status,
    /// The labels of its group, by receiver; not part of the answer.
    #[serde(skip)]
    groups: Vec<(String, Labels)>,
}

async fn alerts(State(handle): State<Handle>, pairs: Pairs) -> Answer {
    let wanted = Wanted::read(pairs)?;
    let all = listed(&handle).await?;
    Ok(Json(json!(all.into_iter().filter(|alert| wanted.wants(alert)).collect::<Vec<_>>())))
}

async fn groups(State(handle): State<Handle>, pairs: Pairs) -> Answer {
    let wanted = Wanted::read(pairs)?;
    let mut groups: BTreeMap<(String, Labels), Vec<Listed>> = BTreeMap::new();
    for alert in listed(&handle).await?.into_iter().filter(|alert| wanted.wants(alert)) {
        for group in alert.groups.clone() {
            if wanted.receiver.as_ref().is_none_or(|regex| regex.is_match(&group.0)) {
                groups.entry(group).or_default().push(alert.clone());
            }
        }
    }
    let groups = groups.into_iter();
    let shown =
        groups.map(|((name, labels), alerts)| json!({"labels": labels, "receiver": {"name": name}, "alerts": alerts}));
    Ok(Json(shown.collect()))
}

/// Everything that fires, by time.
async fn listed(handle: &Handle) -> Result<Vec<Listed>, StoreError> {
    let (routing, now_wall) = (handle.live.routing(), handle.clock.now_ns());
    handle
        .store
        .read_async(move |view| {
            let around = Surroundings::view(view, now_wall)?;
            let mut episodes: Vec<Episode> =
                view.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode).filter(Episode::is_firing).collect();
            episodes.sort_by_key(|episode| episode.opened_at);
            episodes.truncate(ALERTS_MAX);
            let prints: BTreeMap<String, String> =
                episodes.iter().map(|episode| (episode.id.clone(), fingerprint(episode))).collect();
            let one = |episode: &Episode| list_one(episode, routing.as_deref(), &around, &prints, now_wall);
            Ok(episodes.iter().map(one).collect())
        })
        .await
}

fn list_one(
    episode: &Episode,
    routing: Option<&Routing>,
    around: &Surroundings,
    prints: &BTreeMap<String, String>,
    now_wall: i64,
) -> Listed {
    let labels = routing_labels(episode);
    let routes = routing.map(|routing| routing.root.matching(&labels)).unwrap_or_default();
    let mut groups: Vec<(String, Labels)> =
        routes.iter().map(|route| (route.receiver.clone(), route.group_labels(&labels))).collect();
    groups.dedup();
    let mut receivers: Vec<Named> = groups.iter().map(|(name, _)| Named { name: name.clone() }).collect();
    receivers.dedup_by(|a, b| a.name == b.name);
    let silencing = around.silences.iter().filter(|silence| silence.matches(&labels));
    let silenced_by: Vec<String> = silencing.map(|silence| silence.silence.id.clone()).collect();
    let inhibited_by = routing.map(|routing| around.hiding(routing, &episode.id, &labels)).unwrap_or_default();
    let inhibited_by: Vec<String> = inhibited_by.iter().filter_map(|id| prints.get(*id).cloned()).collect();
    let muted_by = routing.map(|routing| routing.muting(&routes, now_wall)).unwrap_or_default();
    let held = !(silenced_by.is_empty() && inhibited_by.is_empty() && muted_by.is_empty());
    let mut annotations = episode.annotations.clone();
    annotations.insert("summary".to_owned(), episode.summary.clone());
    Listed {
        fingerprint: fingerprint(episode),
        labels,
        annotations,
        starts_at: rfc3339(episode.opened_at),
        ends_at: rfc3339(now_wall.saturating_add(RESOLVE_TIMEOUT_NS)),
        updated_at: rfc3339(now_wall),
        generator_url: episode.link.clone(),
        receivers,
        status: Status { state: if held { "suppressed" } else { "active" }, silenced_by, inhibited_by, muted_by },
        groups,
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatcherJson {
    name: String,
    value: String,
    is_regex: bool,
    /// Tools older than 0.22 do not send it.
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

impl MatcherJson {
    fn text(&self) -> String {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (true, false) => "!~",
        };
        format!("{}{op}\"{}\"", self.name, self.value)
    }
}

/// Fields that only an answer has are taken too: tools send back what they got.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SilenceBody {
    id: Option<String>,
    matchers: Vec<MatcherJson>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
}

async fn silences(State(handle): State<Handle>, pairs: Pairs) -> Answer {
    let wanted = Wanted::read(pairs)?;
    let now_wall = handle.clock.now_ns();
    // As there: a silence is found by the texts of its own matchers.
    let found = |silence: &Silence| {
        let own: Labels = matchers(silence).into_iter().map(|matcher| (matcher.name, matcher.value)).collect();
        wanted.filters.iter().all(|filter| filter.matches(&own))
    };
    let all = handle.silences().await?;
    Ok(Json(all.iter().filter(|silence| found(silence)).map(|silence| silence_json(silence, now_wall)).collect()))
}

async fn silence(State(handle): State<Handle>, Path(id): Path<String>) -> Answer {
    let found = handle.silences().await?.into_iter().find(|silence| silence.id == id);
    let found = found.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such silence"))?;
    Ok(Json(silence_json(&found, handle.clock.now_ns())))
}

async fn add_silence(State(handle): State<Handle>, body: Bytes) -> Answer {
    let body: SilenceBody = read(&body)?;
    let old = body.id.filter(|id| !id.is_empty());
    if let Some(old) = &old
        && !handle.silences().await?.iter().any(|silence| silence.id == *old)
    {
        return Err(ApiError::new(ErrorCode::NotFound, "there is no such silence to change").into());
    }
    let new = NewSilence {
        matchers: body.matchers.iter().map(MatcherJson::text).collect(),
        // One that began in the past begins now.
        starts_wall: Some(time("startsAt", &body.starts_at)?.max(handle.clock.now_ns())),
        ends_wall: time("endsAt", &body.ends_at)?,
        author: body.created_by,
        comment: body.comment,
    };
    let made = handle.silence(new).await.map_err(silence_error)?;
    // The new one holds before the old one ends: there is no moment without.
    if let Some(old) = old {
        handle.unsilence(&old).await.map_err(silence_error)?;
    }
    Ok(Json(json!({"silenceID": made.id})))
}

async fn end_silence(State(handle): State<Handle>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    handle.unsilence(&id).await.map_err(silence_error)?;
    Ok(StatusCode::OK)
}

fn silence_error(error: SilenceError) -> Refusal {
    super::actions::silence_error(error).into()
}

fn matchers(silence: &Silence) -> Vec<MatcherJson> {
    let compiled = Compiled::new(silence.clone());
    let all = compiled.iter().flat_map(|compiled| compiled.matchers());
    all.map(|matcher| {
        let parts = matcher.parts();
        MatcherJson {
            name: parts.label.to_owned(),
            value: parts.value.to_owned(),
            is_regex: parts.regex,
            is_equal: parts.equal,
        }
    })
    .collect()
}

fn silence_json(silence: &Silence, now_wall: i64) -> Value {
    json!({
        "id": silence.id,
        "status": {"state": silence.state(now_wall)},
        "matchers": matchers(silence),
        "startsAt": rfc3339(silence.starts_wall),
        "endsAt": rfc3339(silence.ends_wall),
        "updatedAt": rfc3339(silence.created_wall),
        "createdBy": silence.author,
        "comment": silence.comment,
    })
}

#[cfg(test)]
mod tests;
