//! How long something is as JSON, without writing it down: a header with a thousand watermarks is counted and then
//! written where it belongs, and is never there twice.

use std::io::{Result, Write};

use serde::Serialize;

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

pub fn json_len<T: Serialize>(value: &T) -> serde_json::Result<usize> {
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, value)?;
    Ok(counted.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_length_of_the_text() {
        let value = serde_json::json!({ "a": [1, "\u{1}\u{e4}"], "b": null });
        assert_eq!(json_len(&value).expect("json"), value.to_string().len());
    }
}
