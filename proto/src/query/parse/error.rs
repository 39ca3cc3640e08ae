//! What is wrong with a query, where, and how to mend it.

use std::fmt;

use crate::api::{ErrorCode, ErrorDetail};
use crate::query::ast::Span;

/// A mistake in the text of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub message: String,
    /// Bytes of the text, on character boundaries. Empty at the end of the text.
    pub span: Span,
    pub hint: Option<String>,
}

impl ParseError {
    pub(super) fn new(span: Span, message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), span, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> ParseError {
        self.hint = Some(hint.into());
        self
    }

    /// 1-based column of its beginning, in characters from the start of `text`.
    pub fn column(&self, text: &str) -> usize {
        column(text, self.span.start)
    }

    /// Its length in characters.
    pub fn len_chars(&self, text: &str) -> usize {
        text.get(self.span.start..self.span.end).map_or(0, |part| part.chars().count())
    }

    /// The body of the API's answer.
    pub fn detail(&self, text: &str) -> ErrorDetail {
        ErrorDetail {
            code: ErrorCode::ParseError,
            message: self.message.clone(),
            pos: Some(self.column(text)),
            len: Some(self.len_chars(text)),
            hint: self.hint.clone(),
            missing: None,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

/// 1-based column, in characters from the start of `text`, of the byte at `pos`.
pub fn column(text: &str, pos: usize) -> usize {
    text.char_indices().take_while(|(start, _)| *start < pos).count() + 1
}
