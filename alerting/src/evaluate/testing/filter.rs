//! Filters over maps, small enough to be obviously right.

use std::cmp::Ordering;

use logweir_proto::query::ast::{Bound, CmpOp, Filter, Literal, Pattern, Test};
use logweir_proto::record::Level;

/// Whether an event is found; `get` gives its fields.
pub(crate) fn matches<'a>(filter: &Filter, get: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    let has =
        |field: &str, text: &str| get(field).is_some_and(|value| value.to_lowercase().contains(&text.to_lowercase()));
    match filter {
        Filter::All => true,
        Filter::And(all) => all.iter().all(|one| matches(one, get)),
        Filter::Or(any) => any.iter().any(|one| matches(one, get)),
        Filter::Not(inner) => !matches(inner, get),
        Filter::Text(Pattern::Phrase(text)) => has("message", text),
        Filter::Field { field, test } => match test {
            Test::Exists => get(&field.name).is_some(),
            Test::Match(literal) if field.name == "message" => has("message", &literal.text),
            Test::Match(literal) | Test::Exact(literal) => get(&field.name) == Some(&literal.text),
            Test::Cmp(op, literal) => get(&field.name).is_some_and(|value| compare(value, *op, &literal.text)),
            Test::AnyOf(any) => get(&field.name).is_some_and(|value| any.iter().any(|one| one.text == value)),
            Test::Glob(glob) => {
                let head = glob.strip_suffix('*').filter(|head| !head.contains(['*', '?']));
                let head = head.unwrap_or_else(|| panic!("not in the small engine: {glob}"));
                get(&field.name).is_some_and(|value| value.starts_with(head))
            }
            Test::Range { low, high } => get(&field.name).is_some_and(|value| {
                let within = |bound: &Bound, closed: fn(Ordering) -> bool, open: fn(Ordering) -> bool| match bound {
                    Bound::Open => true,
                    Bound::Inclusive(Literal { text, .. }) => order(value, text).is_some_and(closed),
                    Bound::Exclusive(Literal { text, .. }) => order(value, text).is_some_and(open),
                };
                within(low, Ordering::is_ge, Ordering::is_gt) && within(high, Ordering::is_le, Ordering::is_lt)
            }),
            other => panic!("not in the small engine: {other:?}"),
        },
        other => panic!("not in the small engine: {other:?}"),
    }
}

/// Numbers as numbers, times as times, everything else as levels.
fn order(value: &str, limit: &str) -> Option<Ordering> {
    if let (Ok(value), Ok(limit)) = (value.parse::<jiff::Timestamp>(), limit.parse::<jiff::Timestamp>()) {
        return Some(value.cmp(&limit));
    }
    match (value.parse::<f64>(), limit.parse::<f64>()) {
        (Ok(value), Ok(limit)) => value.partial_cmp(&limit),
        _ => Some(Level::parse(value.as_bytes()).cmp(&Level::parse(limit.as_bytes()))),
    }
}

fn compare(value: &str, op: CmpOp, limit: &str) -> bool {
    let Some(order) = order(value, limit) else { return false };
    match op {
        CmpOp::Lt => order.is_lt(),
        CmpOp::Le => order.is_le(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Ge => order.is_ge(),
    }
}
