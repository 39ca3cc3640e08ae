//! What a message shows besides its text.

use logweir_proto::yaml::{Fields, Node, Problems};

use super::signals;
use crate::condition::{self, Known};
use crate::model::{Chart, Context, PERIOD_MAX_NS, SAMPLES_MAX};

/// Fields whose most frequent values one message shows.
const TOP_MAX: usize = 5;

pub(super) fn read(node: &Node, known: &[Known], problems: &mut Problems) -> Context {
    let mut context = Context::default();
    let Some(mut fields) = Fields::new(node, "context", problems) else { return context };
    let mut lines = |key: &'static str, problems: &mut Problems| {
        fields.get(key).and_then(|n| problems.integer(n, key, 0..=SAMPLES_MAX)).map(|lines| lines as usize)
    };
    if let Some(samples) = lines("samples", problems) {
        context.samples = samples;
    }
    context.last_samples = lines("last_samples", problems).unwrap_or(0);
    context.filter = fields.get("filter").and_then(|n| signals::filter(n, problems));
    context.top = fields.strings("top", problems).unwrap_or_default();
    if context.top.len() > TOP_MAX {
        problems.add(fields.place("top"), format!("at most {TOP_MAX} fields"));
    }
    context.chart = fields.get("chart").and_then(|n| read_chart(n, known, problems));
    context.stack = fields.boolean("stack", problems).unwrap_or(false);
    context.first_seen = fields.boolean("first_seen", problems).unwrap_or(false);
    fields.finish(problems);
    context
}

fn read_chart(node: &Node, known: &[Known], problems: &mut Problems) -> Option<Chart> {
    let mut fields = Fields::new(node, "chart", problems)?;
    let signal = fields.require("signal", problems).and_then(|n| Some((n, problems.text(n, "signal")?)));
    let span = fields.require("span", problems).and_then(|n| problems.duration_ns(n, "span"));
    let band = fields.boolean("band", problems).unwrap_or(false);
    let split = fields.text("split", problems);
    let place = fields.place("span");
    fields.finish(problems);
    if span.is_some_and(|span| span <= 0 || span > PERIOD_MAX_NS) {
        problems.add(place, "span must be longer than 0 and at most 35d");
    }
    let (node, signal) = signal?;
    if let Err(error) = condition::parse_number(&signal, known) {
        let at = problems.inside(node.at, &signal, error.span.start);
        problems.add_hint(at, error.message, error.hint);
    }
    Some(Chart { signal, span_ns: span?, band, split })
}
