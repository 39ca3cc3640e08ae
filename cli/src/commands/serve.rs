//! `logweir serve`: the server from a configuration file.

use logweir_aggregator::config::Config;
use logweir_runtime::telemetry;

use crate::args::{self, ServeArgs};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::server::{self, Extras};

pub async fn run(args: ServeArgs) -> Result<Exit> {
    telemetry::init_logs(&args::log_filter(), false);
    let text =
        std::fs::read_to_string(&args.config).map_err(|source| CliError::Read { path: args.config.clone(), source })?;
    let config = Config::parse(&text, args::environment)
        .map_err(|mistakes| CliError::Usage(format!("{}:\n{mistakes}", args.config.display())))?;
    // Who names rules has chosen; who names none gets the shipped ones.
    let library = config.alerting.rules.is_empty();
    server::run(config, Extras { library, ..Extras::default() }).await.map_err(CliError::Server)?;
    Ok(Exit::Ok)
}
