//! The command line of Logweir: the client of the HTTP API, and the commands that start the server parts.
//!
//! [`args`] is what can be typed, [`commands`] does it, [`client`] speaks HTTP, [`output`] prints. Data goes to
//! stdout, everything else to stderr; [`exit`] lists the codes. A broken pipe is success: the reader had enough.

pub mod args;
pub mod client;
pub mod commands;
pub mod demo;
pub mod error;
pub mod exit;
pub mod output;
pub mod profile;
pub mod server;

use args::Cli;
use exit::Exit;
use output::{Console, Pager};

/// Runs one command and says on stderr what went wrong, if something did.
pub async fn run(cli: Cli) -> Exit {
    let mut console = Console::standard(cli.color, cli.utc);
    let paged = console.interactive && !cli.no_pager && cli.command.may_be_long();
    let pager = if paged { Pager::start(&mut console) } else { None };
    let done = commands::dispatch(cli.command, &mut console).await;
    let flushed = console.flush();
    if let Some(pager) = pager {
        pager.wait(&mut console);
    }
    match done.and_then(|exit| flushed.map(|()| exit).map_err(Into::into)) {
        Ok(exit) => exit,
        Err(error) if error.is_broken_pipe() => Exit::Ok,
        Err(error) => {
            output::problem::print(&mut console, &error);
            error.exit()
        }
    }
}
