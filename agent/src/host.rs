//! The state of the host as an event: processor, load, memory, disks, network, from `/proc`.
//!
//! It goes the way of every line, as a source without a file: a new one for each run of the agent, whose offsets count
//! the bytes of its events. It is not in the checkpoint: a sample that was under way in a crash is not sent again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir_proto::batch::{ChunkBuilder, SourceInfo, SourceKind, Stream};
use logweir_runtime::clock::rfc3339;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::tail::Now;

pub const SAMPLE_EVERY: Duration = Duration::from_secs(15);
/// Mount points that are looked at.
pub const MOUNTS_MAX: usize = 64;
/// `/proc/diskstats` counts in sectors of this size whatever the disk has.
const SECTOR_BYTES: u64 = 512;

/// Counters of the kernel, which only mean something as a difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    cpu_all: u64,
    cpu_idle: u64,
    cpu_iowait: u64,
    disk_read: u64,
    disk_written: u64,
    net_received: u64,
    net_sent: u64,
}

/// Takes samples of one host.
#[derive(Debug, Clone)]
pub struct Host {
    proc: PathBuf,
    info: SourceInfo,
    offset: u64,
    last: Option<(Instant, Counters)>,
}

impl Host {
    /// `run` is unique for each run of the agent.
    pub fn new(proc: &Path, run: &str) -> Host {
        let info = SourceInfo {
            id: format!("host-{run}"),
            kind: SourceKind::Json,
            path: proc.display().to_string(),
            format: String::new(),
            labels: [("service".to_owned(), "host".to_owned())].into(),
        };
        Host { proc: proc.to_owned(), info, offset: 0, last: None }
    }

    /// The next event; `None` the first time, when there is nothing to compare with. Reads files.
    pub fn sample(&mut self, now: Now) -> Option<(SourceInfo, ChunkBuilder)> {
        let counters = self.counters();
        let (at, before) = self.last.replace((now.mono, counters))?;
        let event = self.event(now, before, counters, now.mono.duration_since(at).as_secs_f64());
        let text = Value::Object(event).to_string();
        let mut chunk = ChunkBuilder::new(self.offset);
        chunk.push(text.as_bytes(), text.len() as u64 + 1, Some(now.wall_ns), Stream::None, false);
        self.offset = chunk.end();
        Some((self.info.clone(), chunk))
    }

    fn event(&self, now: Now, before: Counters, after: Counters, seconds: f64) -> Map<String, Value> {
        let mut event = Map::new();
        let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
        let cpu =
            share(after.cpu_all - after.cpu_idle, before.cpu_all - before.cpu_idle, after.cpu_all, before.cpu_all);
        let memory = self.memory();
        let used = memory.map(|(total, available, _)| percent(total - available.min(total), total));
        let load = self.load();
        let disks = self.disks();
        let fullest = disks.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let text = format!(
            "host: cpu {cpu:.0} %, memory {:.0} %, load {:.2}, fullest disk {:.0} %",
            used.unwrap_or_default(),
            load.map_or(0.0, |load| load[0]),
            fullest.map_or(0.0, |(_, used, _)| *used)
        );
        put("time", rfc3339(now.wall_ns).into());
        put("level", "info".into());
        put("message", text.into());
        put("cpu_percent", rounded(cpu));
        put("cpu_iowait_percent", rounded(share(after.cpu_iowait, before.cpu_iowait, after.cpu_all, before.cpu_all)));
        if let Some([one, five, fifteen]) = load {
            put("load_1m", rounded(one));
            put("load_5m", rounded(five));
            put("load_15m", rounded(fifteen));
        }
        if let (Some((total, available, swap)), Some(used)) = (memory, used) {
            put("memory_total_bytes", total.into());
            put("memory_available_bytes", available.into());
            put("memory_used_percent", rounded(used));
            put("swap_used_bytes", swap.into());
        }
        if let Some((path, used, free)) = fullest {
            put("disk_path", path.as_str().into());
            put("disk_used_percent", rounded(*used));
            put("disk_free_bytes", (*free).into());
        }
        let rate = |after: u64, before: u64| json!((after.saturating_sub(before) as f64 / seconds.max(0.001)) as u64);
        put("disk_read_bytes_per_s", rate(after.disk_read, before.disk_read));
        put("disk_written_bytes_per_s", rate(after.disk_written, before.disk_written));
        put("net_received_bytes_per_s", rate(after.net_received, before.net_received));
        put("net_sent_bytes_per_s", rate(after.net_sent, before.net_sent));
        event
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.proc.join(name)).unwrap_or_default()
    }

    fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        let stat = self.read("stat");
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let cpu: Vec<u64> = stat.lines().next().map(|line| numbers(line).take(8).collect()).unwrap_or_default();
        counters.cpu_all = cpu.iter().sum();
        counters.cpu_iowait = cpu.get(4).copied().unwrap_or(0);
        counters.cpu_idle = cpu.get(3).copied().unwrap_or(0) + counters.cpu_iowait;
        let disks = self.read("diskstats");
        for line in disks.lines().filter(|line| is_whole_disk(line)) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let sectors = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            counters.disk_read += sectors(5) * SECTOR_BYTES;
            counters.disk_written += sectors(9) * SECTOR_BYTES;
        }
        let net = self.read("net/dev");
        for (name, line) in net.lines().filter_map(|line| line.split_once(':')) {
            // What stays on the machine or is counted on a real interface already.
            if ["lo", "veth", "docker", "br-", "cni", "cali", "ifb", "virbr"].iter().any(|p| name.trim().starts_with(p))
            {
                continue;
            }
            let fields: Vec<u64> = numbers(line).collect();
            counters.net_received += fields.first().copied().unwrap_or(0);
            counters.net_sent += fields.get(8).copied().unwrap_or(0);
        }
        counters
    }

    fn load(&self) -> Option<[f64; 3]> {
        let text = self.read("loadavg");
        let mut load = text.split(' ').filter_map(|number| number.parse().ok());
        Some([load.next()?, load.next()?, load.next()?])
    }

    /// Total, available, swap that is used.
    fn memory(&self) -> Option<(u64, u64, u64)> {
        let text = self.read("meminfo");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(numbers(line).next()? << 10)
        };
        let swap = value("SwapTotal").unwrap_or(0).saturating_sub(value("SwapFree").unwrap_or(0));
        Some((value("MemTotal").filter(|total| *total > 0)?, value("MemAvailable")?, swap))
    }

    /// File systems on disks of this machine: path, share that is used, free bytes. Others can hang, and are not asked.
    fn disks(&self) -> Vec<(String, f64, u64)> {
        let mounts = self.read("self/mounts");
        let mut seen = HashSet::new();
        let paths = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, path) = (fields.next()?, fields.next()?);
            (device.starts_with("/dev/") && !device.starts_with("/dev/loop") && seen.insert(device)).then_some(path)
        });
        let disk = |path: &str| {
            let stat = rustix::fs::statvfs(path).ok()?;
            let used = stat.f_blocks.saturating_sub(stat.f_bfree);
            let reachable = used + stat.f_bavail;
            (reachable > 0).then(|| (path.to_owned(), percent(used, reachable), stat.f_bavail * stat.f_frsize))
        };
        paths.take(MOUNTS_MAX).filter_map(disk).collect()
    }
}

fn numbers(line: &str) -> impl Iterator<Item = u64> + '_ {
    line.split_ascii_whitespace().filter_map(|text| text.parse().ok())
}

/// Disks, not their partitions, and not what is built of them.
fn is_whole_disk(line: &str) -> bool {
    let name = line.split_ascii_whitespace().nth(2).unwrap_or_default();
    let digit_last = name.ends_with(|c: char| c.is_ascii_digit());
    match name {
        _ if ["sd", "vd", "xvd", "hd"].iter().any(|prefix| name.starts_with(prefix)) => !digit_last,
        _ if name.starts_with("nvme") || name.starts_with("mmcblk") => !name.contains('p'),
        _ => false,
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// How much of what came to `all` came to a part of it.
fn share(part: u64, part_before: u64, all: u64, all_before: u64) -> f64 {
    percent(part.saturating_sub(part_before), all.saturating_sub(all_before)).min(100.0)
}

fn rounded(number: f64) -> Value {
    json!((number * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
    }

    fn events(host: &mut Host, now: Now) -> Vec<Value> {
        let mut events = Vec::new();
        if let Some((_, chunk)) = host.sample(now) {
            chunk.for_each(|r| events.push(serde_json::from_slice(r.text).expect("json")));
        }
        events
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_differences() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        write(
            dir.path(),
            &[
                ("stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\n"),
                ("meminfo", "MemTotal:       1000 kB\nMemAvailable:    250 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n"),
                ("loadavg", "0.50 0.40 0.30 1/200 4242\n"),
                ("diskstats", " 8 0 sda 1 0 100 0 1 0 200 0\n 8 1 sda1 1 0 100 0 1 0 200 0\n"),
                ("net/dev", "head\n eth0: 1000 1 0 0 0 0 0 0 5000 1\n lo: 9 9 9 9 9 9 9 9 9 9\n"),
            ],
        );
        let mut host = Host::new(dir.path(), "ab");
        let start = Now { mono: Instant::now(), wall_ns: 0 };
        assert!(events(&mut host, start).is_empty());
        write(
            dir.path(),
            &[
                ("stat", "cpu  150 0 150 880 20 0 0 0 0 0\n"),
                ("diskstats", " 8 0 sda 1 0 120 0 1 0 240 0\n"),
                ("net/dev", "eth0: 2000 1 0 0 0 0 0 0 9000 1\n"),
            ],
        );
        let later = Now { mono: start.mono + Duration::from_secs(10), wall_ns: 1_000_000_000 };
        let event = events(&mut host, later).pop().expect("an event");
        expect_test::expect![[r#"
            {
              "time": "1970-01-01T00:00:01.000000000Z",
              "level": "info",
              "message": "host: cpu 50 %, memory 75 %, load 0.50, fullest disk 0 %",
              "cpu_percent": 50.0,
              "cpu_iowait_percent": 10.0,
              "load_1m": 0.5,
              "load_5m": 0.4,
              "load_15m": 0.3,
              "memory_total_bytes": 1024000,
              "memory_available_bytes": 256000,
              "memory_used_percent": 75.0,
              "swap_used_bytes": 6144,
              "disk_read_bytes_per_s": 1024,
              "disk_written_bytes_per_s": 2048,
              "net_received_bytes_per_s": 100,
              "net_sent_bytes_per_s": 400
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&event).expect("json"));
    }

    #[tokio::test(start_paused = true)]
    async fn this_machine_and_none_at_all() {
        for proc in ["/proc", "/nowhere"] {
            let mut host = Host::new(Path::new(proc), "ab");
            let now = Now { mono: Instant::now(), wall_ns: 0 };
            host.sample(now);
            let later = Now { mono: now.mono + SAMPLE_EVERY, wall_ns: 1 };
            let (info, chunk) = host.sample(later).expect("the second one");
            assert_eq!((chunk.start(), chunk.records(), info.id.as_str()), (0, 1, "host-ab"));
            let (_, next) = host.sample(later).expect("the third one");
            assert_eq!(next.start(), chunk.end());
        }
    }
}
