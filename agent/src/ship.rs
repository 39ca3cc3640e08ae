//! Sending batches: what an answer means is a table without I/O, the client does what the table says.

pub mod client;
pub mod policy;
