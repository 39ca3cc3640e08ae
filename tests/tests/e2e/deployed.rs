//! What `deploy/` holds, read by those who would run it: systemd, and the schema of Kubernetes.

use std::path::Path;

use anyhow::ensure;
use logweir_tests::harness::{Scratch, process, programs, run};
use logweir_tests::tidy::workspace_root;
use tokio::process::Command;

/// Tenths of the exposure that `systemd-analyze security` sees, from 0 to 100.
const UNITS: [(&str, u32); 2] = [("logweir-agent.service", 25), ("logweir.service", 25)];

/// A copy of a unit that starts a program which is there.
fn unit(scratch: &Scratch, name: &str) -> anyhow::Result<std::path::PathBuf> {
    let text = std::fs::read_to_string(workspace_root().join("deploy").join(name))?;
    let start =
        |line: &str| if line.starts_with("ExecStart=") { "ExecStart=/bin/true".to_owned() } else { line.to_owned() };
    let lines: Vec<String> = text.lines().map(start).collect();
    scratch.file(name, lines.join("\n") + "\n")
}

async fn analyze(arguments: &[&str], unit: &Path) -> anyhow::Result<process::Outcome> {
    let mut command = Command::new(programs::installed("systemd-analyze")?);
    command.args(arguments).arg(unit);
    process::output(command).await
}

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() -> anyhow::Result<()> {
    run("units", async |scratch| {
        for (name, tenths) in UNITS {
            let unit = unit(scratch, name)?;
            let verified = analyze(&["verify"], &unit).await?.expect_code(0)?.stderr;
            let ours: Vec<&str> = verified.lines().filter(|line| line.contains(name)).collect();
            ensure!(ours.is_empty(), "{ours:?}");
            let threshold = format!("--threshold={tenths}");
            analyze(&["security", "--no-pager", "--offline=true", &threshold], &unit).await?.expect_code(0)?;
        }
        // The check itself: a word that systemd does not know is told.
        let wrong = scratch.file("wrong.service", "[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")?;
        let said = analyze(&["verify"], &wrong).await?.stderr;
        ensure!(said.contains("ProtectSytem"), "{said}");
        Ok(())
    })
}

#[test]
fn kubernetes_takes_the_manifest() -> anyhow::Result<()> {
    run("manifest", async |scratch| {
        let text = std::fs::read_to_string(workspace_root().join("deploy/kubernetes/agent.yaml"))?;
        let validate = async |file: &Path| {
            let mut command = Command::new(programs::python()?.with_file_name("kubernetes-validate"));
            command.arg("--strict").arg(file);
            process::output(command).await
        };
        validate(&scratch.file("agent.yaml", &text)?).await?.expect_code(0)?;
        ensure!(text.contains("hostPath:"));
        let wrong = scratch.file("wrong.yaml", text.replace("hostPath:", "hostPaht:"))?;
        ensure!(validate(&wrong).await?.expect_code(0).is_err(), "a field that does not exist was taken");
        Ok(())
    })
}
