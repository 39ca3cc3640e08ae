//! Our own logs and metrics: events to stderr, one Prometheus registry a process.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

static PROMETHEUS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Writes events to stderr: `info` and above unless `filter` says otherwise, with directives as `tracing-subscriber`
/// reads them: `warn`, `info,logweir_agent=debug`.
///
/// A second call changes nothing: the first one of a process wins.
pub fn init_logs(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let done = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    drop(done);
}

/// Installs the metrics recorder; afterwards `metrics::counter!` and its kin are collected.
pub fn init_metrics() {
    let _ = prometheus();
}

/// The text of `GET /metrics`; empty when another recorder was installed before ours.
pub fn render_metrics() -> String {
    prometheus().map_or_else(String::new, |handle| {
        handle.run_upkeep();
        handle.render()
    })
}

fn prometheus() -> Option<&'static PrometheusHandle> {
    PROMETHEUS
        .get_or_init(|| {
            let buckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
            PrometheusBuilder::new().set_buckets(&buckets).ok()?.install_recorder().ok()
        })
        .as_ref()
}
