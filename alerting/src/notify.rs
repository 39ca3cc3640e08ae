//! From a due message to its receiver: the outbox keeps it, a channel renders and sends it, a table decides what
//! an answer means.

pub mod guard;
pub mod http;
pub mod message;
pub mod outbox;
pub mod policy;
pub mod sender;
pub mod slack;
pub mod template;
pub mod webhook;
