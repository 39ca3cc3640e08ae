//! UTF-16 of both orders: marks, half characters, windows that cut one.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::decode::Multiline;
use logweir_agent::decode::encoding::Encoding;
use logweir_fuzz::decoding::{How, encoded, format, read};
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let (how, rest) = How::of(data);
    let mark = if how.choice & 1 == 0 { [0xff, 0xfe] } else { [0xfe, 0xff] };
    let log = [&mark[..], rest].concat();
    let format = encoded(format(SourceKind::File, &Multiline::Auto, how), &log);
    assert_ne!(format.encoding, Encoding::Bytes);
    for record in read(format, &log, how.window) {
        assert!(std::str::from_utf8(&record.text).is_ok());
    }
    if let Some(end) = format.encoding.after_last_line(rest) {
        assert!(end <= rest.len());
    }
}
