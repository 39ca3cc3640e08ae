//! `logweir tokens`: works on the data directory, with or without a running server.

use logweir_aggregator::auth::{Scope, TokenError, TokenFile};
use logweir_runtime::clock::{Clock, rfc3339};

use crate::args::TokensCommand;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Table};

pub(super) fn run(command: &TokensCommand, console: &mut Console) -> Result<Exit> {
    match command {
        TokensCommand::Create(args) => {
            let file = TokenFile::new(&args.data.data);
            let created = rfc3339(Clock::system().now_ns());
            let (record, text) = file.create(&args.name, &args.scopes, created).map_err(usage)?;
            console.line(&text)?;
            console.note(&format!("token {}: keep it, it cannot be shown again", record.id));
            Ok(Exit::Ok)
        }
        TokensCommand::List(args) => {
            let tokens = TokenFile::new(&args.data).read().map_err(usage)?;
            let mut table = Table::new(&["ID", "NAME", "SCOPES", "CREATED"]);
            for token in &tokens {
                let scopes: Vec<&str> = token.scopes.iter().map(|scope| Scope::as_str(*scope)).collect();
                table.push(&[&token.id, &token.name, &scopes.join(","), &token.created]);
            }
            if tokens.is_empty() {
                console.note("there are no tokens");
                return Ok(Exit::No);
            }
            table.print(console)?;
            Ok(Exit::Ok)
        }
        TokensCommand::Revoke(args) => match TokenFile::new(&args.data.data).revoke(&args.id) {
            Ok(gone) => {
                console.note(&format!("token {} ({}) is revoked", gone.id, gone.name));
                Ok(Exit::Ok)
            }
            Err(error @ TokenError::NotFound(_)) => {
                console.note(&error.to_string());
                Ok(Exit::No)
            }
            Err(error) => Err(usage(error)),
        },
    }
}

fn usage(error: TokenError) -> CliError {
    CliError::Usage(error.to_string())
}
