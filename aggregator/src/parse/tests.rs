//! Every recorded log through its parser, and what holds for any bytes at all.

mod fixture;
mod hostile;
mod samples;
