use proptest::prelude::*;

use super::*;

#[test]
fn rows_of_words_come_back() {
    let words = vec![
        ("connection", vec![4096, 4000, 1, 0, 4096, 9]),
        ("steady", vec![300; 6]),
        ("seldom", vec![0, 0, 0, 0, 0, 7]),
        ("ünsure", vec![0, 3, 0, 0, 5, 0]),
    ];
    let tally = Tally::open(encode(words.clone(), 6).into()).expect("a tally");
    for (word, rows) in words {
        let told = rows.iter().filter(|rows| **rows > 0).count() > 1;
        assert_eq!(tally.rows(word), told.then_some(rows), "{word}");
    }
    assert_eq!(tally.rows("stead"), None);
    assert!(encode(Vec::new(), 3).is_empty());
    assert_eq!(Tally::open(Bytes::new()).and_then(|tally| tally.rows("few")), None);
}

#[test]
fn words_of_few_blocks_make_room() {
    let names: Vec<String> = (0..9000).map(|i| format!("word{i}x")).collect();
    let of = |i: usize| {
        (0..8).map(move |block| if i < 50 || block % 2 == i % 2 { 1 + (i as u32 + block as u32) % 7 } else { 0 })
    };
    let words = names.iter().enumerate().map(|(i, name)| (name.as_str(), of(i).collect())).collect();
    let bytes = encode(words, 8);
    assert!(bytes.len() <= TALLY_BYTES_MAX + 300, "{}", bytes.len());
    let tally = Tally::open(bytes.into()).expect("a tally");
    (0..50).for_each(|i| assert_eq!(tally.rows(&names[i]), Some(of(i).collect())));
    assert_eq!(tally.rows(&names[8999]), None);
}

/// What a cursor makes of a word, against the sets of rows.
fn counted(units: &[Vec<Vec<Vec<usize>>>]) -> Option<u32> {
    let (mut at, mut met) = (Cursor::default(), None::<Met>);
    let mut meet = |at: &Cursor| match &mut met {
        Some(met) => met.again(at),
        None => met = Some(Met::first(at)),
    };
    for parts in units {
        at.begin_unit(10);
        for values in parts {
            at.begin_part();
            for rows in values.iter().filter(|rows| !rows.is_empty()) {
                at.begin_value(rows.len());
                meet(&at);
                meet(&at);
            }
        }
    }
    met.map(|met| met.rows()).filter(|rows| *rows > 0)
}

proptest! {
    #[test]
    fn rows_are_counted_once_or_not_at_all(
        // By unit, part and row of ten: the value in that row that has the word, if any has.
        units in prop::collection::vec(prop::collection::vec(prop::collection::vec(prop::option::of(0usize..3), 10), 1..3), 1..4),
    ) {
        let in_values = |part: &Vec<Option<usize>>| -> Vec<Vec<usize>> {
            (0..3).map(|value| (0..10).filter(|row| part[*row] == Some(value)).collect()).collect()
        };
        let sets: Vec<Vec<_>> = units.iter().map(|parts| parts.iter().map(in_values).collect()).collect();
        let has = |parts: &Vec<Vec<Option<usize>>>, row: usize| parts.iter().any(|part| part[row].is_some());
        let want = units.iter().map(|parts| (0..10).filter(|row| has(parts, *row)).count() as u32).sum::<u32>();
        let found = counted(&sets);
        let several = units.iter().any(|parts| parts.iter().filter(|part| part.iter().any(Option::is_some)).count() > 1);
        prop_assert!(found == Some(want).filter(|want| *want > 0) || (found.is_none() && several), "{found:?} for {want}");
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), word in "[a-c]{0,2}") {
        if let Some(tally) = Tally::open(bytes.into()) {
            tally.rows(&word);
        }
    }

    #[test]
    fn a_hurt_tally_tells_no_rows_that_no_block_has(at in 0usize..200, bit in 0u8..8) {
        let mut bytes = encode(vec![("a", vec![5, 4096, 7, 9]), ("b", vec![1; 4])], 4);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let rows = Tally::open(bytes.into()).and_then(|tally| tally.rows("a")).unwrap_or_default();
        prop_assert!(rows.iter().all(|rows| *rows <= 4096));
    }
}
