//! Storms: when very many alerts begin at once, each receiver gets one digest a minute instead of them.

use super::file::Storm;
use crate::state::records::StormState;

/// Between two digests of one receiver.
pub const DIGEST_EVERY_NS: i64 = 60 * 1_000_000_000;
/// The first digest waits so long for the rest of the storm.
pub const DIGEST_WAIT_NS: i64 = 5 * 1_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// Counts an episode that opened; answers whether there is a storm now.
pub fn opened(state: &mut StormState, storm: &Storm, now_wall: i64) -> bool {
    let second = now_wall.div_euclid(SECOND_NS);
    let oldest = now_wall.saturating_sub(storm.window_ns).div_euclid(SECOND_NS);
    state.opened.retain(|(at, _)| (oldest + 1..=second).contains(at));
    match state.opened.last_mut() {
        Some((at, count)) if *at == second => *count += 1,
        _ => state.opened.push((second, 1)),
    }
    let count: u64 = state.opened.iter().map(|(_, count)| count).sum();
    if count > storm.episodes {
        state.until_wall = now_wall.saturating_add(storm.window_ns);
    }
    now_wall < state.until_wall
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_storms_over_the_threshold_and_until_it_is_quiet() {
        let storm = Storm { episodes: 3, window_ns: 60 * SECOND_NS, digest_by: vec![], always_pass: vec![] };
        let mut state = StormState::default();
        for (at, stormy) in [(0, false), (10, false), (20, false), (30, true), (31, true)] {
            assert_eq!(opened(&mut state, &storm, at * SECOND_NS), stormy, "{at}");
        }
        assert!(!opened(&mut state, &storm, 200 * SECOND_NS), "quiet again");
        assert_eq!(state.opened.len(), 1);
    }
}
