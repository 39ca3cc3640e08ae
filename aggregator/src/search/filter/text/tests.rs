use super::*;

fn check(test: &TextTest, yes: &[&str], no: &[&str]) {
    let all: Vec<&str> = yes.iter().chain(no).copied().collect();
    let array: StringArray = all.iter().map(|text| Some(*text)).collect();
    let dense = test.scan(&array, &Mask::all(all.len()));
    for (row, text) in all.iter().enumerate() {
        assert_eq!(test.is_match(text), row < yes.len(), "{test:?} on {text:?}");
        assert_eq!(dense.has(row), row < yes.len(), "{test:?} on the column, {text:?}");
    }
}

#[test]
fn phrases_are_found_in_whole_columns_as_in_single_rows() {
    check(
        &TextTest::phrase("Connection reset").expect("a phrase"),
        &["CONNECTION RESET", "a connection-reset b", "Kelvin connection reset"],
        &["", "connection", "reset connection", "connectionreset", "reset", "con"],
    );
    check(
        &TextTest::phrase("stop").expect("a phrase"),
        &["unstoppable: STOP", "stop"],
        &["\u{17f}top", "stops", "x_stop", "üstop", "stopü"],
    );
    check(&TextTest::phrase("kilo").expect("a phrase"), &["KILO", "\u{212a}ilo"], &["kilos"]);
    check(&TextTest::phrase("ÜBER").expect("a phrase"), &["über alles"], &["uber"]);
    check(&TextTest::phrase("-->").expect("a substring"), &["a --> b"], &["->", "--"]);
}

#[test]
fn globs_are_over_words_or_over_the_whole_text() {
    let glob = |text| TextTest::text_glob(text).expect("a glob");
    check(&glob("fail*"), &["it FAILED", "fail"], &["unfailing", "fai l"]);
    check(&glob("*ling"), &["Failing, FALLING"], &["linger", "sling_"]);
    check(&glob("kilo*"), &["KILOgram", "\u{212a}ilo"], &["okilo", "\u{17f}kilo"]);
    check(&glob("te?t"), &["a test"], &["tet", "tests"]);
    check(&glob("10.0.*"), &["from 10.0.12.1"], &["10.1.0.1", "110.0.1"]);
    check(&glob("*ailu*"), &["FAILURE"], &["failed"]);
    check(&glob("a*b*c"), &["aXXbYYbc", "abc"], &["abcd", "ab c"]);
    check(&glob("*a?c*"), &["xxABCxx"], &["ac"]);
    check(&TextTest::value_glob("/api/*").expect("a glob"), &["/API/x\ny"], &["x/api/y"]);
}

#[test]
fn networks_contain_their_addresses() {
    check(
        &TextTest::Cidr("10.1.0.0".parse().expect("an address"), 16),
        &["10.1.2.3"],
        &["10.2.0.1", "::1", "nonsense", ""],
    );
    check(&TextTest::Cidr("10.1.0.0".parse().expect("an address"), 0), &["1.2.3.4"], &["::1"]);
    check(&TextTest::Cidr("2001:db8::".parse().expect("an address"), 32), &["2001:db8::1"], &["2001:db9::1"]);
}

proptest::proptest! {
    #[test]
    fn a_column_is_searched_as_its_rows_are(
        rows in proptest::collection::vec(proptest::option::of("[abkKs\u{17f}\u{212a}_üÜ .\n-]{0,10}"), 0..12),
        wanted in "[abkKs_üÜ .*?-]{1,4}",
        skipped in 0usize..4,
    ) {
        let array: StringArray = rows.iter().map(Option::as_deref).collect();
        let array = array.slice(skipped.min(rows.len()), rows.len() - skipped.min(rows.len()));
        for test in [TextTest::phrase(&wanted), TextTest::text_glob(&wanted), TextTest::value_glob(&wanted)] {
            let test = test.expect("a small pattern");
            let found = test.scan(&array, &Mask::all(array.len()));
            for row in 0..array.len() {
                let want = array.is_valid(row) && test.is_match(array.value(row));
                proptest::prop_assert_eq!(found.has(row), want, "{:?} on {:?}", test, array.value(row));
            }
        }
    }
}
