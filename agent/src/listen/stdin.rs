//! `logweir-agent --stdin`: the lines of a pipe, until it ends.

use std::io::{self, Read};

use super::{BATCH_BYTES_GOAL, BATCH_MESSAGES_MAX, Inbox};
use crate::decode::frames::Part;
use crate::spool::Message;

/// A longer line is spooled in pieces, which the decoder joins up to `limits.line_bytes`.
pub const PIECE_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 64 << 10;

/// Reads on a thread of its own: a read of a pipe cannot be taken back, and nothing may wait for it at the end.
pub(super) fn start(input: impl Read + Send + 'static, inbox: Inbox) -> io::Result<()> {
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read(input, &inbox)).map(|_| ())
}

fn read(mut input: impl Read, inbox: &Inbox) {
    let mut lines = Lines::default();
    let mut block = vec![0; READ_BYTES];
    loop {
        match input.read(&mut block) {
            Ok(0) => break,
            Ok(n) => {
                lines.add(&block[..n], inbox.now_ns());
                if !inbox.send_blocking(std::mem::take(&mut lines.ready)) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::error!(error = %error, "cannot read standard input, taking it for its end");
                break;
            }
        }
    }
    lines.end(inbox.now_ns());
    inbox.send_blocking(lines.ready);
}

/// Cuts what is read into lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    /// A piece of the line that `rest` goes on with was handed over.
    mid_line: bool,
    ready: Vec<Message>,
}

const _: () = assert!(READ_BYTES + PIECE_BYTES_MAX < BATCH_BYTES_GOAL && BATCH_MESSAGES_MAX > 1);

impl Lines {
    fn add(&mut self, mut bytes: &[u8], time_ns: i64) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            self.rest.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at + 1..];
            self.finish(time_ns);
        }
        self.rest.extend_from_slice(bytes);
        while self.rest.len() > PIECE_BYTES_MAX {
            let rest = self.rest.split_off(PIECE_BYTES_MAX);
            let text = std::mem::replace(&mut self.rest, rest);
            self.ready.push(Message { time_ns, text, part: Part::Piece });
            self.mid_line = true;
        }
    }

    /// A line is complete.
    fn finish(&mut self, time_ns: i64) {
        let part = if std::mem::take(&mut self.mid_line) { Part::LastPiece } else { Part::Whole };
        self.ready.push(Message { time_ns, text: std::mem::take(&mut self.rest), part });
    }

    fn end(&mut self, time_ns: i64) {
        if self.mid_line || !self.rest.is_empty() {
            self.finish(time_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lines_go_in_pieces() {
        let mut lines = Lines::default();
        lines.add(&vec![b'x'; PIECE_BYTES_MAX + 1], 1);
        lines.add(b"y\nnext", 2);
        lines.end(3);
        let shown: Vec<(usize, Part, i64)> = lines.ready.iter().map(|m| (m.text.len(), m.part, m.time_ns)).collect();
        assert_eq!(shown, [(PIECE_BYTES_MAX, Part::Piece, 1), (2, Part::LastPiece, 2), (4, Part::Whole, 3)]);
    }

    proptest! {
        #[test]
        fn any_reads_give_the_same_lines(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), read in 1usize..40) {
            let mut lines = Lines::default();
            bytes.chunks(read).for_each(|chunk| lines.add(chunk, 1));
            lines.end(1);
            let mut want: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            if want.last().is_some_and(|last| last.is_empty()) {
                want.pop();
            }
            prop_assert_eq!(lines.ready.iter().map(|m| m.text.as_slice()).collect::<Vec<_>>(), want);
        }
    }
}
