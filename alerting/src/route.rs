//! Who is told: the routing file, the route tree, the groups in which episodes are told together, and why somebody is
//! not told.

pub mod calendar;
pub mod channel;
pub mod cron;
pub mod decide;
pub mod file;
pub mod flap;
pub mod group;
pub mod inhibit;
pub mod interval;
pub mod matcher;
pub mod outlook;
pub mod silence;
pub mod standing;
pub mod storm;
pub mod tree;

pub use channel::Channel;
pub use file::{Receiver, Routing};

#[cfg(test)]
mod tests;
