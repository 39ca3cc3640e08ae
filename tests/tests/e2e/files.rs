//! Files as they come in the world: late, unreadable, under several names, full of holes, on a network, by the thousand.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use logweir_tests::faults::Mirror;
use logweir_tests::harness::ledger::{exactly_once, mark};
use logweir_tests::harness::{Agent, Scratch, Server, run};

/// A look around comes every 5 s where the kernel tells nothing.
const WITHIN: Duration = Duration::from_secs(60);

struct World {
    server: Server,
    agent: Agent,
    logs: PathBuf,
}

impl World {
    /// An agent that follows `glob` below a folder; it runs already.
    async fn start(scratch: &Scratch, glob: &str) -> anyhow::Result<World> {
        World::start_in(scratch, &scratch.folder("logs")?, glob, &[]).await
    }

    async fn start_in(scratch: &Scratch, logs: &Path, glob: &str, under: &[&str]) -> anyhow::Result<World> {
        let server = Server::serve(scratch, "server", "").await?;
        let more = format!(
            "discover: []\nfiles: [{{ paths: [{}/{glob}], service: files, start_at: beginning }}]\n",
            logs.display()
        );
        let mut agent = Agent::configure(scratch, server.url(), &more)?;
        agent.start_under(scratch, under)?;
        Ok(World { server, agent, logs: logs.to_owned() })
    }

    /// Each of these numbers once, and nothing beside them.
    async fn finds(&mut self, count: u64) -> anyhow::Result<()> {
        self.agent.check_alive()?;
        exactly_once(self.server.client(), "file", "service:files", &(0..count).collect(), WITHIN).await
    }
}

/// Appends numbered lines.
fn append(path: &Path, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let lines: String = numbers.map(|number| format!("{} in a file\n", mark("file", number))).collect();
    Ok(file.write_all(lines.as_bytes())?)
}

#[test]
fn directories_that_appear_later_and_are_made_anew() -> anyhow::Result<()> {
    run("files-later", async |scratch| {
        let mut world = World::start(scratch, "*/log/*.log").await?;
        world.server.wait_count("service:files", 0, WITHIN).await?;
        // The whole way to it comes into being after the agent has started.
        let shop = world.logs.join("shop/log");
        fs::create_dir_all(&shop)?;
        append(&shop.join("a.log"), 0..50)?;
        world.finds(50).await?;
        // A deployment replaces the folder by a new one of its name.
        fs::rename(world.logs.join("shop"), scratch.join("shop-before"))?;
        fs::create_dir_all(&shop)?;
        append(&shop.join("a.log"), 50..100)?;
        append(&scratch.join("shop-before/log/a.log"), 100..110)?;
        world.finds(110).await?;
        fs::remove_dir_all(world.logs.join("shop"))?;
        fs::create_dir_all(&shop)?;
        append(&shop.join("b.log"), 110..120)?;
        world.finds(120).await
    })
}

#[test]
fn permission_that_comes_later() -> anyhow::Result<()> {
    run("files-permission", async |scratch| {
        let logs = scratch.folder("logs")?;
        let closed = scratch.folder("logs/closed")?;
        append(&logs.join("secret.log"), 0..20)?;
        append(&closed.join("inner.log"), 20..40)?;
        // Another user's, and the agent without the capability to read it all the same.
        for (path, mode) in [(logs.join("secret.log"), 0o600), (closed.clone(), 0o700)] {
            chown(&path, Some(4_242), Some(4_242))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let under = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
        let mut world = World::start_in(scratch, &logs, "**/*.log", &under).await?;
        append(&logs.join("open.log"), 40..60)?;
        world.server.wait_count("service:files", 20, WITHIN).await?;
        ensure!(world.server.client().count("service:files").await? == 20, "it reads what it may not");
        fs::set_permissions(logs.join("secret.log"), fs::Permissions::from_mode(0o644))?;
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755))?;
        world.finds(60).await?;
        // Taken away while it is followed: what is written meanwhile comes when it is given back.
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
        append(&closed.join("inner.log"), 60..70)?;
        append(&logs.join("open.log"), 70..80)?;
        world.server.wait_count("service:files", 70, WITHIN).await?;
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755))?;
        world.finds(80).await
    })
}

#[test]
fn links_and_holes() -> anyhow::Result<()> {
    run("files-links", async |scratch| {
        let logs = scratch.folder("logs")?;
        let elsewhere = scratch.folder("elsewhere")?;
        append(&logs.join("a.log"), 0..10)?;
        fs::hard_link(logs.join("a.log"), logs.join("also-a.log"))?;
        symlink(logs.join("a.log"), logs.join("points-to-a.log"))?;
        append(&elsewhere.join("one"), 10..20)?;
        symlink(elsewhere.join("one"), logs.join("current.log"))?;
        let mut world = World::start(scratch, "*.log").await?;
        world.finds(20).await?;
        // Written under the other name, and behind the link.
        append(&logs.join("also-a.log"), 20..30)?;
        append(&elsewhere.join("one"), 30..40)?;
        world.finds(40).await?;
        // The link leads to another file now, as `current` does after a rotation.
        append(&elsewhere.join("two"), 40..50)?;
        append(&elsewhere.join("one"), 50..60)?;
        symlink(elsewhere.join("two"), scratch.join("next"))?;
        fs::rename(scratch.join("next"), logs.join("current.log"))?;
        append(&elsewhere.join("two"), 60..70)?;
        fs::remove_file(logs.join("a.log"))?;
        append(&logs.join("also-a.log"), 70..80)?;
        world.finds(80).await?;
        // 8 GiB that nobody wrote between two lines: passed over, as one empty record that is marked as cut.
        let mut sparse = File::options().append(true).open(elsewhere.join("two"))?;
        sparse.set_len(8 << 30)?;
        sparse.seek(SeekFrom::End(0))?;
        sparse.write_all(format!("\n{} behind the hole\n", mark("file", 80)).as_bytes())?;
        let lines = "service:files message=~\"seq-file\"";
        exactly_once(world.server.client(), "file", lines, &(0..81).collect(), WITHIN).await
    })
}

#[test]
fn a_file_system_on_which_the_kernel_tells_nothing() -> anyhow::Result<()> {
    run("files-share", async |scratch| {
        let share = Mirror::mount(scratch).await?;
        append(&share.behind().join("a.log"), 0..100)?;
        let mut world = World::start_in(scratch, share.seen(), "*.log", &[]).await?;
        world.finds(100).await?;
        append(&share.behind().join("a.log"), 100..200)?;
        append(&share.behind().join("b.log"), 200..300)?;
        world.finds(300).await?;
        // Rotated there, and here the agent dies.
        world.agent.kill().await?;
        append(&share.behind().join("a.log"), 300..400)?;
        fs::rename(share.behind().join("a.log"), share.behind().join("a.log.1"))?;
        append(&share.behind().join("a.log"), 400..500)?;
        world.agent.start(scratch)?;
        world.finds(500).await?;
        // Rotated there while it is followed here: a descriptor shows what has its name now.
        let mut written = 500;
        // Longer and shorter than the one before; some are rotated away before anybody here can have seen them.
        for (lines, seen) in [(1_500, true), (300, true), (900, false), (1_200, true), (200, false), (2_500, true)] {
            for kept in (1..8).rev().filter(|kept| share.behind().join(format!("a.log.{kept}")).exists()) {
                let older = share.behind().join(format!("a.log.{}", kept + 1));
                fs::rename(share.behind().join(format!("a.log.{kept}")), older)?;
            }
            fs::rename(share.behind().join("a.log"), share.behind().join("a.log.1"))?;
            append(&share.behind().join("a.log"), written..written + lines)?;
            written += lines;
            if seen {
                world.server.wait_count("service:files", written, WITHIN).await?;
            }
        }
        fs::copy(share.behind().join("a.log"), share.behind().join("a.log.0"))?;
        File::options().write(true).open(share.behind().join("a.log"))?.set_len(0)?;
        append(&share.behind().join("a.log"), written..written + 10)?;
        world.finds(written + 10).await
    })
}

#[test]
fn ten_thousand_files_at_once() -> anyhow::Result<()> {
    run("files-many", async |scratch| {
        const FILES: u64 = 10_000;
        let path = |logs: &Path, n: u64| logs.join(format!("app-{n}.log"));
        let logs = scratch.folder("logs")?;
        for n in 0..FILES {
            append(&path(&logs, n), n..n + 1)?;
        }
        // More than `open_files`: they are open in turn.
        let mut world = World::start(scratch, "*.log").await?;
        world.finds(FILES).await?;
        for n in 0..FILES {
            append(&path(&logs, n), FILES + n..FILES + n + 1)?;
        }
        world.finds(2 * FILES).await?;
        // Every hundredth is rotated, and the agent dies in between.
        for n in (0..FILES).step_by(100) {
            append(&path(&logs, n), 2 * FILES + n / 100..2 * FILES + n / 100 + 1)?;
            fs::rename(path(&logs, n), logs.join(format!("app-{n}.log.1")))?;
            if n == FILES / 2 {
                world.agent.kill().await?;
                world.agent.start(scratch)?;
            }
        }
        for n in (0..FILES).step_by(100) {
            let number = 2 * FILES + FILES / 100 + n / 100;
            append(&path(&logs, n), number..number + 1)?;
        }
        world.finds(2 * FILES + 2 * FILES / 100).await
    })
}
