//! A real Docker engine with its own folders and socket, without a network, on an image made of busybox.
//!
//! It needs root. Storage is `vfs`, the one driver that works on any file system, containers included.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use super::{Outcome, Process, Scratch, eventually, process, programs};

const IMAGE: &str = "logweir-busybox:1";
/// No container of a test runs for longer.
const RUNS_FOR_MAX: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Docker {
    folder: PathBuf,
    engine: Process,
}

impl Docker {
    pub async fn start(scratch: &Scratch) -> anyhow::Result<Docker> {
        let folder = scratch.folder("docker")?;
        let mut engine = Command::new(programs::installed("dockerd")?);
        engine.arg("--data-root").arg(folder.join("data")).arg("--exec-root").arg(folder.join("exec"));
        engine.arg("--pidfile").arg(folder.join("pid")).arg("--host").arg(format!("unix://{}/sock", folder.display()));
        engine.args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]);
        let docker = Docker { engine: Process::spawn(scratch, "dockerd", engine)?, folder };
        eventually(Duration::from_secs(30), "dockerd answers", async || {
            docker.client(&["info"]).await?.expect_code(0).map(Some)
        })
        .await?;
        docker.import_image(scratch).await?;
        Ok(docker)
    }

    /// An image with a shell and nothing else.
    async fn import_image(&self, scratch: &Scratch) -> anyhow::Result<()> {
        let bin = scratch.folder("image/bin")?;
        std::fs::copy(programs::installed("busybox")?, bin.join("busybox")).context("busybox")?;
        let tar = scratch.join("image.tar");
        let mut pack = Command::new(programs::installed("tar")?);
        pack.arg("-C").arg(scratch.join("image")).arg("-cf").arg(&tar).arg("bin");
        process::succeed(pack).await?;
        let tar = tar.to_str().context("path of the image")?;
        self.client(&["import", tar, IMAGE]).await?.expect_code(0).map(drop)
    }

    /// Where the containers' folders with their `*-json.log` are.
    pub fn containers(&self) -> PathBuf {
        self.folder.join("data/containers")
    }

    pub fn data_root(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts a container that runs this shell script, with the json-file log and these options of it.
    pub async fn run(&self, name: &str, log_options: &[&str], script: &str) -> anyhow::Result<()> {
        let mut arguments = vec!["run", "--detach", "--name", name, "--network", "none", "--log-driver", "json-file"];
        for option in log_options {
            arguments.extend(["--log-opt", option]);
        }
        arguments.extend([IMAGE, "/bin/busybox", "sh", "-c", script]);
        self.client(&arguments).await?.expect_code(0).map(drop)
    }

    /// Waits until the container has ended by itself.
    pub async fn wait(&self, name: &str) -> anyhow::Result<()> {
        eventually(RUNS_FOR_MAX, &format!("container {name} ends"), async || {
            let state = self.client(&["inspect", "--format", "{{.State.Running}}", name]).await?.expect_code(0)?;
            Ok((state.text().trim() == "false").then_some(()))
        })
        .await
    }

    async fn client(&self, arguments: &[&str]) -> anyhow::Result<Outcome> {
        process::output(self.command(arguments)?).await
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(programs::installed("docker")?);
        command.arg("--host").arg(format!("unix://{}/sock", self.folder.display())).args(arguments);
        Ok(command)
    }
}

/// A script that prints numbered lines in bursts, for a shell alone would write them all within the first second.
pub fn counting(total: u64) -> String {
    format!(
        "n=0; while [ $n -lt {total} ]; do echo \"level=info msg=\\\"job seq-docker-$n- done\\\" worker=3\"; \
         n=$((n+1)); [ $((n % 20)) -ne 0 ] || /bin/busybox usleep 40000; done"
    )
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Containers outlive the engine, and its containerd outlives a kill -9: both are ended in order.
        let quiet = |mut command: std::process::Command| {
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        if let Ok(list) =
            self.command(&["ps", "--all", "--quiet"]).and_then(|command| Ok(command.into_std().output()?))
        {
            let ids = String::from_utf8_lossy(&list.stdout).into_owned();
            let remove = [["rm", "--force"].as_slice(), &ids.split_whitespace().collect::<Vec<_>>()].concat();
            if let Ok(command) = self.command(&remove) {
                quiet(command.into_std());
            }
        }
        if self.engine.signal(rustix::process::Signal::TERM).is_ok() {
            // Without a runtime to wait in: the engine removes its pid file last.
            for _ in 0..DOWN_STEPS {
                if !self.folder.join("pid").exists() {
                    break;
                }
                let mut pause = std::process::Command::new("sleep");
                pause.arg("0.05");
                quiet(pause);
            }
        }
    }
}

/// Five seconds in steps of 50 ms.
const DOWN_STEPS: u32 = 100;
