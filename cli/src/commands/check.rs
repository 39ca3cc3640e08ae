//! `logweir check`: validates any configuration file and lists all its mistakes.

use crate::args::CheckArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::Console;

pub fn run(_args: &CheckArgs, _console: &mut Console) -> Result<Exit> {
    Err(CliError::Usage("check is not wired yet".to_owned()))
}
