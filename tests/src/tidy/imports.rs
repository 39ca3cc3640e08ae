//! Import direction between the crates of the workspace.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Finding;

/// Each crate and the crates that it may name, `a < b` of the design spelled out.
pub const CRATES: [(&str, &[&str]); 10] = [
    ("proto", &[]),
    ("runtime", &["proto"]),
    ("dashboards", &[]),
    ("rules", &["proto"]),
    ("alerting", &["proto", "rules", "runtime"]),
    ("agent", &["proto", "runtime"]),
    ("aggregator", &["proto", "runtime", "dashboards"]),
    ("cli", &["proto", "runtime", "dashboards", "rules", "alerting", "agent", "aggregator"]),
    ("tests", &["proto", "runtime", "dashboards", "rules", "alerting", "agent", "aggregator", "cli"]),
    ("fuzz", &["proto", "runtime", "rules", "alerting", "agent", "aggregator"]),
];

const PREFIX: &str = "logweir-";

/// The part of `cargo metadata` that the check reads.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
}

impl Metadata {
    pub fn read(root: &Path) -> anyhow::Result<Metadata> {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root);
        let out = cargo.output().context("cargo metadata")?;
        if !out.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
        }
        serde_json::from_slice(&out.stdout).context("cargo metadata is not what it was")
    }
}

/// Dependencies of any kind, for a test that imports upwards is a cycle as well.
pub fn crates(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let folder = package.name.trim_start_matches(PREFIX);
        let mut broken = |what: String, mend: &str| {
            findings.push(Finding { path: format!("{folder}/Cargo.toml"), line: 1, what, mend: mend.to_owned() });
        };
        let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == folder) else {
            broken(format!("the crate `{folder}` has no place"), "add it to CRATES in tests/src/tidy/imports.rs");
            continue;
        };
        for dependency in &package.dependencies {
            let Some(name) = dependency.name.strip_prefix(PREFIX) else { continue };
            if !allowed.contains(&name) {
                broken(
                    format!("`{folder}` imports `{name}`"),
                    "turn it round: a trait in the lower crate, wired in cli",
                );
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::listed;
    use super::*;

    #[test]
    fn an_import_upwards_is_found() -> anyhow::Result<()> {
        let metadata = serde_json::from_str(
            r#"{"packages": [
                {"name": "logweir-proto", "dependencies": [{"name": "serde"}, {"name": "logweir-agent"}]},
                {"name": "logweir-agent", "dependencies": [{"name": "logweir-proto"}]},
                {"name": "logweir-new", "dependencies": []}]}"#,
        )?;
        assert_eq!(
            listed(&crates(&metadata)),
            "proto/Cargo.toml:1: `proto` imports `agent`; turn it round: a trait in the lower crate, wired in cli\n\
             new/Cargo.toml:1: the crate `new` has no place; add it to CRATES in tests/src/tidy/imports.rs\n"
        );
        Ok(())
    }

    #[test]
    fn the_table_itself_has_no_cycle() {
        for (position, (name, allowed)) in CRATES.iter().enumerate() {
            for lower in *allowed {
                let below = CRATES.iter().position(|(other, _)| other == lower);
                assert!(
                    below.is_some_and(|below| below < position),
                    "{name} may import {lower}, which is not before it"
                );
            }
        }
    }
}
