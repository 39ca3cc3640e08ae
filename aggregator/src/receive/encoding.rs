//! `Content-Encoding` of request bodies, with a cap on what comes out: a bomb costs its cap.

use std::borrow::Cow;
use std::io::Read;

use logweir_proto::frame::{self, DecompressError};

/// Largest body of `POST /api/v1/ingest` as sent.
pub const INGEST_WIRE_BYTES_MAX: usize = 16 << 20;
/// Largest body of `POST /api/v1/ingest` after decompression; it becomes one batch, with some bytes a record more.
pub const INGEST_BYTES_MAX: usize = 31 << 20;

#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    #[error("content-encoding '{0}' is not supported: send identity, gzip, deflate or zstd")]
    Unknown(String),
    #[error("the body is over {max} bytes after decompression: send it in parts")]
    TooLarge { max: usize },
    #[error("the body is not valid {encoding}: {reason}")]
    Invalid { encoding: String, reason: String },
}

/// Undoes the encoding; `max` bytes come out at the most.
pub fn decode<'a>(encoding: Option<&str>, body: &'a [u8], max: usize) -> Result<Cow<'a, [u8]>, EncodingError> {
    let name = encoding.unwrap_or("identity").trim().to_ascii_lowercase();
    let invalid = |reason: String| EncodingError::Invalid { encoding: name.clone(), reason };
    let decoded = match name.as_str() {
        "identity" | "" => {
            if body.len() > max {
                return Err(EncodingError::TooLarge { max });
            }
            return Ok(Cow::Borrowed(body));
        }
        "gzip" | "x-gzip" => read_capped(flate2::read::MultiGzDecoder::new(body), max, invalid),
        "deflate" => read_capped(flate2::read::ZlibDecoder::new(body), max, invalid),
        "zstd" => frame::decompress(body, max).map_err(|error| match error {
            DecompressError::TooLarge { max } => EncodingError::TooLarge { max },
            DecompressError::Zstd(error) => invalid(error.to_string()),
        }),
        _ => Err(EncodingError::Unknown(name)),
    };
    decoded.map(Cow::Owned)
}

fn read_capped(
    reader: impl Read,
    max: usize,
    invalid: impl FnOnce(String) -> EncodingError,
) -> Result<Vec<u8>, EncodingError> {
    let mut out = Vec::new();
    match reader.take(max as u64 + 1).read_to_end(&mut out) {
        Ok(_) if out.len() > max => Err(EncodingError::TooLarge { max }),
        Ok(_) => Ok(out),
        Err(error) => Err(invalid(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_encoding_is_undone_and_capped() {
        let text = vec![b'x'; 1000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("gzip");
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(&text).expect("deflate");
        let bodies = [
            ("identity", text.clone()),
            ("gzip", gzip.finish().expect("gzip")),
            ("deflate", deflate.finish().expect("deflate")),
            ("zstd", zstd::bulk::compress(&text, 1).expect("zstd")),
        ];
        for (name, body) in bodies {
            assert_eq!(decode(Some(name), &body, 1000).expect(name), text);
            assert!(matches!(decode(Some(name), &body, 999), Err(EncodingError::TooLarge { max: 999 })), "{name}");
        }
        assert!(matches!(decode(Some("br"), b"", 10), Err(EncodingError::Unknown(_))));
        assert!(matches!(decode(Some("gzip"), b"junk", 10), Err(EncodingError::Invalid { .. })));
    }
}
