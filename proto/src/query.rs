//! The query language: what people type into the search box, rule files and the command line.
//!
//! [`ast`] is what was meant, [`parse`] reads the text (nom) and says where and how it is wrong. The grammar knows
//! nothing of an index: how a filter is executed is the store's business.

pub mod ast;
