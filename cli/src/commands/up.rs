//! `logweir up`: wired by the lead.

use crate::args::UpArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;

#[expect(clippy::unused_async, reason = "the server that it will start is awaited")]
pub async fn run(_args: UpArgs) -> Result<Exit> {
    Err(CliError::Usage("up is not wired yet".to_owned()))
}
