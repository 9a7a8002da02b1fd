//! Receipts on their way: every carrier that brought a message, and the 16 nearest to its tag, hear that it has arrived.

use crate::limits::{PLACES, RECEIPTS_MAX};
use crate::packet::{DeleteSecret, PacketId};
use crate::seldom::{Empty, Seldom};
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A carrier that could not be reached is told again after this, doubling.
const AGAIN: Duration = Duration::from_secs(30);
/// So often; then it is left to expire there. If it comes back sooner it brings the packet again, and is told then.
const TRIES_MAX: u32 = 5;

struct Receipt {
    secret: DeleteSecret,
    /// Of larger content.
    is_part: bool,
    /// Of how many carriers, and how many of them have heard.
    all: usize,
    reached: usize,
    carriers: BTreeMap<PeerId, Telling>,
    /// Of these carriers hear first.
    after: Vec<PacketId>,
}

impl Receipt {
    /// Whether it should not be left alone yet: fewer than half of its carriers heard of it, and some were not tried at all. Half of a
    /// packet's places is enough for its sender to learn of it.
    fn waits(&self) -> bool {
        2 * self.reached < self.all.min(PLACES) && !self.was_tried()
    }

    /// Whether each of its carriers was told, or could not be reached, at least once.
    fn was_tried(&self) -> bool {
        let mut tellings = self.carriers.values();
        tellings.all(|telling| telling.tries > 0)
    }
}

struct Telling {
    next: Time,
    tries: u32,
    open: bool,
}

/// A node's receipts: at most 4,000 packets. One too many takes the place of one that only carriers out of reach have not heard of, or is
/// not kept, and its packet comes again.
#[derive(Component, Default)]
pub struct Receipts(Seldom<Table>);

#[derive(Default)]
struct Table {
    receipts: BTreeMap<PacketId, Receipt>,
    /// When whom to tell of what, but for what is held back.
    due: BTreeSet<(Time, PacketId, PeerId)>,
    held: BTreeSet<PacketId>,
}

impl Empty for Table {
    const EMPTY: &'static Table = &Table {
        receipts: BTreeMap::new(),
        due: BTreeSet::new(),
        held: BTreeSet::new(),
    };
}

impl Table {
    fn remove(&mut self, id: PacketId) {
        self.held.remove(&id);
        if let Some(receipt) = self.receipts.remove(&id) {
            for (carrier, telling) in receipt.carriers {
                self.due.remove(&(telling.next, id, carrier));
            }
        }
    }

    /// Lets go what was held back for packets of which enough carriers have heard.
    fn release(&mut self) {
        for id in self.held.clone() {
            let Some(mut after) = self
                .receipts
                .get_mut(&id)
                .map(|held| std::mem::take(&mut held.after))
            else {
                continue;
            };
            let waits = |first: &PacketId| self.receipts.get(first).is_some_and(Receipt::waits);
            while after.last().is_some_and(|first| !waits(first)) {
                after.pop();
            }
            let Some(held) = self.receipts.get_mut(&id) else {
                continue;
            };
            if after.is_empty() {
                self.held.remove(&id);
                let tellings = held.carriers.iter().filter(|(_, telling)| !telling.open);
                self.due
                    .extend(tellings.map(|(carrier, telling)| (telling.next, id, *carrier)));
            }
            held.after = after;
        }
    }
}

impl Receipts {
    /// How many messages have receipts on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.receipts.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.receipts.is_empty()
    }

    /// How many packets should not be left alone yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let receipts = self.0.receipts.values();
        receipts.filter(|receipt| receipt.waits()).count()
    }

    /// Carriers hear of this packet after those: its sender takes it for the proof that all have arrived.
    // PROTOCOL 4.3
    pub(crate) fn hold(&mut self, id: PacketId, after: Vec<PacketId>) {
        let this = &mut *self.0;
        if let Some(receipt) = this.receipts.get_mut(&id) {
            for (carrier, telling) in &receipt.carriers {
                this.due.remove(&(telling.next, id, *carrier));
            }
            receipt.after = after;
            this.held.insert(id);
        }
    }

    /// The secret of a packet whose receipts are on their way.
    pub(crate) fn secret(&self, id: PacketId) -> Option<&DeleteSecret> {
        self.0.receipts.get(&id).map(|receipt| &receipt.secret)
    }

    /// Tells these carriers, besides those that are being told.
    pub(crate) fn tell(
        &mut self,
        (id, is_part): (PacketId, bool),
        secret: &DeleteSecret,
        carriers: impl IntoIterator<Item = PeerId>,
        now: Time,
    ) {
        let this = &mut *self.0;
        if this.receipts.len() >= RECEIPTS_MAX && !this.receipts.contains_key(&id) {
            let mut receipts = this.receipts.iter();
            let tried = receipts.find(|(_, receipt)| receipt.was_tried());
            let Some(tried) = tried.map(|(id, _)| *id) else {
                return;
            };
            this.remove(tried);
        }
        let receipt = this.receipts.entry(id).or_insert_with(|| Receipt {
            secret: secret.clone(),
            is_part,
            all: 0,
            reached: 0,
            carriers: BTreeMap::new(),
            after: Vec::new(),
        });
        for carrier in carriers {
            if let Entry::Vacant(place) = receipt.carriers.entry(carrier) {
                place.insert(Telling {
                    next: now,
                    tries: 0,
                    open: false,
                });
                receipt.all += 1;
                if receipt.after.is_empty() {
                    this.due.insert((now, id, carrier));
                }
            }
        }
        // Nobody to tell: nothing would ever end it.
        if receipt.carriers.is_empty() {
            this.remove(id);
        }
    }

    /// Whom to tell now.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        if self.is_empty() {
            return tasks;
        }
        self.0.release();
        while let Some((next, id, carrier)) = self.0.due.first().copied()
            && next <= now
        {
            self.0.due.pop_first();
            if !may_reach(&carrier) {
                self.told(id, carrier, false, now);
                continue;
            }
            let receipt = self.0.receipts.get_mut(&id);
            if let Some(receipt) = receipt
                && let Some(telling) = receipt.carriers.get_mut(&carrier)
            {
                telling.open = true;
                let (secret, topic) = (receipt.secret.clone(), Topic::of(id, receipt.is_part));
                tasks.push((carrier, Task::Receipt { id, secret, topic }));
            }
        }
        tasks
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.0.due.first().map(|(next, ..)| *next)
    }

    /// The carrier heard it, or could not be reached.
    pub(crate) fn told(&mut self, id: PacketId, carrier: PeerId, reached: bool, now: Time) {
        if self.0.is_untouched() {
            return;
        }
        let this = &mut *self.0;
        let Some(receipt) = this.receipts.get_mut(&id) else {
            return;
        };
        if let Some(telling) = receipt.carriers.get_mut(&carrier) {
            this.due.remove(&(telling.next, id, carrier));
            telling.open = false;
            telling.tries += 1;
            telling.next = now + AGAIN * (1 << telling.tries.min(TRIES_MAX));
            receipt.reached += usize::from(reached);
            if reached || telling.tries >= TRIES_MAX {
                receipt.carriers.remove(&carrier);
            } else if receipt.after.is_empty() {
                this.due.insert((telling.next, id, carrier));
            }
        }
        if receipt.carriers.is_empty() {
            this.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_net::Identity;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn peer(n: u64) -> PeerId {
        Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id()
    }

    const ID: PacketId = PacketId([1; 16]);

    #[test]
    fn every_carrier_is_told_until_it_has_heard_and_a_dead_one_five_times() {
        let secret = DeleteSecret::new([2; 16]);
        let mut receipts = Receipts::default();
        receipts.tell((ID, false), &secret, [peer(1), peer(2)], Time::ZERO);
        receipts.tell((ID, false), &secret, [peer(2)], Time::ZERO);
        assert_eq!(receipts.poll(Time::ZERO, |_| true).len(), 2);
        assert_eq!(
            (
                receipts.poll(Time::ZERO, |_| true).len(),
                receipts.next_due()
            ),
            (0, None)
        );
        receipts.told(ID, peer(1), true, Time::ZERO);
        receipts.told(ID, peer(2), false, Time::ZERO);
        let mut told = 1;
        while let Some(now) = receipts.next_due() {
            for (carrier, _) in receipts.poll(now, |_| true) {
                assert_eq!(carrier, peer(2));
                receipts.told(ID, carrier, false, now);
                told += 1;
            }
        }
        assert_eq!((told, receipts.len()), (5, 0));
    }

    #[test]
    fn a_thousand_messages_at_once_and_no_more() {
        let mut receipts = Receipts::default();
        let secret = DeleteSecret::new([2; 16]);
        let carrier = peer(1);
        for n in 0..RECEIPTS_MAX as u128 + 5 {
            receipts.tell(
                (PacketId(n.to_be_bytes()), false),
                &secret,
                [carrier],
                Time::ZERO,
            );
        }
        assert_eq!(receipts.len(), RECEIPTS_MAX);
        // What only waits for somebody who is away gives its place.
        let (new, first) = (PacketId([0xff; 16]), PacketId(7_u128.to_be_bytes()));
        receipts.tell((new, false), &secret, [carrier], Time::ZERO);
        assert!(receipts.secret(new).is_none());
        receipts.poll(Time::ZERO, |_| true);
        receipts.told(first, carrier, false, Time::ZERO);
        receipts.tell((new, false), &secret, [carrier], Time::ZERO);
        assert!(receipts.secret(new).is_some() && receipts.secret(first).is_none());
        assert_eq!(receipts.len(), RECEIPTS_MAX);
    }
}
