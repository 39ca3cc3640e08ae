//! `logweir fsck`: checks the data directory of a server that does not run, and mends what can be mended.

use logweir_aggregator::error::Error;
use logweir_aggregator::pipeline::fsck::{self, Options, Report};
use logweir_aggregator::store::fsck::Finding;
use logweir_proto::text::visible;
use logweir_runtime::clock::{Clock, rfc3339};

use super::tokens;
use crate::args::FsckArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Ink};

/// Progress is told so many times.
const STEPS: usize = 10;

pub(super) fn run(args: &FsckArgs, console: &mut Console) -> Result<Exit> {
    let Some(dir) = tokens::data_dir(&args.data) else {
        let hint = "--data takes the data_dir of logweir.yaml, or what --data was for 'logweir up'";
        return Err(CliError::Usage(format!("{} holds no data of a server: {hint}", args.data.display())));
    };
    let options = Options { deep: args.deep, repair: args.repair };
    let mut told = 0;
    let mut progress = |done: usize, all: usize| {
        let step = done * STEPS / all.max(1);
        if step > told {
            told = step;
            console.note(&format!("checked {done} of {all} splits"));
        }
    };
    // The store blocks, which a thread of the runtime must not.
    let checked = std::thread::scope(|scope| {
        let check = || fsck::run(&dir, options, &Clock::system(), &mut progress);
        scope.spawn(check).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let report = checked.map_err(|error: Error| CliError::Usage(error.to_string()))?;
    tell(&report, console)?;
    Ok(if report.is_damaged() { Exit::No } else { Exit::Ok })
}

fn tell(report: &Report, console: &mut Console) -> std::io::Result<()> {
    let style = console.style;
    for finding in &report.store.findings {
        let kind =
            if finding.harmless { style.paint(Ink::Yellow, "harmless") } else { style.paint(Ink::Red, "damaged") };
        console.line(&format!("{kind} {}", line(finding)))?;
    }
    for finding in &report.mended {
        console.line(&format!("{} {}", style.paint(Ink::Green, "mended"), line(finding)))?;
    }
    for done in &report.done {
        console.note(&format!("did {}", visible(done)));
    }
    let (store, wal) = (&report.store, &report.wal);
    let wrong = store.findings.iter().filter(|finding| !finding.harmless).count();
    let verdict = if wrong == 0 { "all is well".to_owned() } else { format!("{wrong} things are wrong") };
    console.note(&format!(
        "{} splits with {} blocks, {} rows and {} bytes, {} lines rebuilt; {} records of the log in {} segments: {verdict}",
        store.splits, store.blocks, store.rows, store.bytes, store.lines, wal.records, wal.segments
    ));
    Ok(())
}

/// File, block, time range, reason.
fn line(finding: &Finding) -> String {
    let block = finding.block.map_or_else(String::new, |block| format!(": block {block}"));
    let times = finding
        .times_ns
        .map_or_else(String::new, |(from, to)| format!(": rows from {} to {}", rfc3339(from), rfc3339(to)));
    format!("{}{block}{times}: {}", visible(&finding.path), visible(&finding.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_its_place() {
        let finding = Finding {
            block: Some(3),
            times_ns: Some((0, 1_000_000_000)),
            ..Finding::of("splits/a.split", "the rows do not match")
        };
        expect_test::expect!["splits/a.split: block 3: rows from 1970-01-01T00:00:00.000000000Z to 1970-01-01T00:00:01.000000000Z: the rows do not match"]
            .assert_eq(&line(&finding));
    }
}
