//! Random queries from the grammar.
