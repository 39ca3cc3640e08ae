//! Asking the store of logs for the numbers of a rule.

use logweir_rules::evaluate::{PatternLine, RuleState};
use logweir_rules::model::{Kind, Rule, SignalQuery};
use logweir_rules::names;
use logweir_rules::signal::{self, Table};

use crate::source::{Answer, QueryError, QuerySource};

/// Rows of one signal.
const SIGNAL_ROWS_MAX: usize = 10_000;

/// One table per signal with a query, in the order of the rule.
pub(super) async fn tables(
    source: &dyn QuerySource,
    rule: &Rule,
    state: &mut RuleState,
    at: i64,
) -> Result<Vec<Table>, QueryError> {
    // A memory under another grouping is dropped by the machine in this step; the next step fills the new one.
    if let Some(expected) = rule.expected.filter(|_| !state.seeded && state.by == rule.by()) {
        seed(source, rule, state, at, expected.seen_within_ns).await?;
    }
    let asked = rule.queries().map(|(_, query)| async move {
        let text = query.text();
        let (from_ns, to_ns) = query.range(at);
        let answer = source.query(&text, from_ns, to_ns, SIGNAL_ROWS_MAX).await?;
        Ok(query.table(&whole(answer)?.rows))
    });
    futures_util::future::try_join_all(asked).await
}

/// The lines of a pattern rule from `[from_ns, to_ns)`, the oldest first.
pub(super) async fn lines(
    source: &dyn QuerySource,
    rule: &Rule,
    from_ns: i64,
    to_ns: i64,
) -> Result<Vec<PatternLine>, QueryError> {
    let Kind::Pattern(pattern) = &rule.kind else { return Ok(Vec::new()) };
    let text = names::resolve(&pattern.filter);
    let answer = source.query(&text, from_ns, to_ns, SIGNAL_ROWS_MAX).await?;
    Ok(whole(answer)?.rows.iter().rev().filter_map(|row| pattern.line(row, to_ns)).collect())
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
    let text = query.seen_text();
    let answer = source.query(&text, at.saturating_sub(seen_within_ns), at, SIGNAL_ROWS_MAX).await?;
    state.seed(signal::table_of(&whole(answer)?.rows, by).into_keys(), at);
    Ok(())
}

/// A rule is not decided on a part of the answer.
fn whole(answer: Answer) -> Result<Answer, QueryError> {
    if answer.complete {
        Ok(answer)
    } else {
        let reason = answer.reason.unwrap_or_else(|| "a part of the time range is missing".to_owned());
        Err(QueryError::Unavailable(format!("incomplete answer: {reason}")))
    }
}
