//! Templates of summaries, and hostile data in them: what comes out is bounded, and data is never a template.
//!
//! An input is a template, a NUL, and the value of a label.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::{Arc, LazyLock};

use logweir_alerting::check;
use logweir_alerting::notify::template::{Facts, Renderer, TEXT_CHARS_MAX};
use logweir_proto::yaml::At;
use logweir_rules::condition::Values;
use logweir_rules::evaluate::Texts;
use logweir_rules::model::{Labels, Rule, Severity, Template};

logweir_fuzz::target!(run);

const RULE: &str = "version: 1
groups:
  - name: g
    rules:
      - alert: Errors
        signals: {n: {filter: 'level:error', agg: count, window: 1m, by: [host]}}
        levels: {critical: {when: n > 5}}
        summary: s
";

static RULES: LazyLock<Option<Arc<Rule>>> = LazyLock::new(|| {
    let set = check::rules(&[("r.yaml".to_owned(), RULE.to_owned())]).ok()?;
    set.rules().next().map(|(_, rule)| Arc::clone(rule))
});

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, value) = text.split_once('\0').unwrap_or((&text, "web-1"));
    let rule = RULES.as_ref().expect("the rule is right");
    let renderer = Renderer::default();
    let template = Template { text: text.to_owned(), at: At::default() };
    let refused = renderer.check(rule, &template);
    let labels = Labels::from([("host".to_owned(), value.to_owned())]);
    let values = Values::from([("n".to_owned(), 27.5)]);
    let texts = Texts::from([("template".to_owned(), value.to_owned())]);
    let facts =
        Facts { rule, group: "g", labels: &labels, values: &values, texts: &texts, severity: Severity::Critical };
    let rendered = renderer.render(&template, facts);
    assert!(rendered.chars().count() <= TEXT_CHARS_MAX);
    // A text without a template is what it was, and so is the data that stands in one.
    if refused.is_none() && text == "{{ labels.host }}" {
        assert_eq!(rendered, value.chars().take(TEXT_CHARS_MAX).collect::<String>());
    }
}
