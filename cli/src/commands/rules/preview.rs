//! `logweir rules preview`: a condition tried on the stored past before it becomes a rule.
//!
//! What is tried is a rule file like any other. It is printed with what it would have done, so that it can be kept.

use std::fmt::Write;

use logweir_alerting::backtest::api::{File, Request};

use super::backtest::{Answer, report};
use crate::args::{ListFormat, ReportFormat, RulesPreview};
use crate::client::Client;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, json_line};

/// What the rule is called, and the file that it stands in.
const NAME: &str = "Preview";
const FILE: &str = "preview.yaml";

/// 0 when it would have fired, 1 when not, 2 when it is no rule.
pub async fn run(args: &RulesPreview, console: &mut Console) -> Result<Exit> {
    let text = rule(args);
    if let Err(problems) = logweir_alerting::check::rules(&[(FILE.to_owned(), text.clone())]) {
        super::wrong(problems, ReportFormat::Text, console)?;
        console.note(&format!("\nin the rule that this makes:\n\n{text}"));
        return Ok(Exit::Usage);
    }
    let request = Request {
        files: Some(vec![File { name: FILE.to_owned(), text: text.clone() }]),
        since: Some(args.since.clone()),
        budget: args.budget.clone(),
        ..Request::default()
    };
    let answer: Answer = Client::new(&args.list.server)?.post("/api/v1/rules/backtest", &request).await?;
    let episodes: usize = answer.after.rules.iter().map(|rule| rule.episodes).sum();
    match args.list.output {
        ListFormat::Json => answer.after.rules.iter().try_for_each(|rule| json_line(console, rule))?,
        ListFormat::Pretty => {
            report(&answer.after, false, console)?;
            console.note(&format!("\nthe rule, to be kept in a file:\n\n{text}"));
        }
    }
    Ok(if episodes == 0 { Exit::No } else { Exit::Ok })
}

/// The rule file.
fn rule(args: &RulesPreview) -> String {
    let mut signal = format!("filter: {}, agg: {}", quoted(&args.filter), quoted(&args.agg));
    // Writing to a string cannot fail.
    if let Some(field) = &args.field {
        let _ = write!(signal, ", field: {}", quoted(field));
    }
    let _ = write!(signal, ", window: {}", quoted(&args.window));
    if !args.by.is_empty() {
        let by: Vec<String> = args.by.iter().map(|label| quoted(label)).collect();
        let _ = write!(signal, ", by: [{}]", by.join(", "));
    }
    let mut level = format!("when: {}", quoted(&args.when));
    if let Some(lasts) = &args.lasts {
        let _ = write!(level, ", for: {}", quoted(lasts));
    }
    format!(
        "version: 1
groups:
  - name: preview
    rules:
      - alert: {NAME}
        signals: {{n: {{{signal}}}}}
        levels: {{warning: {{{level}}}}}
        summary: '{{{{ value.n }}}} in {}'
",
        args.window.replace('\'', "''")
    )
}

/// A text as YAML has it, whatever is in it; line breaks are spaces in a query.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace(['\n', '\r'], " ").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use expect_test::expect;
    use logweir_rules::model::RuleSet;
    use proptest::prelude::*;

    use super::*;
    use crate::args::{Cli, ColorChoice, Command, RulesCommand};

    fn args(own: &[&str]) -> RulesPreview {
        let all = ["logweir", "rules", "preview"].iter().chain(own);
        let cli = Cli::try_parse_from(all).unwrap_or_else(|error| panic!("{error}"));
        let Command::Rules(RulesCommand::Preview(args)) = cli.command else { panic!("no preview") };
        args
    }

    fn read(text: &str) -> RuleSet {
        logweir_alerting::check::rules(&[(FILE.to_owned(), text.to_owned())]).unwrap_or_else(|p| panic!("{text}{p:?}"))
    }

    #[test]
    fn the_rule_is_one_to_be_kept() {
        let text = rule(&args(&[
            "message:\"it's late\"",
            "--when",
            "n > 2.5",
            "--agg",
            "p95",
            "--field",
            "duration_ms",
            "--by",
            "host,service",
            "--window",
            "10m",
            "--for",
            "2m",
        ]));
        expect![[r#"
            version: 1
            groups:
              - name: preview
                rules:
                  - alert: Preview
                    signals: {n: {filter: 'message:"it''s late"', agg: 'p95', field: 'duration_ms', window: '10m', by: ['host', 'service']}}
                    levels: {warning: {when: 'n > 2.5', for: '2m'}}
                    summary: '{{ value.n }} in 10m'
        "#]]
        .assert_eq(&text);
        assert_eq!(read(&text).rules().count(), 1);
    }

    #[tokio::test]
    async fn a_mistake_is_said_with_its_place_before_anybody_is_asked() {
        let args = args(&["level:error", "--when", "m > 2", "--url", "http://127.0.0.1:9"]);
        let exit = run(&args, &mut Console::standard(ColorChoice::Never, true)).await.expect("nobody is asked");
        assert!(matches!(exit, Exit::Usage), "{exit:?}");
        let problems = logweir_alerting::check::rules(&[(FILE.to_owned(), rule(&args))]).expect_err("m is nothing");
        expect!["preview.yaml:7:35: unknown signal 'm' (did you mean 'n'?)"].assert_eq(&problems[0].to_string());
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(filter in "[ -~]{0,30}", when in "[ -~]{0,20}", label in "[ -~]{1,10}") {
            let mut args = args(&["*", "--when", "n > 1"]);
            (args.filter, args.when, args.by) = (filter.clone(), when, vec![label]);
            let read = logweir_alerting::check::rules(&[(FILE.to_owned(), rule(&args))]);
            if let Ok(set) = read {
                let (_, own) = set.rule(NAME).expect("the rule");
                prop_assert_eq!(set.rules().count(), 1);
                prop_assert_eq!(&own.queries().next().expect("a query").1.filter, &filter);
            }
        }
    }
}
