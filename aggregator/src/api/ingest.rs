//! The doors for data: `POST /api/v1/batches` (the agent) and `POST /api/v1/ingest` (JSON).

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use logweir_proto::api::{BatchAnswer, ErrorCode, IngestAnswer};
use logweir_proto::batch::{BODY_BYTES_MAX, BatchError, HEADER_BYTES_MAX};
use logweir_proto::frame::DecompressError;

use super::App;
use super::error::ApiError;
use super::extract::Query;
use crate::auth::{Principal, Scope};
use crate::receive::encoding::{self, EncodingError, INGEST_BYTES_MAX, INGEST_WIRE_BYTES_MAX};
use crate::receive::{Received, json};

/// Largest batch on the wire: header, body and their framing.
pub const BATCH_BYTES_MAX: usize = HEADER_BYTES_MAX + BODY_BYTES_MAX + 64;
/// Longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// A compressed batch is taken for this many times its size until its header is read.
const RATIO_GUESS: u64 = 8;

/// Query parameters of `POST /api/v1/ingest` that become fields of records that lack them.
const LABELS: [&str; 6] = ["service", "host", "env", "version", "track", "source"];

/// `POST /api/v1/batches`
pub async fn batches(State(app): State<App>, request: Request<Body>) -> Result<Json<BatchAnswer>, ApiError> {
    let principal = app.auth.allow(request.headers(), Scope::Ingest)?;
    let now_ns = app.clock.now_ns();
    let ticket = app.admission.admit(declared_len(request.headers()).saturating_mul(RATIO_GUESS), now_ns)?;
    let bytes = read_body(request, BATCH_BYTES_MAX).await?;
    let tenant = principal.tenant;
    let received = app
        .ingest_pool
        .run(move || Received::decode(tenant, now_ns, bytes, ticket))
        .await
        .map_err(|_| ApiError::new(ErrorCode::RateLimited, "the server is busy: send again later").retry_after(1))?
        .map_err(batch_error)?;
    let unknown = app.sources.observe(&received.header, now_ns);
    if received.header.chunks.is_empty() && received.header.gaps.is_empty() {
        return Ok(Json(BatchAnswer { unknown, ..BatchAnswer::default() }));
    }
    let answer = BatchAnswer { unknown, ..app.writer.append(received).await? };
    metrics::counter!("logweir_ingest_events_total").increment(answer.accepted);
    metrics::counter!("logweir_ingest_duplicate_events_total").increment(answer.duplicate);
    Ok(Json(answer))
}

/// `POST /api/v1/ingest`
pub async fn ingest(
    State(app): State<App>,
    Query(parameters): Query<BTreeMap<String, String>>,
    request: Request<Body>,
) -> Result<Json<IngestAnswer>, ApiError> {
    let principal = app.auth.allow(request.headers(), Scope::Ingest)?;
    let sender = sender(&parameters, request.headers())?;
    let encoding = header_text(request.headers(), CONTENT_ENCODING.as_str()).map(str::to_owned);
    let now_ns = app.clock.now_ns();
    let ratio = if encoding.is_some() { RATIO_GUESS } else { 1 };
    let ticket = app.admission.admit(declared_len(request.headers()).saturating_mul(ratio), now_ns)?;
    let bytes = read_body(request, INGEST_WIRE_BYTES_MAX.max(INGEST_BYTES_MAX)).await?;
    let parsed = app
        .ingest_pool
        .run(move || decode_json(&principal, now_ns, &sender, encoding.as_deref(), &bytes, ticket))
        .await
        .map_err(|_| ApiError::new(ErrorCode::RateLimited, "the server is busy: send again later").retry_after(1))?;
    let (received, mut answer) = parsed?;
    if let Some(received) = received {
        let stored = app.writer.append(received).await?;
        answer.accepted = stored.accepted + stored.duplicate;
        metrics::counter!("logweir_ingest_events_total").increment(stored.accepted);
        metrics::counter!("logweir_ingest_duplicate_events_total").increment(stored.duplicate);
    }
    metrics::counter!("logweir_ingest_rejected_events_total").increment(answer.rejected);
    Ok(Json(answer))
}

fn decode_json(
    principal: &Principal,
    now_ns: i64,
    sender: &json::Sender,
    encoding: Option<&str>,
    bytes: &Bytes,
    ticket: crate::receive::admission::Ticket,
) -> Result<(Option<Received>, IngestAnswer), ApiError> {
    let body = encoding::decode(encoding, bytes, INGEST_BYTES_MAX).map_err(encoding_error)?;
    let objects = json::split(&body);
    let answer = IngestAnswer { accepted: 0, rejected: objects.rejected, errors: objects.errors };
    if objects.texts.is_empty() {
        return Ok((None, answer));
    }
    let batch = json::batch(sender, &objects.texts).map_err(batch_error)?;
    let received =
        Received::decode(principal.tenant.clone(), now_ns, Bytes::from(batch), ticket).map_err(batch_error)?;
    Ok((Some(received), answer))
}

fn sender(parameters: &BTreeMap<String, String>, headers: &HeaderMap) -> Result<json::Sender, ApiError> {
    let mut sender = json::Sender::default();
    for (key, value) in parameters {
        match LABELS.iter().find(|label| *label == key) {
            Some(label) => drop(sender.labels.insert((*label).to_owned(), value.clone())),
            None => {
                let known = LABELS.join(", ");
                return Err(ApiError::bad_request(format!("unknown parameter '{key}': known are {known}")));
            }
        }
    }
    sender.host = sender.labels.get("host").cloned().unwrap_or_default();
    if let Some(key) = header_text(headers, "idempotency-key").or_else(|| header_text(headers, "x-batch-id")) {
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            return Err(ApiError::bad_request(format!(
                "Idempotency-Key has to be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes long"
            )));
        }
        sender.idempotency_key = Some(key.to_owned());
    }
    Ok(sender)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn declared_len(headers: &HeaderMap) -> u64 {
    header_text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok()).unwrap_or(1 << 20)
}

/// Reads a body that must not be longer than `max`.
pub async fn read_body(request: Request<Body>, max: usize) -> Result<Bytes, ApiError> {
    match Limited::new(request.into_body(), max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::new(ErrorCode::TooLarge, format!("the body is over {max} bytes: send it in parts")))
        }
        Err(error) => Err(ApiError::new(ErrorCode::BadBody, format!("the body broke off: {error}"))),
    }
}

fn batch_error(error: BatchError) -> ApiError {
    let code = match &error {
        BatchError::TooLarge { .. } | BatchError::Body(DecompressError::TooLarge { .. }) => ErrorCode::TooLarge,
        BatchError::Magic
        | BatchError::Version(_)
        | BatchError::Truncated(_)
        | BatchError::Checksum(_)
        | BatchError::Header(_)
        | BatchError::Chunk { .. }
        | BatchError::Body(DecompressError::Zstd(_)) => ErrorCode::BadBody,
    };
    ApiError::new(code, error.to_string())
}

fn encoding_error(error: EncodingError) -> ApiError {
    let code = match &error {
        EncodingError::TooLarge { .. } => ErrorCode::TooLarge,
        EncodingError::Unknown(_) | EncodingError::Invalid { .. } => ErrorCode::BadBody,
    };
    ApiError::new(code, error.to_string())
}
