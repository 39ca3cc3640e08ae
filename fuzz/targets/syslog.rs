//! Syslog over TCP: counted and newline-framed messages in reads of any size.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::listen::syslog::framing::Framer;

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let Some((read, bytes)) = data.split_first() else { return };
    let parts = messages(bytes, usize::from(*read) + 1);
    assert_eq!(parts, messages(bytes, bytes.len() + 1));
    assert!(parts.iter().map(Vec::len).sum::<usize>() <= bytes.len());
}

fn messages(bytes: &[u8], read: usize) -> Vec<Vec<u8>> {
    let mut framer = Framer::default();
    let mut messages = Vec::new();
    for part in bytes.chunks(read) {
        framer.add(part);
        messages.extend(std::iter::from_fn(|| framer.next(false)));
    }
    framer.add(b"");
    messages.extend(std::iter::from_fn(|| framer.next(true)));
    messages
}
