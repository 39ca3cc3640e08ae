//! Docker: `containers/ID/ID-json.log`, with name, image and labels from `config.v2.json` and the driver from
//! `hostconfig.json`. A label becomes the field `label.NAME`: those that `docker.labels` chooses, or without that key
//! all but what the machinery around containers says of itself.

use std::path::{Path, PathBuf};

use glob::Pattern;
use logweir_proto::batch::SourceKind;
use serde_json::Value;

use super::{Candidate, Finding, read_small};
use crate::config::{Config, Roots};
use crate::decode::frames;

/// Labels of one container that become fields.
pub const CONTAINER_LABELS_MAX: usize = 20;

pub(super) fn containers_dir(roots: &Roots) -> PathBuf {
    roots.docker.clone().unwrap_or_else(|| PathBuf::from("/var/lib/docker")).join("containers")
}

pub(super) fn find(config: &Config, all: &mut Vec<Finding>) {
    let Ok(entries) = std::fs::read_dir(containers_dir(&config.roots)) else { return };
    let chosen: Option<Vec<Pattern>> =
        config.container_labels.as_ref().map(|globs| globs.iter().filter_map(|glob| Pattern::new(glob).ok()).collect());
    let mut dirs: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|dir| dir.is_dir()).collect();
    dirs.sort();
    for dir in dirs {
        all.extend(container(&dir, chosen.as_deref()));
    }
}

fn container(dir: &Path, chosen: Option<&[Pattern]>) -> Option<Finding> {
    let config: Value = serde_json::from_str(&read_small(&dir.join("config.v2.json"))?).ok()?;
    let host: Value =
        read_small(&dir.join("hostconfig.json")).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let id = config["ID"].as_str().unwrap_or_default();
    let name = config["Name"].as_str().unwrap_or_default().trim_start_matches('/');
    let driver = host["LogConfig"]["Type"].as_str().unwrap_or("json-file");
    let path = match driver {
        "json-file" => {
            // The path that the daemon names is right unless the directory is mounted elsewhere.
            let named = config["LogPath"].as_str().map(PathBuf::from).filter(|path| path.parent() == Some(dir));
            named.unwrap_or_else(|| dir.join(format!("{id}-json.log")))
        }
        "local" => dir.join("local-logs/container.log"),
        _ => return Some(Finding::skip(dir, SourceKind::Docker, elsewhere(name, driver))),
    };
    let labels = config["Config"]["Labels"].as_object();
    let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str()).unwrap_or_default();
    let service = label("com.docker.compose.service");
    let mut candidate = Candidate::new(path, SourceKind::Docker);
    if driver == "local" {
        candidate.format = frames::FORMAT.into();
    }
    candidate = candidate
        .label("service", if service.is_empty() { name } else { service })
        .label("container", name)
        .label("image", config["Config"]["Image"].as_str().unwrap_or_default())
        .label("compose_project", label("com.docker.compose.project"));
    let is_chosen = |key: &str| match chosen {
        Some(globs) => globs.iter().any(|glob| glob.matches(key)),
        None => !is_machinery(key),
    };
    let own = labels.into_iter().flatten().filter(|(key, _)| is_chosen(key)).take(CONTAINER_LABELS_MAX);
    for (key, value) in own {
        candidate = candidate.label(&format!("label.{key}"), value.as_str().unwrap_or_default());
    }
    let with = if driver == "local" { ", local log driver" } else { "" };
    Some(Finding::follow(candidate, format!("container {name}{with}")))
}

/// Why nothing of a container is in Docker's own files, and what to do.
fn elsewhere(name: &str, driver: &str) -> String {
    let hint = match driver {
        "journald" => "read it with journald: {} in the configuration",
        "syslog" => "let it send to the agent: syslog: {} in the configuration, --log-opt syslog-address there",
        "none" => "it keeps no log",
        _ => "its log is elsewhere: use json-file or local to have it followed",
    };
    format!("container {name} uses the {driver} log driver; {hint}")
}

/// Labels that say how an image was built or started, not what it is.
fn is_machinery(key: &str) -> bool {
    key.starts_with("com.docker.") || key.starts_with("org.opencontainers.image.") || key.starts_with("desktop.docker.")
}
