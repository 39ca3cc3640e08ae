//! What breaks, and when.

use logweir_runtime::clock::{NANOS_PER_SECOND, Nanos};

const FIRST_AFTER_S: i64 = 25;
const LASTS_S: i64 = 60;
const EVERY_S: i64 = 300;

/// What is broken at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incident {
    /// The payment gateway does not answer: checkouts hang, and the api's workers with them.
    GatewayTimeouts,
    /// Redis refuses connections: carts and sessions fail at once.
    RedisDown,
    /// The payments app dies again and again.
    CrashLoop,
}

const ORDER: [Incident; 3] = [Incident::GatewayTimeouts, Incident::RedisDown, Incident::CrashLoop];

/// The incident at `now` of a shop that was started at `start`; there is none in the past before.
pub(super) fn at(start: Nanos, now: Nanos) -> Option<Incident> {
    let since_first = (now - start) / NANOS_PER_SECOND - FIRST_AFTER_S;
    if since_first < 0 || now < start || since_first % EVERY_S >= LASTS_S {
        return None;
    }
    ORDER.get(usize::try_from(since_first / EVERY_S).ok()? % ORDER.len()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_comes_soon_and_they_take_turns() {
        for (second, want) in [
            (-100, None),
            (0, None),
            (24, None),
            (25, Some(Incident::GatewayTimeouts)),
            (84, Some(Incident::GatewayTimeouts)),
            (85, None),
            (325, Some(Incident::RedisDown)),
            (625, Some(Incident::CrashLoop)),
            (925, Some(Incident::GatewayTimeouts)),
        ] {
            assert_eq!(at(1_000, 1_000 + second * NANOS_PER_SECOND), want, "{second} s");
        }
    }
}
