//! Flapping: an alert that comes and goes is said once to do so, and then not told again until it has settled.

use crate::state::records::Flap;

/// Changes within [`EVALUATIONS`] that make an alert flap.
pub const CHANGES_MIN: usize = 4;
/// Evaluations within which they count, and without a change after which it is stable.
pub const EVALUATIONS: i64 = 20;

/// Notes a change at an event time.
pub fn note(flap: &mut Flap, at: i64, every_ns: i64) {
    flap.window_ns = every_ns.saturating_mul(EVALUATIONS);
    let oldest = at.saturating_sub(flap.window_ns);
    flap.changes.retain(|change| *change > oldest && *change <= at);
    if flap.changes.is_empty() {
        (flap.flapping, flap.announced) = (false, false);
    }
    flap.changes.push(at);
    flap.flapping |= flap.changes.len() >= CHANGES_MIN;
}

/// Until when it is not stable; `None` when it is.
pub fn unstable_until(flap: &Flap, now: i64) -> Option<i64> {
    let last = flap.changes.last().copied()?;
    let until = last.saturating_add(flap.window_ns);
    (flap.flapping && now < until).then_some(until)
}

pub fn text(flap: &Flap) -> String {
    format!("flapping: {} changes in {EVALUATIONS} evaluations; told again when it is stable", flap.changes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_changes_in_twenty_evaluations_flap_until_twenty_without() {
        let mut flap = Flap::default();
        for at in [0, 10, 20] {
            note(&mut flap, at, 10);
            assert_eq!(unstable_until(&flap, at), None);
        }
        note(&mut flap, 30, 10);
        assert_eq!(unstable_until(&flap, 30), Some(230));
        assert_eq!(unstable_until(&flap, 229), Some(230));
        assert_eq!(unstable_until(&flap, 230), None);
        // It goes on, more slowly: still not stable.
        note(&mut flap, 180, 10);
        assert_eq!(unstable_until(&flap, 300), Some(380));
        // After a quiet time it begins anew.
        note(&mut flap, 1_000, 10);
        assert_eq!((unstable_until(&flap, 1_000), flap.changes.len()), (None, 1));
        // Four changes that are far apart are four alerts.
        let mut slow = Flap::default();
        for at in [0, 100, 200, 300, 400] {
            note(&mut slow, at, 10);
            assert_eq!(unstable_until(&slow, at), None);
        }
    }
}
