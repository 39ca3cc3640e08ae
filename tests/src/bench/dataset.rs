//! One set of lines in memory, and how fast `zstd -1` is on it.

use std::io::Write;

use anyhow::Context;
use logweir_runtime::clock::Clock;

use super::generate::{Generator, RARE_PATH, RARE_TRACE};
use super::usage::Usage;

const NS_PER_DAY: i64 = 86_400_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Json,
    Nginx,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Json => "json",
            Kind::Nginx => "nginx",
        }
    }

    /// Bytes of a line, newline included, to know their number before they are made.
    const fn line_bytes(self) -> u64 {
        match self {
            Kind::Json => 303,
            Kind::Nginx => 208,
        }
    }
}

#[derive(Debug)]
pub struct Dataset {
    pub kind: Kind,
    /// All lines, each with its newline.
    pub text: String,
    pub lines: u64,
    /// `[from, to)` of the times of the lines, in RFC 3339.
    pub from: String,
    pub to: String,
}

/// `zstd -1` with one thread.
#[derive(Debug, Clone, Copy)]
pub struct Yardstick {
    pub mb_per_cpu_s: f64,
    pub ratio: f64,
}

impl Dataset {
    /// About `megabytes` of lines, dated over the whole of yesterday.
    pub fn generate(kind: Kind, megabytes: u64) -> anyhow::Result<Dataset> {
        Dataset::of_day(kind, 1, megabytes * 1_000_000 / kind.line_bytes())
    }

    /// So many lines, dated over the whole of a day that is so many days ago.
    pub fn of_day(kind: Kind, days_ago: u64, lines: u64) -> anyhow::Result<Dataset> {
        let today = Clock::system().now_ns() / NS_PER_DAY;
        let from_ns = (today - i64::try_from(days_ago)?) * NS_PER_DAY;
        let mut generator = Generator::new(from_ns, lines);
        let mut text = String::with_capacity(usize::try_from(lines * kind.line_bytes() / 10 * 11)?);
        for _ in 0..lines {
            match kind {
                Kind::Json => generator.json(&mut text),
                Kind::Nginx => generator.nginx(&mut text),
            }
            text.push('\n');
        }
        let time = |ns: i64| jiff::Timestamp::from_nanosecond(i128::from(ns)).map(|time| time.to_string());
        Ok(Dataset { kind, text, lines, from: time(from_ns)?, to: time(from_ns + NS_PER_DAY)? })
    }

    /// The same lines but for the rare ones, which are like all others.
    pub fn without_rare(&self) -> Dataset {
        let text = self.text.replace(RARE_TRACE, "0af7651916cd43dd8448eb211c80319c").replace(RARE_PATH, "2k0fk18z");
        Dataset { text, from: self.from.clone(), to: self.to.clone(), ..*self }
    }

    pub fn megabytes(&self) -> f64 {
        self.text.len() as f64 / 1e6
    }

    pub fn zstd(&self) -> anyhow::Result<Yardstick> {
        let before = Usage::of_self()?;
        let mut encoder = zstd::stream::write::Encoder::new(Counter::default(), 1).context("zstd")?;
        encoder.write_all(self.text.as_bytes())?;
        let compressed = encoder.finish()?.bytes;
        let cpu_s = Usage::of_self()?.cpu_s - before.cpu_s;
        Ok(Yardstick {
            mb_per_cpu_s: self.megabytes() / cpu_s.max(0.01),
            ratio: self.text.len() as f64 / compressed.max(1) as f64,
        })
    }
}

/// A writer that only counts.
#[derive(Debug, Default)]
struct Counter {
    bytes: u64,
}

impl Write for Counter {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
