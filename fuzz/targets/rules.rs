//! Rule files, and files of other systems that are imported: what is taken is asked for, evaluated and doubted.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_alerting::check;
use logweir_proto::query::parse::parse;
use logweir_rules::evaluate::{self, Input, RuleState};
use logweir_rules::model::Rule;
use logweir_rules::signal::Table;
use logweir_rules::{import, lint};

logweir_fuzz::target!(run);

const STEPS: [f64; 4] = [0.0, 1e9, 3.5, 0.0];

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for imported in
        [import::prometheus("p.yaml", text), import::elastalert("e.yaml", text), import::sigma("s.yaml", text)]
    {
        // What is written is a rule file as any other.
        if let Some(imported) = imported.ok().filter(|imported| imported.rules > 0) {
            let files = [("imported.yaml".to_owned(), imported.text.clone())];
            assert!(check::rules(&files).is_ok(), "imported as\n{}\n{:?}", imported.text, check::rules(&files).err());
        }
    }
    match check::rules(&[("r.yaml".to_owned(), text.to_owned())]) {
        Ok(set) => {
            lint::lint(&set);
            set.rules().for_each(|(_, rule)| evaluated(rule));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = u32::try_from(text.lines().count() + 1).unwrap_or(u32::MAX);
            for at in problems.iter().filter_map(|problem| problem.at) {
                assert!(at.line >= 1 && at.line <= lines, "{at:?} of {lines} lines");
            }
        }
    }
}

/// The store understands what it is asked, and every answer leads to a state.
fn evaluated(rule: &Rule) {
    let mut state = RuleState::default();
    for (_, query) in rule.queries() {
        assert!(parse(&query.text()).is_ok(), "{}", query.text());
    }
    let mut at = 0i64;
    for value in STEPS {
        at += 60_000_000_000;
        let labels = |by: &[String]| by.iter().map(|key| (key.clone(), "x".to_owned())).collect();
        let table = |by: &[String]| std::iter::once((labels(by), value)).collect();
        let tables: Vec<Table> = rule.queries().map(|(_, query)| table(&query.by)).collect();
        evaluate::step(rule, &mut state, at, Input::Tables(&tables));
        assert!(state.instances.len() <= evaluate::INSTANCES_PER_RULE_MAX);
    }
    evaluate::step(rule, &mut state, at + 1, Input::Failed("no"));
    evaluate::remove(&mut state, at + 2);
    assert!(state.instances.is_empty());
}
