//! CRI: tags, pieces, streams, foreign lines.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::decode::Multiline;
use logweir_fuzz::decoding::{How, close_early, format, same_in_any_windows};
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let (how, log) = How::of(data);
    let multiline = if how.choice & 1 == 0 { Multiline::Auto } else { Multiline::None };
    let format = format(SourceKind::Cri, &multiline, how);
    close_early(format, log, how.window);
    same_in_any_windows(format, log, how.window);
}
