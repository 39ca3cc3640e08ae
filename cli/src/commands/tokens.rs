//! `logweir tokens`: works on the data directory, with or without a running server.

use std::path::{Path, PathBuf};

use logweir_aggregator::auth::{Scope, TokenError, TokenFile};
use logweir_runtime::clock::{Clock, rfc3339};

use crate::args::TokensCommand;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Table};

/// What is in a directory before its first event: a server that was refused for want of a token leaves its lock, and
/// a file system its own folder.
const NOT_DATA: [&str; 2] = ["lock", "lost+found"];

pub(super) fn run(command: &TokensCommand, console: &mut Console) -> Result<Exit> {
    match command {
        TokensCommand::Create(args) => {
            let file = token_file(&args.data.data)?;
            let created = rfc3339(Clock::system().now_ns());
            let (record, text) = file.create(&args.name, &args.scopes, created).map_err(usage)?;
            console.line(&text)?;
            console.note(&format!("token {}: keep it, it cannot be shown again", record.id));
            Ok(Exit::Ok)
        }
        TokensCommand::List(args) => {
            let tokens = token_file(&args.data)?.read().map_err(usage)?;
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
        TokensCommand::Revoke(args) => match token_file(&args.data.data)?.revoke(&args.id) {
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

/// The tokens of the server whose data directory, or that of `up`, is `dir`.
fn token_file(dir: &Path) -> Result<TokenFile> {
    server_dir(dir).map(|dir| TokenFile::new(&dir))
}

/// A token in a directory that no server reads would be refused, and nobody would see why. A new directory is taken:
/// a server on an address that is not loopback starts only when it has a token.
fn server_dir(dir: &Path) -> Result<PathBuf> {
    if let Some(found) = data_dir(dir) {
        return Ok(found);
    }
    if TokenFile::new(dir).exists() || is_new(dir)? {
        return Ok(dir.to_owned());
    }
    let hint = "--data takes the data_dir of logweir.yaml, or what --data was for 'logweir up'";
    Err(CliError::Usage(format!("{} is not the data directory of a server: {hint}", dir.display())))
}

/// Where the data of the server are whose data directory, or that of `up`, is `dir`.
pub(super) fn data_dir(dir: &Path) -> Option<PathBuf> {
    [dir.to_owned(), dir.join("server")].into_iter().find(|dir| has_data(dir))
}

fn has_data(dir: &Path) -> bool {
    dir.join("wal").is_dir() || dir.join("store").is_dir()
}

/// Whether `dir` is not there yet, or holds nothing.
fn is_new(dir: &Path) -> Result<bool> {
    let wrong = |source| CliError::Read { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(wrong(error)),
    };
    for entry in entries {
        let name = entry.map_err(wrong)?.file_name();
        if !NOT_DATA.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn usage(error: TokenError) -> CliError {
    CliError::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_where_a_server_reads_them() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let touch = |path: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, "").expect("a file");
        };
        for path in ["serve/wal/1", "up/server/store/1", "up/agent/lock", "refused/lock", "early/tokens.json"] {
            touch(path);
        }
        touch("home/.profile");
        for (given, found) in [
            ("serve", Some("serve")),
            ("up", Some("up/server")),
            ("up/server", Some("up/server")),
            ("new", Some("new")),
            ("refused", Some("refused")),
            ("early", Some("early")),
            ("home", None),
        ] {
            let dir = server_dir(&root.join(given)).ok();
            assert_eq!(dir, found.map(|found| root.join(found)), "{given}");
        }
        let error = server_dir(&root.join("home")).expect_err("refused").to_string();
        assert!(error.contains("home is not the data directory of a server: --data takes"), "{error}");
    }
}
