//! Our own logs and metrics: events to stderr, one Prometheus registry a process.

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::prometheus::Registry;

static REGISTRY: OnceLock<Option<Registry>> = OnceLock::new();

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
    let _ = registry();
}

/// The text of `GET /metrics`; empty when another recorder was installed before ours.
pub fn render_metrics() -> String {
    registry().map_or_else(String::new, Registry::render)
}

fn registry() -> Option<&'static Registry> {
    REGISTRY
        .get_or_init(|| {
            let registry = Registry::default();
            metrics::set_global_recorder(registry.clone()).ok().map(|()| registry)
        })
        .as_ref()
}
