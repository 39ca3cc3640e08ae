//! Names of fields as loggers write them, where the store keeps them under another name.
//!
//! A JSON line `{"app": "api"}` becomes an event with `service`. A rule that says `app` means that line all the same,
//! and also an event whose agent gave it a label `app`: so a rule asks for both, its own name first.

use logweir_proto::query::ast::{Field, Filter, Query};
use logweir_proto::query::parse::parse;

/// What loggers write, and what the store calls it.
const STORED: [(&str, &str); 5] = [
    ("app", "service"),
    ("app_name", "service"),
    ("application", "service"),
    ("upstream_addr", "upstream"),
    ("environment", "env"),
];

/// Fields that the store keeps in milliseconds although the logger wrote seconds.
const SECONDS: [(&str, &str); 1] = [("request_time", "duration_ms")];

/// The name under which the store keeps what loggers call `name`, besides `name` itself.
pub fn stored(name: &str) -> Option<&'static str> {
    STORED.iter().find(|(written, _)| *written == name).map(|(_, stored)| *stored)
}

/// A number that loggers write in seconds: the stored field, which has milliseconds.
pub(crate) fn stored_ms(name: &str) -> Option<&'static str> {
    SECONDS.iter().find(|(written, _)| *written == name).map(|(_, stored)| *stored)
}

/// The filter with every such field asked for under both names. A text that is no filter stays as it is.
pub fn resolve(filter: &str) -> String {
    let Ok(query) = parse(filter) else { return filter.to_owned() };
    if !query.pipes.is_empty() || !mentions(&query.filter) {
        return filter.to_owned();
    }
    Query { filter: both(query.filter), ..query }.to_string()
}

fn mentions(filter: &Filter) -> bool {
    match filter {
        Filter::All | Filter::Text(_) => false,
        Filter::And(all) | Filter::Or(all) => all.iter().any(mentions),
        Filter::Not(inner) => mentions(inner),
        Filter::Field { field, .. } => stored(&field.name).is_some(),
    }
}

fn both(filter: Filter) -> Filter {
    match filter {
        Filter::And(all) => Filter::And(all.into_iter().map(both).collect()),
        Filter::Or(any) => Filter::Or(any.into_iter().map(both).collect()),
        Filter::Not(inner) => Filter::Not(Box::new(both(*inner))),
        Filter::Field { field, test } => match stored(&field.name) {
            Some(name) => {
                let other = Field { name: name.to_owned(), span: field.span };
                Filter::Or(vec![Filter::Field { field, test: test.clone() }, Filter::Field { field: other, test }])
            }
            None => Filter::Field { field, test },
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_loggers_are_asked_for_under_both_names() {
        for (filter, resolved) in [
            ("app:api level:error", "(app:api OR service:api) level:error"),
            ("-app:(a OR b)", "NOT (app:(a, b) OR service:(a, b))"),
            ("service:api  AND  x", "service:api  AND  x"),
            ("app:", "app:"),
        ] {
            assert_eq!(resolve(filter), resolved);
        }
    }
}
