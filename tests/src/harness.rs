//! Real programs for the end-to-end tests: ours, and those whose logs we read.
//!
//! Every process has its files and its log below one scratch folder, which is thrown away when the test passes and kept
//! and printed when it does not. Nothing here sleeps for luck: [`wait::eventually`] asks until the answer is there or a
//! deadline has passed.

pub mod agent;
pub mod browser;
pub mod client;
pub mod desk;
pub mod docker;
pub mod events;
pub mod journald;
pub mod ledger;
pub mod nginx;
pub mod pm2;
pub mod process;
pub mod programs;
pub mod scratch;
pub mod server;
pub mod wait;
pub mod webhook;

pub use agent::Agent;
pub use client::Client;
pub use process::{Outcome, Process};
pub use scratch::{Scratch, run};
pub use server::Server;
pub use wait::eventually;
