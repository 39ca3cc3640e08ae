//! Parsers of one's own.
