//! Whether a row passes a filter, one rule at a time.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use logweir_proto::query::ast::{Bound, CmpOp, Filter, Literal, Pattern, Query, Test};
use logweir_proto::record::Level;
use regex::Regex;

use super::{Fields, Val, decimal};

/// Fields whose values are names, as far as they are generated; in others `field:value` looks for words.
const NAMES: [&str; 7] = ["level", "service", "status", "user_id", "trace_id", "client_ip", "host"];

/// `values_of` runs the query of an `in(…)`.
pub(in crate::search::tests) fn passes(
    filter: &Filter,
    row: &Fields,
    values_of: &mut dyn FnMut(&Query) -> Vec<String>,
    now_ns: i64,
) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(filters) => filters.iter().all(|filter| passes(filter, row, values_of, now_ns)),
        Filter::Or(filters) => filters.iter().any(|filter| passes(filter, row, values_of, now_ns)),
        Filter::Not(filter) => !passes(filter, row, values_of, now_ns),
        Filter::Text(pattern) => ["message", "exception.stack"].iter().any(|field| match row.get(*field) {
            Some(Val::Text(text)) => has_pattern(text, pattern),
            _ => false,
        }),
        Filter::Field { field, test } => {
            let name = super::name_of(field);
            match (test, row.get(name)) {
                (_, None) => false,
                (Test::In(query), Some(value)) => values_of(query).contains(&value.shown()),
                (test, Some(value)) => passes_test(name, test, value, now_ns),
            }
        }
    }
}

thread_local! {
    static REGEXES: RefCell<HashMap<String, Rc<Regex>>> = RefCell::default();
}

/// The patterns are few and the rows many: each is compiled once.
pub(super) fn regex_of(pattern: &str) -> Rc<Regex> {
    let made = || Rc::new(Regex::new(pattern).expect("a regex"));
    REGEXES.with_borrow_mut(|regexes| Rc::clone(regexes.entry(pattern.to_owned()).or_insert_with(made)))
}

fn has_pattern(text: &str, pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Phrase(phrase) => has_words(text, &cut(phrase), |word, want| word == want),
        Pattern::Glob(glob) => match glob.strip_prefix('*').and_then(|glob| glob.strip_suffix('*')) {
            Some(part) => text.to_lowercase().contains(&part.to_lowercase()),
            None => {
                let glob = glob.to_lowercase();
                let wanted: Vec<String> = glob.split('-').map(str::to_owned).collect();
                has_words(text, &wanted, |word, want| wild(want, word))
            }
        },
        Pattern::Regex(pattern) => regex_of(pattern).is_match(text),
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

/// A number exactly: as an integer if it is one.
#[derive(Clone, Copy)]
enum Exact {
    Int(i64),
    Float(f64),
}

fn compare(a: Exact, b: Exact) -> Ordering {
    match (a, b) {
        (Exact::Int(a), Exact::Int(b)) => a.cmp(&b),
        (Exact::Int(a), Exact::Float(b)) => (a as f64).total_cmp(&b),
        (Exact::Float(a), Exact::Int(b)) => a.total_cmp(&(b as f64)),
        (Exact::Float(a), Exact::Float(b)) => a.total_cmp(&b),
    }
}

fn exact(text: &str) -> Option<Exact> {
    text.parse::<i64>().map(Exact::Int).ok().or_else(|| decimal(text).map(Exact::Float))
}

fn exact_of(value: &Val) -> Option<Exact> {
    match value {
        Val::Int(value) => Some(Exact::Int(*value)),
        Val::Float(value) => Some(Exact::Float(*value)),
        Val::Text(text) => exact(text),
        Val::Bool(_) | Val::Time(_) | Val::List(_) => None,
    }
}

/// A number with one of the units that are generated: milliseconds and bytes.
fn wanted_number(literal: &Literal) -> Option<Exact> {
    let units = [("ms", 1.0), ("KiB", 1024.0), ("s", 1000.0)];
    let with_unit = |(unit, factor): &(&str, f64)| Some(decimal(literal.text.strip_suffix(unit)?)? * factor);
    match literal.quoted {
        true => None,
        false => exact(&literal.text).or_else(|| {
            let number = units.iter().find_map(with_unit)?;
            Some(if number.fract() == 0.0 { Exact::Int(number as i64) } else { Exact::Float(number) })
        }),
    }
}

/// `now`, `now-5m` and `-5m`: the times that are generated.
pub(super) fn wanted_time(literal: &Literal, now_ns: i64) -> Option<i64> {
    let ago = literal.text.strip_prefix("now").unwrap_or(&literal.text);
    if ago.is_empty() {
        return Some(now_ns);
    }
    let (count, unit) = ago.strip_prefix('-')?.split_at(ago.len() - 2);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(now_ns - count.parse::<i64>().ok()? * seconds * 1_000_000_000)
}

fn equals(field: &str, literal: &Literal, exactly: bool, value: &Val, now_ns: i64) -> bool {
    match value {
        Val::Bool(value) => literal.text.to_lowercase() == value.to_string(),
        Val::Int(_) | Val::Float(_) => match wanted_number(literal) {
            Some(wanted) => exact_of(value).is_some_and(|number| compare(number, wanted).is_eq()),
            None => literal.quoted && literal.text == value.shown(),
        },
        Val::Time(at) => wanted_time(literal, now_ns) == Some(*at) || literal.quoted && literal.text == value.shown(),
        Val::List(_) => false,
        Val::Text(text) => {
            let level = (field == "level").then(|| literal.as_level()).flatten();
            match () {
                () if level.is_some() => Level::parse(text.as_bytes()) == level,
                () if exactly => *text == literal.text,
                () if NAMES.contains(&field) || cut(&literal.text).is_empty() => {
                    text.to_lowercase() == literal.text.to_lowercase()
                }
                () => has_words(text, &cut(&literal.text), |word, want| word == want),
            }
        }
    }
}

fn within(field: &str, low: &Bound, high: &Bound, value: &Val, now_ns: i64) -> bool {
    let literals: Vec<&Literal> = [low, high]
        .into_iter()
        .filter_map(|bound| match bound {
            Bound::Open => None,
            Bound::Inclusive(literal) | Bound::Exclusive(literal) => Some(literal),
        })
        .collect();
    if literals.is_empty() {
        return true;
    }
    let inside = |order: &dyn Fn(&Literal) -> Ordering| {
        let above = match low {
            Bound::Open => true,
            Bound::Inclusive(literal) => order(literal).is_ge(),
            Bound::Exclusive(literal) => order(literal).is_gt(),
        };
        let below = match high {
            Bound::Open => true,
            Bound::Inclusive(literal) => order(literal).is_le(),
            Bound::Exclusive(literal) => order(literal).is_lt(),
        };
        above && below
    };
    if let Val::Time(at) = value {
        let times: Option<Vec<i64>> = literals.iter().map(|literal| wanted_time(literal, now_ns)).collect();
        return times.is_some() && inside(&|literal| at.cmp(&wanted_time(literal, now_ns).expect("checked")));
    }
    let level = |literal: &Literal| literal.as_level();
    if field == "level" && literals.iter().all(|literal| level(literal).is_some()) {
        let Val::Text(text) = value else { return false };
        let Some(mine) = Level::parse(text.as_bytes()) else { return false };
        return inside(&|literal| mine.cmp(&level(literal).expect("checked")));
    }
    let numbers = literals.iter().filter(|literal| wanted_number(literal).is_some()).count();
    if numbers == literals.len() {
        let Some(number) = exact_of(value) else { return false };
        return inside(&|literal| compare(number, wanted_number(literal).expect("checked")));
    }
    match value {
        Val::Text(text) if numbers == 0 => inside(&|literal| text.as_bytes().cmp(literal.text.as_bytes())),
        _ => false,
    }
}

fn passes_test(field: &str, test: &Test, value: &Val, now_ns: i64) -> bool {
    match test {
        Test::Match(literal) => equals(field, literal, false, value, now_ns),
        Test::Exact(literal) => equals(field, literal, true, value, now_ns),
        Test::Exists => true,
        Test::AnyOf(literals) => literals.iter().any(|literal| equals(field, literal, false, value, now_ns)),
        Test::Range { low, high } => within(field, low, high, value, now_ns),
        Test::Cmp(op, literal) => {
            let (low, high) = match op {
                CmpOp::Lt => (Bound::Open, Bound::Exclusive(literal.clone())),
                CmpOp::Le => (Bound::Open, Bound::Inclusive(literal.clone())),
                CmpOp::Gt => (Bound::Exclusive(literal.clone()), Bound::Open),
                CmpOp::Ge => (Bound::Inclusive(literal.clone()), Bound::Open),
            };
            within(field, &low, &high, value, now_ns)
        }
        Test::Glob(glob) => wild(&glob.to_lowercase(), &value.shown().to_lowercase()),
        Test::Regex(pattern) => regex_of(pattern).is_match(&value.shown()),
        Test::StatusClass(class) => {
            let low = f64::from(*class) * 100.0;
            let number = match value {
                Val::Int(value) => Some(*value as f64),
                Val::Float(value) => Some(*value),
                Val::Text(text) => decimal(text),
                _ => None,
            };
            number.is_some_and(|number| number >= low && number < low + 100.0)
        }
        Test::Cidr { net, prefix } => match value {
            Val::Text(text) => text.parse::<IpAddr>().is_ok_and(|ip| in_network(ip, *net, u32::from(*prefix))),
            _ => false,
        },
        Test::In(_) => unreachable!("asked before"),
    }
}

fn in_network(ip: IpAddr, net: IpAddr, prefix: u32) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let keep = 32 - prefix.min(32);
            u64::from(u32::from(ip)) >> keep == u64::from(u32::from(net)) >> keep
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let bits = |ip: std::net::Ipv6Addr| format!("{:0128b}", u128::from(ip));
            bits(ip)[..prefix.min(128) as usize] == bits(net)[..prefix.min(128) as usize]
        }
        _ => false,
    }
}
