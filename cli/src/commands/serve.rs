//! `logweir serve`: wired by the lead.

use crate::args::ServeArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;

#[expect(clippy::unused_async, reason = "the server that it will start is awaited")]
pub async fn run(_args: ServeArgs) -> Result<Exit> {
    Err(CliError::Usage("serve is not wired yet".to_owned()))
}
