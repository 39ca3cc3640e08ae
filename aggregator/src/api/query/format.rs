//! Answers without frames, for programs that want rows and nothing else: `rows`, `csv` and `text`.
//!
//! There is no last line that could say that something is missing, so an answer that is not complete breaks off: the
//! body has no end, and every client that checks its transfer fails.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use logweir_proto::api::{QueryAnswer, QueryFormat, Row};
use logweir_proto::csv;
use logweir_proto::record::EventId;

use super::{Broken, Piece, Running, put_id};
use crate::api::error::ApiError;
use crate::search::execute::Event;

/// Rows of one answer as text.
pub(super) struct Writer {
    format: QueryFormat,
    asked: Option<Vec<String>>,
    columns: Vec<String>,
}

impl Writer {
    pub(super) fn new(format: QueryFormat, asked: Option<Vec<String>>) -> Writer {
        Writer { format, asked, columns: Vec::new() }
    }

    fn head(&mut self, columns: Vec<String>, events: bool) -> String {
        self.columns = match &self.asked {
            Some(asked) if events => asked.clone(),
            None if events => csv::event_columns(&columns),
            _ => columns,
        };
        if self.format == QueryFormat::Csv { csv::header(&self.columns) } else { String::new() }
    }

    fn line(&self, id: Option<EventId>, mut row: Row) -> String {
        match self.format {
            QueryFormat::Csv => csv::line(&self.columns, &row),
            QueryFormat::Text => match row.get("raw").and_then(|raw| raw.as_str()) {
                Some(raw) => format!("{raw}\n"),
                None => row.values().map(|value| csv::text(Some(value))).collect::<Vec<_>>().join("\t") + "\n",
            },
            QueryFormat::Events | QueryFormat::Rows => {
                if let Some(id) = id {
                    put_id(&mut row, id);
                }
                serde_json::to_string(&row).unwrap_or_default() + "\n"
            }
        }
    }

    fn response(&self, body: Body) -> Response {
        let kind = match self.format {
            QueryFormat::Events | QueryFormat::Rows => "application/x-ndjson",
            QueryFormat::Csv => "text/csv; charset=utf-8",
            QueryFormat::Text => "text/plain; charset=utf-8",
        };
        ([(CONTENT_TYPE, kind)], body).into_response()
    }

    /// An answer that is there as a whole.
    pub(super) fn whole(mut self, answer: QueryAnswer) -> Response {
        let mut body = self.head(answer.columns, answer.events);
        body.extend(answer.rows.into_iter().map(|row| self.line(None, row)));
        self.response(Body::from(body))
    }

    /// An answer as it comes.
    pub(super) async fn stream(self, mut running: Running) -> Result<Response, ApiError> {
        let first = running.first().await?;
        let head = Writer { format: self.format, asked: None, columns: Vec::new() };
        let pieces = stream::unfold(Some((self, running, Some(first))), async |state| {
            let (mut writer, mut running, mut first) = state?;
            loop {
                let piece = match first.take() {
                    Some(piece) => Some(piece),
                    None => running.next().await,
                };
                let text = match piece {
                    Some(Piece::Event(Event::Meta { columns, events, .. })) => writer.head(columns, events),
                    Some(Piece::Event(Event::Row { id, row })) => writer.line(id, row),
                    Some(Piece::Event(Event::Progress { .. })) => continue,
                    Some(Piece::End(Ok(outcome))) => {
                        let reason = outcome.reason?;
                        return Some((Err(Broken(reason.as_str().to_owned())), None));
                    }
                    Some(Piece::End(Err(error))) => return Some((Err(Broken(error.to_string())), None)),
                    None => return Some((Err(Broken("it ended without an answer".to_owned())), None)),
                };
                if !text.is_empty() {
                    return Some((Ok(Bytes::from(text)), Some((writer, running, None))));
                }
            }
        });
        Ok(head.response(Body::from_stream(pieces)))
    }
}
