//! Docker: `containers/ID/ID-json.log`, with name, image and labels from `config.v2.json` and the driver from
//! `hostconfig.json`.

use std::path::{Path, PathBuf};

use logweir_proto::batch::SourceKind;
use serde_json::Value;

use super::{Candidate, Finding, read_small};
use crate::config::Roots;

/// Labels of one container that become fields.
pub const CONTAINER_LABELS_MAX: usize = 20;

pub(super) fn containers_dir(roots: &Roots) -> PathBuf {
    roots.docker.clone().unwrap_or_else(|| PathBuf::from("/var/lib/docker")).join("containers")
}

pub(super) fn find(roots: &Roots, all: &mut Vec<Finding>) {
    let Ok(entries) = std::fs::read_dir(containers_dir(roots)) else { return };
    let mut dirs: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|dir| dir.is_dir()).collect();
    dirs.sort();
    for dir in dirs {
        all.extend(container(&dir));
    }
}

fn container(dir: &Path) -> Option<Finding> {
    let config: Value = serde_json::from_str(&read_small(&dir.join("config.v2.json"))?).ok()?;
    let host: Value =
        read_small(&dir.join("hostconfig.json")).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let id = config["ID"].as_str().unwrap_or_default();
    let name = config["Name"].as_str().unwrap_or_default().trim_start_matches('/');
    let driver = host["LogConfig"]["Type"].as_str().unwrap_or("json-file");
    if driver != "json-file" {
        let path = if driver == "local" { dir.join("local-logs/container.log") } else { dir.to_path_buf() };
        let why =
            format!("container {name} uses the {driver} log driver, which this version does not read: use json-file");
        return Some(Finding::skip(path, SourceKind::Docker, why));
    }
    // The path that the daemon names is right unless the directory is mounted elsewhere.
    let named = config["LogPath"].as_str().map(PathBuf::from).filter(|path| path.parent() == Some(dir));
    let path = named.unwrap_or_else(|| dir.join(format!("{id}-json.log")));
    let labels = config["Config"]["Labels"].as_object();
    let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str()).unwrap_or_default();
    let service = label("com.docker.compose.service");
    let mut candidate = Candidate::new(path, SourceKind::Docker)
        .label("service", if service.is_empty() { name } else { service })
        .label("container", name)
        .label("image", config["Config"]["Image"].as_str().unwrap_or_default())
        .label("compose_project", label("com.docker.compose.project"));
    let own = labels.into_iter().flatten().filter(|(key, _)| !is_machinery(key)).take(CONTAINER_LABELS_MAX);
    for (key, value) in own {
        candidate = candidate.label(&format!("label.{key}"), value.as_str().unwrap_or_default());
    }
    Some(Finding::follow(candidate, format!("container {name}")))
}

/// Labels that say how an image was built or started, not what it is.
fn is_machinery(key: &str) -> bool {
    key.starts_with("com.docker.") || key.starts_with("org.opencontainers.image.") || key.starts_with("desktop.docker.")
}
