//! `POST /api/v1/rules/backtest`: what rule files would have done over the stored past.
//!
//! ```text
//! {"files": [{"name": "rules/a.yaml", "text": "…"}], "before": [ … ], "since": "7d", "rule": "R", "budget": "2/week",
//!  "incidents": {"name": "incidents.yaml", "text": "…"}}
//! {"after": Report, "before": Report or null}
//! ```
//! `files` absent: the rules in force. `before`: another version of the files, replayed over the same time. `incidents`:
//! what is known to have happened, as in [`super::incidents`].

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use logweir_proto::api::ErrorCode;
use logweir_proto::text::parse_duration;
use logweir_proto::yaml::Problem;
use logweir_rules::model::RuleSet;
use logweir_runtime::http_error::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::incidents::{self, Incident};
use super::{BacktestError, Budget, PERIOD_MAX_NS, Plan, Report, Scenes, run};
use crate::handle::Handle;
use crate::source::QueryError;

/// The period of a request that does not say.
const SINCE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// What is under way at the end of the period is left out.
const SETTLE_NS: i64 = 5 * 1_000_000_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    pub files: Option<Vec<File>>,
    pub before: Option<Vec<File>>,
    pub since: Option<String>,
    pub rule: Option<String>,
    pub budget: Option<String>,
    pub incidents: Option<File>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub text: String,
}

fn set(files: &[File]) -> Result<RuleSet, ApiError> {
    let files: Vec<(String, String)> = files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    crate::check::rules(&files).map_err(|problems| wrong(&problems))
}

fn wrong(problems: &[Problem]) -> ApiError {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    ApiError::bad_request(all.join("\n"))
}

pub(crate) async fn backtest(State(handle): State<Handle>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let request: Request = crate::api::actions::read(&body)?;
    let since = match &request.since {
        None => SINCE_DEFAULT,
        Some(text) => parse_duration(text).ok_or_else(|| ApiError::bad_request("since is a duration, as 7d"))?,
    };
    let since_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    if since_ns > PERIOD_MAX_NS {
        return Err(ApiError::bad_request("since is at most 35d"));
    }
    let budget = match &request.budget {
        None => None,
        Some(text) => Some(Budget::parse(text).ok_or_else(|| ApiError::bad_request("budget is a rate, as 2/week"))?),
    };
    let incidents = request.incidents.as_ref().map(|file| incidents::read(&file.name, &file.text)).transpose();
    let incidents = incidents.map_err(|problems| wrong(&problems))?;
    let Ok(_permit) = handle.backtests.try_acquire() else {
        return Err(ApiError::new(ErrorCode::Unavailable, "another backtest is under way").retry_after(5));
    };
    let to = handle.clock.now_ns().saturating_sub(SETTLE_NS);
    let (from, rule, store) = (to.saturating_sub(since_ns), request.rule.clone(), Some(handle.store.clone()));
    let plan = Plan { from, to, rule, budget, cold: false, store };
    let after = match &request.files {
        Some(files) => replay(&handle, &set(files)?, plan.clone(), &incidents).await?,
        None => replay(&handle, &handle.live.rules(), plan.clone(), &incidents).await?,
    };
    let before = match &request.before {
        Some(files) => Some(replay(&handle, &set(files)?, plan, &incidents).await?),
        None => None,
    };
    Ok(Json(json!({"after": after, "before": before})))
}

async fn replay(
    handle: &Handle,
    set: &RuleSet,
    plan: Plan,
    incidents: &Option<Vec<Incident>>,
) -> Result<Report, ApiError> {
    let store = handle.store.clone();
    let scenes = tokio::task::spawn_blocking(move || Scenes::load(&store));
    let scenes = scenes.await.map_err(|_| failed(&BacktestError::Stopped))?.map_err(|e| failed(&e.into()))?;
    let source = std::sync::Arc::clone(&handle.source.0);
    let done = run(source, set, handle.live.routing(), scenes, plan).await.map_err(|error| failed(&error))?;
    let Report { from, to, .. } = done.report;
    let judged = incidents.as_ref().map(|all| incidents::judge(&done.lines, set, all, (from, to)));
    Ok(Report { judged, ..done.report })
}

fn failed(error: &BacktestError) -> ApiError {
    match error {
        BacktestError::Query(QueryError::Failed(message)) => ApiError::bad_request(message),
        BacktestError::TooRestless { .. } => ApiError::bad_request(error.to_string()),
        other => ApiError::new(ErrorCode::Unavailable, other.to_string()).retry_after(5),
    }
}
