//! What was ended, and by which secret, so that a sender learns of it and no late copy comes back.
//! PROTOCOL 4.3

use crate::limits::{TOMBSTONE_BYTES, TOMBSTONE_LIFE, TOMBSTONES_BYTES};
use crate::packet::{DeleteSecret, PacketId};
use crate::seldom::{Empty, Seldom};
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::Component};
use std::collections::{BTreeMap, VecDeque};

/// A carrier's tombstones: each 48 hours, at most 2 MB of them, the oldest going first.
///
/// Only the packet's own secret makes one, and only while the packet is kept, so whoever wants to push
/// tombstones out must first fill and empty the cache.
#[derive(Component, Default)]
pub struct Tombstones(Seldom<Secrets>);

#[derive(Default)]
struct Secrets {
    secrets: BTreeMap<PacketId, DeleteSecret>,
    oldest_first: VecDeque<(Time, PacketId)>,
}

impl Empty for Secrets {
    const EMPTY: &'static Secrets = &Secrets {
        secrets: BTreeMap::new(),
        oldest_first: VecDeque::new(),
    };
}

const COUNT_MAX: usize = TOMBSTONES_BYTES / TOMBSTONE_BYTES;

impl Tombstones {
    /// Keeps the secret that ended a packet. `false` if it was there.
    pub fn insert(&mut self, id: PacketId, secret: DeleteSecret, now: Time) -> bool {
        self.forget_old(now);
        if self.0.secrets.contains_key(&id) {
            return false;
        }
        if self.0.secrets.len() == COUNT_MAX
            && let Some((_, oldest)) = self.0.oldest_first.pop_front()
        {
            self.0.secrets.remove(&oldest);
        }
        self.0.secrets.insert(id, secret);
        self.0.oldest_first.push_back((now, id));
        true
    }

    /// The secret that ended a packet in the last 48 hours.
    #[must_use]
    pub fn get(&mut self, id: PacketId, now: Time) -> Option<&DeleteSecret> {
        self.forget_old(now);
        self.0.secrets.get(&id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.secrets.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.secrets.is_empty()
    }

    /// What they are charged, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.len() * TOMBSTONE_BYTES
    }

    fn forget_old(&mut self, now: Time) {
        if self.0.is_untouched() {
            return;
        }
        let this = &mut *self.0;
        while let Some((since, id)) = this.oldest_first.front()
            && now - *since >= TOMBSTONE_LIFE
        {
            this.secrets.remove(id);
            this.oldest_first.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(n: usize) -> PacketId {
        PacketId((n as u128).to_le_bytes())
    }

    // PROTOCOL 4.3
    #[test]
    fn a_tombstone_stands_for_48_hours() {
        let mut tombstones = Tombstones::default();
        let secret = DeleteSecret::new([1; 16]);
        assert!(tombstones.insert(id(1), secret.clone(), Time(5)));
        assert!(!tombstones.insert(id(1), secret, Time(6)));
        let last = Time(5) + (TOMBSTONE_LIFE - Duration::from_micros(1));
        assert!(tombstones.get(id(1), last).is_some());
        assert!(tombstones.get(id(1), Time(5) + TOMBSTONE_LIFE).is_none());
        assert!(tombstones.is_empty());
    }

    // PROTOCOL 4.3
    #[test]
    fn two_megabytes_of_them_and_not_one_more_the_oldest_going_first() {
        let mut tombstones = Tombstones::default();
        for n in 0..COUNT_MAX + 3 {
            assert!(tombstones.insert(id(n), DeleteSecret::new([2; 16]), Time(n as u64)));
            assert!(tombstones.bytes() <= TOMBSTONES_BYTES);
        }
        assert_eq!(tombstones.len(), COUNT_MAX);
        assert!(tombstones.get(id(2), Time(0)).is_none());
        assert!(tombstones.get(id(3), Time(0)).is_some());
    }
}
