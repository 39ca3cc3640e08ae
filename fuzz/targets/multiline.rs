//! Lines joined to events: traces, dated traces, NGINX's error log, an operator's pattern.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::decode::Multiline;
use logweir_agent::decode::multiline::StartRule;
use logweir_fuzz::decoding::{How, close_early, format, same_in_any_windows, say_the_log_again};
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let (how, log) = How::of(data);
    let kind = [SourceKind::File, SourceKind::Pm2, SourceKind::NginxError, SourceKind::File][usize::from(how.choice)];
    let start = StartRule::new(r"^(\d{4}-|\[|Error)").expect("a pattern").with_limits(Some(6), Some(200));
    let multiline = if how.choice == 3 { Multiline::Start(start) } else { Multiline::Auto };
    let format = format(kind, &multiline, how);
    close_early(format, log, how.window);
    say_the_log_again(&same_in_any_windows(format, log, how.window), log);
}
