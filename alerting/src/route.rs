//! Who is told: the routing file, the route tree, and the groups in which episodes are told together.

pub mod file;
pub mod group;
pub mod matcher;
pub mod tree;

pub use file::{Channel, Receiver, Routing};
