//! JSON values and times as text.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// A value as it stands in a cell: strings bare, numbers without a needless `.0`, lists with
/// commas, the rest as JSON.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
            Some(float) if number.is_f64() => rounded(float),
            _ => number.to_string(),
        },
        Some(Value::Array(list)) if list.iter().all(|one| !one.is_array() && !one.is_object()) => {
            list.iter().map(|one| cell(Some(one))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// Six significant digits are more than anybody reads in a table.
fn rounded(float: f64) -> String {
    let magnitude = float.abs().log10().floor();
    if !magnitude.is_finite() || !(-4.0..6.0).contains(&magnitude) {
        return float.to_string();
    }
    let digits = (5.0 - magnitude).max(0.0) as usize;
    let text = format!("{float:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `2026-11-20 09:13:36.536` in `zone`; text that is not RFC 3339 stays as it is.
pub fn local_time(rfc3339: &str, zone: &TimeZone) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        for (value, text) in [
            (serde_json::json!(3.0), "3"),
            (serde_json::json!(0.123456789), "0.123457"),
            (serde_json::json!(1234.5), "1234.5"),
            (serde_json::json!(1e300), &1e300f64.to_string()),
            (serde_json::json!(u64::MAX), "18446744073709551615"),
            (serde_json::json!([1, "a"]), "1, a"),
            (serde_json::json!([{"a": 1}]), "[{\"a\":1}]"),
            (serde_json::json!(null), ""),
        ] {
            assert_eq!(cell(Some(&value)), text);
        }
    }

    #[test]
    fn times_are_shown_in_the_zone_of_the_reader() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(local_time("2026-11-20T23:13:36.536000001Z", &zone), "2026-11-21 01:13:36.536");
        assert_eq!(local_time("yesterday", &zone), "yesterday");
    }
}
