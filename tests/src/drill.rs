//! The drill: what happens to log files and servers in the field, on purpose, under a ledger of numbered lines.
//!
//! A writer appends about 5,000 lines a second to a real file; the real agent ships them through a [`Gate`] to a real
//! server; files are rotated, processes killed, answers broken. Then every line is looked for in the server: none may
//! be missing, none there twice. Where a row destroys bytes before anybody could read them, the gap that was reported
//! must be what is missing, to the byte. `make drill` runs the rows in full, the end-to-end tests run them short.
//!
//! [`Gate`]: crate::faults::Gate

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::harness::Scratch;

pub mod alerts;
mod destroyed;
mod outages;
mod rotations;
pub mod table;
mod world;
mod writer;

use world::World;

/// Lines a second, unless a row says otherwise.
const PACE: u64 = 5_000;
/// How much shorter the short forms are.
const SHORT: u64 = 25;

/// In full, or as `make test` has the time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Full,
    Short,
}

impl Scale {
    fn of(self, full: u64) -> u64 {
        match self {
            Scale::Full => full,
            Scale::Short => (full / SHORT).max(1),
        }
    }

    /// Outages and pauses shrink less than lines: what is measured in them are back-offs and rescans.
    fn seconds(self, full: u64) -> Duration {
        match self {
            Scale::Full => Duration::from_secs(full),
            Scale::Short => Duration::from_millis(full * 75),
        }
    }
}

/// What a row came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub lines: u64,
    pub lost: u64,
    pub repeated: u64,
    pub lost_bytes: u64,
    /// Of all gaps that were reported.
    pub gap_bytes: u64,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name on the command line and in the tests.
    pub key: &'static str,
    pub title: &'static str,
    /// What the others lost and repeated, by the order of [`table::PEERS`].
    pub peers: [&'static str; 5],
    /// Of `app.log` and what it is rotated to.
    glob: &'static str,
    /// Further lines of `agent.yaml`.
    settings: &'static str,
    /// Bytes are destroyed that nobody could read: they are lost, and the gap must say so.
    destroys: bool,
}

const fn row(key: &'static str, title: &'static str, peers: [&'static str; 5]) -> Row {
    Row { key, title, peers, glob: "app.log", settings: "", destroys: false }
}

const fn destroying(key: &'static str, title: &'static str) -> Row {
    Row { destroys: true, ..row(key, title, NOT_MEASURED) }
}

const NOT_MEASURED: [&str; 5] = [""; 5];

/// All of them, those of the measurements first and in their order.
pub const ROWS: [Row; 23] = [
    row(
        "rename",
        "rename rotation every 2 s",
        ["0 / 0 (default set-up: 130,000 / 0)", "0 / 0", "0 / 0", "23,139 / 0", "0 / 0"],
    ),
    row(
        "copytruncate",
        "copytruncate",
        ["0 / 0", "3,293 / 0", "0 / 0", "50,089 / 0", "6 to 11 / 0 (identity by inode: 139,995 / 0)"],
    ),
    row(
        "kill-agent",
        "`kill -9` of the agent under load, restart",
        [
            "0 / 0 with file-system buffer (else 10,613)",
            "0 / 223,638",
            "0 / 29,654",
            "0 / 0",
            "0 / 15,045 with acks; 68 / 6,333 with disk buffer",
        ],
    ),
    row(
        "kill-rotate",
        "`kill -9` with a rotation while it is down",
        ["9,931 / 0", "14,584 / 0", "10,081 / 0", "17,472 / 0", "12,385 / 0"],
    ),
    row("kill-gzip", "the same, and `gzip` compresses the rotated file", NOT_MEASURED),
    Row {
        glob: "app.log*",
        ..row(
            "same-glob",
            "rotated files kept under a name that matches the glob",
            ["0 / 0", "25,612 / 0", "34,836 / 0", "44,305 / 0", "10,135 / 0"],
        )
    },
    row(
        "docker",
        "Docker json-file rotation, small `max-size`, compressed",
        ["not run", "not run", "not run", "not run", "28,761 / 0"],
    ),
    row(
        "regrown",
        "truncated and grown past the old size at once",
        ["0 / 0", "15,492 / 0", "0 / 0", "10,496 / 0", "0 / 2,503"],
    ),
    row("server-down", "server down 20 s", ["0 / 0"; 5]),
    row("both-down", "server down 20 s, agent killed meanwhile", ["0 / 0", "", "", "0 / 0", "0 / 4,309"]),
    row("deleted", "file deleted while the server is down", ["0 / 0", "19,568 / 0", "0 / 0", "0 / 0", "0 / 0"]),
    row("overload", "500, 429 and 503 for a while", ["0 / 0 (default: 30,000)", "0 / 0", "", "0 / 0", "0 / 0"]),
    row("refused", "400 or 413 for some batches", ["75,000 / 0", "77,900 / 0", "", "0 / 0", "75,300 / 0"]),
    row("garbage", "answers that are garbage, slow, or break off in the middle", NOT_MEASURED),
    row("cut", "network cut: connections broken, then nothing comes back", NOT_MEASURED),
    row("disk-full", "disk of the state directory full, agent killed meanwhile", NOT_MEASURED),
    Row {
        glob: "odd.log",
        ..row(
            "odd",
            "odd bytes: invalid UTF-8, NUL, CRLF, 5 MB line, no final newline",
            ["1 to 8 lost", "1 lost", "1 lost", "1 lost", "1 to 3 lost"],
        )
    },
    row(
        "long",
        "`kill -9` of the agent 200 times and of the server 50 times, with every rotation and broken answers",
        NOT_MEASURED,
    ),
    destroying("truncated", "truncated without a copy while the server is down"),
    destroying("truncated-dead", "the same, agent killed before"),
    destroying("deleted-dead", "deleted while the server is down and the agent is dead"),
    Row {
        settings: "limits: { deleted_bytes: 256KiB }\n",
        ..destroying("deleted-limit", "more deleted than `deleted_bytes` while the server is down")
    },
    destroying("poison", "some lines are refused for good (400)"),
];

impl Row {
    pub fn find(key: &str) -> anyhow::Result<&'static Row> {
        ROWS.iter().find(|row| row.key == key).with_context(|| format!("no row is called {key:?}"))
    }

    /// Runs it and counts.
    pub async fn run(&self, scratch: &Scratch, scale: Scale) -> anyhow::Result<Figures> {
        if self.key == "docker" {
            return rotations::docker(scratch, scale).await;
        }
        let mut world = World::start(scratch, self, scale).await?;
        match self.key {
            "rename" => rotations::renamed(&mut world).await?,
            "copytruncate" => rotations::copied(&mut world).await?,
            "kill-agent" => rotations::killed(&mut world).await?,
            "kill-rotate" => rotations::rotated_unseen(&mut world, false).await?,
            "kill-gzip" => rotations::rotated_unseen(&mut world, true).await?,
            "same-glob" => rotations::renamed(&mut world).await?,
            "regrown" => rotations::regrown(&mut world).await?,
            "server-down" => outages::server_down(&mut world).await?,
            "both-down" => outages::both_down(&mut world).await?,
            "deleted" => outages::deleted(&mut world).await?,
            "overload" => outages::overload(&mut world).await?,
            "refused" => outages::refused(&mut world).await?,
            "garbage" => outages::garbage(&mut world).await?,
            "cut" => outages::cut(&mut world).await?,
            "disk-full" => outages::disk_full(&mut world).await?,
            "odd" => return rotations::odd(world).await,
            "long" => outages::long(&mut world).await?,
            "truncated" => destroyed::truncated(&mut world, false).await?,
            "truncated-dead" => destroyed::truncated(&mut world, true).await?,
            "deleted-dead" => destroyed::deleted_dead(&mut world).await?,
            "deleted-limit" => destroyed::deleted_limit(&mut world).await?,
            "poison" => destroyed::poison(&mut world).await?,
            other => anyhow::bail!("nothing is done for {other:?}"),
        }
        world.count().await
    }

    /// Errs when it is not as it must be.
    pub fn check(&self, figures: Figures) -> anyhow::Result<()> {
        let Figures { lost, repeated, lost_bytes, gap_bytes, .. } = figures;
        ensure!(repeated == 0, "{}: {repeated} lines are there twice: {figures:?}", self.key);
        ensure!(lost == 0 || self.destroys, "{}: {lost} lines are lost: {figures:?}", self.key);
        ensure!(lost_bytes == gap_bytes, "{}: {lost_bytes} bytes are lost, {gap_bytes} were told", self.key);
        ensure!(!self.destroys || lost > 0, "{}: nothing was destroyed", self.key);
        Ok(())
    }
}
