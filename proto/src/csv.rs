//! CSV (RFC 4180) with a header, safe to open in a spreadsheet: what the server and the command line write.

use serde_json::Value;

use crate::api::Row;

/// The columns of events when nobody names any.
pub const EVENT_COLUMNS: [&str; 5] = ["time", "level", "service", "host", "message"];

/// The first line.
pub fn header(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|name| quote(name)).collect();
    names.join(",") + "\r\n"
}

/// One row of these columns.
pub fn line(columns: &[String], row: &Row) -> String {
    let cells: Vec<String> = columns.iter().map(|name| field(row.get(name))).collect();
    cells.join(",") + "\r\n"
}

/// A value as text: strings bare, lists with commas, the rest as JSON.
pub fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) if list.iter().all(|one| !one.is_array() && !one.is_object()) => {
            list.iter().map(|one| text(Some(one))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// Numbers stay exact and are never formulas; everything else may come from a log.
fn field(value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) => number.to_string(),
        other => quote(&text(other)),
    }
}

/// A cell that begins like a formula gets an apostrophe, because spreadsheets run formulas out of log lines.
fn quote(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        text.to_owned()
    } else {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_a_formula_is_text_and_numbers_are_numbers() {
        let row = json!({"a": "=1+1", "b": -5, "c": "x,\"y\"", "d": [1, "z"], "e": null});
        let columns = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
        let row = row.as_object().expect("an object");
        assert_eq!(header(&columns), "a,b,c,d,e,f\r\n");
        assert_eq!(line(&columns, row), "\"'=1+1\",-5,\"x,\"\"y\"\"\",\"1, z\",,\r\n");
    }
}
