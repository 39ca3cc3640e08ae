//! The bytes of a source by their offset: a plain file, or a compressed one that is decompressed on the way.
//!
//! Offsets are always those of the log as it was written. A compressed file has no places of its own to go to: it is
//! read forward, and only the bytes from the last asked offset on are kept, so that a window can be read again. Asked
//! for an earlier offset, it starts over.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::identity::{Head, read_full_at};

/// Blocks that are read from a compressed file.
const PACKED_READ_BYTES: usize = 64 << 10;
/// The largest window of zstd that is taken, as a power of two: 8 MiB, which is what `zstd -19` writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes that are skipped at a time.
const SKIP_BYTES: usize = 64 << 10;

/// How a file is compressed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// `None` for a plain file, and for one whose compression is not read here.
    pub fn of(path: &Path) -> Option<Packing> {
        match path.extension()?.to_str()? {
            "gz" => Some(Packing::Gzip),
            "zst" => Some(Packing::Zstd),
            _ => None,
        }
    }
}

/// How a compressed file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Whole,
    /// It stops in the middle: it is still being written, or was never finished.
    Torn,
    Damaged(String),
}

/// A file to read from.
#[derive(Debug)]
pub enum Body {
    Plain(File),
    Packed(Box<Packed>),
}

impl Body {
    pub fn open(path: &Path) -> io::Result<Body> {
        let file = File::open(path)?;
        Ok(match Packing::of(path) {
            Some(packing) => Body::Packed(Box::new(Packed::new(file, packing))),
            None => Body::Plain(file),
        })
    }

    /// The file itself, unless it is compressed.
    pub fn plain(&self) -> Option<&File> {
        match self {
            Body::Plain(file) => Some(file),
            Body::Packed(_) => None,
        }
    }

    pub fn into_plain(self) -> Option<File> {
        match self {
            Body::Plain(file) => Some(file),
            Body::Packed(_) => None,
        }
    }

    pub fn packed(&self) -> Option<&Packed> {
        match self {
            Body::Plain(_) => None,
            Body::Packed(packed) => Some(packed),
        }
    }

    /// Fills `buffer` from `offset` on as far as the log goes.
    pub fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Body::Plain(file) => read_full_at(file, buffer, offset),
            Body::Packed(packed) => packed.read_at(buffer, offset),
        }
    }

    pub fn head(&mut self) -> io::Result<Head> {
        Head::read_with(|buffer| self.read_at(buffer, 0))
    }

    /// Of the file as it stands on the disk.
    pub fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Body::Plain(file) => file.metadata(),
            Body::Packed(packed) => packed.file.metadata(),
        }
    }
}

/// A compressed file and the bytes around the offset that was asked for last.
pub struct Packed {
    file: File,
    packing: Packing,
    decoder: Option<Box<dyn Read + Send>>,
    /// Offset of the first byte of `ahead`.
    at: u64,
    ahead: Vec<u8>,
    ended: Option<Ended>,
    /// Bytes of the file when it was started.
    started_bytes: u64,
}

impl fmt::Debug for Packed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packed { packing, at, ended, .. } = self;
        out.debug_struct("Packed").field("packing", packing).field("at", at).field("ended", ended).finish()
    }
}

impl Packed {
    pub fn new(file: File, packing: Packing) -> Packed {
        Packed { file, packing, decoder: None, at: 0, ahead: Vec::new(), ended: None, started_bytes: 0 }
    }

    /// Where the log ends, and how, once that is known.
    pub fn end(&self) -> Option<(u64, &Ended)> {
        self.ended.as_ref().map(|ended| (self.at + self.ahead.len() as u64, ended))
    }

    /// Whether it was longer or shorter when it was started: what ended too early may go on now.
    pub fn has_changed(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.len() != self.started_bytes)
    }

    /// The next read starts over.
    pub fn rewind(&mut self) {
        self.decoder = None;
        self.ended = None;
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.decoder.is_none() || offset < self.at {
            self.start()?;
        }
        let kept = self.ahead.len() as u64;
        if offset < self.at + kept {
            self.ahead.drain(..(offset - self.at) as usize);
        } else {
            self.at += kept;
            self.ahead.clear();
            while self.at < offset && self.ended.is_none() {
                self.fill((offset - self.at).min(SKIP_BYTES as u64) as usize);
                self.at += self.ahead.len() as u64;
                self.ahead.clear();
            }
            if self.at < offset {
                return Ok(0);
            }
        }
        self.at = offset;
        self.fill(buffer.len());
        let len = buffer.len().min(self.ahead.len());
        buffer[..len].copy_from_slice(&self.ahead[..len]);
        Ok(len)
    }

    fn start(&mut self) -> io::Result<()> {
        let mut file = self.file.try_clone()?;
        self.started_bytes = file.metadata()?.len();
        file.rewind()?;
        let file = BufReader::with_capacity(PACKED_READ_BYTES, file);
        self.decoder = Some(match self.packing {
            Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        });
        (self.at, self.ended) = (0, None);
        self.ahead.clear();
        Ok(())
    }

    /// Decompresses until `ahead` holds `want` bytes or the log ends.
    fn fill(&mut self, want: usize) {
        let Some(decoder) = &mut self.decoder else { return };
        while self.ahead.len() < want && self.ended.is_none() {
            let have = self.ahead.len();
            self.ahead.resize(want, 0);
            let read = decoder.read(&mut self.ahead[have..]);
            self.ahead.truncate(have + read.as_ref().map_or(0, |read| *read));
            self.ended = match read {
                Ok(0) => Some(Ended::Whole),
                Ok(_) => None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Ended::Torn),
                Err(error) => Some(Ended::Damaged(error.to_string())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a buffer takes all");
        encoder.finish().expect("a buffer takes all")
    }

    fn body(bytes: &[u8], name: &str) -> (tempfile::TempDir, Body) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        let body = Body::open(&path).expect("a body");
        (dir, body)
    }

    fn all(body: &mut Body) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let len = body.read_at(&mut buffer, 0).expect("it is read");
        buffer.truncate(len);
        buffer
    }

    fn ended(body: &Body) -> Option<(u64, Ended)> {
        body.packed().and_then(Packed::end).map(|(at, ended)| (at, ended.clone()))
    }

    #[test]
    fn members_one_after_the_other_are_one_log() {
        let (_dir, mut body) = body(&[gzip(b"one\n"), gzip(b"two\n")].concat(), "a.gz");
        assert_eq!(all(&mut body), b"one\ntwo\n");
        assert_eq!(ended(&body), Some((8, Ended::Whole)));
        assert_eq!(body.head().expect("a head").bytes(), b"one\ntwo\n");
    }

    #[test]
    fn what_is_torn_gives_what_is_there_and_goes_on_when_it_is_whole() {
        let text: Vec<u8> = (0..40_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let packed = gzip(&text);
        let (dir, mut body) = body(&packed[..packed.len() / 2], "a.gz");
        let part = all(&mut body);
        assert!(!part.is_empty() && text.starts_with(&part));
        assert_eq!(ended(&body), Some((part.len() as u64, Ended::Torn)));
        std::fs::write(dir.path().join("a.gz"), &packed).expect("the rest");
        let Body::Packed(packed) = &mut body else { panic!("it is compressed") };
        assert!(packed.has_changed());
        packed.rewind();
        assert_eq!(all(&mut body), text);
        assert_eq!(ended(&body), Some((text.len() as u64, Ended::Whole)));
    }

    #[test]
    fn zstd_is_read_too() {
        let (_dir, mut body) = body(&zstd::bulk::compress(b"one\ntwo\n", 1).expect("it fits"), "a.zst");
        assert_eq!(all(&mut body), b"one\ntwo\n");
    }

    proptest! {
        #[test]
        fn any_order_of_offsets_gives_the_same_bytes(
            text in prop::collection::vec(any::<u8>(), 0..5_000),
            reads in prop::collection::vec((0u64..6_000, 0usize..3_000), 0..20),
        ) {
            let (_dir, mut body) = body(&gzip(&text), "a.gz");
            for (offset, len) in reads {
                let mut buffer = vec![0; len];
                let read = body.read_at(&mut buffer, offset).expect("it is read");
                let want = text.get(offset as usize..).unwrap_or_default();
                prop_assert_eq!(&buffer[..read], &want[..len.min(want.len())]);
            }
        }

        #[test]
        fn hostile_bytes_end_somehow(bytes in prop::collection::vec(any::<u8>(), 0..2_000), flip in 0usize..2_000) {
            for (name, mut packed) in [
                ("a.gz", gzip(&bytes)),
                ("a.zst", zstd::bulk::compress(&bytes, 1).expect("it fits")),
                ("b.gz", bytes.clone()),
                ("b.zst", bytes.clone()),
            ] {
                if let Some(byte) = packed.get_mut(flip) {
                    *byte ^= 0x55;
                }
                let (_dir, mut body) = body(&packed, name);
                let read = all(&mut body);
                prop_assert!(read.len() <= 1 << 20);
            }
        }
    }
}
