//! What keeps a message back although it is due: another one is under way, the channel's rate, a host that is down.
//!
//! Rates and breakers live in memory: after a start every bucket is full and every breaker closed, which costs a burst.

use std::collections::{BTreeMap, BTreeSet};

use super::Outcome;
use crate::route::Channel;

/// Failures in a row after which a host is left alone.
pub const BREAKER_FAILURES: u32 = 5;
/// For how long at first; it doubles up to [`BREAKER_OPEN_MAX_NS`].
pub const BREAKER_OPEN_NS: i64 = 10 * 1_000_000_000;
pub const BREAKER_OPEN_MAX_NS: i64 = 120 * 1_000_000_000;

#[derive(Debug, Clone, Default)]
pub struct Gate {
    busy: BTreeSet<String>,
    buckets: BTreeMap<String, Bucket>,
    hosts: BTreeMap<String, Breaker>,
    /// Of channels whose host is known.
    host_of: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// The time at which it is full again.
    full_wall: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Breaker {
    failures: u32,
    open_until_wall: i64,
    /// One message tries whether the host is back.
    probing: bool,
}

impl Gate {
    pub fn is_busy(&self, channel: &str) -> bool {
        self.busy.contains(channel)
    }

    /// Another routing: hosts may be others.
    pub fn learn_hosts<'a>(&mut self, channels: impl Iterator<Item = (String, &'a Channel)>) {
        self.host_of = channels.filter_map(|(name, channel)| Some((name, channel.host()?))).collect();
    }

    /// When the channel may be asked again; `None`: now.
    pub fn wait_until(&self, name: &str, channel: &Channel, now_wall: i64) -> Option<i64> {
        let breaker = self.host_of.get(name).and_then(|host| self.hosts.get(host));
        if let Some(breaker) = breaker.filter(|breaker| breaker.failures >= BREAKER_FAILURES) {
            if breaker.open_until_wall > now_wall {
                return Some(breaker.open_until_wall);
            }
            if breaker.probing {
                return Some(now_wall.saturating_add(1_000_000_000));
            }
        }
        let rate = channel.rate?;
        let full_wall = self.buckets.get(name)?.full_wall;
        let room = rate.every_ns.saturating_mul(i64::from(rate.burst.saturating_sub(1)));
        let free_wall = full_wall.saturating_sub(room);
        (free_wall > now_wall).then_some(free_wall)
    }

    /// A message leaves.
    pub fn take(&mut self, name: &str, channel: &Channel, now_wall: i64) {
        self.busy.insert(name.to_owned());
        if let Some(rate) = channel.rate {
            let bucket = self.buckets.entry(name.to_owned()).or_insert(Bucket { full_wall: now_wall });
            bucket.full_wall = bucket.full_wall.max(now_wall).saturating_add(rate.every_ns);
        }
        if let Some(breaker) = self.host_of.get(name).and_then(|host| self.hosts.get_mut(host)) {
            breaker.probing = breaker.failures >= BREAKER_FAILURES;
        }
    }

    /// A message is done.
    pub fn done(&mut self, name: &str, outcome: &Outcome, now_wall: i64) {
        self.busy.remove(name);
        let Some(host) = self.host_of.get(name) else { return };
        let down = match outcome {
            Outcome::Timeout | Outcome::NoConnection(_) | Outcome::Broken(_) => true,
            Outcome::Status { code, .. } => *code >= 500,
            Outcome::Refused(_) | Outcome::Misconfigured(_) | Outcome::Rejected(_) | Outcome::Later(_) => false,
        };
        if !down {
            self.hosts.remove(host);
            return;
        }
        let breaker = self.hosts.entry(host.clone()).or_default();
        breaker.probing = false;
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures >= BREAKER_FAILURES {
            let doubled = BREAKER_OPEN_NS.saturating_mul(1 << (breaker.failures - BREAKER_FAILURES).min(10));
            breaker.open_until_wall = now_wall.saturating_add(doubled.min(BREAKER_OPEN_MAX_NS));
            metrics::counter!("logweir_notification_breaker_opened_total", "host" => host.clone()).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::S;

    fn channel(rate: &str) -> Channel {
        let text = format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a, webhook: [{{url: 'https://a.example/', rate: {rate}}}]}}]\n"
        );
        let routing = crate::route::file::load("r", &text, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
        routing.channel("a", "webhook[0]").expect("it is there").clone()
    }

    #[test]
    fn three_at_once_and_then_one_a_second() {
        let (mut gate, channel) = (Gate::default(), channel("1/s"));
        let mut left = Vec::new();
        for tick in 0..100 {
            let now = tick * S / 10;
            if gate.wait_until("a/webhook[0]", &channel, now).is_none() {
                gate.take("a/webhook[0]", &channel, now);
                gate.done(
                    "a/webhook[0]",
                    &Outcome::Status { code: 200, retry_after_ns: None, body: String::new() },
                    now,
                );
                left.push(tick);
            }
        }
        assert_eq!(left, [0, 1, 2, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    }

    #[test]
    fn a_host_that_is_down_is_left_alone_and_tried_by_one() {
        let (mut gate, channel) = (Gate::default(), channel("1000/s"));
        gate.learn_hosts([("a".to_owned(), &channel), ("b".to_owned(), &channel)].into_iter());
        for _ in 0..BREAKER_FAILURES {
            assert_eq!(gate.wait_until("a", &channel, 0), None);
            gate.take("a", &channel, 0);
            gate.done("a", &Outcome::Timeout, 0);
        }
        // The other channel of the same host waits too.
        assert_eq!(gate.wait_until("b", &channel, S), Some(BREAKER_OPEN_NS));
        let now = BREAKER_OPEN_NS;
        assert_eq!(gate.wait_until("b", &channel, now), None);
        gate.take("b", &channel, now);
        assert!(gate.wait_until("a", &channel, now).is_some(), "one tries");
        gate.done("b", &Outcome::Timeout, now);
        assert_eq!(gate.wait_until("a", &channel, now + S), Some(now + 2 * BREAKER_OPEN_NS));
        let now = now + 2 * BREAKER_OPEN_NS;
        gate.take("a", &channel, now);
        gate.done("a", &Outcome::Status { code: 200, retry_after_ns: None, body: String::new() }, now);
        assert_eq!(gate.wait_until("b", &channel, now), None);
    }
}
