//! When a group is evaluated: at times aligned to its step, moved by an offset that its name decides.
//!
//! Groups are so spread over the step instead of all asking at the full minute, and the same group asks at the same
//! event times after a restart, on another node and in a replay. Offsets are whole slots of the step, so that the counts
//! of a window can be put together from counts of slots.

const S: i64 = 1_000_000_000;

/// The fixed offset of a group within its step.
pub fn offset_ns(group: &str, every_ns: i64) -> i64 {
    // FNV-1a: the offset must be the same in every version, so the hash is spelled out here.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in group.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let (every_ns, slot_ns) = (every_ns.max(1), slot_ns(every_ns));
    let slots = (every_ns / slot_ns).max(1);
    (hash % slots as u64) as i64 * slot_ns
}

/// The grid on which the offsets of a step lie.
const fn slot_ns(every_ns: i64) -> i64 {
    let slot_ns = match every_ns {
        ..10_000_000_000 => S,
        10_000_000_000..300_000_000_000 => 5 * S,
        _ => 60 * S,
    };
    if every_ns >= slot_ns && every_ns % slot_ns == 0 { slot_ns } else { every_ns }
}

/// The first evaluation time of the group that is later than `after_ns`.
pub fn next_after(after_ns: i64, every_ns: i64, offset_ns: i64) -> i64 {
    latest_at(after_ns, every_ns, offset_ns).saturating_add(every_ns.max(1))
}

/// The last evaluation time of the group that is not later than `now_ns`.
pub fn latest_at(now_ns: i64, every_ns: i64, offset_ns: i64) -> i64 {
    let every_ns = every_ns.max(1);
    let steps = now_ns.saturating_sub(offset_ns).div_euclid(every_ns);
    steps.saturating_mul(every_ns).saturating_add(offset_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_time_has_one_step_before_and_one_after(now in 0i64..4_000_000_000_000_000_000, every in 1i64..100_000_000_000_000, name in ".{0,20}") {
            let offset = offset_ns(&name, every);
            let (last, next) = (latest_at(now, every, offset), next_after(now, every, offset));
            assert!((0..every).contains(&offset) && offset % slot_ns(every) == 0);
            assert!(last <= now && now < next && next - last == every);
            assert_eq!(next_after(last, every, offset), next);
        }
    }

    #[test]
    fn the_offset_of_a_name_never_changes() {
        let every = 30_000_000_000;
        assert_eq!(offset_ns("nginx", every), offset_ns("nginx", every));
        expect_test::expect!["5000000000"].assert_eq(&offset_ns("nginx", every).to_string());
    }
}
