//! Files on disk, and the tests of rules over a small line engine.

use logweir_rules::model::Rule;

use super::*;

pub(crate) const RULE: &str = r#"version: 1
groups:
  - name: g
    every: 10s
    defaults: {delay: 0s}
    labels: {team: shop}
    rules:
      - alert: Errors
        signals:
          errors: {filter: 'level>=error', agg: count, window: 30s, by: [host]}
          total: {filter: '*', agg: count, window: 30s, by: [host]}
          ratio: {expr: errors / total}
        levels:
          critical: {when: errors >= 10}
          warning: {when: errors >= 3, for: 20s}
        recover_when: errors < 2
        expected: {seen_within: 1h}
        keep_firing_for: 20s
        summary: "{{ value.errors }} errors on {{ labels.host }}"
        annotations: {action: "restart {{ labels.host }}"}
"#;

pub(crate) fn rule() -> Arc<Rule> {
    let set = rules(&[("r.yaml".to_owned(), RULE.to_owned())]).unwrap_or_else(|p| panic!("{p:?}"));
    Arc::clone(&set.groups[0].rules[0])
}
