//! Pipes that look beyond their rows: `context`, `trace`, `compare` and `join`.

use std::collections::{BTreeMap, BTreeSet};

use logweir_proto::query::ast::{Field, PipeKind, Query};

use super::{Row, Val, World, name_of, run};

/// Each row and its neighbours that have the same values, or lack them as it does.
pub(super) fn context(rows: &[Row], (before, after): (usize, usize), by: &[Field], world: &World<'_>) -> Vec<Row> {
    let by: Vec<&str> = if by.is_empty() { vec!["service", "host"] } else { by.iter().map(name_of).collect() };
    let mut places: BTreeSet<usize> = BTreeSet::new();
    for row in rows.iter().take(100) {
        let shown = |row: &Row| -> Vec<Option<String>> {
            by.iter().map(|name| row.fields.get(*name).map(Val::shown)).collect()
        };
        let at = world.events.iter().position(|event| event.id == row.id).expect("an event that is there");
        let like = |place: &usize| shown(&world.events[*place]) == shown(&world.events[at]);
        places.insert(at);
        places.extend((0..at).rev().filter(like).take(before));
        places.extend((at + 1..world.events.len()).filter(like).take(after));
    }
    places.into_iter().map(|place| world.events[place].clone()).collect()
}

/// Everything in the range that shares a value with one of the rows, newest first.
pub(super) fn trace(rows: &[Row], by: &[Field], world: &World<'_>) -> Vec<Row> {
    let by: Vec<&str> = if by.is_empty() { vec!["trace_id"] } else { by.iter().map(name_of).collect() };
    let values = |row: &Row, name: &str| row.fields.get(name).map(|value| value.shown().to_lowercase());
    let known: Vec<BTreeSet<String>> =
        by.iter().map(|name| rows.iter().filter_map(|row| values(row, name)).collect()).collect();
    let shares =
        |row: &&Row| by.iter().zip(&known).any(|(name, known)| values(row, name).is_some_and(|v| known.contains(&v)));
    let mut found: Vec<Row> = world.in_range().filter(shares).cloned().collect();
    found.reverse();
    found
}

/// What each measured column was before, and the difference.
pub(super) fn compare(before: &Query, rows: Vec<Row>, shift_ns: i64, world: World<'_>) -> Vec<Row> {
    let is_shaping = |kind: &PipeKind| {
        matches!(kind, PipeKind::Stats { .. } | PipeKind::Timechart { .. } | PipeKind::Top { .. } | PipeKind::Facets(_))
    };
    let shaping = before.pipes.iter().rev().find(|pipe| is_shaping(&pipe.kind)).expect("a table");
    let mut measured: Vec<String> = match &shaping.kind {
        PipeKind::Stats { aggs, .. } | PipeKind::Timechart { aggs, .. } => {
            aggs.iter().map(|agg| agg.column()).collect()
        }
        _ => ["count", "percent", "distinct"].map(str::to_owned).to_vec(),
    };
    for pipe in &before.pipes {
        match &pipe.kind {
            PipeKind::Eval(assignments) => measured.extend(assignments.iter().map(|(field, _)| field.name.clone())),
            PipeKind::Rename(pairs) => measured.extend(pairs.iter().map(|(_, to)| to.name.clone())),
            _ => {}
        }
    }
    let (first, last) = world.known_range();
    let earlier = World {
        from_ns: first - shift_ns,
        to_ns: Some(last - shift_ns + 1),
        now_ns: world.now_ns - shift_ns,
        order: logweir_proto::api::Order::Desc,
        ..world
    };
    let earlier = run(before, earlier);
    let key = |row: &Row, shift_ns: i64| -> Vec<(String, String)> {
        let keys = row.fields.iter().filter(|(name, _)| !measured.contains(name));
        let shown = |value: &Val| match value {
            Val::Time(at) => Val::Time(at + shift_ns).shown(),
            value => value.shown(),
        };
        keys.map(|(name, value)| (name.clone(), shown(value))).collect()
    };
    rows.into_iter()
        .map(|mut row| {
            let past = earlier.iter().rev().find(|past| key(past, shift_ns) == key(&row, 0));
            for name in &measured {
                let now = row.fields.get(name).cloned();
                let Some(then) = past.and_then(|past| past.fields.get(name)).cloned() else { continue };
                let delta = match (&now, &then) {
                    (Some(Val::Int(now)), Val::Int(then)) => now.checked_sub(*then).map(Val::Int),
                    (Some(Val::Time(_)), _) => None,
                    (now, then) => {
                        now.as_ref().and_then(Val::number).zip(then.number()).map(|(a, b)| Val::Float(a - b))
                    }
                };
                row.fields.insert(format!("{name}_prev"), then);
                row.fields.extend(delta.map(|delta| (format!("{name}_delta"), delta)));
            }
            row
        })
        .collect()
}

/// Every row beside those of another query with the same values; a value that both lack is the same.
pub(super) fn join(rows: Vec<Row>, left: bool, on: &[Field], right: &[Row]) -> Vec<Row> {
    let key = |row: &Row| -> Vec<Option<String>> {
        on.iter().map(|field| row.fields.get(name_of(field)).map(Val::shown)).collect()
    };
    let taken: BTreeSet<String> = rows.iter().flat_map(|row| row.fields.keys().cloned()).collect();
    let mut out = Vec::new();
    for row in rows {
        let matches: Vec<&Row> = right.iter().filter(|other| key(other) == key(&row)).collect();
        for other in &matches {
            let news = other.fields.iter().filter(|(name, _)| !on.iter().any(|field| name_of(field) == **name));
            let renamed = |name: &String| if taken.contains(name) { format!("{name}_right") } else { name.clone() };
            let news: BTreeMap<String, Val> = news.map(|(name, value)| (renamed(name), value.clone())).collect();
            let fields = row.fields.clone().into_iter().chain(news).collect();
            out.push(Row { id: row.id, fields });
        }
        if matches.is_empty() && left {
            out.push(row);
        }
    }
    out
}
