//! A second, naive engine for the whole language: a list of rows, one pipe after the other, one row at a time. It
//! shares the syntax tree with the engine, and nothing else.

mod around;
mod expr;
pub(super) mod filter;
mod stats;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use logweir_proto::api::Order;
use logweir_proto::query::ast::{CmpOp, Extractor, Field, Filter, PipeKind, Query, SortKey, Test};
use logweir_proto::record::{EventId, Level};
use logweir_runtime::clock;
use serde_json::Value as Json;

/// A value that is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Val {
    Bool(bool),
    Int(i64),
    Float(f64),
    Time(i64),
    Text(String),
    List(Vec<Val>),
}

pub(super) type Fields = BTreeMap<String, Val>;

/// An event, or a row that a pipe made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: Option<EventId>,
    pub(super) fields: Fields,
}

/// Everything that a query can see.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    /// By rising id.
    pub(super) events: &'a [Row],
    pub(super) from_ns: i64,
    /// Outside.
    pub(super) to_ns: Option<i64>,
    pub(super) now_ns: i64,
    pub(super) order: Order,
}

impl Val {
    pub(super) fn of_json(value: &Json) -> Option<Val> {
        Some(match value {
            Json::Null => return None,
            Json::Bool(value) => Val::Bool(*value),
            Json::Number(number) => number.as_i64().map_or_else(|| Val::Float(number.as_f64().unwrap()), Val::Int),
            Json::String(text) => Val::Text(text.clone()),
            nested => Val::Text(nested.to_string()),
        })
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Val::Bool(value) => (*value).into(),
            Val::Int(value) => (*value).into(),
            Val::Float(value) => (*value).into(),
            Val::Time(ns) => clock::rfc3339(*ns).into(),
            Val::Text(text) => text.as_str().into(),
            Val::List(values) => values.iter().map(Val::to_json).collect(),
        }
    }

    /// As it is printed.
    pub(super) fn shown(&self) -> String {
        match self.to_json() {
            Json::String(text) => text,
            other => other.to_string(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Val::Int(value) | Val::Time(value) => Some(*value as f64),
            Val::Float(value) => Some(*value),
            Val::Text(text) => decimal(text),
            Val::Bool(_) | Val::List(_) => None,
        }
    }

    /// The number 500 and the text `500` are one value to whoever groups by it.
    fn same(&self) -> Same {
        match self {
            Val::Bool(value) => Same::Bool(*value),
            Val::Int(value) | Val::Time(value) => Same::Int(*value),
            Val::Float(value) => Same::Float(value.to_bits()),
            Val::List(_) => Same::Text(self.shown()),
            Val::Text(text) => match (&**text, text.parse::<i64>()) {
                ("true", _) => Same::Bool(true),
                ("false", _) => Same::Bool(false),
                (_, Ok(number)) if number.to_string() == *text => Same::Int(number),
                _ => Same::Text(text.clone()),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Same {
    Int(i64),
    Float(u64),
    Text(String),
    Bool(bool),
}

fn decimal(text: &str) -> Option<f64> {
    let end = text.chars().last()?;
    text.parse::<f64>().ok().filter(|number| number.is_finite() && (end.is_ascii_digit() || end == '.'))
}

/// `_time` is another name of `time`.
fn name_of(field: &Field) -> &str {
    if field.name == "_time" { "time" } else { &field.name }
}

/// Numbers, then text, then truths; levels by severity; what is not there comes last either way.
fn order_of(name: &str, a: Option<&Val>, b: Option<&Val>, descending: bool) -> Ordering {
    let (a, b) = match (a, b) {
        (None, None) => return Ordering::Equal,
        (None, Some(_)) => return Ordering::Greater,
        (Some(_), None) => return Ordering::Less,
        (Some(a), Some(b)) => (a, b),
    };
    let number = |value: &Val| match value {
        Val::Text(text) if name == "level" => {
            Level::parse(text.as_bytes()).map(|level| f64::from(level as u8)).or_else(|| value.number())
        }
        value => value.number(),
    };
    let order = match (number(a), number(b)) {
        (Some(x), Some(y)) => match (a, b) {
            (Val::Int(x), Val::Int(y)) => x.cmp(y),
            _ => x.total_cmp(&y),
        },
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => match (a, b) {
            (Val::Bool(x), Val::Bool(y)) => x.cmp(y),
            (Val::Bool(_), _) => Ordering::Greater,
            (_, Val::Bool(_)) => Ordering::Less,
            (x, y) => x.shown().cmp(&y.shown()),
        },
    };
    if descending { order.reverse() } else { order }
}

/// How far a query is: what it has, and whether rows of it were left out on purpose, so that order matters.
struct State {
    rows: Vec<Row>,
    is_cut: bool,
}

/// The rows that a query answers with.
pub(super) fn run(query: &Query, world: World<'_>) -> Vec<Row> {
    let mut world = world;
    if let Some(since) = query.since {
        world.from_ns = since.resolve(world.now_ns);
    }
    if let Some(until) = query.until {
        world.to_ns = Some(until.resolve(world.now_ns));
    }
    world.bound(&query.filter);
    let mut passes = world.passing(&query.filter);
    let mut rows: Vec<Row> = world.in_range().filter(|row| passes(row)).cloned().collect();
    if world.order == Order::Desc {
        rows.reverse();
    }
    let mut state = State { rows, is_cut: false };
    for (place, pipe) in query.pipes.iter().enumerate() {
        state = match &pipe.kind {
            PipeKind::Compare { shift_ns } => {
                let before = Query { since: None, until: None, pipes: query.pipes[..place].to_vec(), ..query.clone() };
                State { rows: around::compare(&before, state.rows, *shift_ns, world), is_cut: true }
            }
            kind => world.pipe(state, kind),
        };
    }
    state.rows
}

impl<'a> World<'a> {
    fn in_range(self) -> impl Iterator<Item = &'a Row> {
        let inside = move |row: &&Row| {
            let time_ns = row.id.expect("an event").time_ns;
            time_ns >= self.from_ns && self.to_ns.is_none_or(|to| time_ns < to)
        };
        self.events.iter().filter(inside)
    }

    /// Whether a row passes. What an `in(…)` yields is the same for all of them.
    fn passing(self, filter: &Filter) -> impl FnMut(&Row) -> bool {
        let mut known: Vec<(*const Query, Vec<String>)> = Vec::new();
        move |row| {
            let mut values_of = |query: &Query| {
                let place = known.iter().position(|(of, _)| std::ptr::eq(*of, query));
                let place = place.unwrap_or_else(|| {
                    known.push((query, self.values_of(query)));
                    known.len() - 1
                });
                known[place].1.clone()
            };
            filter::passes(filter, &row.fields, &mut values_of, self.now_ns)
        }
    }

    /// A time that every row has to be before or behind bounds the range of the query.
    fn bound(&mut self, filter: &Filter) {
        if let Filter::And(filters) = filter {
            filters.iter().for_each(|filter| self.bound(filter));
        }
        let Filter::Field { field, test: Test::Cmp(op, literal) } = filter else { return };
        if name_of(field) == "time"
            && let Some(at) = filter::wanted_time(literal, self.now_ns)
        {
            match op {
                CmpOp::Gt | CmpOp::Ge => self.from_ns = self.from_ns.max(at),
                CmpOp::Lt | CmpOp::Le => self.to_ns = Some(self.to_ns.map_or(at + 1, |to| to.min(at + 1))),
            }
        }
    }

    /// The range as far as there is something: from the oldest event to now.
    fn known_range(&self) -> (i64, i64) {
        let last = self.to_ns.map_or(i64::MAX, |to| to - 1);
        let oldest = self.events.first().map(|row| row.id.expect("an event").time_ns).filter(|oldest| *oldest <= last);
        let first = if self.from_ns == i64::MIN { oldest.unwrap_or(self.now_ns) } else { self.from_ns };
        let last = if last == i64::MAX { self.now_ns } else { last };
        (first, last.max(first))
    }

    /// What the query of an `in(…)` yields, as it is printed.
    fn values_of(&self, query: &Query) -> Vec<String> {
        let rows = run(query, World { order: Order::Desc, ..*self });
        rows.into_iter().flat_map(|row| row.fields.into_values().map(|value| value.shown())).collect()
    }

    fn pipe(&self, State { mut rows, mut is_cut }: State, pipe: &PipeKind) -> State {
        match pipe {
            PipeKind::Where(filter) => rows.retain(self.passing(filter)),
            PipeKind::Eval(assignments) => {
                for (field, expr) in assignments {
                    rows.iter_mut().for_each(|row| set(row, &field.name, expr::value(expr, &row.fields)));
                }
            }
            PipeKind::Rename(pairs) => pairs.iter().filter(|(from, to)| from != to).for_each(|(from, to)| {
                for row in &mut rows {
                    let value = row.fields.remove(&from.name);
                    set(row, &to.name, value);
                }
            }),
            PipeKind::Extract { extractor, from } => {
                let from = from.as_ref().map_or("message", name_of);
                rows.iter_mut().for_each(|row| extract(row, extractor, from));
            }
            PipeKind::Sort(keys) => sort(&mut rows, keys, is_cut),
            PipeKind::Head(count) => {
                rows.truncate(*count);
                is_cut = true;
            }
            PipeKind::Tail(count) => {
                drop(rows.drain(..rows.len().saturating_sub(*count)));
                is_cut = true;
            }
            PipeKind::Dedup { rows: most, fields } => {
                let mut seen: HashMap<String, usize> = HashMap::new();
                rows.retain(|row| {
                    let key: Vec<Option<Json>> =
                        fields.iter().map(|field| row.fields.get(name_of(field)).map(Val::to_json)).collect();
                    let count = seen.entry(format!("{key:?}")).or_default();
                    *count += 1;
                    *count <= *most
                });
                is_cut = true;
            }
            PipeKind::Fields { fields, exclude } => {
                let named = |name: &str| fields.iter().any(|field| name_of(field) == name);
                rows.iter_mut().for_each(|row| row.fields.retain(|name, _| named(name) != *exclude));
            }
            shaping => {
                rows = self.shaped(rows, shaping);
                is_cut = true;
            }
        }
        State { rows, is_cut }
    }

    fn shaped(&self, rows: Vec<Row>, pipe: &PipeKind) -> Vec<Row> {
        match pipe {
            PipeKind::Stats { aggs, by } => stats::stats(&rows, aggs, by, self),
            PipeKind::Timechart { width_ns, aggs, by } => {
                stats::timechart(&rows, width_ns.expect("a width is generated"), aggs, by.as_ref(), self)
            }
            PipeKind::Top { limit, fields, by, rare } => stats::top(&rows, *limit, (fields, by), *rare),
            PipeKind::Facets(limit) => stats::facets(&rows, *limit),
            PipeKind::Context { before, after, by } => around::context(&rows, (*before, *after), by, self),
            PipeKind::Trace(by) => around::trace(&rows, by, self),
            PipeKind::Join { left, on, query } => {
                around::join(rows, *left, on, &run(query, World { order: Order::Desc, ..*self }))
            }
            other => unreachable!("not generated: {other:?}"),
        }
    }
}

fn set(row: &mut Row, name: &str, value: Option<Val>) {
    match value {
        Some(value) => drop(row.fields.insert(name.to_owned(), value)),
        None => drop(row.fields.remove(name)),
    }
}

/// Of events that come straight from the store equal ones are newest first; otherwise they stay as they are.
fn sort(rows: &mut [Row], keys: &[SortKey], is_cut: bool) {
    if !is_cut {
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        if let [key] = keys
            && name_of(&key.field) == "time"
        {
            // The one order of all events: equal times are told apart, too.
            if !key.descending {
                rows.reverse();
            }
            return;
        }
    }
    rows.sort_by(|a, b| {
        let orders = keys.iter().map(|key| {
            let name = name_of(&key.field);
            order_of(name, a.fields.get(name), b.fields.get(name), key.descending)
        });
        orders.fold(Ordering::Equal, Ordering::then)
    });
}

/// Only the patterns that are generated.
fn extract(row: &mut Row, extractor: &Extractor, from: &str) {
    let Some(Val::Text(text)) = row.fields.get(from).cloned() else { return };
    match extractor {
        Extractor::Regex(pattern) => {
            let regex = filter::regex_of(pattern);
            let Some(groups) = regex.captures(&text) else { return };
            for name in regex.capture_names().flatten() {
                if let Some(group) = groups.name(name) {
                    set(row, name, Some(Val::Text(group.as_str().to_owned())));
                }
            }
        }
        Extractor::Pattern(pattern) => {
            let mut parts = pattern.split('<');
            let mut spelled = format!("(?s){}", regex::escape(parts.next().unwrap_or_default()));
            let mut names = Vec::new();
            for part in parts {
                let (gap, behind) = part.split_once('>').expect("the end of a gap");
                let (name, number) = gap.strip_suffix(":num").map_or((gap, false), |name| (name, true));
                names.push((name, number));
                spelled += match (number, behind) {
                    (true, _) => "([-+]?[0-9]+(?:\\.[0-9]+)?)",
                    (false, "") => "(.*)",
                    (false, _) => "(.*?)",
                };
                spelled += &regex::escape(behind);
            }
            let regex = filter::regex_of(&spelled);
            let Some(groups) = regex.captures(&text) else { return };
            for (place, (name, number)) in names.into_iter().enumerate() {
                let found = &groups[place + 1];
                let whole = || found.parse().map(Val::Int).ok().or_else(|| decimal(found).map(Val::Float));
                set(row, name, if number { whole() } else { Some(Val::Text(found.to_owned())) });
            }
        }
        Extractor::Json => {
            if let Ok(Json::Object(fields)) = serde_json::from_str(&text) {
                let mut flat = Fields::new();
                fields.iter().for_each(|(name, value)| flatten(name, value, &mut flat));
                row.fields.extend(flat);
            }
        }
        Extractor::Logfmt => {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            for (name, value) in pairs.filter(|(name, _)| !name.contains('"')) {
                let value = match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
                    Some(quoted) => Val::Text(quoted.to_owned()),
                    None => value
                        .parse()
                        .map(Val::Int)
                        .unwrap_or_else(|_| decimal(value).map_or_else(|| Val::Text(value.to_owned()), Val::Float)),
                };
                set(row, name, Some(value));
            }
        }
    }
}

/// The leaves of a JSON value under their dotted names.
pub(super) fn flatten(name: &str, value: &Json, into: &mut Fields) {
    match value {
        Json::Object(fields) => {
            fields.iter().for_each(|(inner, value)| flatten(&format!("{name}.{inner}"), value, into));
        }
        value => {
            if let Some(value) = Val::of_json(value) {
                into.insert(name.to_owned(), value);
            }
        }
    }
}
