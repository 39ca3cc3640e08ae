//! What was said about patterns: the marks of the rule files, and those that came by this API. A mark is in force with
//! the next look at the files.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::Method;
use logweir_proto::api::ErrorCode;
use logweir_proto::pattern::PatternId;
use logweir_rules::marks::{MARKS_MAX, Mark, Target, Word};
use logweir_rules::model::Labels;
use logweir_runtime::clock::rfc3339;
use logweir_runtime::http_error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::actions::read;
use super::{Answer, Right, Route, unavailable};
use crate::handle::Handle;
use crate::state::MarkRecord;
use crate::state::store::MARKS;

const TEXT_CHARS_MAX: usize = 2_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/v1/patterns/marks", Right::Query, list),
        Route::new(Method::POST, "/api/v1/patterns/marks", Right::Change, add),
        Route::new(Method::DELETE, "/api/v1/patterns/marks/{id}", Right::Change, remove),
    ]
}

/// `{"pattern":"0123456789abcdef","mark":"ticket","ticket":"SHOP-12","scope":{"service":"api"},"by":"ann"}`, or with
/// `template` instead of `pattern`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    pattern: Option<String>,
    template: Option<String>,
    mark: String,
    #[serde(default)]
    scope: Labels,
    ticket: Option<String>,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    by: String,
}

impl Body {
    fn mark(self) -> Result<(Mark, String), String> {
        let target = match (self.pattern, self.template) {
            (Some(id), None) => match PatternId::parse(&id) {
                Some(id) => Target::Id(id),
                None => return Err("a pattern is 16 hexadecimal digits, the label 'pattern' of its alert".to_owned()),
            },
            (None, Some(template)) if !template.is_empty() => Target::Template(template),
            _ => return Err("a mark needs one of 'pattern' and 'template'".to_owned()),
        };
        let word = Word::parse(&self.mark).ok_or("'mark' is known, ignore or ticket")?;
        if (word == Word::Ticket) != self.ticket.as_ref().is_some_and(|ticket| !ticket.is_empty()) {
            return Err("'mark: ticket' needs a 'ticket', and nothing else has one".to_owned());
        }
        let texts = [&self.comment, &self.by].into_iter().chain(&self.ticket);
        let long = texts.chain(self.scope.values()).any(|text| text.chars().count() > TEXT_CHARS_MAX);
        if long || matches!(&target, Target::Template(text) if text.chars().count() > TEXT_CHARS_MAX) {
            return Err(format!("a text of a mark has at most {TEXT_CHARS_MAX} characters"));
        }
        Ok((Mark { target, word, scope: self.scope, ticket: self.ticket, comment: self.comment }, self.by))
    }
}

/// One mark for a pattern and a scope.
fn id_of(mark: &Mark) -> String {
    let about = json!([mark.target, mark.scope]).to_string();
    blake3::hash(about.as_bytes()).to_hex()[..16].to_owned()
}

fn mark_json(mark: &Mark, own: Option<(&str, &MarkRecord)>) -> Value {
    let (pattern, template) = match &mark.target {
        Target::Id(id) => (Some(id.to_string()), None),
        Target::Template(text) => (None, Some(text)),
    };
    json!({
        "id": own.map(|(id, _)| id),
        "pattern": pattern,
        "template": template,
        "mark": mark.word.as_str(),
        "scope": mark.scope,
        "ticket": mark.ticket,
        "comment": mark.comment,
        "by": own.map_or("a rule file", |(_, record)| &record.by),
        "at": own.map(|(_, record)| rfc3339(record.wall)),
    })
}

async fn list(State(handle): State<Handle>) -> Answer {
    let own = handle.store.read_async(|view| view.scan(MARKS, "")).await.map_err(unavailable)?;
    let rules = handle.live.rules();
    let of_files = rules.marks.iter().filter(|mark| !own.iter().any(|(_, record)| record.mark == **mark));
    let mut all: Vec<Value> = own.iter().map(|(id, record)| mark_json(&record.mark, Some((id, record)))).collect();
    all.extend(of_files.map(|mark| mark_json(mark, None)));
    Ok(Json(json!({"marks": all})))
}

async fn add(State(handle): State<Handle>, body: Bytes) -> Answer {
    let (mark, by) = read::<Body>(&body)?.mark().map_err(ApiError::bad_request)?;
    let (id, record) = (id_of(&mark), MarkRecord { mark, by, wall: handle.clock.now_ns() });
    let answer = mark_json(&record.mark, Some((&id, &record)));
    let added = handle.store.write_async(move |tx| {
        if tx.get(MARKS, &id)?.is_none() && tx.scan(MARKS, "")?.len() >= MARKS_MAX {
            return Ok(false);
        }
        tx.put(MARKS, &id, &record).map(|()| true)
    });
    match added.await.map_err(unavailable)? {
        true => {
            tracing::info!(mark = %answer, "a pattern is marked");
            Ok(Json(answer))
        }
        false => Err(ApiError::bad_request(format!("{MARKS_MAX} patterns are marked: move some into a rule file"))),
    }
}

async fn remove(State(handle): State<Handle>, Path(id): Path<String>) -> Answer {
    let removed = handle.store.write_async(move |tx| {
        let record = tx.get(MARKS, &id)?;
        tx.delete(MARKS, &id)?;
        Ok(record.map(|record| mark_json(&record.mark, Some((&id, &record)))))
    });
    let removed = removed.await.map_err(unavailable)?;
    removed
        .map(Json)
        .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such mark; those of rule files are ended there"))
}
