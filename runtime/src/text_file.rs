//! Files that people write, read whole and never beyond their limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use logweir_proto::yaml::FILE_BYTES_MAX;

/// Reads a configuration or rule file. The limit holds for pipes and devices too, whose size nobody knows before.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("longer than {} MiB, the limit of configuration and rule files", FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("byte {at} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f.yaml");
        std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX]).expect("written");
        assert_eq!(read_file(&path).expect("it fits").len(), FILE_BYTES_MAX);
        std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX + 1]).expect("written");
        assert_eq!(read_file(&path).expect_err("too long").kind(), io::ErrorKind::FileTooLarge);
        assert!(read_file(Path::new("/dev/zero")).is_err());
        std::fs::write(&path, b"a: \xff").expect("written");
        assert_eq!(read_file(&path).expect_err("no text").to_string(), "byte 3 is not UTF-8");
    }
}
