//! `logweir completions`: a completion script, made from the definitions of the arguments.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::error::Result;
use crate::exit::Exit;
use crate::output::Console;

pub(super) fn run(args: &CompletionsArgs, console: &mut Console) -> Result<Exit> {
    // Into memory first: the generator panics when its writer fails, and a closed pipe is no bug.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "logweir", &mut script);
    std::io::Write::write_all(&mut console.out, &script)?;
    Ok(Exit::Ok)
}
