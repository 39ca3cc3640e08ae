//! The `logweir` command: reads its arguments, runs one command, ends with a documented code.

use std::process::ExitCode;

use clap::Parser;
use logweir_cli::args::Cli;
use logweir_cli::exit::{self, Exit};

fn main() -> ExitCode {
    exit::install_panic_hook();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::cannot_start(&error),
    };
    let run = std::panic::AssertUnwindSafe(|| runtime.block_on(logweir_cli::run(cli)));
    let exit = std::panic::catch_unwind(run).unwrap_or(Exit::Bug);
    // A blocking read of stdin cannot be cancelled; the command is over, so it is not waited for.
    runtime.shutdown_background();
    exit.into()
}
