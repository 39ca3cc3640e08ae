//! Conditions: the parser, the evaluator, and what is decided while a number is not known for good.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::collections::BTreeMap;

use logweir_rules::condition::{Known, NameKind, Values, parse_condition, parse_number};

logweir_fuzz::target!(run);

const NUMBERS: [f64; 7] = [0.0, -1.0, 0.05, 3.0, 1e300, f64::INFINITY, f64::NAN];

fn known() -> Vec<Known> {
    let one = |name: &str, kind| Known { name: name.to_owned(), per_second: 1.0, kind };
    let millis = Known { name: "p95_ms".to_owned(), per_second: 1_000.0, kind: NameKind::Signal };
    vec![one("n", NameKind::Signal), one("m", NameKind::Signal), one("anomaly", NameKind::Truth), millis]
}

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(number) = parse_number(text, &known()) {
        for n in NUMBERS {
            let found = number.number(&values(n, 2.0));
            assert!(found.is_none_or(f64::is_finite), "{text} is {found:?}");
        }
    }
    let condition = match parse_condition(text, &known()) {
        Ok(condition) => condition,
        Err(error) => {
            assert!(text.get(error.span.start..error.span.end).is_some(), "{error:?} of {text:?}");
            return;
        }
    };
    condition.threshold();
    let grows = BTreeMap::from([("n".to_owned(), true)]);
    let anything = BTreeMap::from([("n".to_owned(), false)]);
    for n in NUMBERS {
        let now = values(n, 2.0);
        assert_eq!(condition.decided_by(&now, &BTreeMap::new()), Some(condition.holds(&now)));
        for (doubts, more) in [(&grows, true), (&anything, false)] {
            let Some(decided) = condition.decided_by(&now, doubts) else { continue };
            // Whatever it becomes, it was right.
            for other in NUMBERS.iter().filter(|other| other.is_finite() && (!more || **other >= n)) {
                assert_eq!(condition.holds(&values(*other, 2.0)), decided, "{text} of {n}, then {other}");
            }
        }
    }
}

fn values(n: f64, m: f64) -> Values {
    [("n", n), ("m", m), ("anomaly", 1.0), ("p95_ms", 900.0)].map(|(name, value)| (name.to_owned(), value)).into()
}
