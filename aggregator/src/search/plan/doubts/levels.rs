//! Levels that no event has: a number of syslog, where a greater one is less severe, or a word in quotes.

use logweir_proto::api::Warning;
use logweir_proto::query::ast::{AggFunc, Bound, Field, Filter, Literal, PipeKind, Query, Test};
use logweir_proto::record::{Level, field};

use crate::search::cell::canonical;
use crate::search::plan::makes_rows;
use crate::search::steps;

/// A warning for each level that a query compares with and no event can have.
pub(super) fn doubtful(query: &Query, warnings: &mut Vec<Warning>) {
    of_filter(&query.filter, warnings);
    for pipe in &query.pipes {
        match &pipe.kind {
            PipeKind::Where(filter) => of_filter(filter, warnings),
            PipeKind::Stats { aggs, .. } | PipeKind::Timechart { aggs, .. } => {
                for agg in aggs {
                    if let AggFunc::Count(Some(filter)) = &agg.func {
                        of_filter(filter, warnings);
                    }
                }
            }
            _ => {}
        }
        // Behind these a column of that name may be anything.
        if makes_rows(&pipe.kind) || steps::made(&pipe.kind).iter().any(|made| made == field::LEVEL) {
            return;
        }
    }
}

fn of_filter(filter: &Filter, warnings: &mut Vec<Warning>) {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().for_each(|filter| of_filter(filter, warnings)),
        Filter::Not(filter) => of_filter(filter, warnings),
        Filter::Field { field, test } if canonical(&field.name) == field::LEVEL => {
            let literals = literals(test).into_iter();
            warnings.extend(literals.filter(|literal| !is_level(literal)).map(|literal| warning(field, literal)));
        }
        _ => {}
    }
}

fn literals(test: &Test) -> Vec<&Literal> {
    match test {
        Test::Match(literal) | Test::Exact(literal) | Test::Cmp(_, literal) => vec![literal],
        Test::AnyOf(literals) => literals.iter().collect(),
        Test::Range { low, high } => [low, high].into_iter().filter_map(bound).collect(),
        _ => Vec::new(),
    }
}

fn bound(bound: &Bound) -> Option<&Literal> {
    match bound {
        Bound::Open => None,
        Bound::Inclusive(literal) | Bound::Exclusive(literal) => Some(literal),
    }
}

/// Text in quotes is compared with the names as they are stored, in any case of letters.
fn is_level(literal: &Literal) -> bool {
    literal.as_level().is_some()
        || literal.quoted && Level::ALL.iter().any(|level| level.as_str().eq_ignore_ascii_case(&literal.text))
}

fn warning(field: &Field, literal: &Literal) -> Warning {
    let text = &literal.text;
    let (meant, of) = match text.parse::<u8>() {
        // As the parsers read them.
        Ok(number @ 0..=7) => {
            let level = [Level::Fatal, Level::Fatal, Level::Fatal, Level::Error, Level::Warn, Level::Info, Level::Info];
            (Some(level.get(usize::from(number)).copied().unwrap_or(Level::Debug)), format!(", as syslog's {number}"))
        }
        _ => (Level::parse(text.as_bytes()), String::new()),
    };
    let hint = match meant {
        Some(level) => format!("; did you mean {level}{of}?"),
        None => format!(": levels are {}", Level::ALL.map(Level::as_str).join(", ")),
    };
    Warning {
        warn: "no_such_level".to_owned(),
        field: Some(field.name.clone()),
        did_you_mean: meant.map(|level| level.as_str().to_owned()),
        pos: Some(literal.span.start + 1),
        message: format!("no event has the level '{text}'{hint}"),
    }
}
