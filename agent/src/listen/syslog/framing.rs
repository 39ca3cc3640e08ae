//! Messages in a stream of bytes (RFC 6587).

use super::MESSAGE_BYTES_MAX;

/// Digits of a count; more are text.
const COUNT_DIGITS_MAX: usize = 10;

/// What of a connection is not a message yet.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    at: usize,
    /// Octets of a counted message that was longer than allowed and goes on.
    rest: usize,
}

/// What the next frame begins with.
enum Begin {
    /// A message of so many octets behind so many digits and a space.
    Counted(usize, usize),
    Lines,
    /// Too little is there.
    Unknown,
}

impl Framer {
    /// Takes in what was read.
    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message; at the end of the connection also one without its end.
    pub fn next(&mut self, ended: bool) -> Option<Vec<u8>> {
        if self.rest > 0 {
            return self.counted(0, self.rest, ended);
        }
        // Between frames some senders leave a newline.
        while matches!(self.buffer.get(self.at), Some(b'\n' | b'\r' | 0)) {
            self.at += 1;
        }
        let bytes = &self.buffer[self.at..];
        match begin(bytes) {
            Begin::Counted(head, octets) => self.counted(head, octets, ended),
            Begin::Unknown if !ended => None,
            Begin::Lines | Begin::Unknown => {
                let line = &bytes[..bytes.len().min(MESSAGE_BYTES_MAX)];
                match memchr::memchr(b'\n', line) {
                    Some(end) => Some(self.take(0, end, 1)),
                    None if line.len() == MESSAGE_BYTES_MAX => Some(self.take(0, MESSAGE_BYTES_MAX, 0)),
                    None if ended && !line.is_empty() => Some(self.take(0, line.len(), 0)),
                    None => None,
                }
            }
        }
    }

    fn counted(&mut self, head: usize, octets: usize, ended: bool) -> Option<Vec<u8>> {
        let there = self.buffer.len() - self.at - head;
        let want = octets.min(MESSAGE_BYTES_MAX);
        if there < want && !(ended && there > 0) {
            return None;
        }
        let len = want.min(there);
        self.rest = octets - len;
        Some(self.take(head, len, 0))
    }

    fn take(&mut self, head: usize, len: usize, tail: usize) -> Vec<u8> {
        let start = self.at + head;
        self.at = start + len + tail;
        self.buffer[start..start + len].to_vec()
    }
}

fn begin(bytes: &[u8]) -> Begin {
    let digits = bytes.iter().take(COUNT_DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > COUNT_DIGITS_MAX || bytes[0] == b'0' {
        return if bytes.is_empty() { Begin::Unknown } else { Begin::Lines };
    }
    match bytes.get(digits) {
        // A line that begins with a number and a space is a line unless a message follows.
        Some(b' ') => match bytes.get(digits + 1) {
            Some(b'<') => {
                let octets = std::str::from_utf8(&bytes[..digits]).ok().and_then(|digits| digits.parse().ok());
                octets.map_or(Begin::Lines, |octets| Begin::Counted(digits + 1, octets))
            }
            Some(_) => Begin::Lines,
            None => Begin::Unknown,
        },
        Some(_) => Begin::Lines,
        None => Begin::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(bytes: &[u8], read: usize) -> Vec<String> {
        let mut framer = Framer::default();
        let mut messages = Vec::new();
        for chunk in bytes.chunks(read.max(1)) {
            framer.add(chunk);
            while let Some(message) = framer.next(false) {
                messages.push(String::from_utf8_lossy(&message).into_owned());
            }
        }
        framer.add(b"");
        while let Some(message) = framer.next(true) {
            messages.push(String::from_utf8_lossy(&message).into_owned());
        }
        messages
    }

    #[test]
    fn each_message_is_framed_for_itself() {
        let bytes = b"<13>one\n7 <13>a\nb12 <14>counted\n\n<13>two\r\n200 OK from a line\n99 <13>torn";
        for read in 1..bytes.len() {
            let want = ["<13>one", "<13>a\nb", "<14>counted\n", "<13>two\r", "200 OK from a line", "<13>torn"];
            assert_eq!(run(bytes, read), want, "{read}");
        }
    }

    #[test]
    fn what_is_too_long_goes_in_pieces() {
        let long = "x".repeat(MESSAGE_BYTES_MAX);
        let shown = |bytes: String| -> Vec<usize> { run(bytes.as_bytes(), 10_000).iter().map(String::len).collect() };
        assert_eq!(shown(format!("<13>{long}\n<13>next\n")), [MESSAGE_BYTES_MAX, 4, 8]);
        assert_eq!(shown(format!("{} <13>{long}<13>next\n", long.len() + 4)), [MESSAGE_BYTES_MAX, 4, 8]);
        assert_eq!(shown("99999999999 <1>x\n0 <1>y\n".to_owned()), [16, 6]);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_reads(bytes in prop::collection::vec(any::<u8>(), 0..300), read in 1usize..50) {
            prop_assert_eq!(run(&bytes, read), run(&bytes, 1_000));
        }
    }
}
