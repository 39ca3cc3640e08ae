//! The doors for data: `POST /api/v1/batches` (the agent) and `POST /api/v1/ingest` (JSON).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use logweir_proto::api::{BatchAnswer, ErrorCode, IngestAnswer};
use logweir_proto::batch::{BODY_BYTES_MAX, BatchError, HEADER_BYTES_MAX};
use logweir_proto::frame::DecompressError;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::App;
use super::error::ApiError;
use super::extract::Query;
use crate::auth::{Principal, Scope};
use crate::receive::admission::Ticket;
use crate::receive::encoding::{self, EncodingError, INGEST_BYTES_MAX, INGEST_WIRE_BYTES_MAX};
use crate::receive::{ReceiveError, Received, json};

/// Largest batch on the wire: header, body and their framing.
pub const BATCH_BYTES_MAX: usize = HEADER_BYTES_MAX + BODY_BYTES_MAX + 64;
/// Longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// A body has to send something at least this often,
pub const BODY_IDLE_MAX: Duration = Duration::from_secs(20);
/// … and be whole after this time: nobody holds memory at the door for longer.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(120);

/// What is set aside for a body before any of it came.
const READ_AHEAD_BYTES: u64 = 256 << 10;

/// Query parameters of `POST /api/v1/ingest` that become fields of records that lack them.
const LABELS: [&str; 6] = ["service", "host", "env", "version", "track", "source"];

/// The query parameters of `POST /api/v1/ingest`, as they are described.
pub struct IngestParameters;

impl JsonSchema for IngestParameters {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IngestParameters".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = "The field of this name of records that lack it.";
        let label = |name: &str| (name.to_owned(), serde_json::json!({"type": "string", "description": about}));
        let properties: serde_json::Map<_, _> = LABELS.into_iter().map(label).collect();
        schemars::json_schema!({"type": "object", "properties": properties})
    }
}

/// `POST /api/v1/batches`
pub async fn batches(State(app): State<App>, request: Request<Body>) -> Result<Json<BatchAnswer>, ApiError> {
    let principal = app.auth.allow(request.headers(), Scope::Ingest)?;
    let now_ns = app.clock.now_ns();
    let mut ticket = app.admission.wait(now_ns).await?;
    let bytes = read_body_into(request, BATCH_BYTES_MAX, Some(&mut ticket)).await?;
    let (tenant, received_ns) = (principal.tenant, ticket.receive(&app.admission, app.clock.now_ns()));
    let received = app.ingest_pool.run(move || Received::decode(tenant, received_ns, bytes, ticket)).await;
    let received = received.map_err(super::query::busy)?.map_err(receive_error)?;
    app.admission.charge(received.body.bytes() as u64, now_ns);
    let (unknown, heartbeat_ms) = (app.sources.observe(&received.header, now_ns), app.sources.heartbeat_ms());
    if received.header.chunks.is_empty() && received.header.gaps.is_empty() {
        return Ok(Json(BatchAnswer { unknown, heartbeat_ms, ..BatchAnswer::default() }));
    }
    let answer = BatchAnswer { unknown, heartbeat_ms, ..app.writer.append(received).await? };
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
    let sender = sender(&principal, &parameters, request.headers())?;
    let encoding = header_text(request.headers(), CONTENT_ENCODING.as_str()).map(str::to_owned);
    let now_ns = app.clock.now_ns();
    let mut ticket = app.admission.wait(now_ns).await?;
    let wire_max = if encoding.is_some() { INGEST_WIRE_BYTES_MAX } else { INGEST_BYTES_MAX };
    let bytes = read_body_into(request, wire_max, Some(&mut ticket)).await?;
    let received_ns = ticket.receive(&app.admission, app.clock.now_ns());
    let parsed = app
        .ingest_pool
        .run(move || decode_json(&principal, received_ns, &sender, encoding.as_deref(), &bytes, ticket))
        .await;
    let (received, mut answer) = parsed.map_err(super::query::busy)??;
    if let Some(received) = received {
        app.admission.charge(received.body.bytes() as u64, now_ns);
        let stored = app.writer.append(received).await?;
        answer.accepted = stored.accepted;
        answer.duplicate = stored.duplicate;
        metrics::counter!("logweir_ingest_events_total").increment(stored.accepted);
        metrics::counter!("logweir_ingest_duplicate_events_total").increment(stored.duplicate);
    }
    metrics::counter!("logweir_ingest_rejected_events_total").increment(answer.rejected);
    Ok(Json(answer))
}

fn decode_json(
    principal: &Principal,
    received_ns: i64,
    sender: &json::Sender,
    encoding: Option<&str>,
    bytes: &Bytes,
    mut ticket: Ticket,
) -> Result<(Option<Received>, IngestAnswer), ApiError> {
    let body = encoding::decode(encoding, bytes, INGEST_BYTES_MAX).map_err(encoding_error)?;
    ticket.resize((bytes.len() + body.len()) as u64)?;
    let mut objects = json::split(&body);
    let errors = std::mem::take(&mut objects.errors);
    let answer = IngestAnswer { rejected: objects.rejected, errors, ..IngestAnswer::default() };
    if objects.texts.is_empty() {
        return Ok((None, answer));
    }
    let batch = json::batch(sender, &objects.texts).map_err(|error| receive_error(error.into()))?;
    let received = Received::built(principal.tenant.clone(), received_ns, batch, objects.into_spans(), ticket)
        .map_err(receive_error)?;
    Ok((Some(received), answer))
}

fn sender(
    principal: &Principal,
    parameters: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<json::Sender, ApiError> {
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
        // Two services may count their requests alike: a key is its sender's own.
        sender.idempotency_key = Some(format!("{}/{}/{key}", principal.tenant, principal.name));
    }
    Ok(sender)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads a body that must not be longer than `max`.
pub async fn read_body(request: Request<Body>, max: usize) -> Result<Bytes, ApiError> {
    read_body_into(request, max, None).await
}

/// The same with a ticket that grows with what is read.
async fn read_body_into(
    request: Request<Body>,
    max: usize,
    mut ticket: Option<&mut Ticket>,
) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::new(ErrorCode::TooLarge, format!("the body is over {max} bytes: send it in parts"));
    let declared = header_text(request.headers(), CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
    if declared.is_some_and(|len| len > max as u64) {
        return Err(too_large());
    }
    let late =
        || ApiError::new(ErrorCode::BodyTimeout, "the body did not arrive in time: send it again").retry_after(1);
    let deadline = tokio::time::Instant::now() + BODY_TIME_MAX;
    let mut body = Limited::new(request.into_body(), max);
    let mut read = BytesMut::with_capacity(declared.unwrap_or(0).min(READ_AHEAD_BYTES) as usize);
    loop {
        let until = deadline.min(tokio::time::Instant::now() + BODY_IDLE_MAX);
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(late()),
            Ok(None) => return Ok(read.freeze()),
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(too_large()),
            Ok(Some(Err(error))) => {
                return Err(ApiError::new(ErrorCode::BadBody, format!("the body broke off: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            if let Some(ticket) = &mut ticket {
                ticket.grow(data.len() as u64)?;
            }
            read.extend_from_slice(data);
        }
    }
}

fn receive_error(error: ReceiveError) -> ApiError {
    match error {
        ReceiveError::Refused(refusal) => refusal.into(),
        ReceiveError::Batch(error) => batch_error(&error),
    }
}

fn batch_error(error: &BatchError) -> ApiError {
    let code = match error {
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
