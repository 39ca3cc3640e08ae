//! The order of values of any type: numbers, then text, then truths, and what is not there last either way.

use std::cmp::Ordering;

use logweir_proto::record::{Level, field};

use super::cell::{Cell, number_of_text};

/// A value as a sort key: a total order, so that no mixture of types can confuse a sort.
#[derive(Debug, Clone, PartialEq)]
pub enum SortValue {
    /// Text that spells a number sorts as that number; the integer breaks ties of floats beyond 2^53.
    Number(f64, i64),
    Text(Box<str>),
    Bool(bool),
    Missing,
}

impl SortValue {
    /// Levels sort by severity.
    pub fn new(name: &str, cell: &Cell<'_>) -> SortValue {
        match cell {
            Cell::Null => SortValue::Missing,
            Cell::Bool(value) => SortValue::Bool(*value),
            Cell::Int(value) | Cell::Time(value) => SortValue::Number(*value as f64, *value),
            Cell::Float(value) => SortValue::Number(*value, *value as i64),
            Cell::Text(text) => {
                let level = (name == field::LEVEL).then(|| Level::parse(text.as_bytes())).flatten();
                match level.map(|level| f64::from(level as u8)).or_else(|| number_of_text(text)) {
                    Some(number) => SortValue::Number(number, text.parse().unwrap_or(number as i64)),
                    None => SortValue::Text(text.as_ref().into()),
                }
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            SortValue::Number(..) => 0,
            SortValue::Text(_) => 1,
            SortValue::Bool(_) => 2,
            SortValue::Missing => 3,
        }
    }

    pub fn compare(&self, other: &SortValue, descending: bool) -> Ordering {
        let order = match (self, other) {
            (SortValue::Missing, SortValue::Missing) => return Ordering::Equal,
            (SortValue::Missing, _) => return Ordering::Greater,
            (_, SortValue::Missing) => return Ordering::Less,
            (SortValue::Number(a, i), SortValue::Number(b, j)) => a.total_cmp(b).then(i.cmp(j)),
            (SortValue::Text(a), SortValue::Text(b)) => a.cmp(b),
            (SortValue::Bool(a), SortValue::Bool(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        };
        if descending { order.reverse() } else { order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sort_by_number_then_text_and_the_missing_come_last() {
        let cells = [
            Cell::Null,
            Cell::Text("b".into()),
            Cell::Text("10".into()),
            Cell::Int(9),
            Cell::Float(9.5),
            Cell::Int(i64::MAX),
            Cell::Int(i64::MAX - 1),
        ];
        let mut values: Vec<SortValue> = cells.iter().map(|cell| SortValue::new("x", cell)).collect();
        values.sort_by(|a, b| a.compare(b, false));
        let rising = format!("{values:?}");
        expect_test::expect![[r#"[Number(9.0, 9), Number(9.5, 9), Number(10.0, 10), Number(9.223372036854776e18, 9223372036854775806), Number(9.223372036854776e18, 9223372036854775807), Text("b"), Missing]"#]]
        .assert_eq(&rising);
        values.sort_by(|a, b| a.compare(b, true));
        assert_eq!(values.last(), Some(&SortValue::Missing));
        let level = |text: &'static str| SortValue::new("level", &Cell::Text(text.into()));
        assert_eq!(level("warn").compare(&level("fatal"), false), Ordering::Less);
    }
}
