//! What the tests stand on: real processes under a harness, faults to throw at them, and the rules of the repository.

pub mod bench;
pub mod drill;
pub mod faults;
pub mod harness;
pub mod tidy;
