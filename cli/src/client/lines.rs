//! Cuts a stream of bytes into lines with a cap, for NDJSON and SSE.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

/// One frame. A line of a log is at most 1 MiB; as JSON with its fields, and with every byte escaped, it stays below.
pub(crate) const LINE_BYTES_MAX: usize = 32 << 20;

pub(crate) struct Lines {
    stream: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that are known to hold no newline.
    searched: usize,
    done: bool,
}

impl Lines {
    pub(crate) fn new(stream: BoxStream<'static, reqwest::Result<Bytes>>) -> Lines {
        Lines { stream, buffer: BytesMut::new(), searched: 0, done: false }
    }

    /// The next line without its newline; empty lines are kept, because SSE means something by them.
    ///
    /// Bytes after the last newline are not a line: whoever sent them was cut off.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(Ok(line));
            }
            if self.done {
                return None;
            }
            match self.stream.next().await {
                Some(Ok(chunk)) if self.buffer.len() + chunk.len() > LINE_BYTES_MAX => {
                    self.done = true;
                    return Some(Err(format!("a line is longer than {LINE_BYTES_MAX} bytes")));
                }
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    self.done = true;
                    return Some(Err(super::chain(&error)));
                }
                None => self.done = true,
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_do_not_depend_on_where_the_chunks_end() {
        let text = b"one\r\n\ntwo three\nhalf";
        for size in 1..text.len() {
            let chunks: Vec<_> = text.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let mut lines = Lines::new(futures_util::stream::iter(chunks).boxed());
            let mut seen = Vec::new();
            while let Some(line) = lines.next().await {
                seen.push(line.expect("no error"));
            }
            assert_eq!(seen, [&b"one"[..], b"", b"two three"], "chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused_at_the_cap() {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let endless = futures_util::stream::repeat_with(move || Ok(chunk.clone()));
        let mut lines = Lines::new(endless.boxed());
        assert!(lines.next().await.expect("a step").is_err());
        assert!(lines.next().await.is_none());
    }
}
