//! Bytes that grow in pieces: what is written stays where it is. A column of a part takes up to 10 MiB; one `Vec` would copy
//! them each time that it is full, and leave holes of all sizes with the allocator.

use std::io::Read;

use bytes::{Buf, Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A piece is closed before it is longer, but for one that is a longer page.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Pieces {
    full: Vec<Bytes>,
    full_bytes: usize,
    open: Vec<u8>,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.full_bytes + self.open.len()
    }

    /// Where so many bytes may be appended.
    pub(super) fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        if !self.open.is_empty() && self.open.len() + bytes > PIECE_BYTES {
            self.close();
            // It is a large column, so that the next piece is filled, too.
            self.open.reserve_exact(bytes.max(PIECE_BYTES));
        }
        &mut self.open
    }

    /// Puts all of the others behind these.
    pub(super) fn append(&mut self, mut others: Pieces) {
        self.close();
        others.close();
        self.full.append(&mut others.full);
        self.full_bytes += others.full_bytes;
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full_bytes += self.open.len();
            self.full.push(std::mem::take(&mut self.open).into());
        }
    }

    fn all(&self) -> impl Iterator<Item = Bytes> {
        let open = Some(&self.open).filter(|open| !open.is_empty()).map(|open| Bytes::copy_from_slice(open));
        self.full.iter().cloned().chain(open)
    }
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        Pieces::len(self) as u64
    }
}

impl ChunkReader for Pieces {
    type T = Reading;

    fn get_read(&self, start: u64) -> Result<Reading, ParquetError> {
        let mut left_out = usize::try_from(start)?;
        let mut pieces: Vec<Bytes> = self.all().collect();
        for piece in &mut pieces {
            let out = left_out.min(piece.len());
            piece.advance(out);
            left_out -= out;
        }
        Ok(Reading { pieces: pieces.into_iter(), at: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = BytesMut::zeroed(length);
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.freeze())
    }
}

/// Reads one piece after the other.
pub(super) struct Reading {
    pieces: std::vec::IntoIter<Bytes>,
    at: Bytes,
}

impl Read for Reading {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at.is_empty() {
            let Some(next) = self.pieces.next() else { return Ok(0) };
            self.at = next;
        }
        let bytes = out.len().min(self.at.len());
        self.at.copy_to_slice(&mut out[..bytes]);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_put_in_pieces_is_read_as_one(
            pages in prop::collection::vec(1usize..PIECE_BYTES * 2 / 3, 0..12),
            front in prop::collection::vec(any::<u8>(), 0..40),
            from in any::<prop::sample::Index>(),
        ) {
            let mut pieces = Pieces::default();
            let mut want = front.clone();
            for (i, len) in pages.iter().enumerate() {
                let page = vec![i as u8; *len];
                pieces.room(page.len()).extend_from_slice(&page);
                want.extend_from_slice(&page);
            }
            let mut all = Pieces::default();
            all.room(front.len()).extend_from_slice(&front);
            all.append(pieces);
            prop_assert_eq!(all.len(), want.len());
            let mut read = Vec::new();
            all.get_read(0).unwrap().read_to_end(&mut read).unwrap();
            prop_assert!(read == want);
            let from = from.index(want.len() + 1);
            prop_assert!(all.get_bytes(from as u64, want.len() - from).unwrap() == want[from..]);
            prop_assert!(all.get_bytes(from as u64, want.len() - from + 1).is_err());
        }
    }
}
