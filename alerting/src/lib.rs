//! Alerting: rules are asked at their times, states and messages are kept in one durable store, messages are sent
//! until they arrive or are visibly given up.
//!
//! ```text
//! evaluate ─▶ state (one transaction: cursor, instances, episodes, groups) ─▶ route::group ─▶ notify::outbox ─▶ channel
//! ```
//! The log store is asked through [`source::QuerySource`]; this crate does not know what is behind it.

pub mod api;
pub mod backtest;
pub mod check;
pub mod evaluate;
#[cfg(test)]
mod fixture;
pub mod handle;
pub mod hygiene;
pub mod notify;
pub mod route;
pub mod service;
pub mod source;
pub mod state;
mod watch;

pub use handle::Handle;
pub use service::{Service, Settings};
