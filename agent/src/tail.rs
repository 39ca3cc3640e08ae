//! Finding and following files: which are there, which is which after a rotation, and what of them is not shipped yet.
//!
//! Everything in here is synchronous and asks no clock: the pipeline calls it with the time.

use tokio::time::Instant;

pub mod body;
pub mod checkpoint;
pub mod descriptors;
pub mod discover;
pub mod follow;
pub mod formats;
pub mod identity;
pub mod info;
pub mod journal;
mod looks;
mod missed;
mod names;
pub mod reader;
mod recover;
pub mod rotate;
pub mod shared;
pub mod siblings;
mod spooled;

#[cfg(test)]
pub(crate) mod model;

/// The moment of a call: one clock for durations, one for people.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub mono: Instant,
    pub wall_ns: i64,
}
