//! Alert rules: the files that people write, the conditions in them, and the state machine that they drive.
//!
//! No clock and no network in here: time is an argument, log lines and their counts are arguments. The server, the
//! offline tests of rules and later a backtest run exactly this code, so that they cannot disagree.

pub mod anomaly;
pub mod condition;
pub mod evaluate;
pub mod file;
pub mod import;
pub mod library;
pub mod lint;
pub mod marks;
pub mod model;
pub mod names;
pub mod schedule;
pub mod signal;
mod slots;
pub mod table;
