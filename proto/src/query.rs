//! The query language: what people type into the search box, rule files and the command line.
//!
//! [`ast`] is what was meant, [`parse`] reads the text (nom) and says where and how it is wrong, `Display` of a
//! [`ast::Query`] prints it back in canonical form, [`value`] says what a literal means as a number, a level or a time.
//! The grammar knows nothing of an index: how a filter is executed is the store's business.

pub mod ast;
pub mod extract;
pub mod parse;
mod print;
pub mod value;
