//! Groups: episodes that are told together, and when.
//!
//! The first message waits `group_wait`, so that alerts with one cause arrive as one; later ones are at least
//! `group_interval` apart; an unchanged group is repeated after `repeat_interval`.

use logweir_rules::model::Labels;

use super::file::Routing;
use super::tree::Route;
use crate::notify::outbox;
use crate::state::store::{GROUPS, StoreError, Tx};
use crate::state::{Episode, Member, NotifyGroup};

/// What happened to an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Opened,
    Changed,
    Closed,
}

/// What a group does now, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Send(Why),
    Wait {
        until_wall: i64,
    },
    /// Nothing fires and everything is told: the group ends.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    First,
    Changed,
    Resolved,
    Repeat,
}

/// Decides about a group at a wall time.
pub fn decide(group: &NotifyGroup, now_wall: i64) -> Decision {
    let dirty = group.members.values().any(|member| member.dirty);
    let firing = group.members.values().any(|member| member.firing);
    if dirty {
        let due = group.next_flush_wall.unwrap_or(now_wall);
        if now_wall < due {
            return Decision::Wait { until_wall: due };
        }
        return Decision::Send(match (group.last_flush_wall, firing) {
            (None, _) => Why::First,
            (_, true) => Why::Changed,
            (_, false) => Why::Resolved,
        });
    }
    if !firing {
        return Decision::End;
    }
    let due = group.last_flush_wall.unwrap_or(now_wall).saturating_add(group.repeat_ns);
    if now_wall < due { Decision::Wait { until_wall: due } } else { Decision::Send(Why::Repeat) }
}

/// Puts an episode into the groups of its routes, in the transaction that changes the episode.
pub fn place(tx: &Tx, routing: &Routing, episode: &mut Episode, event: Event, now_wall: i64) -> Result<(), StoreError> {
    if event == Event::Closed {
        return close(tx, episode, now_wall);
    }
    let labels = routing_labels(episode);
    for route in routing.root.matching(&labels) {
        let key = route.group_key(&labels);
        let mut group = match tx.get(GROUPS, &key)? {
            Some(group) => with_times(group, route),
            None => new_group(key.clone(), route, &labels, now_wall),
        };
        add(&mut group, &episode.id, now_wall);
        tx.put(GROUPS, &key, &group)?;
        if !episode.groups.contains(&key) {
            episode.groups.push(key);
        }
    }
    if event == Event::Changed {
        // Groups that its new severity does not lead to still hear of the change.
        for key in &episode.groups {
            if let Some(mut group) = tx.get(GROUPS, key)? {
                add(&mut group, &episode.id, now_wall);
                tx.put(GROUPS, key, &group)?;
            }
        }
    }
    Ok(())
}

/// The labels that routes see: those of the alert and its severity.
pub fn routing_labels(episode: &Episode) -> Labels {
    let mut labels = episode.labels.clone();
    labels.insert("severity".to_owned(), episode.severity.to_string());
    labels
}

fn new_group(key: String, route: &Route, labels: &Labels, now_wall: i64) -> NotifyGroup {
    NotifyGroup {
        key,
        receiver: route.receiver.clone(),
        born_wall: now_wall,
        labels: route.group_labels(labels),
        wait_ns: route.group_wait_ns,
        interval_ns: route.group_interval_ns,
        repeat_ns: route.repeat_interval_ns,
        members: std::collections::BTreeMap::new(),
        next_flush_wall: None,
        last_flush_wall: None,
        seq: 0,
    }
}

fn with_times(group: NotifyGroup, route: &Route) -> NotifyGroup {
    NotifyGroup {
        wait_ns: route.group_wait_ns,
        interval_ns: route.group_interval_ns,
        repeat_ns: route.repeat_interval_ns,
        ..group
    }
}

/// Adds a firing episode, or marks it as changed.
pub(crate) fn add(group: &mut NotifyGroup, episode: &str, now_wall: i64) {
    let told = group.members.get(episode).is_some_and(|member| member.told);
    group.members.insert(episode.to_owned(), Member { firing: true, dirty: true, told });
    schedule(group, now_wall);
}

fn schedule(group: &mut NotifyGroup, now_wall: i64) {
    let due = match group.last_flush_wall {
        None => now_wall.saturating_add(group.wait_ns),
        Some(last) => last.saturating_add(group.interval_ns).max(now_wall),
    };
    group.next_flush_wall = Some(group.next_flush_wall.map_or(due, |next| next.min(due)));
}

fn close(tx: &Tx, episode: &Episode, now_wall: i64) -> Result<(), StoreError> {
    for key in &episode.groups {
        let Some(mut group) = tx.get(GROUPS, key)? else { continue };
        let Some(member) = group.members.get_mut(&episode.id) else { continue };
        if member.told {
            *member = Member { firing: false, dirty: true, told: true };
            schedule(&mut group, now_wall);
        } else {
            // It fired and resolved within the waiting time: nobody heard of it, so nobody needs to hear of its end.
            group.members.remove(&episode.id);
        }
        if group.members.is_empty() {
            tx.delete(GROUPS, key)?;
        } else {
            tx.put(GROUPS, key, &group)?;
        }
    }
    Ok(())
}

/// Turns every group that is due into messages. Answers when the next one is.
pub fn flush(tx: &Tx, routing: &Routing, now_wall: i64) -> Result<Option<i64>, StoreError> {
    let mut next: Option<i64> = None;
    for (key, mut group) in tx.scan(GROUPS, "")? {
        match decide(&group, now_wall) {
            Decision::End => tx.delete(GROUPS, &key)?,
            Decision::Wait { until_wall } => next = Some(next.map_or(until_wall, |n| n.min(until_wall))),
            Decision::Send(why) => {
                tracing::info!(group = key, receiver = group.receiver, why = ?why, "a message is due");
                outbox::enqueue(tx, routing, &group, now_wall)?;
                group.members.retain(|_, member| member.firing);
                for member in group.members.values_mut() {
                    *member = Member { firing: true, dirty: false, told: true };
                }
                group.seq += 1;
                group.last_flush_wall = Some(now_wall);
                group.next_flush_wall = None;
                if group.members.is_empty() {
                    tx.delete(GROUPS, &key)?;
                } else {
                    let due = now_wall.saturating_add(group.repeat_ns);
                    next = Some(next.map_or(due, |n| n.min(due)));
                    tx.put(GROUPS, &key, &group)?;
                }
            }
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn group() -> NotifyGroup {
        NotifyGroup {
            key: "k".into(),
            receiver: "r".into(),
            born_wall: 0,
            labels: Labels::new(),
            wait_ns: 30 * S,
            interval_ns: 300 * S,
            repeat_ns: 3600 * S,
            members: std::collections::BTreeMap::new(),
            next_flush_wall: None,
            last_flush_wall: None,
            seq: 0,
        }
    }

    #[test]
    fn a_group_waits_sends_and_repeats() {
        let mut g = group();
        add(&mut g, "e1", 0);
        assert_eq!(decide(&g, 0), Decision::Wait { until_wall: 30 * S });
        // A second episode does not push the first message back.
        add(&mut g, "e2", 20 * S);
        assert_eq!(decide(&g, 30 * S), Decision::Send(Why::First));
        for member in g.members.values_mut() {
            *member = Member { firing: true, dirty: false, told: true };
        }
        (g.last_flush_wall, g.next_flush_wall) = (Some(30 * S), None);
        assert_eq!(decide(&g, 31 * S), Decision::Wait { until_wall: 3630 * S });
        assert_eq!(decide(&g, 3630 * S), Decision::Send(Why::Repeat));
        add(&mut g, "e3", 40 * S);
        assert_eq!(decide(&g, 40 * S), Decision::Wait { until_wall: 330 * S });
        assert_eq!(decide(&g, 330 * S), Decision::Send(Why::Changed));
        for member in g.members.values_mut() {
            *member = Member { firing: false, dirty: true, told: true };
        }
        assert_eq!(decide(&g, 330 * S), Decision::Send(Why::Resolved));
        g.members.clear();
        assert_eq!(decide(&g, 0), Decision::End);
    }
}
