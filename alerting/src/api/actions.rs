//! What changes something: silences, acknowledgements, the outbox. Needs more than the right to ask.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::Method;
use logweir_proto::api::ErrorCode;
use logweir_proto::text::parse_duration;
use logweir_runtime::clock::rfc3339;
use logweir_runtime::http_error::ApiError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Answer, Right, Route, is_pending, unavailable};
use crate::handle::{AckWish, Handle};
use crate::route::silence::{NewSilence, SilenceError};
use crate::state::Silence;

pub(super) fn routes() -> Vec<Route> {
    let change = Right::Change;
    vec![
        Route::new(Method::POST, "/api/v1/silences", change, add_silence),
        Route::new(Method::DELETE, "/api/v1/silences/{id}", change, end_silence),
        Route::new(Method::POST, "/api/v1/alerts/{id}/ack", change, ack),
        Route::new(Method::POST, "/api/v1/notifications/{id}/retry", change, retry),
        Route::new(Method::POST, "/api/v1/receivers/{name}/test", change, test),
    ]
}

/// `{"matchers":["host=\"a\""],"for":"2h","author":"ann","comment":"deploy"}`, or `ends` instead of `for`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceBody {
    matchers: Vec<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    starts: Option<String>,
    ends: Option<String>,
    author: String,
    comment: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AckBody {
    by: String,
    comment: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

async fn add_silence(State(handle): State<Handle>, body: Bytes) -> Answer {
    let body: SilenceBody = read(&body)?;
    let starts_wall = body.starts.as_deref().map(|text| time("starts", text)).transpose()?;
    let now_wall = starts_wall.unwrap_or(handle.clock.now_ns());
    let ends_wall = match (&body.lasts, &body.ends) {
        (Some(lasts), None) => now_wall.saturating_add(duration_ns(lasts)?),
        (None, Some(ends)) => time("ends", ends)?,
        _ => return Err(ApiError::bad_request("a silence needs one of 'for' and 'ends'")),
    };
    let SilenceBody { matchers, author, comment, .. } = body;
    let made = handle.silence(NewSilence { matchers, starts_wall, ends_wall, author, comment }).await;
    made.map(|silence| Json(silence_json(&silence, handle.clock.now_ns()))).map_err(silence_error)
}

async fn end_silence(State(handle): State<Handle>, Path(id): Path<String>) -> Answer {
    let ended = handle.unsilence(&id).await;
    ended.map(|silence| Json(silence_json(&silence, handle.clock.now_ns()))).map_err(silence_error)
}

async fn ack(State(handle): State<Handle>, Path(id): Path<String>, body: Bytes) -> Answer {
    let body: AckBody = if body.is_empty() { AckBody::default() } else { read(&body)? };
    let AckBody { by, comment, lasts } = body;
    let for_ns = lasts.as_deref().map(duration_ns).transpose()?;
    match handle.ack(&id, AckWish { by, comment, for_ns }).await.map_err(unavailable)? {
        true => Ok(Json(json!({"acknowledged": id}))),
        false if is_pending(&id) => {
            Err(ApiError::bad_request("it does not fire yet: there is nothing to acknowledge, but it can be silenced"))
        }
        false => Err(ApiError::new(ErrorCode::NotFound, "no alert of this id fires")),
    }
}

async fn retry(State(handle): State<Handle>, Path(id): Path<String>) -> Answer {
    match handle.retry(&id).await.map_err(unavailable)? {
        true => Ok(Json(json!({"queued": id}))),
        false => Err(ApiError::new(ErrorCode::NotFound, "no message of this id waits or was given up")),
    }
}

async fn test(State(handle): State<Handle>, Path(name): Path<String>) -> Answer {
    match handle.test_receiver(&name).await.map_err(unavailable)? {
        Some(ids) => Ok(Json(json!({"notifications": ids}))),
        None => Err(ApiError::new(ErrorCode::NotFound, "there is no such receiver")),
    }
}

pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(format!("the body cannot be read: {error}")))
}

fn duration_ns(text: &str) -> Result<i64, ApiError> {
    let lasts = parse_duration(text).and_then(|lasts| i64::try_from(lasts.as_nanos()).ok()).filter(|ns| *ns > 0);
    lasts.ok_or_else(|| ApiError::bad_request("'for' must be a duration such as 2h"))
}

pub(super) fn time(what: &str, text: &str) -> Result<i64, ApiError> {
    let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    time.ok_or_else(|| ApiError::bad_request(format!("'{what}' must be a time such as 2026-01-05T03:00:00Z")))
}

pub(super) fn silence_json(silence: &Silence, now_wall: i64) -> Value {
    json!({
        "id": silence.id,
        "state": silence.state(now_wall),
        "matchers": silence.matchers,
        "starts": rfc3339(silence.starts_wall),
        "ends": rfc3339(silence.ends_wall),
        "author": silence.author,
        "comment": silence.comment,
        "created": rfc3339(silence.created_wall),
    })
}

pub(super) fn silence_error(error: SilenceError) -> ApiError {
    match error {
        SilenceError::Store(error) => unavailable(error),
        SilenceError::Unknown(_) => ApiError::new(ErrorCode::NotFound, error.to_string()),
        SilenceError::Wrong(_) | SilenceError::TooMany => ApiError::bad_request(error.to_string()),
    }
}
