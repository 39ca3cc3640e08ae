//! `/health/live`, `/health/ready`, `/metrics`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use logweir_proto::api::Health;
use logweir_runtime::telemetry;

use super::App;
use super::error::ApiError;
use crate::auth::{Denial, Scope};

/// `GET /health/live`: the process answers.
pub async fn live() -> Json<Health> {
    Json(Health { ok: true, parts: BTreeMap::from([("process".to_owned(), "ok".to_owned())]), retention: Vec::new() })
}

/// `GET /health/ready`: data can be taken and queries answered; 503 otherwise. The reason of each part is for those
/// who may ask anything here: it names paths and addresses.
pub async fn ready(State(app): State<App>, headers: HeaderMap) -> Response {
    let parts = parts(&app);
    let ok = parts.values().all(Result::is_ok);
    let (shown, retention) = match app.auth.allow(&headers, Scope::Metrics) {
        // Any token will do.
        Ok(_) | Err(Denial::ScopeMissing(_)) => {
            let shown = parts.into_iter().map(|(name, health)| (name, shown(health)));
            (shown.collect(), app.store.retention())
        }
        Err(_) => (BTreeMap::new(), Vec::new()),
    };
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { ok, parts: shown, retention })).into_response()
}

/// `Ok` may say what is not as it should be.
type Part = Result<Option<String>, String>;

fn shown(health: Part) -> String {
    match health {
        Ok(None) => "ok".to_owned(),
        Ok(Some(warning)) => format!("ok, but {warning}"),
        Err(reason) => reason,
    }
}

/// Each part of the server; of several troubles of one part the first is told.
fn parts(app: &App) -> BTreeMap<String, Part> {
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut part = |name: &str, health: Part| {
        let known = parts.entry(name.to_owned()).or_insert(Ok(None));
        if known.is_ok() {
            *known = health;
        }
    };
    let whole = |health: Result<(), String>| health.map(|()| None);
    for (name, health) in app.stages.health() {
        part(name, whole(health));
    }
    part("wal", whole(app.writer.health()));
    part("store", whole(app.store.health()));
    // What is well may be near its end all the same.
    part("disk", app.admission.disk_health().map(|()| app.admission.disk_warning()));
    for (name, probe) in app.probes.iter() {
        part(name, probe());
    }
    parts
}

/// `GET /metrics`: Prometheus text.
pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.auth.allow(&headers, Scope::Metrics)?;
    metrics::gauge!("logweir_wal_bytes").set(app.writer.wal_bytes() as f64);
    let disk = app.admission.disk();
    metrics::gauge!("logweir_disk_free_bytes").set(disk.free_bytes as f64);
    metrics::gauge!("logweir_disk_used_percent").set(f64::from(disk.used_percent));
    metrics::gauge!("logweir_ingest_in_flight_bytes").set(app.admission.in_flight_bytes() as f64);
    let agents = app.sources.agents();
    metrics::gauge!("logweir_agents").set(agents.len() as f64);
    for (_, agent) in &agents {
        let heartbeat = &agent.heartbeat;
        let host = || agent.host.clone();
        metrics::gauge!("logweir_agent_lag_bytes", "host" => host()).set(heartbeat.lag_bytes as f64);
        metrics::gauge!("logweir_agent_files", "host" => host()).set(f64::from(heartbeat.files));
        metrics::gauge!("logweir_agent_dropped_lines", "host" => host()).set(heartbeat.dropped_lines as f64);
        metrics::gauge!("logweir_agent_truncated_lines", "host" => host()).set(heartbeat.truncated_lines as f64);
    }
    app.store.report_metrics();
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((content_type, telemetry::render_metrics()).into_response())
}
