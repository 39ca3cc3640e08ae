//! Groups and what is counted of them: every value of a group is kept and looked at, all together, at the end.

use std::collections::{BTreeMap, BTreeSet};

use logweir_proto::query::ast::{Agg, AggFunc, Field, Group, Literal};
use logweir_proto::record::field;

use super::{Fields, Row, Same, Val, World, name_of, order_of};

const OUTSIDE: [&str; 5] = ["time", "seq", "message", "exception.stack", "trace_id"];

/// The values of a row that say which group it is of.
type Key = Vec<Option<Val>>;

/// The groups of these rows in the order of their values.
fn grouped<'r>(rows: &'r [Row], names: &[&str], key: impl Fn(&'r Row) -> Key) -> Vec<(Key, Vec<&'r Row>)> {
    let mut groups: BTreeMap<Vec<Option<Same>>, (Key, Vec<&Row>)> = BTreeMap::new();
    for row in rows {
        let values = key(row);
        let same = values.iter().map(|value| value.as_ref().map(Val::same)).collect();
        groups.entry(same).or_insert_with(|| (values, Vec::new())).1.push(row);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    // What is of one size and yet two groups, 2 and 2.0, is told apart by its type.
    let same = |value: &Option<Val>| value.as_ref().map(Val::same);
    groups.sort_by(|(a, _), (b, _)| {
        let mut orders = names
            .iter()
            .zip(a.iter().zip(b))
            .map(|(name, (a, b))| order_of(name, a.as_ref(), b.as_ref(), false).then_with(|| same(a).cmp(&same(b))));
        orders.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    groups
}

fn row_of<'n>(columns: impl IntoIterator<Item = (&'n str, Option<Val>)>) -> Row {
    let fields = columns.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Row { id: None, fields: fields.collect() }
}

pub(super) fn stats(rows: &[Row], aggs: &[Agg], by: &[Group], world: &World<'_>) -> Vec<Row> {
    let (first, last) = world.known_range();
    let seconds = (last - first + 1) as f64 / 1e9;
    let names: Vec<&str> = by.iter().map(|group| name_of(field_of(group))).collect();
    let mut groups = grouped(rows, &names, |row| by.iter().map(|group| group_value(group, &row.fields)).collect());
    if groups.is_empty() && by.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    let row = |(key, rows): (Key, Vec<&Row>)| {
        let measured = aggs.iter().map(|agg| (agg.column(), measure(&agg.func, &rows, seconds, world)));
        let measured: Vec<(String, Option<Val>)> = measured.collect();
        let columns = measured.iter().map(|(name, value)| (name.as_str(), value.clone()));
        row_of(names.iter().copied().zip(key).chain(columns))
    };
    groups.into_iter().map(row).collect()
}

fn field_of(group: &Group) -> &Field {
    match group {
        Group::Field(field) | Group::Bin { field, .. } => field,
    }
}

fn group_value(group: &Group, row: &Fields) -> Option<Val> {
    let value = row.get(name_of(field_of(group)));
    match group {
        Group::Field(_) => value.cloned(),
        Group::Bin { width, .. } => bin(value?, width),
    }
}

fn bin(value: &Val, width: &Literal) -> Option<Val> {
    match value {
        Val::Time(at) => {
            let (count, unit) = width.text.split_at(width.text.len() - 1);
            let seconds = match unit {
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return None,
            };
            let width_ns = count.parse::<i64>().ok()? * seconds * 1_000_000_000;
            Some(Val::Time(at.div_euclid(width_ns) * width_ns))
        }
        value => {
            let width: f64 = width.text.parse().ok()?;
            let start = (value.number()? / width).floor() * width;
            Some(if start.fract() == 0.0 { Val::Int(start as i64) } else { Val::Float(start) })
        }
    }
}

pub(super) fn timechart(rows: &[Row], width_ns: i64, aggs: &[Agg], by: Option<&Field>, world: &World<'_>) -> Vec<Row> {
    let floor = |at: i64| at.div_euclid(width_ns) * width_ns;
    let names: Vec<&str> = std::iter::once("time").chain(by.map(name_of)).collect();
    let time = |row: &Row| match row.fields.get("time") {
        Some(Val::Time(at)) => Some(Val::Time(floor(*at))),
        _ => None,
    };
    let key = |row: &Row| -> Key {
        std::iter::once(time(row)).chain(by.map(|field| row.fields.get(name_of(field)).cloned())).collect()
    };
    let mut groups = grouped(rows, &names, key);
    if by.is_none() {
        let (first, last) = world.known_range();
        let known: BTreeSet<i64> = groups.iter().filter_map(|(key, _)| time_of(key)).collect();
        let mut at = floor(first);
        while at <= last {
            if !known.contains(&at) {
                groups.push((vec![Some(Val::Time(at))], Vec::new()));
            }
            at += width_ns;
        }
        groups.sort_by_key(|(key, _)| (time_of(key).is_none(), time_of(key)));
    }
    let row = |(key, rows): (Key, Vec<&Row>)| {
        let measured = aggs.iter().map(|agg| (agg.column(), measure(&agg.func, &rows, width_ns as f64 / 1e9, world)));
        let measured: Vec<(String, Option<Val>)> = measured.collect();
        let columns = measured.iter().map(|(name, value)| (name.as_str(), value.clone()));
        row_of(names.iter().copied().zip(key).chain(columns))
    };
    groups.into_iter().map(row).collect()
}

fn time_of(key: &Key) -> Option<i64> {
    match key.first() {
        Some(Some(Val::Time(at))) => Some(*at),
        _ => None,
    }
}

fn measure(func: &AggFunc, rows: &[&Row], seconds: f64, world: &World<'_>) -> Option<Val> {
    let values =
        |field: &Field| -> Vec<&Val> { rows.iter().filter_map(|row| row.fields.get(name_of(field))).collect() };
    let numbers = |field: &Field| -> Vec<f64> { values(field).into_iter().filter_map(Val::number).collect() };
    match func {
        AggFunc::Count(None) => Some(Val::Int(rows.len() as i64)),
        AggFunc::Count(Some(filter)) => {
            let mut passes = world.passing(filter);
            Some(Val::Int(rows.iter().filter(|row| passes(row)).count() as i64))
        }
        AggFunc::Rate => Some(Val::Float(rows.len() as f64 / seconds)),
        AggFunc::Distinct(field) => {
            let distinct: BTreeSet<Same> = values(field).into_iter().map(Val::same).collect();
            Some(Val::Int(distinct.len() as i64))
        }
        AggFunc::Sum(field) => {
            let values: Vec<&Val> = values(field).into_iter().filter(|value| value.number().is_some()).collect();
            let whole =
                values.iter().map(|value| if let Val::Int(int) = value { Some(i128::from(*int)) } else { None });
            match (values.is_empty(), whole.sum::<Option<i128>>().and_then(|sum| i64::try_from(sum).ok())) {
                (true, _) => None,
                (false, Some(sum)) => Some(Val::Int(sum)),
                (false, None) => Some(Val::Float(numbers(field).iter().sum())),
            }
        }
        AggFunc::Avg(field) => {
            let numbers = numbers(field);
            (!numbers.is_empty()).then(|| Val::Float(numbers.iter().sum::<f64>() / numbers.len() as f64))
        }
        AggFunc::Stddev(field) => {
            let numbers = numbers(field);
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let squares: f64 = numbers.iter().map(|number| (number - mean) * (number - mean)).sum();
            (numbers.len() > 1).then(|| Val::Float((squares / (numbers.len() - 1) as f64).sqrt()))
        }
        AggFunc::Min(field) => extreme(name_of(field), &values(field), false),
        AggFunc::Max(field) => extreme(name_of(field), &values(field), true),
        AggFunc::Percentile(field, percent) => {
            let mut numbers = numbers(field);
            numbers.sort_by(f64::total_cmp);
            let enough = |at: &usize| (*at + 1) as f64 >= percent / 100.0 * numbers.len() as f64 - 1e-9;
            let found = numbers[(0..numbers.len()).find(enough)?];
            Some(if found.fract() == 0.0 { Val::Int(found as i64) } else { Val::Float(found) })
        }
        AggFunc::First(field) => edge(rows, name_of(field), false),
        AggFunc::Last(field) => edge(rows, name_of(field), true),
        AggFunc::Values(field) => {
            let values: BTreeMap<Same, &Val> = values(field).into_iter().map(|value| (value.same(), value)).collect();
            Some(Val::List(values.into_values().cloned().collect()))
        }
    }
}

/// Numbers win over text, and text over truths, whichever end is asked for.
fn extreme(name: &str, values: &[&Val], max: bool) -> Option<Val> {
    let is_number = |value: &&&Val| value.number().is_some() || name == "level";
    let is_text = |value: &&&Val| matches!(value, Val::Text(_));
    let mut best: Vec<&Val> = values.iter().filter(is_number).copied().collect();
    if best.is_empty() {
        best = values.iter().filter(is_text).copied().collect();
    }
    if best.is_empty() {
        return values.iter().min_by(|a, b| order_of(name, Some(a), Some(b), false)).map(|value| (*value).clone());
    }
    best.sort_by(|a, b| order_of(name, Some(a), Some(b), max));
    best.first().map(|value| (*value).clone())
}

/// The value of the oldest or newest row that has one. Rows that are no events are taken as they stand.
fn edge(rows: &[&Row], name: &str, last: bool) -> Option<Val> {
    let mut rows: Vec<&&Row> = rows.iter().filter(|row| row.fields.contains_key(name)).collect();
    rows.sort_by_key(|row| row.id);
    let row = if last { rows.last() } else { rows.first() };
    row.and_then(|row| row.fields.get(name).cloned())
}

fn percent(count: usize, total: usize) -> Option<Val> {
    Some(Val::Float((10_000.0 * count as f64 / total.max(1) as f64).round() / 100.0))
}

pub(super) fn top(rows: &[Row], limit: usize, (fields, by): (&[Field], &[Field]), rare: bool) -> Vec<Row> {
    let has_all = |row: &&Row| fields.iter().all(|field| row.fields.contains_key(name_of(field)));
    let rows: Vec<Row> = rows.iter().filter(has_all).cloned().collect();
    let get = |row: &Row, fields: &[Field]| -> Key {
        fields.iter().map(|field| row.fields.get(name_of(field)).cloned()).collect()
    };
    let outer: Vec<&str> = by.iter().map(name_of).collect();
    let inner: Vec<&str> = fields.iter().map(name_of).collect();
    let mut out = Vec::new();
    for (outer_key, rows) in grouped(&rows, &outer, |row| get(row, by)) {
        let rows: Vec<Row> = rows.into_iter().cloned().collect();
        let mut lists: Vec<(Key, usize)> =
            grouped(&rows, &inner, |row| get(row, fields)).into_iter().map(|(key, rows)| (key, rows.len())).collect();
        lists.sort_by_key(|(_, count)| if rare { *count as i64 } else { -(*count as i64) });
        for (key, count) in lists.into_iter().take(limit) {
            let columns = outer.iter().copied().zip(outer_key.clone()).chain(inner.iter().copied().zip(key));
            let counts = [("count", Some(Val::Int(count as i64))), ("percent", percent(count, rows.len()))];
            out.push(row_of(columns.chain(counts)));
        }
    }
    out
}

pub(super) fn facets(rows: &[Row], limit: usize) -> Vec<Row> {
    // Canonical fields first, in the order in which people are shown them.
    let place = |name: &str| field::ALL.iter().position(|known| *known == name).unwrap_or(usize::MAX);
    let names: BTreeSet<(usize, &String)> =
        rows.iter().flat_map(|row| row.fields.keys()).map(|name| (place(name), name)).collect();
    let mut out = Vec::new();
    for name in names.into_iter().map(|(_, name)| name).filter(|name| !OUTSIDE.contains(&name.as_str())) {
        let having: Vec<Row> = rows.iter().filter(|row| row.fields.contains_key(name)).cloned().collect();
        let mut lists: Vec<(Option<Val>, usize)> = grouped(&having, &[name], |row| vec![row.fields.get(name).cloned()])
            .into_iter()
            .map(|(mut key, rows)| (key.remove(0), rows.len()))
            .collect();
        lists.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), value.as_ref().map(Val::shown)));
        let distinct = lists.len() as i64;
        out.extend(lists.into_iter().take(limit).map(|(value, count)| {
            row_of([
                ("field", Some(Val::Text(name.clone()))),
                ("value", value),
                ("count", Some(Val::Int(count as i64))),
                ("percent", percent(count, rows.len())),
                ("distinct", Some(Val::Int(distinct))),
            ])
        }));
    }
    out
}
