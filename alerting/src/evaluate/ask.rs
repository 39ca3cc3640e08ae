//! Asking the store of logs for what a rule looks at.

use logweir_proto::query::value::parse_time;
use logweir_rules::evaluate::{Deploy, PatternLine, RuleState};
use logweir_rules::model::{Group, Kind, Labels, LineTime, Rule, SignalQuery};
use logweir_rules::signal::{self, Table, labels_of};

use super::kept::Kept;
use super::past::Windows;
use crate::source::{Answer, QueryError, QuerySource};

/// Rows of one signal.
const SIGNAL_ROWS_MAX: usize = 10_000;
/// Deploys that one step knows of.
const DEPLOYS_MAX: usize = 100;
/// A deploy is an event with this in it.
pub(crate) const DEPLOY_FILTER: &str = "event:deploy";
/// The labels of a deploy: whom it concerns.
const DEPLOY_LABELS: [&str; 4] = ["service", "app", "env", "host"];

/// Where counts come from.
pub(crate) enum Counted<'a, 'p> {
    /// Kept from step to step.
    Live(&'a mut Kept),
    /// Asked for once, for the whole period.
    Past(&'a mut Windows<'p>),
}

/// What the store said for one step of a rule.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) tables: Vec<Table>,
    pub(crate) lines: Vec<PatternLine>,
    pub(crate) deploys: Vec<Deploy>,
}

/// Everything for the step of a rule at `at`.
pub(crate) async fn given(
    source: &dyn QuerySource,
    counted: &mut Counted<'_, '_>,
    group: &Group,
    rule: &Rule,
    state: &mut RuleState,
    at: i64,
) -> Result<Given, QueryError> {
    // A memory under another grouping is dropped by the machine in this step; the next step fills the new one.
    if let Some(expected) = rule.expected.filter(|_| !state.seeded && state.by == rule.by()) {
        seed(source, rule, state, at, expected.seen_within_ns).await?;
    }
    let tables = match counted {
        Counted::Live(kept) => {
            let mut tables = Vec::new();
            for (_, query) in rule.queries() {
                tables.push(kept.table(source, group, query, at).await?);
            }
            tables
        }
        Counted::Past(windows) => windows.tables(source, at).await?,
    };
    let Kind::Pattern(pattern) = &rule.kind else { return Ok(Given { tables, ..Given::default() }) };
    let lines = match counted {
        Counted::Past(windows) if windows.is_quiet(group, rule, at) => Vec::new(),
        _ => lines(source, rule, at.saturating_sub(group.every_ns), at).await?,
    };
    let deploys = match pattern.after_deploy_ns.filter(|_| !lines.is_empty()) {
        Some(within_ns) => deploys(source, at.saturating_sub(within_ns), at).await?,
        None => Vec::new(),
    };
    Ok(Given { tables, lines, deploys })
}

/// Asks about the lines of a range of the time that a rule goes by.
pub(crate) async fn about(
    source: &dyn QuerySource,
    time: LineTime,
    text: &str,
    range: (i64, i64),
    limit: usize,
) -> Result<Answer, QueryError> {
    let (text, from_ns, to_ns) = time.about(text, range);
    source.query(&text, from_ns, to_ns, limit).await
}

pub(super) async fn table(source: &dyn QuerySource, query: &SignalQuery, at: i64) -> Result<Table, QueryError> {
    let answer = about(source, query.time, &query.text(), query.range(at), SIGNAL_ROWS_MAX).await?;
    Ok(query.table(&whole(answer)?.rows))
}

/// The lines of a pattern rule from `[from_ns, to_ns)`, the oldest first.
async fn lines(
    source: &dyn QuerySource,
    rule: &Rule,
    from_ns: i64,
    to_ns: i64,
) -> Result<Vec<PatternLine>, QueryError> {
    let Kind::Pattern(pattern) = &rule.kind else { return Ok(Vec::new()) };
    let answer = about(source, rule.time, &pattern.query(), (from_ns, to_ns), SIGNAL_ROWS_MAX).await?;
    Ok(whole(answer)?.rows.iter().rev().filter_map(|row| pattern.line(row, to_ns)).collect())
}

/// What was rolled out in `[from_ns, to_ns)`.
pub(crate) async fn deploys(source: &dyn QuerySource, from_ns: i64, to_ns: i64) -> Result<Vec<Deploy>, QueryError> {
    let by = DEPLOY_LABELS.join(", ");
    let text = format!("{DEPLOY_FILTER} | stats count as v by bin(time, 1s), version, {by}");
    let answer = whole(source.query(&text, from_ns, to_ns, DEPLOYS_MAX).await?)?;
    let deploy = |row: &logweir_proto::api::Row| {
        let at = parse_time(row.get("time")?.as_str()?, to_ns)?;
        let labels: Labels = labels_of(row, &DEPLOY_LABELS.map(str::to_owned));
        let version = labels_of(row, &["version".to_owned()]).remove("version");
        let who = labels.get("service").or_else(|| labels.get("app"));
        let name = [who.map(String::as_str), version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = if name.is_empty() { "deploy".to_owned() } else { name };
        Some(Deploy { at, name, labels })
    };
    Ok(answer.rows.iter().filter_map(deploy).collect())
}

/// Which values were there before this rule was first evaluated: a host that is silent already is expected too.
async fn seed(
    source: &dyn QuerySource,
    rule: &Rule,
    state: &mut RuleState,
    at: i64,
    seen_within_ns: i64,
) -> Result<(), QueryError> {
    let Some((_, query)) = rule.queries().max_by_key(|(_, query)| query.by.len()) else { return Ok(()) };
    let SignalQuery { by, .. } = query;
    let range = (at.saturating_sub(seen_within_ns), at);
    let answer = about(source, rule.time, &query.seen_text(), range, SIGNAL_ROWS_MAX).await?;
    let found = signal::table_of(&whole(answer)?.rows, by);
    state.seed(found.iter().map(|(labels, _)| (**labels).clone()), at);
    Ok(())
}

/// A rule is not decided on a part of the answer.
pub(super) fn whole(answer: Answer) -> Result<Answer, QueryError> {
    if answer.complete {
        Ok(answer)
    } else {
        let reason = answer.reason.unwrap_or_else(|| "a part of the time range is missing".to_owned());
        Err(QueryError::Unavailable(format!("incomplete answer: {reason}")))
    }
}
