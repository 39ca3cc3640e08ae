//! Kubernetes: `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log` in CRI format.

use std::path::PathBuf;

use logweir_proto::batch::SourceKind;

use super::{Candidate, Finding};
use crate::config::Roots;

pub(super) fn pods_dir(roots: &Roots) -> PathBuf {
    roots.kubernetes.clone().unwrap_or_else(|| PathBuf::from("/var/log/pods"))
}

pub(super) fn find(roots: &Roots, all: &mut Vec<Finding>) {
    let pattern = pods_dir(roots).join("*_*_*/*/*.log");
    let Ok(paths) = glob::glob(&pattern.to_string_lossy()) else { return };
    for path in paths.filter_map(|path| path.ok()) {
        let parts: Vec<String> = path.iter().rev().take(3).map(|part| part.to_string_lossy().into_owned()).collect();
        let [file, container, pod] = parts.as_slice() else { continue };
        let numbered =
            file.strip_suffix(".log").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let mut names = pod.splitn(3, '_');
        let (Some(namespace), Some(name), true) = (names.next(), names.next(), numbered) else {
            all.push(Finding::skip(path, SourceKind::Cri, "not the log of a container run (N.log)"));
            continue;
        };
        let candidate = Candidate::new(path.clone(), SourceKind::Cri)
            .label("service", container.as_str())
            .label("container", container.as_str())
            .label("namespace", namespace)
            .label("pod", name);
        all.push(Finding::follow(candidate, format!("pod {name} in {namespace}")));
    }
}
