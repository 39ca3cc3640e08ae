//! What in a query is probably meant otherwise: names that nobody has, and what other languages write for a regular
//! expression. An answer of nothing is never silent.

mod levels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use logweir_proto::api::Warning;
use logweir_proto::query::ast::{Extractor, Field, Filter, Pipe, PipeKind, Query, Span};
use logweir_proto::record::field;
use logweir_proto::text::did_you_mean;

use super::{filter_fields, pipe_fields};
use crate::search::cell::canonical;
use crate::search::facets::FACET_COLUMNS;
use crate::search::patterns::PATTERN_COLUMNS;
use crate::search::rows::{RAW, RAW_BASE64};
use crate::search::scan::TimeRange;
use crate::search::steps;
use crate::store::column::EXTRA_NAMES_MAX;
use crate::store::segment::Segment;

/// What every event has or can be given.
const ALWAYS: [&str; 6] = [field::TIME, field::INGESTED, field::SEQ, field::MESSAGE, field::PATTERN_ID, RAW];

/// A warning for each name that no event of the range and no pipe before has, with what was probably meant.
pub fn unknown_fields(query: &Query, range: TimeRange, segments: &[Arc<dyn Segment>]) -> Vec<Warning> {
    let mut reached: Vec<&Arc<dyn Segment>> = segments.iter().filter(|segment| range.reaches(&***segment)).collect();
    let age = |segment: &Arc<dyn Segment>| std::cmp::Reverse(segment.time_range().map(|(_, max_ns)| max_ns));
    let mut warnings: BTreeMap<String, Warning> = BTreeMap::new();
    // Segments are asked only until every name has been met.
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    each_unmade(query, &mut |field, columns| match columns {
        Columns::Events { .. } => {
            wanted.insert(canonical(&field.name).to_owned());
        }
        Columns::Only(names) => {
            let hint = did_you_mean(&field.name, names.iter().map(String::as_str));
            let list = || names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let rest =
                hint.map_or_else(|| format!(": they have {}", list()), |meant| format!("; did you mean {meant}?"));
            let message = format!("the rows of the pipes before have no column {}{rest}", field.name);
            warnings.entry(field.name.clone()).or_insert_with(|| warning(field, hint, message));
        }
    });
    wanted.retain(|name| !ALWAYS.contains(&name.as_str()));
    // The newest first: it is open already, or will be. Mostly it has them all, and the others need no order.
    let newest = reached.iter().min_by_key(|segment| age(segment)).filter(|_| !wanted.is_empty());
    newest.into_iter().for_each(|segment| wanted.retain(|name| !segment.fields().contains_key(name)));
    let met_all = wanted.is_empty() || {
        reached.sort_by_key(|segment| age(segment));
        reached.iter().any(|segment| {
            segment.look_at_fields(&mut |fields| wanted.retain(|name| !fields.contains_key(name)));
            wanted.is_empty()
        })
    };
    if !met_all
        && !reached.is_empty()
        && let Some(known) = all_names(&reached)
    {
        each_unmade(query, &mut |field, columns| {
            let Columns::Events { made } = columns else { return };
            let name = canonical(&field.name);
            if !known.contains(name) && !warnings.contains_key(name) {
                let known = known.iter().chain(made).map(String::as_str).collect();
                warnings.insert(name.to_owned(), unknown_field(field, &known));
            }
        });
    }
    let mut warnings: Vec<Warning> = warnings.into_values().collect();
    slashes(&query.filter, &mut warnings);
    levels::doubtful(query, &mut warnings);
    warnings
}

/// The names that events have. `None` where a list is full: it may leave out what is there.
fn all_names(segments: &[&Arc<dyn Segment>]) -> Option<BTreeSet<String>> {
    let mut names: BTreeSet<String> = ALWAYS.map(str::to_owned).into();
    let mut full = false;
    for segment in segments {
        segment.look_at_fields(&mut |fields| {
            full |= fields.len() >= EXTRA_NAMES_MAX;
            let new: Vec<&String> = fields.keys().filter(|name| !names.contains(*name)).collect();
            names.extend(new.into_iter().cloned());
        });
        if full {
            return None;
        }
    }
    Some(names)
}

/// `/time.*out/` is a path here, and a regular expression to those who come from Lucene.
fn slashes(filter: &Filter, warnings: &mut Vec<Warning>) {
    let term = match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            return filters.iter().for_each(|filter| slashes(filter, warnings));
        }
        Filter::Not(filter) => return slashes(filter, warnings),
        term => term.to_string(),
    };
    let (field, text) =
        term.split_once(":/").map_or(("", term.as_str()), |(field, _)| (field, &term[field.len() + 1..]));
    let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
    let Some(inner) =
        // What begins with two of them is the rest of a URL.
        inner.filter(|inner| !inner.starts_with('/') && ["*", ".+", "\\d", "\\w", "\\s", "^", "$"].iter().any(|sign| inner.contains(sign)))
    else {
        return;
    };
    // As it stands before the language's own escapes.
    let operator = if field.is_empty() { "~" } else { "=~" };
    let message = format!("/{inner}/ is a path here: the regular expression is {field}{operator}\"{inner}\"");
    warnings.push(Warning::new("slashes", message));
}

/// The same for names that stand beside a query.
pub fn unknown_names(names: &[String], range: TimeRange, segments: &[Arc<dyn Segment>]) -> Vec<Warning> {
    let span = Span { start: 0, end: 0 };
    let fields = names.iter().map(|name| Field { name: name.clone(), span }).collect();
    let pipe = Pipe { kind: PipeKind::Fields { fields, exclude: false }, span };
    let query = Query { filter: Filter::All, since: None, until: None, pipes: vec![pipe] };
    let mut warnings = unknown_fields(&query, range, segments);
    warnings.iter_mut().for_each(|warning| warning.pos = None);
    warnings
}

/// The same for names of which some stand there by themselves: a field of every kind of source may be missing.
pub fn unknown_asked(names: &[String], range: TimeRange, segments: &[Arc<dyn Segment>]) -> Vec<Warning> {
    let mut warnings = unknown_names(names, range, segments);
    let is_usual = |name: &str| field::ALL.contains(&canonical(name)) || [ID, RAW_BASE64].contains(&name);
    warnings.retain(|warning| !warning.field.as_deref().is_some_and(is_usual));
    warnings
}

/// The id of an event, which is no field of it.
const ID: &str = "id";

/// What the rows have that a pipe reads.
enum Columns {
    /// The fields of events, and what pipes have added.
    Events { made: BTreeSet<String> },
    /// These and no others.
    Only(BTreeSet<String>),
}

impl Columns {
    fn have(&self, name: &str) -> bool {
        match self {
            Columns::Events { made: names } | Columns::Only(names) => names.contains(name),
        }
    }

    /// Behind a pipe; `None` where nobody knows.
    fn behind(self, pipe: &PipeKind) -> Option<Columns> {
        let field = |field: &Field| canonical(&field.name).to_owned();
        Some(match pipe {
            PipeKind::Extract { extractor: Extractor::Json | Extractor::Logfmt, .. }
            | PipeKind::Join { .. }
            | PipeKind::Compare { .. } => return None,
            PipeKind::Stats { aggs, by } => {
                let groups = by.iter().map(|group| canonical(group.column()).to_owned());
                Columns::Only(groups.chain(aggs.iter().map(|agg| agg.column())).collect())
            }
            PipeKind::Timechart { aggs, by, .. } => {
                let groups = by.iter().map(field).chain([field::TIME.to_owned()]);
                Columns::Only(groups.chain(aggs.iter().map(|agg| agg.column())).collect())
            }
            PipeKind::Top { fields, by, .. } => {
                let made = ["count", "percent"].map(str::to_owned);
                Columns::Only(fields.iter().chain(by).map(field).chain(made).collect())
            }
            PipeKind::Facets(_) => Columns::Only(FACET_COLUMNS.map(str::to_owned).into()),
            PipeKind::Patterns { .. } => Columns::Only(PATTERN_COLUMNS.map(str::to_owned).into()),
            pipe => match self {
                Columns::Events { mut made } => {
                    made.extend(steps::made(pipe));
                    Columns::Events { made }
                }
                Columns::Only(mut names) => {
                    names.extend(steps::made(pipe));
                    Columns::Only(names)
                }
            },
        })
    }
}

/// Calls `each` with every name in a query that no pipe before has made, and what there is at its place.
fn each_unmade(query: &Query, each: &mut dyn FnMut(&Field, &Columns)) {
    let mut columns = Columns::Events { made: BTreeSet::new() };
    filter_fields(&query.filter, &mut |field| each(field, &columns));
    for pipe in &query.pipes {
        pipe_fields(&pipe.kind, &mut |field| {
            if !columns.have(&field.name) && !columns.have(canonical(&field.name)) {
                each(field, &columns);
            }
        });
        match columns.behind(&pipe.kind) {
            Some(behind) => columns = behind,
            None => return,
        }
    }
}

fn unknown_field(field: &Field, known: &BTreeSet<&str>) -> Warning {
    let name = field.name.as_str();
    // `duration` is a far cry from `duration_ms` by letters, but it is what people type.
    let longer = known.iter().find(|candidate| {
        candidate.strip_prefix(name).is_some_and(|rest| rest.starts_with(['_', '.']))
            || candidate.strip_suffix(name).is_some_and(|rest| rest.ends_with(['_', '.']))
    });
    // `level_` stands beside the level where a line has two: nobody means it.
    let aside = format!("{name}_");
    let known = known.iter().copied().filter(|candidate| *candidate != aside);
    let meant = did_you_mean(name, known).or(longer.copied().filter(|longer| *longer != aside));
    let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    warning(field, meant, format!("no event of that time has a field {name}{hint}"))
}

fn warning(field: &Field, meant: Option<&str>, message: String) -> Warning {
    Warning {
        warn: "unknown_field".to_owned(),
        field: Some(field.name.clone()),
        did_you_mean: meant.map(str::to_owned),
        pos: Some(field.span.start + 1),
        message,
    }
}
