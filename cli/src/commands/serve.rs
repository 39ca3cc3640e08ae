//! `logweir serve`: the server from a configuration file.

use logweir_aggregator::config::Config;
use logweir_proto::yaml::Problem;
use logweir_runtime::{telemetry, text_file};

use crate::args::{self, ServeArgs};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::server::{self, Extras};

pub async fn run(args: ServeArgs) -> Result<Exit> {
    telemetry::init_logs(&args::log_filter("info"), false);
    let text =
        text_file::read_file(&args.config).map_err(|source| CliError::Read { path: args.config.clone(), source })?;
    let config = Config::parse(&args.config.display().to_string(), &text, &args::environment).map_err(refused)?;
    // Who names rules has chosen; who names none gets the shipped ones.
    let library = config.alerting.rules.is_empty();
    server::run(config, Extras { library, ..Extras::default() }).await.map_err(CliError::Server)?;
    Ok(Exit::Ok)
}

fn refused(problems: Vec<Problem>) -> CliError {
    let lines: String = problems.iter().map(|problem| format!("\n{problem}")).collect();
    CliError::Usage(format!("the configuration has {} mistake(s):{lines}", problems.len()))
}
