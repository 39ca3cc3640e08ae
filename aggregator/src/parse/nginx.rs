//! NGINX: access logs in any `log_format`, and the error log.

pub(super) mod access;
pub(super) mod error;
mod escape;
mod format;
mod variable;
