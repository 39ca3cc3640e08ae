//! Plain lines, each a record: limits, CRLF, no newline at the end.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::decode::Multiline;
use logweir_fuzz::decoding::{How, close_early, format, read, say_the_log_again};
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let (how, log) = How::of(data);
    let format = format(SourceKind::NginxAccess, &Multiline::None, how);
    close_early(format, log, how.window);
    say_the_log_again(&read(format, log, how.window), log);
}
