use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int64Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::store::column::ColumnKey;

/// Messages of some templates over the columns `a` (text) and `n` (number); `raw` where no template is named.
struct Made {
    templates: Vec<Template>,
    numbers: Int64Array,
    raw: StringArray,
    a: ArrayRef,
    n: ArrayRef,
}

impl Made {
    fn text(&self, row: usize) -> Option<String> {
        if self.numbers.is_null(row) {
            return self.raw.is_valid(row).then(|| self.raw.value(row).to_owned());
        }
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.to_string(),
            Piece::Column(key) if &*key.field == "a" => self.a.as_string::<i32>().value(row).to_owned(),
            Piece::Column(_) => self.n.as_primitive::<arrow::datatypes::Int64Type>().value(row).to_string(),
        };
        Some(self.templates[self.numbers.value(row) as usize].iter().map(piece).collect())
    }
}

impl Parts for Made {
    fn templates(&self) -> &[Template] {
        &self.templates
    }

    fn numbers(&self) -> &Int64Array {
        &self.numbers
    }

    fn kept(&self) -> Result<ArrayRef, String> {
        Ok(Arc::new(self.raw.clone()))
    }

    fn column(&self, key: &ColumnKey) -> Result<ArrayRef, String> {
        Ok(if &*key.field == "a" { self.a.clone() } else { self.n.clone() })
    }

    fn put_together(&self, rows: &[usize]) -> Result<ArrayRef, String> {
        Ok(Arc::new(rows.iter().map(|row| self.text(*row)).collect::<StringArray>()))
    }
}

fn column(name: &str, kind: Kind) -> Piece {
    Piece::Column(ColumnKey { field: name.into(), kind })
}

fn literal(text: &str) -> Piece {
    Piece::Literal(text.into())
}

fn told(judged: &Judged) -> String {
    let place = |(place, part): &(usize, Option<Needle>)| match part.as_ref().and_then(Needle::text) {
        Some(part) => format!("{place}:{}", String::from_utf8_lossy(part)),
        None => place.to_string(),
    };
    match judged {
        Judged::All => "all".to_owned(),
        Judged::Unsure => "unsure".to_owned(),
        Judged::Columns(places) => places.iter().map(place).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn most_needles_are_decided_by_the_template() {
    let template =
        vec![literal("payment declined for "), column("a", Kind::Str), literal(" in "), column("n", Kind::Int)];
    let judged = |test: TextTest| {
        let needle = test.needle().expect("a needle");
        told(&judge(needle, needle.text().expect("its text"), &template))
    };
    let regex = |pattern: &str| TextTest::Regex(super::super::text::Searcher::new(pattern).expect("a pattern"));
    let phrase = |text: &str| TextTest::phrase(text).expect("a phrase");
    assert_eq!(judged(regex("yment decl")), "all");
    assert_eq!(judged(phrase("DECLINED")), "all");
    assert_eq!(judged(phrase("payment")), "all", "the message begins with it");
    assert_eq!(judged(phrase("clined")), "unsure", "a part of a word");
    assert_eq!(judged(phrase("payment declined")), "unsure", "two words are looked at in the whole");
    assert_eq!(judged(regex("timeout after")), "1");
    assert_eq!(judged(phrase("404")), "1 3");
    assert_eq!(judged(regex("order 404 in")), "1 1:order 404", "it may run over into the literal");
    assert_eq!(judged(regex("for x")), "1 1:x");
    assert_eq!(judged(regex("for x in 4")), "unsure", "it may run over on both sides");
    assert_eq!(judged(regex("x in 4")), "1 1:x 3:4");
    let pair = |template: Template, text: &str| {
        let needle = Needle::substring(text).expect("a needle");
        told(&judge(&needle, text.as_bytes(), &template))
    };
    let beside = vec![column("a", Kind::Str), column("n", Kind::Int)];
    assert_eq!(pair(beside, "xy"), "unsure", "nothing is known of either side");
    assert_eq!(pair(vec![literal("\u{212a}"), column("a", Kind::Str)], "kb"), "unsure", "a Kelvin folds to k");
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    let needle = phrase("1");
    assert_eq!(hits(needle.needle().expect("one"), &numbers, &Mask::all(2)), Ok(Mask::all(2)));
}

proptest! {
    #[test]
    fn parts_tell_what_whole_messages_tell(
        templates in prop::collection::vec(prop::collection::vec(prop_oneof![
            "[abK\u{212a} .1]{1,4}".prop_map(|text| literal(&text)),
            Just(column("a", Kind::Str)),
            Just(column("n", Kind::Int)),
        ], 1..5), 1..4),
        rows in prop::collection::vec((0usize..8, "[abkK\u{212a} .12]{0,4}", -2i64..30), 1..70),
        wanted in "[abkK .*?12]{1,4}",
        odd in any::<bool>(),
    ) {
        let made = Made {
            numbers: rows.iter().map(|(number, ..)| (*number < templates.len()).then_some(*number as i64)).collect(),
            raw: rows.iter().map(|(number, text, _)| (*number == 7).then_some(text.as_str())).collect(),
            a: Arc::new(rows.iter().map(|(_, text, _)| Some(text.as_str())).collect::<StringArray>()),
            n: Arc::new(rows.iter().map(|(.., n)| Some(*n)).collect::<Int64Array>()),
            templates,
        };
        let regex = regex_of(&wanted);
        let within = Mask::from_fn(rows.len(), |row| !odd || row % 2 == 1);
        for test in [TextTest::phrase(&wanted), TextTest::text_glob(&wanted), TextTest::value_glob(&wanted), regex] {
            let test = test.expect("a small pattern");
            let Some(found) = scan(&test, &made, &within).expect("whole parts") else { continue };
            for row in 0..rows.len() {
                let text = made.text(row);
                let want = within.has(row) && text.as_ref().is_some_and(|text| test.is_match(text));
                prop_assert_eq!(found.has(row), want, "{:?} on {:?}", test, text);
            }
        }
    }
}

/// The text with a part that is not literal.
fn regex_of(text: &str) -> Result<TextTest, crate::search::Error> {
    let literal: String = text.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect();
    super::super::text::Searcher::new(&format!("{literal}[a1]?")).map(TextTest::Regex)
}
