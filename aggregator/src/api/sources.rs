//! `GET /api/v1/sources`: delivery accounting. Who sends, how far they are, and what is missing.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use logweir_proto::api::{SourceGap, SourceStatus};
use logweir_runtime::clock;
use std::sync::PoisonError;

use super::App;
use super::error::ApiError;
use crate::auth::Scope;
use crate::ranges::RangeSet;
use crate::receive::sources::AgentState;

/// The sources that were heard since the start, with their stored ranges.
pub async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Vec<SourceStatus>>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    let states = app.sources.snapshot();
    let agents: HashMap<String, AgentState> = app.sources.agents().into_iter().collect();
    let ranges = app.ranges.lock().unwrap_or_else(PoisonError::into_inner);
    let mut list = Vec::with_capacity(states.len());
    for (key, state) in states {
        let stored: Vec<(u64, u64)> = ranges.get(&key).map(|set| set.iter().collect()).unwrap_or_default();
        let mut gaps: Vec<SourceGap> = state
            .gaps
            .iter()
            .map(|gap| SourceGap { start: gap.start, end: gap.end, reason: gap.reason.clone() })
            .collect();
        gaps.extend(holes(ranges.get(&key)));
        let agent = agents.get(&*key.agent).map(|agent| agent.heartbeat.clone()).unwrap_or_default();
        list.push(SourceStatus {
            agent: key.agent.to_string(),
            host: state.host,
            source: key.source.to_string(),
            kind: state.kind.to_owned(),
            path: state.path,
            service: state.service,
            parser: state.parser,
            lines: state.lines,
            lines_read: state.lines_read,
            ranges: stored,
            last_seen: clock::rfc3339(state.last_seen_ns),
            covered_to: state.watermark_ns.map(clock::rfc3339),
            agent_lag_bytes: agent.lag_bytes,
            agent_dropped_lines: agent.dropped_lines,
            agent_truncated_lines: agent.truncated_lines,
            gaps,
        });
    }
    Ok(Json(list))
}

/// The holes between stored ranges: bytes that were skipped, or that are still on their way.
fn holes(set: Option<&RangeSet>) -> Vec<SourceGap> {
    let ranges: Vec<(u64, u64)> = set.map(|set| set.iter().collect()).unwrap_or_default();
    let pairs = ranges.windows(2);
    pairs.map(|pair| SourceGap { start: pair[0].1, end: Some(pair[1].0), reason: "not received".to_owned() }).collect()
}
