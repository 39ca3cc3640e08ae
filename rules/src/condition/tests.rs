//! Tables of conditions: what they say, and what is said about wrong ones.

use super::*;
use expect_test::{Expect, expect};

fn known() -> Vec<Known> {
    let known = |name: &str, per_second| Known { name: name.to_owned(), per_second, kind: NameKind::Signal };
    vec![known("errors", 1.0), known("total", 1.0), known("p95_ms", 1000.0), known("canary.p95", 1.0)]
}

fn values(pairs: &[(&str, f64)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[test]
fn conditions_hold_as_they_read() {
    let values = values(&[("errors", 20.0), ("total", 400.0), ("p95_ms", 1500.0), ("canary.p95", 1.5)]);
    for (text, holds) in [
        ("errors >= 20", true),
        ("errors > 20", false),
        ("errors / total >= 5%", true),
        ("errors/total>5%", false),
        ("errors >= 10 and total < 100", false),
        ("errors >= 10 and (total < 100 or total == 400)", true),
        ("not errors < 5 AND total != 1", true),
        ("errors - 30 < -5", true),
        ("errors + 2 * 10 == 40", true),
        ("-errors <= -20 && !(total > 1000)", true),
        ("p95_ms > 1s", true),
        ("p95_ms > 1.4s + 200ms", false),
        ("canary.p95 > 1s", true),
        ("p95_ms > 1h30m", false),
        ("errors / (total - 400) > 0 or errors / 0 < 1", false),
    ] {
        let condition = parse_condition(text, &known()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(condition.holds(&values), holds, "{text}");
    }
}

#[test]
fn an_absent_number_makes_comparisons_false() {
    let condition = parse_condition("errors / total > 0", &known()).expect("it parses");
    assert!(!condition.holds(&Values::new()));
    assert!(!condition.holds(&values(&[("errors", 1.0), ("total", 0.0)])));
    assert_eq!(parse_number("errors / total", &known()).expect("parses").number(&Values::new()), None);
}

fn check_error(text: &str, expected: &Expect) {
    let error = parse_condition(text, &known()).expect_err(text);
    let hint = error.hint.map_or(String::new(), |hint| format!(" ({hint})"));
    expected.assert_eq(&format!("{}-{}: {}{hint}", error.span.start, error.span.end, error.message));
}

#[test]
fn wrong_conditions_say_where_and_what() {
    check_error("erors > 5", &expect!["0-5: unknown signal 'erors' (did you mean 'errors'?)"]);
    check_error("banana > 5", &expect!["0-6: unknown signal 'banana' (known here: errors, total, p95_ms, canary.p95)"]);
    check_error("errors", &expect!["0-6: this is a number, not a condition (compare it, for example '… >= 20')"]);
    check_error("errors = 5", &expect!["7-8: '=' does not belong here (equality is '==')"]);
    check_error("1 < errors < 5", &expect!["11-12: comparisons do not chain (write 'a < b and b < c')"]);
    check_error("(errors > 5", &expect!["0-1: this parenthesis is never closed"]);
    check_error("errors > ", &expect!["9-9: something is missing at the end"]);
    check_error("errors > 5 total < 3", &expect!["11-16: 'and', 'or' or an operator is missing before this"]);
    check_error("errors > 5x", &expect!["9-11: '5x' is not a number (for example 20, 0.5, 5%, 300ms, 2s or 1h30m)"]);
    check_error("errors and total > 2", &expect!["0-6: this is a number; compare it with something"]);
    check_error("(errors > 5) + 1 > 2", &expect!["0-12: this is a condition; a number is needed here"]);
    check_error(
        "p95_ms + errors > 2s",
        &expect!["0-20: the signals here have different units of time; compare plain numbers"],
    );
    check_error(
        "errors == 'x'",
        &expect!["10-11: ''' does not belong here (a condition compares numbers; text belongs into the filter)"],
    );
    check_error("> 3", &expect!["0-1: a number, a signal or '(' is missing before this"]);
    check_error(&"(".repeat(200), &expect!["64-65: nested deeper than 64"]);
}

#[test]
fn names_and_thresholds_are_found_for_messages() {
    let condition = parse_condition("total > 10 and errors / total >= 5%", &known()).expect("parses");
    assert_eq!(condition.names(), ["total", "errors"]);
    assert_eq!(condition.threshold(), Some(("total", ">", 10.0)));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_condition_or_an_error_inside_it(text in "[a-z0-9%.()<>=!&|+*/ -]{0,80}|\\PC{0,40}") {
        match parse_condition(&text, &known()) {
            Ok(condition) => {
                condition.holds(&values(&[("errors", 1.0)]));
            }
            Err(error) => {
                assert!(error.span.start <= error.span.end && error.span.end <= text.len().max(1));
            }
        }
    }
}

/// An expression as text, and what it is: `None` where a number is absent.
type Written = (String, Option<f64>);

const FACTS: [(&str, f64); 3] = [("errors", 20.0), ("total", 0.0), ("canary.p95", -1.5)];

fn number() -> impl proptest::strategy::Strategy<Value = Written> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        (0u32..2_000).prop_map(|n| (n.to_string(), Some(f64::from(n)))),
        (0u32..500).prop_map(|n| (format!("{n}%"), Some(f64::from(n) / 100.0))),
        (0usize..FACTS.len()).prop_map(|i| (FACTS[i].0.to_owned(), Some(FACTS[i].1))),
        // Known, but not there.
        Just(("p95_ms".to_owned(), None)),
    ];
    leaf.prop_recursive(5, 40, 2, |inner| {
        let sign = inner.clone().prop_map(|(text, value): Written| (format!("-({text})"), value.map(|v| -v)));
        let pair = (inner.clone(), inner, 0usize..4).prop_map(|((a, x), (b, y), op)| {
            let value = x.zip(y).and_then(|(x, y)| match op {
                0 => Some(x + y),
                1 => Some(x - y),
                2 => Some(x * y),
                _ => (y != 0.0).then(|| x / y),
            });
            (format!("({a}) {} ({b})", ["+", "-", "*", "/"][op]), value)
        });
        prop_oneof![sign, pair]
    })
}

fn truth() -> impl proptest::strategy::Strategy<Value = (String, bool)> {
    use proptest::prelude::*;
    let compare = (number(), number(), 0usize..6).prop_map(|((a, x), (b, y), op)| {
        let holds = x.zip(y).is_some_and(|(x, y)| match op {
            0 => x > y,
            1 => x < y,
            2 => x >= y,
            3 => x <= y,
            4 => x == y,
            _ => x != y,
        });
        (format!("{a} {} {b}", [">", "<", ">=", "<=", "==", "!="][op]), holds)
    });
    compare.prop_recursive(4, 16, 2, |inner| {
        let not = inner.clone().prop_map(|(text, holds)| (format!("not ({text})"), !holds));
        let and = (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| (format!("({a}) and ({b})"), x && y));
        let or = (inner.clone(), inner).prop_map(|((a, x), (b, y))| (format!("({a}) || ({b})"), x || y));
        prop_oneof![not, and, or]
    })
}

proptest::proptest! {
    /// Whatever is written, with or without numbers that are there: it holds when its parts say so.
    #[test]
    fn expressions_are_what_their_parts_make_them((text, holds) in truth()) {
        proptest::prop_assume!(text.len() <= CONDITION_BYTES_MAX);
        let facts = values(&FACTS);
        match parse_condition(&text, &known()) {
            Ok(mut condition) => {
                proptest::prop_assert_eq!(condition.holds(&facts), holds, "{}", text);
                let names: Vec<String> = known().into_iter().map(|known| known.name).collect();
                condition.bind(&|name| names.iter().position(|own| own == name).expect("a known name"));
                let places: Vec<f64> = names.iter().map(|name| *facts.get(name).unwrap_or(&f64::NAN)).collect();
                proptest::prop_assert_eq!(condition.is_true(&places), holds, "{} by places", text);
            }
            // Units of two sides may not fit, and nesting is limited.
            Err(error) => proptest::prop_assert!(error.span.end <= text.len(), "{text}: {error}"),
        }
    }
}

#[test]
fn a_number_that_may_still_grow_decides_what_growing_cannot_change() {
    let known: Vec<Known> = ["n", "ratio", "other"].map(|name| Known::of(name, NameKind::Number)).into();
    let (numbers, doubts) = ([5.0, 0.5, 1.0], vec![Some(true), Some(false), None]);
    for (text, wanted) in [
        ("n >= 5", Some(true)),
        ("n > 5", None),
        ("n < 5", Some(false)),
        ("n <= 5", None),
        ("n == 0", Some(false)),
        ("n == 5", None),
        ("n != 0", Some(true)),
        ("not (n < 5)", Some(true)),
        ("n > other", Some(true)),
        ("n / other > 1", None),
        ("ratio > 10%", None),
        ("n >= 3 and ratio > 10%", None),
        ("n >= 3 or ratio > 10%", Some(true)),
        ("other > 2 and ratio > 10%", Some(false)),
        ("other == 1", Some(true)),
    ] {
        let mut condition = parse_condition(text, &known).unwrap_or_else(|e| panic!("{text}: {e}"));
        condition.bind(&|name| known.iter().position(|known| known.name == name).expect("a known name"));
        assert_eq!(condition.decided(&numbers, &doubts), wanted, "{text}");
        assert_eq!(condition.decided(&numbers, &Doubts::new()), Some(condition.is_true(&numbers)), "{text}");
    }
}
