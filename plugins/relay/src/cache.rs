//! The cache: what a carrier keeps for others, counted to the byte and shared out fairly.
//!
//! Who deposits is known by its prefix alone, and a copy that a neighbour gave is charged to its tag (`depositor.rs`). Each prefix has at most a sixteenth; in a full cache the one that
//! holds most gives way (max-min), its packets of least work first, then those soonest to expire. A newcomer
//! that would be the next to go, or has no more work than what of its own prefix would have to go for it, is refused, so that its sender knows and stops.

use crate::depositor::Depositor;
use crate::kept::{Kept, charge};
use crate::limits::{CACHE_BYTES, FREE_PERCENT, FULL_PRICE_BITS, LEFT_MAX, PREFIX_SHARE};
use crate::packet::{Packet, PacketId, Tag};
use crate::seldom::{Empty, Seldom};
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::Component};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

/// In which order a prefix's packets go: least work, then soonest to expire.
type Rank = (u8, Time, PacketId);

#[derive(Default)]
struct Share {
    bytes: u64,
    first_to_go: BTreeSet<Rank>,
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insert {
    /// It is kept, and these had to go.
    Stored(Vec<PacketId>),
    /// It was there; if this copy has more work, its nonce is kept.
    WasThere,
    /// Its prefix holds its share, and this packet is worth less than what the prefix has here. `price` bits of
    /// work would do.
    OverShare {
        /// In bits.
        price: u8,
    },
    /// The cache is full, and this packet would be the next to go. `price` bits of work would do.
    Full {
        /// In bits.
        price: u8,
    },
}

/// The packets that a node keeps for others, in memory and nowhere else.
#[derive(Component)]
pub struct Cache {
    capacity: u64,
    kept: Seldom<Packets>,
}

#[derive(Default)]
struct Packets {
    used: u64,
    packets: BTreeMap<PacketId, Kept>,
    tags: BTreeSet<(Tag, PacketId)>,
    shares: BTreeMap<Depositor, Share>,
    heaviest: BTreeSet<(u64, Depositor)>,
}

impl Empty for Packets {
    const EMPTY: &'static Packets = &Packets {
        used: 0,
        packets: BTreeMap::new(),
        tags: BTreeSet::new(),
        shares: BTreeMap::new(),
        heaviest: BTreeSet::new(),
    };
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(CACHE_BYTES)
    }
}

impl Cache {
    /// An empty cache of so many bytes, index included. One of 0 refuses everything.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            kept: Seldom::default(),
        }
    }

    /// Bytes charged, at most the capacity.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.kept.used
    }

    /// Bytes that may be charged.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Another capacity from now on. Answers what had to go: of the prefix that holds most, in the order in which its packets make room for
    /// others, until each prefix is within its share and all together fit.
    pub fn set_capacity(&mut self, capacity: u64) -> Vec<PacketId> {
        self.capacity = capacity;
        let mut gone = Vec::new();
        while let Some((bytes, prefix)) = self.kept.heaviest.last().copied()
            && (bytes > capacity / PREFIX_SHARE || self.kept.used > capacity)
        {
            let share = self.kept.shares.get(&prefix);
            let Some((_, _, id)) = share.and_then(|share| share.first_to_go.first().copied())
            else {
                break; // A prefix is among the heaviest for what it has here.
            };
            self.remove(id);
            gone.push(id);
        }
        gone
    }

    /// How many packets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.packets.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.packets.is_empty()
    }

    /// Bytes charged to a prefix, at most a sixteenth of the capacity.
    #[must_use]
    pub fn bytes_of(&self, prefix: impl Into<Depositor>) -> u64 {
        let prefix = prefix.into();
        self.kept.shares.get(&prefix).map_or(0, |share| share.bytes)
    }

    /// The work that the next packet would need, in bits: none below 70 % full, then rising. A price, not a gate:
    /// it says what is likely to stay.
    #[must_use]
    pub fn price(&self) -> u8 {
        let percent = (self.kept.used * 100)
            .checked_div(self.capacity)
            .unwrap_or(100);
        let above = percent.saturating_sub(FREE_PERCENT);
        (above * FULL_PRICE_BITS / (100 - FREE_PERCENT)) as u8 // At most FULL_PRICE_BITS.
    }

    /// Keeps a packet from a prefix until `expires`, if it is worth more than what would have to go.
    /// O(log n).
    pub fn insert(&mut self, packet: &Packet, from: impl Into<Depositor>, expires: Time) -> Insert {
        let from = from.into();
        let (id, work) = (packet.id(), packet.work());
        let here = &mut *self.kept;
        if let Some(kept) = here.packets.get_mut(&id) {
            if work > kept.work {
                let (old, from) = ((kept.work, kept.expires, id), kept.from);
                kept.work = work;
                kept.bytes = packet.bytes().as_ref().into();
                let new = (work, kept.expires, id);
                if let Some(share) = here.shares.get_mut(&from) {
                    share.first_to_go.remove(&old);
                    share.first_to_go.insert(new);
                }
            }
            return Insert::WasThere;
        }
        let rank = (work, expires, id);
        let victims = match self.victims(rank, from, charge(packet.bytes().len())) {
            Ok(victims) => victims,
            Err(refusal) => return refusal,
        };
        for victim in &victims {
            self.remove(*victim);
        }
        let bytes = packet.bytes().as_ref().into();
        let kept = Kept {
            bytes,
            from,
            expires,
            work,
        };
        self.recharge(from, kept.charge() as i64, |order| order.insert(rank));
        self.kept.tags.insert((packet.tag(), id));
        self.kept.packets.insert(id, kept);
        Insert::Stored(victims)
    }

    /// Who would have to go for a newcomer, without touching anything yet: the newcomer may turn out to be the next, and
    /// then nobody goes.
    fn victims(
        &self,
        newcomer: Rank,
        from: Depositor,
        charge: u64,
    ) -> Result<Vec<PacketId>, Insert> {
        struct Purse<'a> {
            prefix: Depositor,
            bytes: u64,
            first_to_go: Box<dyn Iterator<Item = &'a Rank> + 'a>,
        }
        let open = |prefix: Depositor, extra: u64| {
            let share = self.kept.shares.get(&prefix);
            Purse {
                prefix,
                bytes: share.map_or(0, |share| share.bytes) + extra,
                first_to_go: match share {
                    Some(share) => Box::new(share.first_to_go.iter()),
                    None => Box::new(std::iter::empty()),
                },
            }
        };
        let size = |id: &PacketId| self.kept.packets.get(id).map_or(0, Kept::charge);
        // One above the work of the first that is worth more.
        let price = |rank: Option<&Rank>| rank.map_or(u8::MAX, |rank| rank.0.saturating_add(1));
        let mut used = self.kept.used + charge;
        let mut victims = Vec::new();
        // The newcomer's own prefix stands first.
        let mut purses = vec![open(from, charge)];
        while purses[0].bytes > self.capacity / PREFIX_SHARE {
            match purses[0].first_to_go.next() {
                // What lasts longer is no reason to let go of what was promised to the same prefix.
                Some(rank) if rank.0 < newcomer.0 => {
                    victims.push(rank.2);
                    purses[0].bytes -= size(&rank.2);
                    used -= size(&rank.2);
                }
                rank => return Err(Insert::OverShare { price: price(rank) }),
            }
        }
        while used > self.capacity {
            // Among equals the newcomer's own prefix gives way: taking turns would only churn.
            let weight = |n: usize, purse: &Purse| (purse.bytes, n == 0, purse.prefix);
            let opened = |prefix: &Depositor| purses.iter().any(|purse| purse.prefix == *prefix);
            let unopened = self
                .kept
                .heaviest
                .iter()
                .rev()
                .find(|(_, prefix)| !opened(prefix));
            let (mut most, mut heaviest) = (0, weight(0, &purses[0]));
            for (n, purse) in purses.iter().enumerate().skip(1) {
                if weight(n, purse) > heaviest {
                    (most, heaviest) = (n, weight(n, purse));
                }
            }
            if let Some((bytes, prefix)) = unopened
                && (*bytes, false, *prefix) > heaviest
            {
                most = purses.len();
                purses.push(open(*prefix, 0));
            }
            match purses[most].first_to_go.next() {
                Some(rank) if most != 0 || rank.0 < newcomer.0 => {
                    victims.push(rank.2);
                    purses[most].bytes -= size(&rank.2);
                    used -= size(&rank.2);
                }
                rank => return Err(Insert::Full { price: price(rank) }),
            }
        }
        Ok(victims)
    }

    /// Drops a packet. `false` if it is not here.
    pub fn remove(&mut self, id: PacketId) -> bool {
        if self.kept.is_untouched() {
            return false;
        }
        let Some(kept) = self.kept.packets.remove(&id) else {
            return false;
        };
        self.kept.tags.remove(&(kept.tag(), id));
        let rank = (kept.work, kept.expires, id);
        self.recharge(kept.from, -(kept.charge() as i64), |order| {
            order.remove(&rank)
        });
        true
    }

    fn recharge(
        &mut self,
        prefix: Depositor,
        change: i64,
        reorder: impl FnOnce(&mut BTreeSet<Rank>) -> bool,
    ) {
        let kept = &mut *self.kept;
        let share = kept.shares.entry(prefix).or_default();
        kept.heaviest.remove(&(share.bytes, prefix));
        share.bytes = share.bytes.saturating_add_signed(change);
        kept.used = kept.used.saturating_add_signed(change);
        reorder(&mut share.first_to_go);
        if share.bytes == 0 {
            kept.shares.remove(&prefix);
        } else {
            kept.heaviest.insert((share.bytes, prefix));
        }
    }

    /// Whether a packet is kept, expired or not.
    #[must_use]
    pub fn contains(&self, id: PacketId) -> bool {
        self.kept.packets.contains_key(&id)
    }

    /// Whether a packet is kept and not expired.
    #[must_use]
    pub fn holds(&self, id: PacketId, now: Time) -> bool {
        self.live(id, now).is_some()
    }

    /// A packet that is kept and not expired.
    #[must_use]
    pub fn get(&self, id: PacketId, now: Time) -> Option<Packet> {
        self.live(id, now)?.packet()
    }

    fn live(&self, id: PacketId, now: Time) -> Option<&Kept> {
        self.kept.packets.get(&id).filter(|kept| kept.expires > now)
    }

    /// The first packet of a tag after an id that `may` be shown, and how many more there are, counted up to 256.
    #[must_use]
    pub fn page(
        &self,
        tag: Tag,
        after: PacketId,
        now: Time,
        may: impl Fn(PacketId) -> bool,
    ) -> (Option<Packet>, u16) {
        let from = Excluded((tag, after));
        let to = Included((tag, PacketId([0xff; 16])));
        if after == PacketId([0xff; 16]) {
            return (None, 0); // The last id of all: there is nothing after it.
        }
        let mut ids = self
            .kept
            .tags
            .range((from, to))
            .map(|(_, id)| *id)
            .filter(|id| may(*id) && self.live(*id, now).is_some());
        let packet = ids.next().and_then(|id| self.get(id, now));
        (packet, ids.take(LEFT_MAX).count() as u16)
    }

    /// The ids and tags of packets that are not expired, in the circle of ids: those after `after`, up to and with it.
    pub(crate) fn round_from(
        &self,
        after: PacketId,
        now: Time,
    ) -> impl Iterator<Item = (PacketId, Tag)> {
        let packets = &self.kept.packets;
        let rest = packets.range((Excluded(after), Unbounded));
        let all = rest.chain(packets.range(..=after));
        let live = all.filter(move |(_, kept)| kept.expires > now);
        live.map(|(id, kept)| (*id, kept.tag()))
    }

    /// At most `count` packets that are not expired, those that expire last first. O(n log n).
    #[must_use]
    pub fn longest_lived(&self, count: usize, now: Time) -> Vec<Packet> {
        let live = self
            .kept
            .packets
            .iter()
            .filter(|(_, kept)| kept.expires > now);
        let mut all: Vec<(Time, PacketId)> = live.map(|(id, kept)| (kept.expires, *id)).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        let packets = all.into_iter().take(count);
        packets.filter_map(|(_, id)| self.get(id, now)).collect()
    }

    /// Drops what has expired, and tells what it was. O(n): what has expired is never shown, so once an hour will do.
    // PROTOCOL 3.7
    pub fn expire(&mut self, now: Time) -> Vec<PacketId> {
        let over = |(id, kept): (&PacketId, &Kept)| (kept.expires <= now).then_some(*id);
        let expired: Vec<PacketId> = self.kept.packets.iter().filter_map(over).collect();
        for id in &expired {
            self.remove(*id);
        }
        expired
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
