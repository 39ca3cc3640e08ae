//! Random rows and random filters, against an evaluator that looks at one JSON row at a time.

use std::sync::Arc;

use logweir_proto::query::ast::{Bound, CmpOp, Filter, Literal, Pattern, Test};
use logweir_proto::record::Level;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::search::testing::{MemorySegment, TestRow, ask, literal, name, query, request};
use crate::store::segment::Segment;

const FIELDS: [&str; 8] = ["level", "service", "message", "exception.stack", "status", "duration_ms", "path", "mixed"];
pub(super) const WORDS: [&str; 8] = ["timeout", "Connection", "reset", "ÜBER", "500", "a-b", "x_1", ""];

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..4).prop_map(|words| words.join(" "))
}

fn any_value(field: &'static str) -> BoxedStrategy<Json> {
    match field {
        "level" => prop::sample::select(vec!["trace", "info", "warn", "error"]).prop_map(Json::from).boxed(),
        "service" => prop::sample::select(vec!["api", "api-b", "API", "db"]).prop_map(Json::from).boxed(),
        "message" | "exception.stack" => any_text().prop_map(Json::from).boxed(),
        "path" => prop::sample::select(vec!["/users/500", "/pay", "/Users"]).prop_map(Json::from).boxed(),
        _ => prop_oneof![
            (-3i64..4).prop_map(Json::from),
            prop::sample::select(vec![500i64, 502, i64::MAX]).prop_map(Json::from),
            prop::sample::select(vec![0.5, -1.0, 499.5, 1e300]).prop_map(Json::from),
            prop::sample::select(vec!["500", "0.5", "x_1", "", "true", "timeout reset"]).prop_map(Json::from),
            any::<bool>().prop_map(Json::from),
        ]
        .boxed(),
    }
}

fn any_row() -> impl Strategy<Value = Json> {
    let fields: Vec<_> = FIELDS.iter().map(|field| prop::option::of(any_value(field))).collect();
    fields.prop_map(|values| {
        let present = FIELDS.iter().zip(values).filter_map(|(field, value)| Some(((*field).to_owned(), value?)));
        Json::Object(present.collect())
    })
}

fn any_literal() -> impl Strategy<Value = Literal> {
    let texts = vec![
        "500",
        "0.5",
        "-1",
        "2",
        "1e2",
        "x_1",
        "api",
        "warn",
        "error",
        "timeout",
        "reset",
        "true",
        "/users",
        "über",
        "",
        "9223372036854775807",
    ];
    (prop::sample::select(texts), any::<bool>()).prop_map(|(text, quoted)| Literal { quoted, ..literal(text) })
}

fn any_bound() -> impl Strategy<Value = Bound> {
    prop_oneof![Just(Bound::Open), any_literal().prop_map(Bound::Inclusive), any_literal().prop_map(Bound::Exclusive),]
}

fn any_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        4 => any_literal().prop_map(Test::Match),
        3 => any_literal().prop_map(Test::Exact),
        2 => (prop::sample::select(vec![CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge]), any_literal())
            .prop_map(|(op, literal)| Test::Cmp(op, literal)),
        1 => Just(Test::Exists),
        2 => (any_bound(), any_bound()).prop_map(|(low, high)| Test::Range { low, high }),
        1 => prop::collection::vec(any_literal(), 1..4).prop_map(Test::AnyOf),
        1 => prop::sample::select(vec!["5*", "*s*", "ap?", "t*e"]).prop_map(|glob| Test::Glob(glob.to_owned())),
        1 => prop::sample::select(vec!["^a", "0+$", "e.e"]).prop_map(|regex| Test::Regex(regex.to_owned())),
        1 => Just(Test::StatusClass(5)),
    ]
}

pub(super) fn any_filter() -> impl Strategy<Value = Filter> {
    let text = prop_oneof![
        any_text().prop_filter("a phrase has words", |text| !text.trim().is_empty()).prop_map(Pattern::Phrase),
        prop::sample::select(vec!["time*", "*ESE*", "r?set", "x_*", "a-*", "üb*"])
            .prop_map(|glob| Pattern::Glob(glob.to_owned())),
        prop::sample::select(vec!["res?et", "^T", "(?i)OUT"]).prop_map(|regex| Pattern::Regex(regex.to_owned())),
    ];
    let leaf = prop_oneof![
        1 => Just(Filter::All),
        4 => text.prop_map(Filter::Text),
        8 => (prop::sample::select(&FIELDS[..]), any_test())
            .prop_map(|(field, test)| Filter::Field { field: name(field), test }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

// The naive evaluator: one row, one rule at a time, sharing nothing with the engine.

pub(super) fn passes(filter: &Filter, row: &Json) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(filters) => filters.iter().all(|filter| passes(filter, row)),
        Filter::Or(filters) => filters.iter().any(|filter| passes(filter, row)),
        Filter::Not(filter) => !passes(filter, row),
        Filter::Text(pattern) => ["message", "exception.stack"].iter().any(|field| {
            row[*field].as_str().is_some_and(|text| match pattern {
                Pattern::Phrase(phrase) => has_words(text, &cut(phrase), |word, want| word == want),
                Pattern::Glob(glob) => match glob.strip_prefix('*').and_then(|glob| glob.strip_suffix('*')) {
                    Some(part) => text.to_lowercase().contains(&part.to_lowercase()),
                    None => {
                        let glob = glob.to_lowercase();
                        let wanted: Vec<String> = glob.split('-').map(str::to_owned).collect();
                        has_words(text, &wanted, |word, want| wild(want, word))
                    }
                },
                Pattern::Regex(pattern) => regex::Regex::new(pattern).expect("a regex").is_match(text),
            })
        }),
        Filter::Field { field, test } => passes_test(&field.name, test, &row[&field.name]),
    }
}

fn cut(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn has_words(text: &str, wanted: &[String], same: impl Fn(&str, &str) -> bool) -> bool {
    let words = cut(text);
    !wanted.is_empty()
        && words.windows(wanted.len()).any(|run| run.iter().zip(wanted).all(|(word, want)| same(word, want)))
}

fn wild(glob: &str, text: &str) -> bool {
    match glob.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &glob[1..];
            wild(rest, text) || text.chars().next().is_some_and(|c| wild(glob, &text[c.len_utf8()..]))
        }
        Some(g) => text
            .chars()
            .next()
            .is_some_and(|c| (g == '?' || g == c) && wild(&glob[g.len_utf8()..], &text[c.len_utf8()..])),
    }
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number exactly: as an integer if it is one.
#[derive(Clone, Copy)]
enum Exact {
    Int(i128),
    Float(f64),
}

fn compare(a: Exact, b: Exact) -> std::cmp::Ordering {
    match (a, b) {
        (Exact::Int(a), Exact::Int(b)) => a.cmp(&b),
        (Exact::Int(a), Exact::Float(b)) => (a as f64).total_cmp(&b),
        (Exact::Float(a), Exact::Int(b)) => a.total_cmp(&(b as f64)),
        (Exact::Float(a), Exact::Float(b)) => a.total_cmp(&b),
    }
}

fn exact(text: &str) -> Option<Exact> {
    text.parse::<i64>()
        .map(|int| Exact::Int(i128::from(int)))
        .ok()
        .or_else(|| text.parse::<f64>().ok().map(Exact::Float))
}

fn wanted_number(literal: &Literal) -> Option<Exact> {
    if literal.quoted { None } else { exact(&literal.text) }
}

fn equals(field: &str, literal: &Literal, exactly: bool, value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(value) => literal.text.to_lowercase() == value.to_string(),
        Json::Number(number) => match wanted_number(literal) {
            Some(wanted) => exact(&number.to_string()).is_some_and(|number| compare(number, wanted).is_eq()),
            None => literal.quoted && literal.text == number.to_string(),
        },
        other => {
            let text = shown(other);
            let is_level = field == "level" && !literal.quoted && Level::parse(literal.text.as_bytes()).is_some();
            let keyword = matches!(field, "level" | "service" | "status");
            match () {
                () if exactly && !is_level => text == literal.text,
                () if keyword || cut(&literal.text).is_empty() => text.to_lowercase() == literal.text.to_lowercase(),
                () => has_words(&text, &cut(&literal.text), |word, want| word == want),
            }
        }
    }
}

fn within(field: &str, low: &Bound, high: &Bound, value: &Json) -> bool {
    let literals: Vec<&Literal> = [low, high]
        .into_iter()
        .filter_map(|bound| match bound {
            Bound::Open => None,
            Bound::Inclusive(literal) | Bound::Exclusive(literal) => Some(literal),
        })
        .collect();
    if literals.is_empty() {
        return !value.is_null();
    }
    let side = |bound: &Bound, lower: bool, order: &dyn Fn(&Literal) -> std::cmp::Ordering| match bound {
        Bound::Open => true,
        Bound::Inclusive(literal) => {
            if lower {
                order(literal).is_ge()
            } else {
                order(literal).is_le()
            }
        }
        Bound::Exclusive(literal) => {
            if lower {
                order(literal).is_gt()
            } else {
                order(literal).is_lt()
            }
        }
    };
    let level = |literal: &Literal| if literal.quoted { None } else { Level::parse(literal.text.as_bytes()) };
    if field == "level" && literals.iter().all(|literal| level(literal).is_some()) {
        let Some(mine) = value.as_str().and_then(|text| Level::parse(text.as_bytes())) else { return false };
        let order = |literal: &Literal| mine.cmp(&level(literal).expect("checked"));
        return side(low, true, &order) && side(high, false, &order);
    }
    let numbers = literals.iter().filter(|literal| wanted_number(literal).is_some()).count();
    if numbers == literals.len() {
        let number = match value {
            Json::Number(number) => exact(&number.to_string()),
            Json::String(text) => exact(text),
            _ => None,
        };
        let Some(number) = number else { return false };
        let order = |literal: &Literal| compare(number, wanted_number(literal).expect("checked"));
        return side(low, true, &order) && side(high, false, &order);
    }
    if numbers > 0 {
        return false;
    }
    let Some(text) = value.as_str() else { return false };
    let order = |literal: &Literal| text.as_bytes().cmp(literal.text.as_bytes());
    side(low, true, &order) && side(high, false, &order)
}

fn passes_test(field: &str, test: &Test, value: &Json) -> bool {
    match test {
        Test::Match(literal) => equals(field, literal, false, value),
        Test::Exact(literal) => equals(field, literal, true, value),
        Test::Exists => !value.is_null(),
        Test::AnyOf(literals) => literals.iter().any(|literal| equals(field, literal, false, value)),
        Test::Range { low, high } => within(field, low, high, value),
        Test::Cmp(op, literal) => {
            let (low, high) = match op {
                CmpOp::Lt => (Bound::Open, Bound::Exclusive(literal.clone())),
                CmpOp::Le => (Bound::Open, Bound::Inclusive(literal.clone())),
                CmpOp::Gt => (Bound::Exclusive(literal.clone()), Bound::Open),
                CmpOp::Ge => (Bound::Inclusive(literal.clone()), Bound::Open),
            };
            within(field, &low, &high, value)
        }
        Test::Glob(glob) => !value.is_null() && wild(&glob.to_lowercase(), &shown(value).to_lowercase()),
        Test::Regex(pattern) => {
            !value.is_null() && regex::Regex::new(pattern).expect("a regex").is_match(&shown(value))
        }
        Test::StatusClass(class) => {
            let low = json!(i64::from(*class) * 100);
            let number = match value {
                Json::Number(number) => number.as_f64(),
                Json::String(text) => text.parse::<f64>().ok(),
                _ => None,
            };
            number.is_some_and(|number| {
                number >= low.as_f64().expect("a number") && number < low.as_f64().expect("a number") + 100.0
            })
        }
        Test::Cidr { .. } | Test::In(_) => unreachable!("not generated"),
    }
}

fn segments(rows: &[Json], block_rows: usize, overflow: &[&str]) -> Vec<Arc<dyn Segment>> {
    let mut parts = vec![Vec::new(), Vec::new()];
    for (i, row) in rows.iter().enumerate() {
        // Times repeat and the segments overlap.
        parts[i % 2].push(TestRow::new((i as i64 * 5) % 17, i as u64, row.clone()));
    }
    let segment = |rows| Arc::new(MemorySegment::new("s", rows, block_rows, overflow)) as Arc<dyn Segment>;
    parts.into_iter().map(segment).collect()
}

proptest! {
    #[test]
    fn the_engine_finds_what_a_naive_reader_finds(
        rows in prop::collection::vec(any_row(), 1..40),
        filter in any_filter(),
        block_rows in 1usize..20,
        overflow in prop::sample::select(vec![&[][..], &["mixed"][..]]),
    ) {
        let mut want: Vec<u64> = (0..rows.len()).filter(|i| passes(&filter, &rows[*i])).map(|i| i as u64).collect();
        let answer = ask(&query(filter, Vec::new()), &request(1000), &segments(&rows, block_rows, overflow));
        let mut got: Vec<u64> = answer.ids().iter().map(|id| id.seq).collect();
        let mut order = answer.ids();
        order.reverse();
        prop_assert!(order.is_sorted());
        want.sort();
        got.sort();
        prop_assert_eq!(got, want);
    }
}
