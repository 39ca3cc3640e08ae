//! One source: an open file, how far it was cut into records, and the step that cuts more.
//!
//! A source keeps no bytes. Each step reads a window from a clean point on, checks that the file is still the one it
//! was (the check comes after the read, so that a truncation in between cannot slip through), and decodes.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir_proto::batch::{ChunkBuilder, Stream};
use rustix::fs::SeekFrom;
use tokio::time::Instant;

use super::Now;
use super::body::{Body, Ended, Packed};
use super::checkpoint::{SavedSource, Stage};
use super::identity::{FileId, Fingerprint, Head, HeadMatch, Stat};
use super::info::Info;
use super::shared;
use crate::decode::encoding::Encoding;
use crate::decode::{Close, Format, Multiline, Open, Scratch, Window, decode};

/// The window of a file that has much to read; it grows when one record needs more.
pub const WINDOW_BYTES: usize = 256 << 10;
/// The first window of a step: most of the time no more was appended.
pub const WINDOW_BYTES_MIN: usize = 16 << 10;
/// A line without its newline, or a record without its last piece, is shipped after this time without growth.
pub const PIECE_QUIET: Duration = Duration::from_secs(2);

/// A shorter hole is read as the NULs that it shows; a longer one is one empty record, marked as cut.
pub const HOLE_BYTES_MIN: usize = 64 << 10;

/// A chunk takes no further window beyond this: empty lines are small, and a batch holds a limited number of records.
pub const RECORDS_PER_CHUNK_MAX: u32 = 200_000;

/// The largest window: a joined record with its envelopes, and what comes before its end is known.
pub const fn window_bytes_max(line_bytes: usize) -> usize {
    WINDOW_BYTES + 2 * line_bytes
}

/// Bytes that a look at the file left undecided.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// End of the file at that time.
    pub end: u64,
    pub since: Instant,
    pub open: Open,
}

/// An incarnation that is followed.
#[derive(Debug)]
pub struct Source {
    pub info: Info,
    pub multiline: Multiline,
    /// What its first bytes say.
    pub encoding: Encoding,
    pub stage: Stage,
    pub id: FileId,
    pub fingerprint: Fingerprint,
    pub path_now: PathBuf,
    /// Where a symbolic link leads: the kernel names changes by this path.
    pub real_path: Option<PathBuf>,
    pub file: Option<Body>,
    /// Other machines write there, too: a descriptor may come to show another file.
    pub shared: bool,
    /// It is followed and not open: there are more files than descriptors.
    pub parked: bool,
    /// Nothing more is cut from it; it stays open until the server has what was cut.
    pub done: bool,
    /// Its last name is gone: after a restart nobody will find it.
    pub deleted: bool,
    /// Cut into records up to here.
    pub pos: u64,
    /// Stored by the server up to here.
    pub acked: u64,
    pub size: u64,
    pub mtime_ns: i64,
    pub pending: Option<Pending>,
    /// It is worth a look: something was written, or not all was taken last time.
    pub dirty: bool,
    /// Wall time at which all that was in the file was cut into records.
    pub caught_up_ns: i64,
    /// Since when nothing more came, for one that was rotated.
    pub quiet_since: Instant,
    /// End of the file at the last step that reached it.
    pub seen_end: u64,
    /// When a rescan met it last.
    pub met: Instant,
    pub announced: bool,
    /// The bytes from here on are another source's: the file lost its end.
    pub end: Option<u64>,
    /// Since when its file cannot be looked at; it is neither read nor given up meanwhile.
    pub waiting_since: Option<Instant>,
}

/// How long the undecided may wait.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    pub line: Duration,
    pub trace: Duration,
    pub piece: Duration,
}

impl Holds {
    /// As little as possible: what is in the file is all that there will be.
    pub const NONE: Holds = Holds { line: Duration::ZERO, trace: Duration::ZERO, piece: Duration::ZERO };

    pub fn new(batch_age: Duration) -> Holds {
        Holds { line: linger(batch_age), trace: batch_age, piece: PIECE_QUIET.max(batch_age) }
    }

    pub const fn of(&self, open: Open) -> Duration {
        match open {
            Open::Line => self.line,
            Open::Trace => self.trace,
            Open::Piece => self.piece,
        }
    }
}

/// How long a batch waits for more lines while the way to the server is free.
pub fn linger(batch_age: Duration) -> Duration {
    batch_age / 64
}

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// Records were pushed, or there was nothing to push.
    Took {
        truncated: u64,
        interleaved: bool,
    },
    /// The file is not what it was: its head changed.
    Rewritten,
    /// Its head is what it was, and it ends here, before what was read or planned.
    Shortened(u64),
    Failed(io::Error),
}

/// What a file turns out to be after a read.
#[derive(Debug)]
enum Seen {
    Same,
    Shortened(u64),
    Another,
}

/// What a step may use.
#[derive(Debug)]
pub struct Tools<'a> {
    pub window: &'a mut Vec<u8>,
    pub scratch: &'a mut Scratch,
    pub line_bytes: usize,
    pub holds: Holds,
}

impl Source {
    /// A new incarnation at an offset.
    pub fn new(info: Info, multiline: Multiline, mut body: Body, at: u64, now: Now) -> io::Result<Source> {
        let meta = body.metadata()?;
        let fingerprint = Fingerprint::of(body.head()?.bytes());
        let len = if body.plain().is_some() { meta.len() } else { 0 };
        let path_now = PathBuf::from(&*info.path);
        Ok(Source {
            info,
            multiline,
            encoding: Encoding::Bytes,
            stage: Stage::Live,
            id: FileId::of(&meta),
            fingerprint,
            real_path: real_path(&path_now),
            shared: shared::is_shared(&path_now),
            path_now,
            file: Some(body),
            parked: false,
            done: false,
            deleted: false,
            pos: at,
            acked: at,
            size: len.max(at),
            mtime_ns: mtime_ns(&meta),
            pending: None,
            dirty: true,
            caught_up_ns: 0,
            quiet_since: now.mono,
            seen_end: 0,
            met: now.mono,
            announced: false,
            end: None,
            waiting_since: None,
        })
    }

    /// One from the checkpoint; the file is opened by who finds it.
    pub fn saved(saved: SavedSource<'_>, now: Now) -> Source {
        Source {
            info: saved.info.into_owned(),
            multiline: saved.multiline.into_owned(),
            encoding: Encoding::Bytes,
            stage: saved.stage,
            id: saved.id,
            fingerprint: saved.fingerprint,
            real_path: real_path(&saved.path_now),
            shared: saved.path_now.parent().is_some_and(shared::is_shared),
            path_now: saved.path_now.into_owned(),
            file: None,
            parked: false,
            done: false,
            deleted: false,
            pos: saved.acked,
            acked: saved.acked,
            size: saved.size,
            mtime_ns: 0,
            pending: None,
            dirty: true,
            caught_up_ns: 0,
            quiet_since: now.mono,
            seen_end: 0,
            met: now.mono,
            announced: false,
            end: saved.end,
            waiting_since: None,
        }
    }

    pub fn to_saved(&self) -> SavedSource<'_> {
        // With nothing left to read from it there is nothing to look for after a restart.
        let read = self.stage == Stage::Rotated
            && (self.file.is_none() || (self.deleted && self.size == self.pos))
            && self.waiting_since.is_none()
            && self.acked == self.pos;
        SavedSource {
            info: Cow::Borrowed(&self.info),
            multiline: Cow::Borrowed(&self.multiline),
            stage: if read { Stage::Finished } else { self.stage },
            id: self.id,
            fingerprint: self.fingerprint,
            path_now: Cow::Borrowed(&self.path_now),
            acked: self.acked,
            size: self.size,
            end: self.end,
        }
    }

    /// Notes how much stands in the file: it is known then even if it is truncated or rotated before it is read. True
    /// if there is more than before.
    pub fn note(&mut self) -> bool {
        let Some(file) = self.file.as_ref().and_then(Body::plain) else { return false };
        if self.shows_another(file) {
            self.dirty = true;
            return false;
        }
        let Ok(meta) = file.metadata() else { return false };
        self.dirty |= meta.len() != self.size || mtime_ns(&meta) != self.mtime_ns;
        let grew = meta.len() > self.size;
        if self.end.is_none()
            && (grew || self.fingerprint.can_grow(meta.len()))
            && let Ok(head) = Head::read(file)
            && self.fingerprint.check(head.bytes()) == HeadMatch::Same
        {
            self.size = self.size.max(meta.len());
            self.fingerprint = Fingerprint::of(head.bytes());
            return grew;
        }
        false
    }

    fn shows_another(&self, file: &File) -> bool {
        self.shared && shared::shows_another(file, &self.path_now, self.id, self.fingerprint)
    }

    /// When the undecided rest is decided by time; `None` when nothing waits.
    pub fn deadline(&self, holds: Holds) -> Option<Instant> {
        self.pending.map(|pending| pending.since + holds.of(pending.open))
    }

    /// Cuts what is there into `chunk` until it holds `budget` bytes.
    pub fn step(&mut self, tools: &mut Tools<'_>, chunk: &mut ChunkBuilder, budget: usize, now: Now) -> Step {
        self.run(tools, chunk, budget, None, now)
    }

    /// Cuts exactly `[pos, to)`, closing what is open at `to`: what was planned before a crash.
    pub fn replay(&mut self, tools: &mut Tools<'_>, chunk: &mut ChunkBuilder, to: u64, now: Now) -> Step {
        self.run(tools, chunk, usize::MAX, Some(to), now)
    }

    fn run(
        &mut self,
        tools: &mut Tools<'_>,
        chunk: &mut ChunkBuilder,
        budget: usize,
        to: Option<u64>,
        now: Now,
    ) -> Step {
        let mut want = WINDOW_BYTES_MIN;
        let mut total = Step::Took { truncated: 0, interleaved: false };
        while chunk.bytes() < budget && chunk.records() < RECORDS_PER_CHUNK_MAX && to.is_none_or(|to| self.pos < to) {
            let limit = to.map_or(want, |to| want.min((to - self.pos) as usize));
            let (start, len) = match self.read(tools.window, limit) {
                Ok(read) => read,
                Err(error) => return Step::Failed(error),
            };
            match self.verify() {
                Ok(Seen::Same) => {}
                Ok(Seen::Shortened(len)) => return Step::Shortened(len),
                Ok(Seen::Another) => return Step::Rewritten,
                Err(error) => return Step::Failed(error),
            }
            let at_end = len < limit;
            let end = self.pos + len as u64;
            if at_end && to.is_some() {
                // Shorter than what was planned: the rest is gone.
                return if self.fingerprint.is_empty() { Step::Rewritten } else { Step::Shortened(end) };
            }
            let close = match to {
                Some(to) if end == to => Close::All,
                Some(_) => Close::Nothing,
                None if at_end => self.close_at(end, tools.holds, now),
                None if want >= window_bytes_max(tools.line_bytes) => Close::All,
                None => Close::Nothing,
            };
            let close = if to.is_some() && want >= window_bytes_max(tools.line_bytes) { Close::All } else { close };
            if let Some(bytes) = self.hole(&tools.window[start..start + len], to) {
                chunk.push(b"", bytes, None, Stream::None, true);
                self.pos += bytes;
                continue;
            }
            let mid_line = !self.encoding.begins_line(&tools.window[..start]);
            let bytes = &tools.window[start..start + len];
            let format = Format::new(self.info.kind, &self.info.format, &self.multiline, tools.line_bytes);
            let format = Format { encoding: self.encoding, ..format };
            let before = chunk.end();
            let decoded = decode(format, Window { bytes, mid_line, close }, tools.scratch, chunk);
            debug_assert_eq!(chunk.end() - before, decoded.consumed as u64);
            self.pos += decoded.consumed as u64;
            if let Step::Took { truncated, interleaved } = &mut total {
                *truncated += decoded.truncated;
                *interleaved |= decoded.interleaved;
            }
            if at_end {
                self.at_end(end, decoded.open, now);
                return total;
            }
            want =
                if decoded.consumed == 0 { (want * 2).min(window_bytes_max(tools.line_bytes)) } else { WINDOW_BYTES };
        }
        total
    }

    /// Bytes from `pos` to the next data of a sparse file: NULs that nobody wrote, and that may be many.
    ///
    /// A hole at the end is none: a program may have reserved it and still write there.
    fn hole(&self, window: &[u8], to: Option<u64>) -> Option<u64> {
        if window.len() < HOLE_BYTES_MIN || window[..HOLE_BYTES_MIN].iter().any(|byte| *byte != 0) {
            return None;
        }
        let file = self.file.as_ref().and_then(Body::plain)?;
        // All reads name their offset: that the place of the descriptor moves means nothing. The hole begins with a
        // block, the NULs before that are in the window.
        let hole = rustix::fs::seek(file, SeekFrom::Hole(self.pos)).ok()?;
        if hole > self.pos + HOLE_BYTES_MIN as u64 {
            return None;
        }
        let data = rustix::fs::seek(file, SeekFrom::Data(hole)).ok()?;
        let bytes = to.map_or(data, |to| data.min(to)).saturating_sub(self.pos);
        (bytes >= HOLE_BYTES_MIN as u64).then_some(bytes)
    }

    /// Reads from the character before `pos` on, so that a cut line is known by what stands before it.
    fn read(&mut self, window: &mut Vec<u8>, want: usize) -> io::Result<(usize, usize)> {
        let Some(body) = &mut self.file else { return Ok((0, 0)) };
        let start = self.pos.min(2) as usize;
        if window.len() < start + want {
            window.resize(start + want, 0);
        }
        let got = body.read_at(&mut window[..start + want], self.pos - start as u64)?;
        Ok((start, got.saturating_sub(start)))
    }

    /// Whether the file is still the one that was read; its fingerprint grows with it.
    fn verify(&mut self) -> io::Result<Seen> {
        // Nobody writes to a compressed file once it is there.
        let Some(file) = self.file.as_ref().and_then(Body::plain) else { return Ok(Seen::Same) };
        if self.shows_another(file) {
            return Ok(Seen::Another);
        }
        let meta = file.metadata()?;
        let head = Head::read(file)?;
        if self.fingerprint.check(head.bytes()) != HeadMatch::Same {
            return Ok(Seen::Another);
        }
        if meta.len() < self.pos {
            // Emptied at one moment and filled at the next, the head says nothing of the length.
            let whole_head = !self.fingerprint.is_empty() && meta.len() >= u64::from(self.fingerprint.len);
            return Ok(if whole_head { Seen::Shortened(meta.len()) } else { Seen::Another });
        }
        if !self.fingerprint.is_full() {
            self.fingerprint = Fingerprint::of(head.bytes());
        }
        self.encoding = Encoding::of(head.bytes());
        self.size = meta.len();
        self.mtime_ns = mtime_ns(&meta);
        Ok(Seen::Same)
    }

    /// Nothing more is cut from it. The file is closed when all of it is stored: until then it may have to be read again.
    pub fn let_go(&mut self) {
        self.done = true;
        self.dirty = false;
        self.pending = None;
        self.stored(self.acked);
    }

    /// The server has everything before `offset`.
    pub fn stored(&mut self, offset: u64) {
        self.acked = self.acked.max(offset);
        if self.done && self.acked >= self.pos {
            self.file = None;
            self.parked = false;
        }
    }

    /// What stands now where it stood, to be followed from its start, after the file was truncated or written anew.
    pub fn take_rewritten(&mut self) -> Option<File> {
        let file = self.file.take().and_then(Body::into_plain).filter(|_| self.end.is_none());
        if !self.shared {
            return file;
        }
        // The descriptor may still lead to what was there before. A renamed file leaves nothing of its own behind.
        let anew = (self.stage == Stage::Live).then(|| File::open(&self.path_now).ok()).flatten();
        anew.filter(|anew| anew.metadata().is_ok_and(|meta| FileId::of(&meta) == self.id))
    }

    /// What was cut and is not stored is cut again; false when there is nothing to read it from.
    pub fn read_again(&mut self) -> bool {
        if self.file.is_none() && !self.parked {
            return false;
        }
        self.done = false;
        self.pos = self.acked;
        self.pending = None;
        self.dirty = true;
        true
    }

    /// An idle file is complete up to now as long as nothing was added to it.
    pub fn look_if_caught_up(&mut self, now: Now) {
        let file = self.file.as_ref().and_then(Body::plain).filter(|file| !self.shows_another(file));
        let len = file.and_then(|file| file.metadata().ok()).map(|meta| meta.len());
        if len == Some(self.pos) && self.pending.is_none() {
            self.caught_up_ns = now.wall_ns;
        }
    }

    /// Where a compressed file ends, and how, once it was read so far.
    pub fn packed_end(&self) -> Option<(u64, &Ended)> {
        self.file.as_ref().and_then(Body::packed).and_then(Packed::end)
    }

    fn close_at(&self, end: u64, holds: Holds, now: Now) -> Close {
        if self.packed_end().is_some_and(|(_, ended)| *ended != Ended::Torn) {
            return Close::All;
        }
        let Some(pending) = self.pending.filter(|pending| pending.end == end) else { return Close::Nothing };
        let waited = now.mono.saturating_duration_since(pending.since);
        if waited < holds.of(pending.open) {
            return Close::Nothing;
        }
        if pending.open == Open::Piece { Close::All } else { Close::Group }
    }

    fn at_end(&mut self, end: u64, open: Option<Open>, now: Now) {
        self.dirty = false;
        let same = self.pending.filter(|pending| pending.end == end);
        if self.seen_end != end {
            self.seen_end = end;
            self.quiet_since = now.mono;
        }
        self.pending = open.map(|open| Pending { end, since: same.map_or(now.mono, |pending| pending.since), open });
        if open.is_none() {
            self.caught_up_ns = now.wall_ns;
        }
    }
}

fn real_path(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok().filter(|real| real != path)
}

pub(super) fn mtime_ns(meta: &std::fs::Metadata) -> i64 {
    Stat::of(meta).mtime_ns
}
