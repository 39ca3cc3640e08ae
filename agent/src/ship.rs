//! Sending batches: what an answer means and which server is asked are tables without I/O, `connect` knows the way, the
//! client does what the tables say.

pub mod client;
pub mod connect;
pub mod policy;
pub mod servers;
