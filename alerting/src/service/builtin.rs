//! Alerts that Logweir raises about its own alerting.

use logweir_rules::model::{Labels, Severity};
use logweir_runtime::clock::rfc3339;

use super::CaughtUp;
use crate::evaluate::episode_id;
use crate::route::Routing;
use crate::route::group::{Event, Placer};
use crate::state::Episode;
use crate::state::store::{EPISODES, StoreError, Tx};

/// The rule or routing files are wrong, and the last good ones stay in force.
const RULES_REJECTED: &str = "RulesRejected";
/// What came and went while nobody was told: one message.
const WHILE_DOWN: &str = "AlertsWhileDown";
/// Mistakes and episodes that one message names.
const NAMED_MAX: usize = 5;

fn firing(tx: &Tx, name: &str) -> Result<Vec<Episode>, StoreError> {
    let all = tx.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode);
    Ok(all.filter(|episode| episode.rule == name && episode.is_firing()).collect())
}

pub(crate) fn place(
    tx: &Tx,
    routing: Option<&Routing>,
    mut episode: Episode,
    event: Event,
    now: i64,
) -> Result<(), StoreError> {
    if let Some(routing) = routing {
        let mut placer = Placer::new(tx, routing, now);
        placer.place(&mut episode, event)?;
        placer.finish()?;
    }
    tx.put(EPISODES, &episode.id.clone(), &episode)
}

pub(crate) fn close(
    tx: &Tx,
    routing: Option<&Routing>,
    mut episode: Episode,
    why: &str,
    now: i64,
) -> Result<(), StoreError> {
    episode.closed_at = Some(now);
    episode.closed_wall = Some(now);
    episode.close_reason = Some(why.to_owned());
    place(tx, routing, episode, Event::Closed, now)
}

/// Opens, changes or closes the alert about refused files.
pub(super) fn rules_rejected(
    tx: &Tx,
    routing: Option<&Routing>,
    problems: &[String],
    now: i64,
) -> Result<(), StoreError> {
    let open = firing(tx, RULES_REJECTED)?;
    if problems.is_empty() {
        return open.into_iter().try_for_each(|episode| close(tx, routing, episode, "the files are right", now));
    }
    let mut summary = format!("rule or routing files are refused, the last good ones stay in force: {}", problems[0]);
    if problems.len() > 1 {
        summary.push_str(&format!(" (and {} more mistakes)", problems.len() - 1));
    }
    let all = problems.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("\n");
    let (episode, event) = match open.into_iter().next() {
        Some(episode) if episode.summary == summary => return Ok(()),
        Some(episode) => (episode, Event::Changed),
        None => {
            let id = episode_id(RULES_REJECTED, &Labels::new(), now);
            (Episode::built_in(id, RULES_REJECTED, Labels::new(), Severity::Warning, now), Event::Opened)
        }
    };
    let annotations = [("problems".to_owned(), all)].into();
    place(tx, routing, Episode { reason: problems[0].clone(), summary, annotations, ..episode }, event, now)
}

/// One message about what came and went while messages were held, and about what was not evaluated at all.
pub(super) fn caught_up(tx: &Tx, routing: Option<&Routing>, caught_up: &CaughtUp, now: i64) -> Result<(), StoreError> {
    // The message of the last start is told by now.
    for episode in firing(tx, WHILE_DOWN)? {
        close(tx, routing, episode, "it was told", now)?;
    }
    let (over, skipped) = (&caught_up.over, &caught_up.skipped);
    if over.is_empty() && skipped.is_empty() {
        return Ok(());
    }
    let times = over.values().flat_map(|(from, to, _)| [*from, *to]);
    let times: Vec<i64> = times.chain(skipped.values().flat_map(|(from, to)| [*from, *to])).collect();
    let (from, to) = (times.iter().min().copied().unwrap_or(now), times.iter().max().copied().unwrap_or(now));
    let mut summary = format!("while down ({} to {}): ", rfc3339(from), rfc3339(to));
    summary.push_str(&format!("{} episodes opened and closed", over.len()));
    let named: Vec<&str> = over.values().take(NAMED_MAX).map(|(.., summary)| summary.as_str()).collect();
    if !named.is_empty() {
        summary.push_str(&format!(": {}", named.join("; ")));
    }
    if let Some((group, (from, to))) = skipped.iter().next() {
        let (count, from, to) = (skipped.len(), rfc3339(*from), rfc3339(*to));
        summary.push_str(&format!("; {count} groups were not evaluated for a time ('{group}': {from} to {to})"));
    }
    let severity = if skipped.is_empty() { Severity::Info } else { Severity::Warning };
    let id = episode_id(WHILE_DOWN, &Labels::new(), now);
    let episode = Episode::built_in(id, WHILE_DOWN, Labels::new(), severity, now);
    place(tx, routing, Episode { reason: "the past was caught up".to_owned(), summary, ..episode }, Event::Opened, now)
}
