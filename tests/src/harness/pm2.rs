//! A real PM2 with its own home, out of `tests/node`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use super::{Outcome, Scratch, eventually, process, programs};

#[derive(Debug)]
pub struct Pm2 {
    home: PathBuf,
}

impl Pm2 {
    /// Starts the daemon, with no app yet.
    pub async fn start(scratch: &Scratch) -> anyhow::Result<Pm2> {
        let pm2 = Pm2 { home: scratch.folder("pm2")? };
        // Commands on their own are not answered before the daemon is up, so none of them has to wait for it.
        process::succeed(pm2.command(&["ping"])?).await?;
        Ok(pm2)
    }

    /// `PM2_HOME`
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn log(&self, file: &str) -> PathBuf {
        self.home.join("logs").join(file)
    }

    /// Runs a Node script as an app with these variables.
    pub async fn run(&self, script: &Path, name: &str, environment: &[(&str, String)]) -> anyhow::Result<()> {
        let script = script.to_str().context("path of the script")?;
        let mut command = self.command(&["start", script, "--name", name, "--no-autorestart"])?;
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        process::succeed(command).await.map(drop)
    }

    /// Installs and runs the module pm2-logrotate, which looks once a second and copies and truncates what is larger.
    pub async fn install_logrotate(&self, max_size: &str) -> anyhow::Result<()> {
        // With the default dateFormat a second rotation within a second would overwrite the first.
        let settings = [("max_size", max_size), ("workerInterval", "1"), ("dateFormat", "YYYY-MM-DD_HH-mm-ss-SSS")];
        for (key, value) in settings.into_iter().chain([("retain", "1000")]) {
            process::succeed(self.command(&["set", &format!("pm2-logrotate:{key}"), value])?).await?;
        }
        let mut install = self.command(&["install", "."])?;
        install.current_dir(programs::node_folder()?.join("node_modules/pm2-logrotate"));
        process::succeed(install).await.map(drop)
    }

    /// As logrotate does with `pm2 reloadLogs`: the file gets another name, then the daemon opens a new one.
    pub async fn rotate(&self, file: &str, number: u32) -> anyhow::Result<()> {
        let log = self.log(file);
        std::fs::rename(&log, format!("{}.{number}", log.display())).with_context(|| log.display().to_string())?;
        process::succeed(self.command(&["reloadLogs"])?).await.map(drop)
    }

    /// Waits until the app has ended by itself.
    pub async fn wait_stopped(&self, name: &str, within: Duration) -> anyhow::Result<()> {
        eventually(within, &format!("pm2 app {name} ends"), async || {
            let list = process::succeed(self.command(&["jlist"])?).await?;
            let apps: serde_json::Value = serde_json::from_slice(&list.stdout).context("pm2 jlist")?;
            let apps = apps.as_array().context("pm2 jlist")?;
            let app = apps.iter().find(|app| app["name"] == name).context("the app is not listed")?;
            Ok((app["pm2_env"]["status"] == "stopped").then_some(()))
        })
        .await
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(programs::node_folder()?.join("node_modules/.bin/pm2"));
        command.args(arguments).env("PM2_HOME", &self.home).env("PM2_DISCRETE_MODE", "true");
        Ok(command)
    }

    pub async fn kill(&self) -> anyhow::Result<Outcome> {
        process::output(self.command(&["kill"])?).await
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        // The daemon is no child of ours; a test that failed must not leave it behind.
        if let Ok(command) = self.command(&["kill"]) {
            let _ = command.into_std().stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
        }
    }
}
