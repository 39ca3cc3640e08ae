//! From a line to fields. Parsing never fails: a line that no parser knows is a message with its raw text.

pub mod line;
