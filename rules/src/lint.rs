//! What is right in a rule file but probably not meant: warnings of `rules check`.

use std::collections::BTreeMap;

use logweir_proto::yaml::{At, Problem};

use crate::condition::{Condition, Values};
use crate::model::{Group, Kind, LineTime, Rule, RuleSet, Severity};

/// Fields that have a value of their own in nearly every line.
const UNBOUNDED: [&str; 12] = [
    "message",
    "raw",
    "id",
    "seq",
    "time",
    "trace_id",
    "span_id",
    "request_id",
    "user_agent",
    "exception.stack",
    "session_id",
    "url",
];
/// Lines are kept so long unless the server is told otherwise.
const RETENTION_DEFAULT_NS: i64 = 30 * 86_400 * 1_000_000_000;
/// Values of the names of two conditions that are tried together.
const TRIED_MAX: usize = 20_000;

/// What a rule file must not contain, by how it begins.
const SECRETS: [(&str, usize, &str); 9] = [
    ("xoxb-", 16, "a Slack token"),
    ("xoxp-", 16, "a Slack token"),
    ("xapp-", 16, "a Slack token"),
    ("whsec_", 16, "a webhook secret"),
    ("hooks.slack.com/services/T", 16, "a Slack webhook"),
    ("ghp_", 20, "a GitHub token"),
    ("AKIA", 16, "an AWS key"),
    ("-----BEGIN ", 2, "a private key"),
    ("Bearer ", 20, "a bearer token"),
];

/// Secrets in the text of a file; unlike the rest they are mistakes.
pub fn secrets(file: &str, text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (prefix, least, what) in SECRETS {
            let Some(column) = line.find(prefix) else { continue };
            let rest = &line[column + prefix.len()..];
            let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_/+.=".contains(b)).count();
            if length >= least {
                let at = At { line: index as u32 + 1, column: line[..column].chars().count() as u32 + 1 };
                let hint = "keep it in a file or in the environment, and name that in alerting.yaml".to_owned();
                let message = format!("this looks like {what}");
                found.push(Problem { file: file.into(), at: Some(at), message, hint: Some(hint) });
            }
        }
    }
    found
}

/// Warnings about all rules, in the order of the files.
pub fn lint(set: &RuleSet) -> Vec<Problem> {
    set.rules().flat_map(|(group, rule)| rule_warnings(group, rule)).collect()
}

fn rule_warnings(group: &Group, rule: &Rule) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut warn = |message: String, hint: &str| {
        warnings.push(Problem {
            file: rule.file.clone(),
            at: Some(rule.at),
            message: format!("{}: {message}", rule.name),
            hint: Some(hint.to_owned()),
        });
    };
    for label in rule.by().iter().filter(|label| UNBOUNDED.contains(&label.as_str())) {
        let hint = "group by something that has few values, and show this one with context.top";
        warn(format!("'by' has '{label}', which makes an alert of nearly every line"), hint);
    }
    if rule.time == LineTime::Ingest && group.goes_by(LineTime::Event) {
        let hint = "give it a group of its own: there it waits for no source";
        warn("'time: ingest' beside rules by event time is evaluated when these are".to_owned(), hint);
    }
    if let Kind::Slo(slo) = &rule.kind
        && slo.period_ns > RETENTION_DEFAULT_NS
    {
        warn("its period is longer than lines are kept by default".to_owned(), "set retention.days to match");
    }
    for level in &rule.levels {
        for alternative in &level.any {
            let text = &alternative.when.text;
            if alternative.for_ns > 0 && alternative.for_ns < group.every_ns {
                let hint = "it takes one step anyway: leave it out, or say at least 'every'";
                warn(format!("'for' of {} is shorter than 'every' of its group", level.severity), hint);
            }
            // The names of an objective move together: trying them one by one says nothing.
            if matches!(rule.kind, Kind::Slo(_)) {
                continue;
            }
            let (held, both) = tried(&alternative.when, rule.recover_when.as_ref());
            if held == Some(0) {
                warn(format!("'{text}' can never be true"), "no number makes it hold: look at its limits");
            }
            if let (Some(held), Some(both)) = (held, both)
                && held > 0
                && both == held
            {
                warn(format!("recover_when holds whenever '{text}' does"), "it should be the way back, not the way in");
            }
        }
    }
    let is_critical = rule.levels.first().is_some_and(|level| level.severity == Severity::Critical);
    if is_critical && rule.runbook.is_none() {
        warn("a critical level without a runbook".to_owned(), "whoever is woken needs to know where to begin");
    }
    if rule.tests.is_empty() {
        warn(
            "it has no tests".to_owned(),
            "a few lines under 'tests' say when it fires, and 'logweir rules test' runs them",
        );
    }
    warnings
}

/// For how many of the tried values `when` holds, and for how many of these `recover` does as well. `None`: too many
/// to try, or nothing to try.
fn tried(when: &Condition, recover: Option<&Condition>) -> (Option<usize>, Option<usize>) {
    let mut names: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let conditions = || std::iter::once(when).chain(recover);
    for name in conditions().flat_map(Condition::inputs) {
        names.entry(name).or_default();
    }
    let mut points: Vec<f64> = vec![-1.0, 0.0, 1.0, 1e9];
    for constant in conditions().flat_map(Condition::constants) {
        points.extend([constant, constant * 0.999 - 1e-6, constant * 1.001 + 1e-6]);
    }
    points.sort_by(f64::total_cmp);
    points.dedup();
    let combinations = u32::try_from(names.len()).ok().and_then(|names| points.len().checked_pow(names));
    if names.is_empty() || combinations.is_none_or(|all| all > TRIED_MAX) || when.is_statistical() {
        return (None, None);
    }
    let (mut held, mut both) = (0, 0);
    for mut choice in 0..combinations.unwrap_or(0) {
        let mut values = Values::new();
        for name in names.keys() {
            values.insert(name.clone(), points[choice % points.len()]);
            choice /= points.len();
        }
        if when.holds(&values) {
            held += 1;
            both += usize::from(recover.is_some_and(|recover| recover.holds(&values)));
        }
    }
    (Some(held), recover.map(|_| both))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    fn warnings(body: &str) -> String {
        let text = format!(
            "version: 1\ngroups:\n  - name: g\n    every: 1m\n    rules:\n      - alert: A\n        signals: {{n: {{filter: '*', agg: count, window: 5m, by: [host]}}}}\n{body}        summary: s\n"
        );
        let set = file::load([("r.yaml", text.as_str())]).unwrap_or_else(|p| panic!("{p:?}"));
        lint(&set).iter().map(|p| format!("{p}\n")).collect()
    }

    #[test]
    fn what_is_probably_not_meant_is_said() {
        expect_test::expect![[r#"
            r.yaml:6:9: A: 'for' of critical is shorter than 'every' of its group (it takes one step anyway: leave it out, or say at least 'every')
            r.yaml:6:9: A: recover_when holds whenever 'n >= 20' does (it should be the way back, not the way in)
            r.yaml:6:9: A: 'n > 5 and n < 3' can never be true (no number makes it hold: look at its limits)
            r.yaml:6:9: A: a critical level without a runbook (whoever is woken needs to know where to begin)
            r.yaml:6:9: A: it has no tests (a few lines under 'tests' say when it fires, and 'logweir rules test' runs them)
        "#]]
        .assert_eq(&warnings("        levels: {critical: {when: n >= 20, for: 30s}, info: {when: n > 5 and n < 3}}\n        recover_when: n > 3\n"));
        expect_test::expect![[r#"
            r.yaml:6:9: A: it has no tests (a few lines under 'tests' say when it fires, and 'logweir rules test' runs them)
        "#]]
        .assert_eq(&warnings("        levels: {warning: {when: n >= 20 or n / 2 > 7}}\n        recover_when: n < 3\n"));
        // Every expectation of a group by message would be an alert of its own.
        let text = warnings("        levels: {info: {when: n > 1}}\n        tests: []\n").replace("host", "message");
        assert!(text.contains("no tests"));
    }

    #[test]
    fn a_rule_by_receipt_should_wait_for_nobody() {
        let rule = |name: &str, time: &str| {
            format!(
                "      - {{alert: {name}, time: {time}, signals: {{n: {{filter: '*', agg: count, window: 5m}}}}, levels: {{info: {{when: n > 1}}}}, summary: s, tests: [{{name: t, expect: [{{at: 1m, state: ok}}]}}]}}\n"
            )
        };
        let said = |times: [&str; 2]| {
            let text =
                format!("version: 1\ngroups:\n  - name: g\n    rules:\n{}{}", rule("A", times[0]), rule("B", times[1]));
            let set = file::load([("r.yaml", text.as_str())]).unwrap_or_else(|p| panic!("{p:?}"));
            lint(&set).iter().map(|p| format!("{p}\n")).collect::<String>()
        };
        expect_test::expect![[r#"
            r.yaml:6:9: B: 'time: ingest' beside rules by event time is evaluated when these are (give it a group of its own: there it waits for no source)
        "#]]
        .assert_eq(&said(["event", "ingest"]));
        assert_eq!(said(["ingest", "ingest"]), "");
    }

    #[test]
    fn secrets_are_found_with_their_place() {
        let text = "a: 1\nb: 'xoxb-1234567890-abcdefghij' # token\nc: xoxb- and whsec_short\n";
        let found: Vec<String> = secrets("r.yaml", text).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "r.yaml:2:5: this looks like a Slack token (keep it in a file or in the environment, and name that in alerting.yaml)"
            ]
        );
    }
}
