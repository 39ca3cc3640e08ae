//! The server in this process: aggregator, alerting, page, and with `up` the agent and the demo.
//!
//! Only here do aggregator and alerting meet: alerting asks the search engine through `query::Engine`.

mod query;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use logweir_agent::Agent;
use logweir_aggregator::api;
use logweir_aggregator::auth::Scope;
use logweir_aggregator::config::Config;
use logweir_aggregator::pipeline::Pipeline;
use logweir_aggregator::receive::sources::Sources;
use logweir_alerting::Service;
use logweir_alerting::api::Right;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::{self, Drain};
use logweir_runtime::{serve, telemetry, tls};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::demo::Demo;

/// After the first signal everything has this long to end.
const GRACE: Duration = Duration::from_secs(20);

/// The name of the simulated host.
pub const DEMO_HOST: &str = "demo";

/// An agent is heard of within this time.
const AGENT_START_MAX: Duration = Duration::from_secs(10);

/// What runs besides the aggregator.
#[derive(Default)]
pub struct Extras {
    /// Whether the shipped rules are in force too.
    pub library: bool,
    pub agents: Vec<logweir_agent::Config>,
    pub demo: Option<Demo>,
}

/// Runs until a signal; what was acknowledged is durable whatever happens.
pub async fn run(config: Config, extras: Extras) -> anyhow::Result<()> {
    telemetry::init_metrics();
    tls::install_provider();
    let drain = Drain::new();
    drain::on_signals(drain.clone(), GRACE).context("cannot listen for signals")?;
    let clock = Clock::system();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another logweir running?", config.listen))?;
    let tls_config = match &config.tls {
        None => None,
        Some(files) => {
            Some(Arc::new(tls::ServerTls::load(&files.cert_file, &files.key_file, files.client_ca_file.as_deref())?))
        }
    };

    // Alerting is built on the aggregator, and the aggregator's health asks alerting: the slot closes the circle.
    let alerting_slot: Arc<OnceLock<logweir_alerting::Handle>> = Arc::default();
    let probe = Arc::clone(&alerting_slot);
    let probes: Vec<(&'static str, api::Probe)> = vec![(
        "alerting",
        Arc::new(move || match probe.get() {
            None => Err("starting".to_owned()),
            Some(handle) => match handle.problem() {
                None => Ok(handle.warning()),
                Some(problem) => Err(problem),
            },
        }),
    )];
    let pipeline = {
        let (config, clock, drain) = (config.clone(), clock.clone(), drain.clone());
        tokio::task::spawn_blocking(move || Pipeline::build(&config, probes, clock, drain)).await??
    };
    let app = pipeline.app();
    let settings = logweir_alerting::Settings {
        data_dir: config.data_dir.join("alerting"),
        rules: config.alerting.rules.clone(),
        library: extras.library,
        routing: config.alerting.config.clone(),
        base_url: config.public_url.clone(),
    };
    // The health asks alerting and alerting asks the store: without the health in it, that is no circle.
    let engine = Arc::new(query::Engine::new(api::App { probes: Arc::default(), ..app.clone() }));
    let (service, handle) = Service::build(settings, engine, clock.clone(), drain.clone()).context("alerting")?;
    let _ = alerting_slot.set(handle.clone());

    let alerting = alerting_routes(&app, &handle);
    let router = api::finish(api::router(app.clone(), &alerting_described()).merge(alerting));
    tracing::info!(listen = %config.listen, data = %config.data_dir.display(), "ready");

    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(listener, tls_config, router, drain.clone()));
    let alerting = tokio::spawn(service.run());
    let mut others = JoinSet::new();
    for mut agent in extras.agents {
        // Sent even while there are no tokens: the first one may be made at any moment.
        agent.token = Some(app.auth.internal_token());
        let agent = Agent::build(agent, clock.clone(), drain.clone()).context("agent")?;
        others.spawn(async move { agent.run().await.context("agent") });
    }
    if let Some(demo) = extras.demo {
        let (sources, drain) = (app.sources.clone(), drain.clone());
        others.spawn(async move {
            wait_for_agent(&sources).await;
            demo.run(drain).await.context("demo")
        });
    }
    drop(app);
    let outcome = wait(&mut tasks, &mut others, &drain).await;
    drain.cancel();
    while others.join_next().await.is_some() {}
    while tasks.join_next().await.is_some() {}
    let _ = alerting.await;
    // The stages end with the last handle, and alerting has one.
    drop((handle, alerting_slot));
    tokio::task::spawn_blocking(move || pipeline.shutdown()).await?;
    outcome
}

/// The paths of alerting, each behind the right that it needs.
fn alerting_routes(app: &api::App, handle: &logweir_alerting::Handle) -> axum::Router {
    let one = |right: Right| {
        let routes = handle.router(right);
        match scope_of(right) {
            None => routes,
            Some(scope) => {
                let state = (app.clone(), scope);
                routes.route_layer(axum::middleware::from_fn_with_state(state, api::require))
            }
        }
    };
    Right::ALL.into_iter().map(one).fold(axum::Router::new(), axum::Router::merge)
}

/// The same for `/docs/openapi.json`.
fn alerting_described() -> Vec<api::Other> {
    let described = |route: logweir_alerting::api::Route| api::Other {
        access: scope_of(route.right).map_or(api::Access::Open, api::Access::Needs),
        about: route.about(),
        method: route.method,
        path: route.path,
    };
    logweir_alerting::api::routes().into_iter().map(described).collect()
}

/// What a token must be for; signed links and what Slack and PagerDuty send prove themselves.
const fn scope_of(right: Right) -> Option<Scope> {
    match right {
        Right::Query => Some(Scope::Query),
        Right::Change => Some(Scope::RulesWrite),
        Right::Ingest => Some(Scope::Ingest),
        Right::Proof => None,
    }
}

/// The agent reads what is in a file when it starts as old, and what comes later from its beginning: so the demo, whose
/// first lines are a history, begins when its agent has looked around.
async fn wait_for_agent(sources: &Sources) {
    let looked = async {
        while !sources.agents().iter().any(|(_, agent)| agent.host == DEMO_HOST) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(AGENT_START_MAX, looked).await.is_err() {
        tracing::warn!("the demo's agent was not heard of yet: the history may be missing");
    }
}

/// Ends with the drain, or with the first part that fails.
async fn wait(
    tasks: &mut JoinSet<std::io::Result<()>>,
    others: &mut JoinSet<anyhow::Result<()>>,
    drain: &Drain,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            Some(ended) = tasks.join_next() => return ended?.context("the HTTP server"),
            Some(ended) = others.join_next() => ended??,
        }
    }
}

#[cfg(test)]
mod tests;
