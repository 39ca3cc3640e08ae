//! Exit codes, and the hook that makes a panic one of them.

use std::io::Write;
use std::process::ExitCode;

/// How a command ended. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Yes, or done.
    Ok,
    /// No hits, or a negative answer: a rule test failed, no alert has that id.
    No,
    /// The arguments, a configuration file or the query are wrong.
    Usage,
    /// The server cannot be reached, or cannot answer now.
    Unreachable,
    /// The answer does not cover everything that was asked.
    Partial,
    /// A bug of Logweir.
    Bug,
}

impl Exit {
    pub const ALL: [Exit; 6] = [Exit::Ok, Exit::No, Exit::Usage, Exit::Unreachable, Exit::Partial, Exit::Bug];

    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Partial => 4,
            Exit::Bug => 70,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// A panic says that it is a bug. It ends the command, not a server: there it costs one request.
pub fn install_panic_hook() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        let _ = writeln!(std::io::stderr(), "this is a bug of logweir {}", env!("CARGO_PKG_VERSION"));
    }));
}

/// The machine refused the threads that every command needs.
pub fn cannot_start(error: &std::io::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: cannot start threads: {error}");
    Exit::Bug.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4, 70]);
    }
}
