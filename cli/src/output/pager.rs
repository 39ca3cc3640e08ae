//! Long answers on a terminal go through a pager, which takes as much as it shows: a search waits for the reader.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Console;
use crate::args;

/// Shows colours, ends by itself when everything fits on the screen, and leaves the text there.
const LESS_FLAGS: &str = "FRX";

/// A pager that takes what the console prints.
pub struct Pager {
    child: Child,
}

/// The pager's end of the pipe.
struct Pipe(ChildStdin);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Pager {
    /// Starts `LOGWEIR_PAGER`, else `PAGER`, else `less`, and lets the console print into it. `None` when there is none:
    /// then the terminal takes everything.
    pub fn start(console: &mut Console) -> Option<Pager> {
        let line = args::pager();
        let mut words = line.split_whitespace();
        let program = words.next().filter(|program| *program != "cat")?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped());
        if args::environment("LESS").is_none() {
            command.env("LESS", LESS_FLAGS);
        }
        let mut child = command.spawn().ok()?;
        let pipe = child.stdin.take()?;
        console.out = Box::new(io::BufWriter::new(Pipe(pipe)));
        // A summary would be written over what the pager shows.
        console.talkative = false;
        Some(Pager { child })
    }

    /// Waits until the reader has left.
    pub fn wait(mut self, console: &mut Console) {
        console.out = Box::new(io::sink());
        let _ = self.child.wait();
    }
}
