//! From a due message to its receiver: the outbox keeps it, a channel renders and sends it, a table decides what
//! an answer means.

pub mod alertmanager;
pub mod canary;
pub mod chart;
pub mod discord;
pub mod email;
pub mod guard;
pub mod heartbeat;
pub mod http;
pub mod links;
pub mod message;
pub mod outbox;
pub mod pagerduty;
pub mod policy;
pub mod sender;
pub mod slack;
pub mod sms;
pub mod teams;
pub mod telegram;
pub mod template;
pub mod text;
pub mod webhook;

#[cfg(test)]
mod tests;
