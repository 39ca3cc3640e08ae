//! The payload of a WAL record.
//!
//! ```text
//! version u8 = 1 | received_ns i64 | tenant_len u8 | tenant | batch of proto::batch, as received
//! ```
//! Integers are little endian. Nothing else decides what a line becomes, so a replay gives the same events.

use bytes::Bytes;

const VERSION: u8 = 1;

/// The bytes before the batch.
pub fn prefix(tenant: &str, received_ns: i64) -> Vec<u8> {
    let tenant = &tenant.as_bytes()[..tenant.len().min(usize::from(u8::MAX))];
    let mut out = Vec::with_capacity(10 + tenant.len());
    out.push(VERSION);
    out.extend_from_slice(&received_ns.to_le_bytes());
    out.push(tenant.len() as u8);
    out.extend_from_slice(tenant);
    out
}

/// Splits a payload into tenant, time of receipt and batch; `None` for a version or shape that is not known.
pub fn decode(payload: &[u8]) -> Option<(String, i64, Bytes)> {
    let (&version, rest) = payload.split_first()?;
    if version != VERSION {
        return None;
    }
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (&len, rest) = rest.split_first()?;
    let (tenant, batch) = rest.split_at_checked(usize::from(len))?;
    Some((String::from_utf8(tenant.to_vec()).ok()?, i64::from_le_bytes(*time), Bytes::copy_from_slice(batch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_and_a_cut_one_does_not() {
        let mut payload = prefix("default", -5);
        payload.extend_from_slice(b"batch");
        assert_eq!(decode(&payload), Some(("default".to_owned(), -5, Bytes::from_static(b"batch"))));
        assert_eq!(decode(&payload[..12]), None);
        payload[0] = 2;
        assert_eq!(decode(&payload), None);
    }
}
