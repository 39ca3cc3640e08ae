//! Entries of the journal: their cursor, and what is left of one that is too long.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_agent::listen::journald::{SPOOLED_BYTES_MAX, cursor_of, fit};

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let cursor = cursor_of(data);
    assert!(cursor.is_none_or(|cursor| !cursor.is_empty() && cursor.bytes().all(|byte| byte.is_ascii_graphic())));
    assert_eq!(fit(data), data);
    // The same entry with a field as long as a core dump: it fits, and one that was an entry is still one.
    let Some(fields) = data.strip_suffix(b"}") else { return };
    let long = [fields, b",\"COREDUMP\":\"", &vec![b'x'; SPOOLED_BYTES_MAX], b"\"}"].concat();
    let fitted = fit(&long);
    assert!(fitted.len() <= SPOOLED_BYTES_MAX);
    let whole = |bytes| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).ok();
    if let Some(cursor) = whole(&long).and_then(|fields| Some(fields.get("__CURSOR")?.as_str()?.to_owned())) {
        assert_eq!(whole(&fitted).and_then(|fields| Some(fields.get("__CURSOR")?.as_str()? == cursor)), Some(true));
    }
}
