//! The demo shop; see below.
