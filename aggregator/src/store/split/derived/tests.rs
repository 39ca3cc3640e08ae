use arrow::compute::cast;
use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::*;
use crate::store::block::Block;
use crate::store::fixture::{self, row};

fn block(lines: &[String]) -> Block {
    let rows: Vec<_> = lines.iter().enumerate().map(|(i, line)| row(i as i64, i as u64, line)).collect();
    fixture::blocks(&rows, rows.len()).remove(0)
}

fn show(templates: &[Template]) -> Vec<String> {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(text) => text.to_string(),
        Piece::Column(key) => format!("{{{}}}", key.field),
    };
    templates.iter().map(|template| template.iter().map(piece).collect()).collect()
}

/// Takes out and puts together; the templates, and how many messages are left.
fn round(block: &Block) -> (Vec<String>, usize) {
    let (layout, batch) = (block.layout(), block.batch());
    let Some(deriver) = Deriver::learn(layout, batch) else { return (Vec::new(), block.len()) };
    let mut columns = batch.columns().to_vec();
    let numbers = deriver.numbers(&columns);
    deriver.take_out(&numbers, &mut columns);
    let left = columns[deriver.message].len() - columns[deriver.message].null_count();
    let templates = deriver.into_templates();
    let reading = Reading::new(&templates, layout);
    let message = layout.column(&message_key()).expect("a message");
    let found = reading.put_together(|column| columns.get(column)).expect("messages");
    assert_eq!(&found, batch.column(message));
    // Texts may come as numbers of a dictionary.
    let numbered: Vec<ArrayRef> = columns
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8 => {
                cast(column, &DataType::Dictionary(DataType::UInt16.into(), DataType::Utf8.into())).unwrap()
            }
            _ => Arc::clone(column),
        })
        .collect();
    let found = reading.put_together(|column| numbered.get(column)).expect("messages");
    assert_eq!(&found, batch.column(message));
    let needed = reading.columns(&[message]);
    assert!(reading.put_together(|column| columns.get(column).filter(|_| column != needed[0])).is_none());
    assert_eq!(reading.columns(&[0]), [0]);
    (show(&templates), left)
}

#[test]
fn messages_that_columns_tell_are_left_out() {
    let line = |i: usize| match i % 10 {
        0 => format!("host=h{} path=/cart ms={} \"job {} began\"", i % 3, i % 50, i * 7 + 3),
        1..4 => format!("method=GET path=/cart/{i} query=p={i} status={} \"GET /cart/{i}?p={i} HTTP\"", 200 + i % 2),
        _ => format!(
            "path=/p{i} route=/p{i} ms={} status=200 \"request /p{i} finished with 200 in {}ms\"",
            i % 90,
            i % 90
        ),
    };
    let lines: Vec<String> = (0..2000).map(line).collect();
    let (templates, left) = round(&block(&lines));
    assert_eq!(templates, ["request {path} finished with {status} in {ms}ms", "{method} {path}?{query} HTTP"]);
    assert_eq!(left, 200);
}

#[test]
fn messages_that_say_something_else_stay() {
    let lines: Vec<String> = (0..900).map(|i| format!("a={} \"made {} of {}\"", i % 7, i + 1000, i % 5)).collect();
    assert_eq!(round(&block(&lines)), (vec![], 900));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_messages_come_back(rows in fixture::any_rows(60), twice in prop::collection::vec(0usize..4, 1..40)) {
        let mut lines: Vec<String> =
            twice.iter().map(|n| format!("a={n} b=x{} \"x{} {n}{}\"", n % 2, n % 2, if *n == 3 { "3" } else { "" })).collect();
        lines.extend(rows.iter().map(|row| String::from_utf8_lossy(&row.raw).into_owned()));
        round(&block(&lines));
    }
}
