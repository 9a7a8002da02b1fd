//! Receipts on their way: every carrier that brought a message, and the 8 nearest to its tag, hear that it has arrived.

use crate::limits::{PLACES, RECEIPTS_MAX};
use crate::packet::{DeleteSecret, PacketId};
use crate::task::Task;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A carrier that could not be reached is told again after this, doubling.
const AGAIN: Duration = Duration::from_secs(30);
/// So often; then it is left to expire there. If it comes back sooner it brings the packet again, and is told then.
const TRIES_MAX: u32 = 5;

struct Receipt {
    secret: DeleteSecret,
    reached: usize,
    carriers: BTreeMap<PeerId, Telling>,
    /// Of these carriers hear first.
    after: Vec<PacketId>,
}

impl Receipt {
    /// Whether it should not be left alone yet: fewer than 4 carriers heard of it, and some were not tried at all. Half of a packet's places
    /// is enough for its sender to learn of it.
    fn waits(&self) -> bool {
        self.reached < PLACES / 2 && self.carriers.values().any(|telling| telling.tries == 0)
    }
}

struct Telling {
    next: Time,
    tries: u32,
    open: bool,
}

/// A node's receipts: at most 1,000 messages. One too many is not kept, and its packet comes again.
#[derive(Component, Default)]
pub struct Receipts(BTreeMap<PacketId, Receipt>);

impl Receipts {
    /// How many messages have receipts on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many packets should not be left alone yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.values().filter(|receipt| receipt.waits()).count()
    }

    /// Whether carriers are to hear of other packets first.
    fn is_held(&self, receipt: &Receipt) -> bool {
        let mut first = receipt.after.iter().filter_map(|id| self.0.get(id));
        first.any(Receipt::waits)
    }

    fn held(&self) -> impl Iterator<Item = PacketId> {
        let mut held = self
            .0
            .iter()
            .filter(|(_, receipt)| !receipt.after.is_empty());
        std::iter::from_fn(move || {
            held.find(|(_, receipt)| self.is_held(receipt))
                .map(|(id, _)| *id)
        })
    }

    /// Carriers hear of this packet after those: its sender takes it for the proof that all have arrived.
    // PROTOCOL 4.3
    pub(crate) fn hold(&mut self, id: PacketId, after: Vec<PacketId>) {
        if let Some(receipt) = self.0.get_mut(&id) {
            receipt.after = after;
        }
    }

    /// The secret of a packet whose receipts are on their way.
    pub(crate) fn secret(&self, id: PacketId) -> Option<&DeleteSecret> {
        self.0.get(&id).map(|receipt| &receipt.secret)
    }

    /// Tells these carriers, besides those that are being told.
    pub(crate) fn tell(
        &mut self,
        id: PacketId,
        secret: &DeleteSecret,
        carriers: impl IntoIterator<Item = PeerId>,
        now: Time,
    ) {
        if self.0.len() >= RECEIPTS_MAX && !self.0.contains_key(&id) {
            return;
        }
        let receipt = self.0.entry(id).or_insert_with(|| Receipt {
            secret: secret.clone(),
            reached: 0,
            carriers: BTreeMap::new(),
            after: Vec::new(),
        });
        for carrier in carriers {
            let telling = Telling {
                next: now,
                tries: 0,
                open: false,
            };
            receipt.carriers.entry(carrier).or_insert(telling);
        }
        // Nobody to tell: nothing would ever end it.
        if receipt.carriers.is_empty() {
            self.0.remove(&id);
        }
    }

    /// Whom to tell now.
    pub(crate) fn poll(&mut self, now: Time) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        let held: BTreeSet<PacketId> = self.held().collect();
        for (id, receipt) in &mut self.0 {
            if held.contains(id) {
                continue;
            }
            for (carrier, telling) in &mut receipt.carriers {
                if !telling.open && telling.next <= now {
                    telling.open = true;
                    let secret = receipt.secret.clone();
                    tasks.push((*carrier, Task::Receipt { id: *id, secret }));
                }
            }
        }
        tasks
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let told = |receipt: &&Receipt| receipt.after.is_empty() || !self.is_held(receipt);
        let receipts = self.0.values().filter(told);
        let tellings = receipts.flat_map(|receipt| receipt.carriers.values());
        tellings
            .filter(|telling| !telling.open)
            .map(|telling| telling.next)
            .min()
    }

    /// The carrier heard it, or could not be reached.
    pub(crate) fn told(&mut self, id: PacketId, carrier: PeerId, reached: bool, now: Time) {
        let Some(receipt) = self.0.get_mut(&id) else {
            return;
        };
        if let Some(telling) = receipt.carriers.get_mut(&carrier) {
            telling.open = false;
            telling.tries += 1;
            telling.next = now + AGAIN * (1 << telling.tries.min(TRIES_MAX));
            receipt.reached += usize::from(reached);
            if reached || telling.tries >= TRIES_MAX {
                receipt.carriers.remove(&carrier);
            }
        }
        if receipt.carriers.is_empty() {
            self.0.remove(&id);
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
        receipts.tell(ID, &secret, [peer(1), peer(2)], Time::ZERO);
        receipts.tell(ID, &secret, [peer(2)], Time::ZERO);
        assert_eq!(receipts.poll(Time::ZERO).len(), 2);
        assert_eq!(
            (receipts.poll(Time::ZERO).len(), receipts.next_due()),
            (0, None)
        );
        receipts.told(ID, peer(1), true, Time::ZERO);
        receipts.told(ID, peer(2), false, Time::ZERO);
        let mut told = 1;
        while let Some(now) = receipts.next_due() {
            for (carrier, _) in receipts.poll(now) {
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
            receipts.tell(PacketId(n.to_be_bytes()), &secret, [carrier], Time::ZERO);
        }
        assert_eq!(receipts.len(), RECEIPTS_MAX);
    }
}
