//! End to end: real programs write, the real agent and server run as processes, a person's commands read.
//!
//! One binary, so that the harness is linked once. Each module is one promise.

mod amtool;
mod anomaly;
mod canary;
mod commands;
mod deployed;
mod disk;
mod drills;
mod export;
mod files;
mod hostile;
mod ingest_time;
mod journal;
mod live;
mod machine;
mod marks;
mod newcomer;
mod nginx_formats;
mod notify_alertmanager;
mod notify_email;
mod notify_webhook;
mod page;
mod prometheus;
mod readers;
mod restart;
mod sources;
