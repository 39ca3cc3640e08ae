//! The language of patterns.
