//! Sums of buckets against counting line by line.

use proptest::prelude::*;

use super::*;
use crate::evaluate::testing::{LineStore, line};
use crate::fixture::{S, T0};

const BASE: i64 = T0 - T0 % (60 * S);

fn query(window_s: i64) -> SignalQuery {
    let by = vec!["host".to_owned()];
    SignalQuery { window_ns: window_s * S, by, ..SignalQuery::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_window_is_the_sum_of_its_buckets(
        times in proptest::collection::vec((0i64..7200, 0usize..3), 0..300),
        asked in proptest::collection::vec(1i64..144, 1..6),
        forgotten in 0i64..7200,
    ) {
        let hosts = ["a", "b", "c"];
        let lines: Vec<_> = times.iter().map(|(s, host)| line(BASE + s * S, &[("host", hosts[*host])])).collect();
        let store = LineStore::new(lines.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut counts = Counts::new(Grid::of(5 * S), BASE - 7200 * S);
        let mut asked = asked;
        asked.sort_unstable();
        for slots in &asked {
            runtime.block_on(counts.extend(&*store, &query(60), BASE + slots * 50 * S)).expect("answers");
        }
        counts.forget_from(BASE + forgotten * S);
        let until = BASE + 7200 * S;
        runtime.block_on(counts.extend(&*store, &query(60), until)).expect("answers");
        for window_s in [5, 60, 300, 1800] {
            let (mut window, mut last) = (Window::default(), Table::new());
            for end in (0..7200).step_by(295) {
                let end = BASE + end * S;
                let query = query(window_s);
                let mut wanted = BTreeMap::new();
                for line in lines.iter().filter(|line| (end - window_s * S..end).contains(&line.at)) {
                    let labels = Labels::from([("host".to_owned(), line.fields["host"].clone())]);
                    *wanted.entry(labels).or_default() += 1.0;
                }
                let wanted = Table::from(wanted);
                prop_assert_eq!(&counts.table(&query, end), &wanted);
                window.write(&counts, &query, end, &mut last);
                prop_assert_eq!(&last, &wanted);
            }
        }
        // What is stored and appended again is the same.
        let middle = BASE + 3600 * S;
        let mut again = Counts::new(Grid::of(5 * S), BASE);
        again.append(counts.piece(BASE, middle), middle);
        again.append(counts.piece(middle, until), until);
        prop_assert_eq!(again.piece(BASE, until), counts.piece(BASE, until));
        // Forgetting what is old changes no window after it.
        let before = counts.table(&query(1800), until);
        counts.forget_before(until - 1800 * S);
        prop_assert_eq!(counts.table(&query(1800), until), before);
    }
}
