//! Rule files over the parser and the search of the server.

use super::*;

fn results(name: &str, text: &str) -> Vec<String> {
    let set =
        logweir_alerting::check::rules(&[(name.to_owned(), text.to_owned())]).unwrap_or_else(|p| panic!("{p:#?}"));
    let results = run_cases(&set, &mut engine::InMemory::default(), None).results;
    results.into_iter().map(|result| format!("{}: {}", result.rule, result.failures.join("; "))).collect()
}

/// The examples of every kind pass their tests as they were written: nothing in them was changed.
#[test]
fn the_examples_pass_their_tests() {
    let text = include_str!("../../../../rules/tests/examples.yaml");
    expect_test::expect![[r#"
        UpstreamTimeouts: 
        CheckoutAvailabilityBurn: 
        PaymentsWentSilent: 
        NewErrorPattern: 
        ErrorRateUnusual: 
        CanaryWorseThanStable: "#]]
    .assert_eq(&results("examples.yaml", text).join("\n"));
}

#[test]
fn what_is_not_decided_is_said_from_raw_lines() {
    let text = include_str!("../../../../rules/tests/undecided.yaml");
    let results = results("undecided.yaml", text);
    assert_eq!((results.len(), results.iter().find(|line| !line.ends_with(": "))), (5, None));
}

#[test]
fn the_shipped_rules_pass_their_tests() {
    for (name, text) in logweir_rules::library::FILES {
        let failed: Vec<String> = results(name, text).into_iter().filter(|line| !line.ends_with(": ")).collect();
        assert!(failed.is_empty(), "{name}: {failed:#?}");
    }
}
