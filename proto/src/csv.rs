//! CSV (RFC 4180) with a header, safe to open in a spreadsheet: what the server and the command line write.

use serde_json::Value;

use crate::api::Row;

/// The columns of events when nobody names any.
pub const EVENT_COLUMNS: [&str; 5] = ["time", "level", "service", "host", "message"];

/// What an answer names first where a query leaves the choice of columns to it.
const USUAL: [&str; 4] = ["time", "level", "service", "message"];

/// The columns of events whose answer names these: the usual ones and what pipes made, or those that a pipe chose.
pub fn event_columns(columns: &[String]) -> Vec<String> {
    let usual = columns.len() >= USUAL.len() && columns.iter().zip(USUAL).all(|(column, usual)| column == usual);
    if !columns.is_empty() && !usual {
        return columns.to_vec();
    }
    let made = columns.iter().skip(USUAL.len()).filter(|made| !EVENT_COLUMNS.contains(&made.as_str()));
    EVENT_COLUMNS.iter().map(|name| (*name).to_owned()).chain(made.cloned()).collect()
}

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

    #[test]
    fn events_have_the_usual_columns_unless_a_pipe_chose_others() {
        let of =
            |columns: &str| event_columns(&columns.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).join(" ");
        assert_eq!(of(""), "time level service host message");
        assert_eq!(of("time level service message"), "time level service host message");
        assert_eq!(of("time level service message n host"), "time level service host message n");
        assert_eq!(of("status path"), "status path");
        assert_eq!(of("time level service"), "time level service");
    }
}
