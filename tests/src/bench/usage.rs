//! CPU time, memory and disk of processes, as Linux tells them.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// `USER_HZ`, which Linux fixes at 100 for everything below `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu_s: f64,
}

impl Usage {
    pub fn of_self() -> anyhow::Result<Usage> {
        Usage::read("/proc/self/stat")
    }

    pub fn of(pid: u32) -> anyhow::Result<Usage> {
        Usage::read(&format!("/proc/{pid}/stat"))
    }

    fn read(path: &str) -> anyhow::Result<Usage> {
        Usage::parse(&fs::read_to_string(path).with_context(|| path.to_owned())?).with_context(|| path.to_owned())
    }

    /// The name in parentheses may hold anything, so fields are counted from behind it.
    fn parse(stat: &str) -> anyhow::Result<Usage> {
        let Some((_, after)) = stat.rsplit_once(')') else { bail!("no process name") };
        // `after` begins with field 3, the state; 14 and 15 are utime and stime.
        let mut fields = after.split_whitespace().skip(11).map_while(|field| field.parse::<f64>().ok());
        let (Some(user), Some(system)) = (fields.next(), fields.next()) else { bail!("too few fields") };
        Ok(Usage { cpu_s: (user + system) / TICKS_PER_SECOND })
    }
}

/// The most memory that the process had resident, in MiB.
pub fn peak_memory_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

/// The memory that the process has resident, in MiB.
pub fn memory_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

fn status_mib(pid: u32, field: &'static str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context(field)?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().context(field)?;
    Ok(kib / 1024.0)
}

/// Bytes of all files below a folder.
pub fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            // A file may go away while the server tidies up.
            let Ok(metadata) = entry.metadata() else { continue };
            match metadata.is_dir() {
                true => folders.push(entry.path()),
                false => total += metadata.len(),
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 1 2 3 4 250 50 30 20 20 0 1 0 5";
        let usage = Usage::parse(stat).unwrap();
        assert!((usage.cpu_s - 3.0).abs() < 1e-9);
        assert!(Usage::parse("12 (a) S 1").is_err());
    }
}
