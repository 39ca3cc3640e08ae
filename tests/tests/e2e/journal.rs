//! The journal of a real journald through the real journalctl, while each of the three is killed.

use std::time::Duration;

use anyhow::ensure;
use logweir_tests::harness::journald::Journald;
use logweir_tests::harness::ledger::{exactly_once, mark};
use logweir_tests::harness::{Agent, Server, run};

/// Below what journald lets one program write in 30 s.
const ENTRIES: u64 = 6_000;
const ROUNDS: u64 = 6;
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn every_entry_of_a_real_journal_is_stored_exactly_once() -> anyhow::Result<()> {
    run("journal", async |scratch| {
        let mut journald = Journald::start(scratch).await?;
        let mut server = Server::serve(scratch, "server", "").await?;
        let directory = journald.directory().display();
        let more = format!("discover: []\njournald: {{ directory: {directory}, start_at: beginning }}\n");
        let mut agent = Agent::configure(scratch, server.url(), &more)?;
        agent.start(scratch)?;
        for round in 0..ROUNDS {
            let numbers = round * ENTRIES / ROUNDS..(round + 1) * ENTRIES / ROUNDS;
            let half = (numbers.start + numbers.end) / 2;
            for number in numbers {
                journald.write(format!("{} placed", mark("journal", number)).as_bytes(), 6)?;
                match (round, number == half) {
                    // Killed while entries come: it goes on behind the last one that is in its spool.
                    (1 | 4, true) => {
                        agent.kill().await?;
                        agent.start(scratch)?;
                    }
                    (2, true) => journald.rotate().await?,
                    (5, true) => server.kill().await?,
                    _ => {}
                }
            }
            if round == 3 {
                // What it has not written down yet is lost with it, and was never in the journal.
                server.wait_count("message=~\"seq-journal\"", (round + 1) * ENTRIES / ROUNDS, WITHIN).await?;
                journald.kill_and_start(scratch).await?;
            }
        }
        server.restart(scratch).await?;
        journald.write(b"a trace\n    at two lines, and a byte: \xff", 3)?;
        let all = (0..ENTRIES).collect();
        exactly_once(server.client(), "journal", "message=~\"seq-journal\"", &all, WITHIN).await?;
        server.wait_count("service:shop level:info message=~\"seq-journal\"", ENTRIES, WITHIN).await?;
        server.wait_count("service:shop level:error message=~\"a trace\"", 1, WITHIN).await?;
        let gaps = server.client().count("message=~\"bytes are lost\"").await?;
        ensure!(gaps == 0, "{gaps} gaps");
        agent.check_alive()
    })
}
