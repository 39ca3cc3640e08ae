//! The programs whose logs we read do on this machine what the other tests take for granted.
//!
//! When one of these fails, so do others, and the fault is not ours.

use std::time::Duration;

use anyhow::ensure;
use logweir_tests::harness::docker::{Docker, counting};
use logweir_tests::harness::ledger::{mark, written};
use logweir_tests::harness::nginx::Nginx;
use logweir_tests::harness::pm2::Pm2;
use logweir_tests::harness::{eventually, run};

#[test]
fn nginx_loses_no_line_when_its_log_is_rotated() -> anyhow::Result<()> {
    run("nginx", async |scratch| {
        let nginx = Nginx::start(scratch).await?;
        nginx.get(&format!("/{}", mark("nginx", 0))).await?;
        nginx.rotate().await?;
        nginx.get(&format!("/fail/{}", mark("nginx", 1))).await?;
        let logs = scratch.join("nginx/logs");
        nginx.stop().await?;
        ensure!(written(&logs, "access.log", "nginx")?.len() == 2);
        Ok(())
    })
}

#[test]
fn pm2_loses_no_line_when_its_log_is_rotated() -> anyhow::Result<()> {
    run("pm2", async |scratch| {
        let pm2 = Pm2::start(scratch).await?;
        let script = scratch.file("app.js", super::sources::PM2_APP)?;
        let total = 400;
        pm2.run(&script, "shop", &[("TOTAL", total.to_string())]).await?;
        eventually(Duration::from_secs(10), "the log", async || {
            Ok((std::fs::metadata(pm2.log("shop-out.log"))?.len() > 1_000).then_some(()))
        })
        .await?;
        pm2.rotate("shop-out.log", 1).await?;
        pm2.wait_stopped("shop", Duration::from_secs(20)).await?;
        ensure!(written(&pm2.home().join("logs"), "shop-out", "pm2")?.len() == total);
        Ok(())
    })
}

#[test]
fn docker_runs_and_rotates() -> anyhow::Result<()> {
    run("docker", async |scratch| {
        let docker = Docker::start(scratch).await?;
        let script = counting(500);
        docker.run("counter", &["max-size=20k", "max-file=20"], &script).await?;
        docker.wait("counter").await?;
        let mut files = 0;
        let mut found = std::collections::BTreeSet::new();
        for container in std::fs::read_dir(docker.containers())? {
            let folder = container?.path();
            files += std::fs::read_dir(&folder)?
                .flatten()
                .filter(|e| e.file_name().to_string_lossy().contains("-json.log"))
                .count();
            found.extend(written(&folder, "", "docker")?);
        }
        ensure!(files > 2, "{files} files");
        ensure!(found.len() == 500, "{} lines", found.len());
        Ok(())
    })
}
