//! A log with its writer, the agent that tails it, the server, and the gate between the two.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::writer::{Load, Rotation, Writer};
use super::{Figures, PACE, Row, Scale};
use crate::faults::{Dice, Gate, SmallDisk};
use crate::harness::ledger::Tally;
use crate::harness::{Agent, Client, Scratch, Server, eventually};

/// So that splits are committed and the log behind them is cut while the drill goes on.
const SEALED_OFTEN: &str = "limits: { seal_bytes: 4MiB, seal_age: 3s }\n";
const FILTER: &str = "service:drill";
const GAPS: &str = "service:logweir event:gap";
const STATE_DISK: &str = "8m";

#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) scratch: &'a Scratch,
    pub(super) scale: Scale,
    pub(super) server: Server,
    pub(super) gate: Gate,
    pub(super) agent: Agent,
    pub(super) writer: Writer,
    pub(super) dice: Dice,
    /// The one of the state directory, where a row fills it.
    pub(super) disk: Option<SmallDisk>,
}

impl<'a> World<'a> {
    pub(super) async fn start(scratch: &'a Scratch, row: &Row, scale: Scale) -> anyhow::Result<World<'a>> {
        let server = Server::serve(scratch, "server", SEALED_OFTEN).await?;
        let gate = Gate::open(server.url()).await?;
        let folder = scratch.folder("app")?;
        let paths = format!("{}/{}", folder.display(), row.glob);
        let files = format!("files: [{{ paths: ['{paths}'], service: drill, start_at: beginning }}]\n");
        let disk = match row.key {
            "disk-full" => Some(SmallDisk::mount(scratch.join("agent-state"), STATE_DISK).await?),
            _ => None,
        };
        let mut agent = Agent::configure(scratch, gate.url(), &format!("discover: []\n{files}{}", row.settings))?;
        let writer = Writer::open(folder.join("app.log"))?;
        agent.start(scratch)?;
        let dice = Dice::from_env();
        Ok(World { scratch, scale, server, gate, agent, writer, dice, disk })
    }

    /// So many lines at the usual pace, nothing else.
    pub(super) async fn load(&mut self, lines: u64, rotate: Option<(u64, Rotation)>) -> anyhow::Result<()> {
        self.writer.run(Load { lines, pace: PACE, rotate }, &Cell::new(false)).await
    }

    pub(super) async fn restart_agent(&mut self) -> anyhow::Result<()> {
        self.agent.kill().await?;
        self.agent.start(self.scratch)
    }

    pub(super) async fn restart_server(&mut self) -> anyhow::Result<()> {
        self.server.restart(self.scratch).await
    }

    /// All that was written is stored.
    pub(super) async fn caught_up(&self) -> anyhow::Result<()> {
        self.server.wait_count(FILTER, self.writer.written(), self.patience()).await
    }

    /// For the agent to see how long its log is: within 250 ms, and there is nothing to ask it while the server is down.
    pub(super) async fn agent_looks(&self) {
        sleep(Duration::from_secs(1)).await;
    }

    /// The same, and to write it down: within 5 s.
    pub(super) async fn agent_remembers(&self) {
        sleep(Duration::from_secs(7)).await;
    }

    fn patience(&self) -> Duration {
        match self.scale {
            Scale::Full => Duration::from_secs(300),
            Scale::Short => Duration::from_secs(60),
        }
    }

    /// Waits until each line is there or accounted for, and until nothing more comes; then counts.
    pub(super) async fn count(mut self) -> anyhow::Result<Figures> {
        self.agent.check_alive()?;
        let client = self.server.client();
        let written = self.writer.written();
        let all_told = async || {
            let stored = client.count(FILTER).await?;
            if stored >= written {
                return Ok(Some(()));
            }
            let told = gap_bytes(client).await?;
            ensure!(told > 0, "{stored} of {written} lines are there");
            let lost = self.figures(client).await?.lost_bytes;
            ensure!(lost <= told, "{lost} bytes are missing, {told} are told as lost");
            Ok(Some(()))
        };
        // What is wrong then is told by number.
        let late = eventually(self.patience(), "every line is there or told as lost", all_told).await.err();
        let quiet = match self.scale {
            Scale::Full => Duration::from_secs(8),
            Scale::Short => Duration::from_secs(1),
        };
        sleep(quiet).await;
        let figures = self.figures(client).await?;
        match late {
            Some(error) if figures.lost_bytes != figures.gap_bytes => Err(error.context(format!("{figures:?}"))),
            _ => Ok(figures),
        }
    }

    async fn figures(&self, client: &Client) -> anyhow::Result<Figures> {
        let rows = client.all_rows(FILTER, Some("raw")).await?;
        let written = (0..self.writer.written()).collect();
        let lines = rows.iter().filter_map(|row| row.get("raw").and_then(Value::as_str));
        let tally = Tally::of("drill", &written, lines);
        ensure!(tally.strange.is_empty(), "{} lines were never written: {:?}", tally.strange.len(), tally.strange[0]);
        Ok(Figures {
            lines: self.writer.written(),
            lost: tally.missing.len() as u64,
            repeated: tally.doubled.len() as u64,
            lost_bytes: tally.missing.iter().map(|number| self.writer.line(*number).len() as u64).sum(),
            gap_bytes: gap_bytes(client).await?,
        })
    }
}

/// Of all gaps that the server was told of: their events outlive its restarts.
pub(super) async fn gap_bytes(client: &Client) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for row in client.all_rows(GAPS, Some("gap.start,gap.end")).await? {
        let number = |name: &str| row.get(name).and_then(Value::as_u64);
        let (start, end) = (number("gap.start"), number("gap.end"));
        let (start, end) = start.zip(end).with_context(|| format!("a gap without its range: {row:?}"))?;
        bytes += end - start;
    }
    Ok(bytes)
}
