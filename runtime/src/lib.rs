//! Shared input and output without one word of the domain: time, durable files, back-off, shutdown, serving, TLS.

pub mod backoff;
pub mod clock;
pub mod drain;
pub mod durable;
pub mod http_error;
pub mod loopback;
pub mod open_files;
pub mod pool;
mod prometheus;
pub mod secrets;
pub mod serve;
pub mod systemd;
pub mod telemetry;
pub mod text_file;
pub mod threads;
pub mod tls;
