//! `/metrics` and `/health` of a running agent, on loopback unless the configuration says otherwise.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use logweir_runtime::drain::Drain;
use logweir_runtime::{serve, telemetry};
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::DEFAULT_LISTEN;
use crate::error::{Error, Result};
use crate::status::Status;

/// Answers until the drain. A default address that is taken, as by a second agent, is a warning; one that was asked for
/// is an error.
pub async fn listen(address: SocketAddr, status: Status, drain: Drain) -> Result<()> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if address == DEFAULT_LISTEN => {
            tracing::warn!(%address, error = %error, "no /metrics and /health: set listen to another address, or none");
            return Ok(());
        }
        Err(error) => return Err(Error::Listen { address, source: error }),
    };
    tokio::spawn(serve::serve_plain(listener, router(status), drain));
    Ok(())
}

fn router(status: Status) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/health/live", get(live))
        .with_state(status)
}

async fn metrics() -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render_metrics()).into_response()
}

/// All parts, 503 when one is not well.
async fn health(State(status): State<Status>) -> Response {
    let parts = status.parts();
    let ok = parts.iter().all(|part| part.ok);
    let (files, lag_bytes, acked) = status.figures();
    let body = json!({
        "ok": ok,
        "parts": parts,
        "files": files,
        "lag_bytes": lag_bytes,
        "last_ack_seconds_ago": acked.map(|ago| ago.as_secs()),
    });
    (if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body)).into_response()
}

/// Whether a restart would help: a server that is away does not count.
async fn live(State(status): State<Status>) -> Response {
    let alive = status.is_alive();
    let code = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ok": alive }))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::ship::policy::Why;
    use crate::status::FAILING_AFTER;

    async fn answer(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn health_says_what_is_wrong() {
        let status = Status::new();
        status.saw(3, 42);
        let (code, body) = answer(health(State(status.clone())).await).await;
        assert_eq!(code, 200);
        assert!(body.starts_with(r#"{"ok":true,"parts":[{"name":"tail","ok":true,"reason":""}"#), "{body}");
        status.failed(Why::TokenRefused);
        tokio::time::advance(FAILING_AFTER).await;
        status.turned();
        let (code, body) = answer(health(State(status.clone())).await).await;
        assert_eq!(code, 503);
        assert!(body.contains("token_refused for 60 s") && body.contains(r#""lag_bytes":42"#), "{body}");
        assert_eq!(answer(live(State(status)).await).await.0, 200);
    }
}
