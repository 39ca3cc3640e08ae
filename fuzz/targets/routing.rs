//! Routing files: route trees, matchers, intervals, cron expressions; what is taken decides about alerts at many times.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_alerting::route::decide::destinations;
use logweir_alerting::route::file;
use logweir_alerting::route::standing::Surroundings;
use logweir_rules::model::Labels;

logweir_fuzz::target!(run);

/// Changes of summer time, a leap day, the ends of what can be said.
const TIMES: [i64; 6] =
    [0, 1_774_746_000_000_000_000, 1_793_494_800_000_000_000, 1_835_395_200_000_000_000, i64::MIN, i64::MAX];

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let routing = match file::load("alerting.yaml", text, &|_| None) {
        Ok(routing) => routing,
        Err(problems) => {
            assert!(!problems.is_empty());
            return;
        }
    };
    let labels = |severity: &str| -> Labels {
        let pairs = [("alertname", "Errors"), ("severity", severity), ("host", "web-1"), ("service", "pay")];
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let firing = vec![("other".to_owned(), labels("critical"))];
    let surroundings = Surroundings { firing, ..Surroundings::default() };
    for labels in [labels("critical"), labels("info"), Labels::new()] {
        for route in routing.root.matching(&labels) {
            assert!(routing.route(&route.path).is_some() && routing.receiver(&route.receiver).is_some());
            assert_eq!(route.group_key(&labels).len(), 32);
        }
        for now in TIMES {
            assert!(!destinations(&routing, &surroundings, "e", &labels, now).is_empty());
        }
    }
    for interval in &routing.intervals {
        for now in TIMES {
            interval.contains(now);
        }
    }
}
