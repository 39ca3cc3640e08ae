//! Secrets come from files or the environment, are never printed, and compare in constant time.

use std::fmt;
use std::path::Path;

/// Longest secret file that is read.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Text that must not reach a log: its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a file and drops the white space around its text.
    pub fn read_file(path: &Path) -> std::io::Result<Secret> {
        let size = std::fs::metadata(path)?.len();
        if size > SECRET_BYTES_MAX {
            return Err(std::io::Error::other(format!("{size} bytes is too long for a secret")));
        }
        Ok(Secret(std::fs::read_to_string(path)?.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Compares without telling by its duration where two byte strings differ.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }

    #[test]
    fn comparison_sees_every_byte() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"abcd"));
    }
}
