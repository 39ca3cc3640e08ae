//! Docker's `local` driver and our own spool: frames, torn ones, what is none.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::decode::Multiline;
use logweir_agent::decode::frames::{self, FORMAT, Part};
use logweir_fuzz::decoding::{How, close_early, format, read};
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let (how, log) = How::of(data);
    let kind = if how.choice & 1 == 0 { SourceKind::Docker } else { SourceKind::Syslog };
    let multiline = Multiline::Auto;
    let mut format = format(kind, &multiline, how);
    format.framed = true;
    close_early(format, log, how.window);
    read(format, log, how.window);
    let (whole, last) = frames::whole(log);
    assert!(whole <= log.len() && last.is_none_or(|last| log[..whole].ends_with(last)));
    // What we write ourselves comes back.
    let part = [Part::Whole, Part::Piece, Part::LastPiece][how.window % 3];
    let mut spool = Vec::new();
    frames::write(log.len() as i64 - 9, log, part, &mut spool);
    let mut text = Vec::new();
    let opened = frames::open(&spool, &mut text).expect("our own frame");
    assert_eq!((text.as_slice(), opened.last), (log, part != Part::Piece));
    assert_eq!(opened.time_ns, Some(log.len() as i64 - 9));
    assert_eq!((frames::next_len(&spool), FORMAT), (Some(spool.len()), "frames"));
}
