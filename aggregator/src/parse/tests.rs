//! Every recorded log through its parser, and what holds for any bytes at all.

pub(in crate::parse) mod fixture;
mod hostile;
pub(super) mod samples;
