use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn words_are_those_of_the_token_module(text in "[a-zA-Z0-9_ .:/=-]{0,60}|\\PC{0,20}") {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for_each_word(&text, |word| fast.push(String::from_utf8(word[1..].to_vec()).unwrap()));
        token::for_each_word(&text, &mut String::new(), |word| slow.push(word.to_owned()));
        prop_assert_eq!(&fast, &slow);
        for word in slow {
            prop_assert_eq!(is_variable(word.as_bytes()), token::is_variable(&word));
        }
    }
}

#[test]
fn a_set_of_hashes_knows_each_once() {
    let (mut distinct, mut entries) = (Distinct::default(), Entries::default());
    for count in [3, 20_000, 500] {
        distinct.begin();
        entries.begin();
        let hash = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!((0..count).all(|i| distinct.insert(hash(i)) && entries.insert(hash(i))));
        assert!((0..count).all(|i| !distinct.insert(hash(i)) && !entries.insert(hashes::in_block(hash(i), 7))));
    }
}

#[test]
fn fronts_end_at_a_digit_or_after_three() {
    for (word, want) in [("user42", "use"), ("a1", "a"), ("9f", ""), ("ünï", "ünï"), ("ünïc", "ünï"), ("ü1", "ü")]
    {
        assert_eq!(front(word), want);
        let mut lexicon = LexiconBuilder::default();
        lexicon.begin_block();
        let mut fronts = Fronts::default();
        let number = fronts.number(word.as_bytes(), &mut lexicon);
        assert_eq!(fronts.number(word.as_bytes(), &mut lexicon), number);
        lexicon.see(number);
        assert!(!lexicon.add(format!("a{want}").as_bytes()), "{word} has the front {want}");
    }
}

#[test]
fn only_values_with_a_rare_word_are_found_by_words() {
    for (value, want) in [
        ("/orders/48213", true),
        ("page=3&s=DEADBEEF1", true),
        ("/orders/123", false),
        ("/orders", false),
        ("", false),
        ("/ö/48213", false),
        (&"1".repeat(200), false),
    ] {
        assert_eq!(is_found_by_words(value.as_bytes()), want, "{value}");
    }
}

proptest! {
    #[test]
    fn a_value_that_is_folded_stays_as_it_is(value in "[a-zA-Z0-9@\\[`{\\x7f]{0,20}|\\PC{0,12}|[a-z0-9/.-]{0,40}") {
        let folded = is_folded(value.as_bytes());
        prop_assert_eq!(folded, value.is_ascii() && value.to_ascii_lowercase() == value);
        let mut term = b"v".to_vec();
        put_folded(&mut term, 1, value.as_bytes());
        let mut want = String::new();
        token::fold(&value, &mut want);
        prop_assert_eq!(&term[1..], want.as_bytes());
    }
}
