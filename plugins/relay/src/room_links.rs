//! Subscriptions to rooms' lanes: over which few links most of what is written comes at once. PROTOCOL 4.6
//!
//! In a small network four links hear of every lane, two of them of most. In a large one each lane lies elsewhere, and four of 16
//! are heard at once; what is on the others comes when their lanes are next asked for.

use crate::limits::{PLACES, ROOM_LINK_TAGS_MAX, ROOM_LINKS_MAX};
use crate::packet::Tag;
use crate::placement::{Candidate, nearest};
use crate::task::Task;
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A carrier that refused, or whose link has too many old subscriptions, is let go of for so long; by then its link is hung up.
const REST: Duration = Duration::from_mins(1);

/// What is subscribed to where. At most 14 lanes at each of 4 carriers.
#[derive(Default)]
pub(crate) struct RoomLinks {
    wanted: BTreeMap<PeerId, BTreeSet<Tag>>,
    subscribed: BTreeMap<PeerId, BTreeSet<Tag>>,
    resting: BTreeMap<PeerId, Time>,
}

impl RoomLinks {
    /// Chooses whom to subscribe at: again and again who is near to most lanes that nobody tells of yet.
    pub(crate) fn choose(&mut self, lanes: &BTreeSet<Tag>, candidates: &[Candidate], now: Time) {
        self.resting.retain(|_, until| *until > now);
        let mut near: BTreeMap<PeerId, BTreeSet<Tag>> = BTreeMap::new();
        for tag in lanes {
            for carrier in nearest(*tag, candidates, PLACES) {
                if !self.resting.contains_key(&carrier.id) {
                    near.entry(carrier.id).or_default().insert(*tag);
                }
            }
        }
        let mut untold = lanes.clone();
        self.wanted.clear();
        while self.wanted.len() < ROOM_LINKS_MAX {
            let tells = |tags: &BTreeSet<Tag>| tags.intersection(&untold).count();
            // Of equals the smaller id.
            let best = near.iter().rev().max_by_key(|(_, tags)| tells(tags));
            let Some(best) = best.map(|(carrier, _)| *carrier) else {
                break;
            };
            let Some(tags) = near.remove(&best) else {
                break;
            };
            let first = tags.intersection(&untold).chain(tags.difference(&untold));
            let tags: BTreeSet<Tag> = first.take(ROOM_LINK_TAGS_MAX).copied().collect();
            untold.retain(|tag| !tags.contains(tag));
            self.wanted.insert(best, tags);
            if untold.is_empty() {
                untold.clone_from(lanes); // Once more: a carrier may fail.
            }
        }
        let wanted = &self.wanted;
        self.subscribed.retain(|carrier, tags| {
            let Some(new) = wanted.get(carrier) else {
                return false;
            };
            // Nothing ends a subscription but the end of its link.
            let fits = tags.union(new).count() <= ROOM_LINK_TAGS_MAX;
            if !fits {
                self.resting.insert(*carrier, now + REST);
            }
            fits
        });
    }

    /// What is to be subscribed to now.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        self.resting.retain(|_, until| *until > now);
        for (carrier, tags) in &self.wanted {
            if self.resting.contains_key(carrier) || !may_reach(carrier) {
                continue;
            }
            let subscribed = self.subscribed.entry(*carrier).or_default();
            for tag in tags {
                if subscribed.insert(*tag) {
                    tasks.push((*carrier, Task::Attend { tag: *tag }));
                }
            }
        }
        tasks
    }

    /// Carriers whose links stay up.
    pub(crate) fn kept(&self) -> BTreeSet<PeerId> {
        let carriers = self.wanted.keys();
        let kept = carriers.filter(|carrier| !self.resting.contains_key(carrier));
        kept.copied().collect()
    }

    /// How many lanes somebody tells of.
    pub(crate) fn lanes(&self) -> usize {
        let all: BTreeSet<&Tag> = self.subscribed.values().flatten().collect();
        all.len()
    }

    /// A subscription was refused, or its carrier not reached.
    pub(crate) fn refused(&mut self, carrier: PeerId, now: Time) {
        self.subscribed.remove(&carrier);
        self.resting.insert(carrier, now + REST);
    }

    /// A link is down. Says of which lanes it told.
    pub(crate) fn link_lost(&mut self, carrier: PeerId) -> BTreeSet<Tag> {
        self.subscribed.remove(&carrier).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_net::Identity;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn candidates(count: u64) -> Vec<Candidate> {
        let candidate = |n| {
            let id = Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id();
            Candidate {
                id,
                position: id.position(),
                address: format!("127.{n}.0.1:9000").parse().unwrap(),
                eligible: true,
            }
        };
        (0..count).map(candidate).collect()
    }

    fn lanes(first: u8) -> BTreeSet<Tag> {
        let tag = |n: u8| Tag([(first + n).wrapping_mul(77); 16]);
        (0..16).map(tag).collect()
    }

    fn told(tasks: &[(PeerId, Task)]) -> BTreeSet<Tag> {
        let tag = |(_, task): &(PeerId, Task)| match task {
            Task::Attend { tag } => *tag,
            other => panic!("{other:?}"),
        };
        tasks.iter().map(tag).collect()
    }

    #[test]
    fn in_a_small_network_four_links_tell_of_every_lane() {
        for count in [1, 8, 12, 16] {
            let mut links = RoomLinks::default();
            links.choose(&lanes(0), &candidates(count), Time::ZERO);
            let tasks = links.poll(Time::ZERO, |_| true);
            // One link alone has room for 14.
            assert_eq!(told(&tasks).len(), if count == 1 { 14 } else { 16 });
            assert_eq!(links.kept().len(), 4.min(count as usize));
            assert!(links.poll(Time::ZERO, |_| true).is_empty());
        }
    }

    #[test]
    fn in_a_large_one_four_links_and_14_lanes_on_each_are_the_most() {
        let mut links = RoomLinks::default();
        let many = (0..16).flat_map(|n| lanes(n * 16)).collect();
        links.choose(&many, &candidates(200), Time::ZERO);
        let tasks = links.poll(Time::ZERO, |_| true);
        assert!(tasks.len() <= 4 * ROOM_LINK_TAGS_MAX);
        assert_eq!(links.kept().len(), 4);
        assert_eq!(links.lanes(), told(&tasks).len());
    }

    #[test]
    fn a_lost_link_is_subscribed_to_again_and_one_that_refuses_rests() {
        let mut links = RoomLinks::default();
        links.choose(&lanes(0), &candidates(1), Time::ZERO);
        let carrier = candidates(1)[0].id;
        assert_eq!(links.poll(Time::ZERO, |_| true).len(), 14);
        assert_eq!(links.link_lost(carrier).len(), 14);
        assert!(links.poll(Time::ZERO, |_| false).is_empty());
        assert_eq!(links.poll(Time::ZERO, |_| true).len(), 14);
        links.refused(carrier, Time::ZERO);
        assert!(links.poll(Time::ZERO, |_| true).is_empty() && links.kept().is_empty());
        assert_eq!(links.poll(Time::ZERO + REST, |_| true).len(), 14);
    }

    #[test]
    fn a_link_with_too_many_old_lanes_is_let_go_of_before_new_ones() {
        let mut links = RoomLinks::default();
        links.choose(&lanes(0), &candidates(1), Time::ZERO);
        links.poll(Time::ZERO, |_| true);
        links.choose(&lanes(16), &candidates(1), Time::ZERO);
        assert!(links.kept().is_empty() && links.poll(Time::ZERO, |_| true).is_empty());
        links.choose(&lanes(16), &candidates(1), Time::ZERO + REST);
        assert_eq!(links.poll(Time::ZERO + REST, |_| true).len(), 14);
        assert_eq!(links.kept().len(), 1);
    }
}
