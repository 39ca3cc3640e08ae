//! What a needle and the newest rows cost over many times as much: whether the store leaves out what has nothing.
//!
//! Nobody waits for 100 GB to be taken in. The splits of a set without the rare lines stand under other names, as hard
//! links, once for each day before, beside those of the set that is asked for; the catalogue says the earlier days.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use logweir_proto::frame;
use serde_json::{Value, json};

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// The days before today must be kept.
pub const SETTINGS: &str = "retention: { days: 10000 }\n";

/// Makes the data folder of a server: the splits of `newest`, and `times` - 1 times those of `others` on the days
/// before. Returns how many splits there are.
pub fn grow(newest: &Path, others: &Path, times: u64, into: &Path) -> anyhow::Result<usize> {
    let into = into.join("store");
    for folder in ["splits", "commits"] {
        fs::create_dir_all(into.join(folder))?;
    }
    let mut count = 0;
    for day in 0..times {
        let store = if day == 0 { newest } else { others }.join("store");
        let mut added = Vec::new();
        for (path, mut meta) in splits(&store)? {
            let name = format!("splits/{day}-{}", path.replace('/', "-"));
            fs::hard_link(store.join(&path), into.join(&name)).with_context(|| name.clone())?;
            for key in ["min_time_ns", "max_time_ns"] {
                let time_ns = meta[key].as_i64().context(key)?;
                meta[key] = (time_ns - i64::try_from(day)? * NS_PER_DAY).into();
            }
            meta["path"] = name.into();
            added.push(meta);
        }
        count += added.len();
        let record = json!({"nonce": format!("day {day}"), "time_ns": 0, "added": added});
        let mut framed = Vec::new();
        frame::put(&mut framed, &[&serde_json::to_vec(&record)?]).map_err(anyhow::Error::new)?;
        fs::write(into.join(format!("commits/{:020}.commit", day + 1)), framed)?;
    }
    Ok(count)
}

/// The live splits of a store by their names, as its commit records tell them; see `docs/formats.md`.
fn splits(store: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut splits = BTreeMap::new();
    for seq in 1u64.. {
        let path = store.join(format!("commits/{seq:020}.commit"));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let frame::Next::Frame(record) = frame::take(&mut &bytes[..]) else {
            anyhow::bail!("{} is no record", path.display())
        };
        let record: Value = serde_json::from_slice(record)?;
        for removed in record["removed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            splits.remove(removed);
        }
        for meta in record["added"].as_array().into_iter().flatten() {
            splits.insert(meta["path"].as_str().context("a split has a name")?.to_owned(), meta.clone());
        }
    }
    ensure!(!splits.is_empty(), "{} has no splits, or its first commit records are gone", store.display());
    Ok(splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_stand_once_for_each_day() {
        let dir = tempfile::tempdir().unwrap();
        let commit = |store: &Path, seq: u64, record: Value| {
            let mut framed = Vec::new();
            frame::put(&mut framed, &[record.to_string().as_bytes()]).unwrap();
            fs::write(store.join(format!("commits/{seq:020}.commit")), framed).unwrap();
        };
        let meta = |path: &str| json!({"path": path, "min_time_ns": NS_PER_DAY, "max_time_ns": 2 * NS_PER_DAY});
        for data in ["newest", "others"] {
            let store = dir.path().join(data).join("store");
            fs::create_dir_all(store.join("splits/1")).unwrap();
            fs::create_dir_all(store.join("commits")).unwrap();
            fs::write(store.join("splits/1/b"), data).unwrap();
            commit(&store, 1, json!({"nonce": "x", "time_ns": 0, "added": [meta("splits/1/a")]}));
            let merged = json!({"nonce": "y", "time_ns": 0, "added": [meta("splits/1/b")], "removed": ["splits/1/a"]});
            commit(&store, 2, merged);
        }
        let into = dir.path().join("into");
        assert_eq!(grow(&dir.path().join("newest"), &dir.path().join("others"), 3, &into).unwrap(), 3);
        let made = splits(&into.join("store")).unwrap();
        let told: Vec<String> = made
            .iter()
            .map(|(path, meta)| {
                let data = fs::read_to_string(into.join("store").join(path)).unwrap();
                format!("{path} {data} {}", meta["max_time_ns"].as_i64().unwrap() / NS_PER_DAY)
            })
            .collect();
        let want = ["splits/0-splits-1-b newest 2", "splits/1-splits-1-b others 1", "splits/2-splits-1-b others 0"];
        assert_eq!(told, want);
    }
}
