//! Checking a log that no server uses; nothing is changed.

use std::path::Path;

use super::local::{io_error, list};
use super::{Damage, WalError, segment};

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalCheck {
    pub segments: u64,
    pub bytes: u64,
    pub records: u64,
    /// The first record that is there, and the one behind the last. Absent when there is no log.
    pub range: Option<(u64, u64)>,
    /// Acknowledged lines that cannot be read.
    pub damage: Vec<Damage>,
    /// Where a crash left half a record, which was never acknowledged.
    pub torn: Option<Damage>,
}

/// Reads every record of the log in `dir`, handing each to `each`.
pub fn check(dir: &Path, each: &mut dyn FnMut(u64, &[u8])) -> Result<WalCheck, WalError> {
    let mut found = WalCheck::default();
    if !dir.exists() {
        return Ok(found);
    }
    let segments = list(dir)?;
    let mut expected = None;
    for (place, (first, bytes)) in segments.iter().enumerate() {
        let path = segment::path(dir, *first);
        let damage = |offset, reason| Damage { path: path.display().to_string(), offset, reason };
        let is_last = place + 1 == segments.len();
        let mut holes = 0u64;
        let scan = segment::scan(&path, &mut |number, payload| {
            found.records += 1;
            holes += u64::from(expected.is_some_and(|expected| expected != number));
            expected = Some(number + 1);
            each(number, payload);
        });
        let scan = scan.map_err(|error| io_error(&path, error))?;
        found.segments += 1;
        found.bytes += bytes;
        if holes > 0 && scan.damage.is_empty() {
            found.damage.push(damage(0, "records are missing before or in this segment"));
        }
        found.damage.extend(scan.damage.iter().cloned());
        match (scan.torn, is_last) {
            (true, true) => found.torn = Some(damage(scan.end, "ends within a record, which was never acknowledged")),
            (true, false) => {
                found.damage.push(damage(scan.end, "ends in damaged bytes though another segment follows"));
            }
            (false, _) => {}
        }
        let next = expected.unwrap_or(*first).max(*first);
        found.range = Some((found.range.map_or(*first, |(from, _)| from), next));
    }
    Ok(found)
}
