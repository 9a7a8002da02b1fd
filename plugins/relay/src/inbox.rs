//! What was opened and waits for the application to have it durably.

use crate::drops::DropReason;
use crate::head::{Head, Kind};
use crate::limits::{BROKEN_MAX, INBOX_BYTES_MAX, INBOX_MAX};
use crate::manifest::Manifest;
use crate::packet::{DeleteSecret, MessageId, Packet, PacketId, Tag};
use crate::prekeys::Prekeys;
use crate::seal::{self, Opened};
use crate::seldom::{Empty, Seldom};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::{Identity, PeerId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message for us, until the application confirms it.
#[derive(Debug)]
pub struct Received {
    pub(crate) message: MessageId,
    pub(crate) from: PeerId,
    pub(crate) tag: Tag,
    pub(crate) head: Head,
    /// Of larger content, all parts of which the application has confirmed.
    pub(crate) manifest: Option<Manifest>,
    pub(crate) secret: DeleteSecret,
    pub(crate) carriers: BTreeSet<PeerId>,
    pub(crate) fragments: Vec<Fragment>,
}

/// One of a message's fragments, for the receipts.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) id: PacketId,
    pub(crate) tag: Tag,
    pub(crate) secret: DeleteSecret,
    pub(crate) carriers: BTreeSet<PeerId>,
}

impl Received {
    /// By which its sender names it.
    #[must_use]
    pub fn message(&self) -> MessageId {
        self.message
    }

    /// Who sealed it.
    #[must_use]
    pub fn from(&self) -> PeerId {
        self.from
    }

    /// The message; without bytes, if it is larger content, which the application has in parts.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }
}

/// Messages that wait for the application: at most 1,000, since whoever has our card may send, and what we do not fetch
/// waits with its carriers.
#[derive(Component, Default)]
pub struct Inbox(Seldom<Letters>);

#[derive(Default)]
struct Letters {
    waiting: BTreeMap<PacketId, Received>,
    order: VecDeque<PacketId>,
    broken: BTreeSet<PacketId>,
    broken_order: VecDeque<PacketId>,
    /// Of the messages that wait.
    bytes: usize,
}

impl Empty for Letters {
    const EMPTY: &'static Letters = &Letters {
        waiting: BTreeMap::new(),
        order: VecDeque::new(),
        broken: BTreeSet::new(),
        broken_order: VecDeque::new(),
        bytes: 0,
    };
}

/// What became of a packet on one of our tags.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It opened, and was not known.
    Opened(Box<Opened>),
    /// It waits for the application already.
    Waiting,
    /// Nothing came of it.
    Dropped(DropReason),
}

impl Inbox {
    /// Messages that wait to be confirmed, in the order in which they came.
    pub fn waiting(&self) -> impl Iterator<Item = &Received> {
        self.0.order.iter().filter_map(|id| self.0.waiting.get(id))
    }

    /// How many those are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.waiting.len()
    }

    /// The same with the packets' ids.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (PacketId, &Received)> {
        self.0
            .order
            .iter()
            .filter_map(|id| Some((*id, self.0.waiting.get(id)?)))
    }

    /// A packet on one of our tags, from a carrier or from our own cache.
    pub(crate) fn arrive(
        &mut self,
        (me, prekeys): (&Identity, &Prekeys),
        packet: &Packet,
        from: Option<PeerId>,
    ) -> Arrival {
        let id = packet.id();
        if let Some(received) = self.0.waiting.get_mut(&id) {
            received.carriers.extend(from);
            return Arrival::Waiting;
        }
        if self.0.broken.contains(&id) {
            return Arrival::Dropped(DropReason::NotForUs);
        }
        if !self.has_room() {
            return Arrival::Dropped(DropReason::InboxFull);
        }
        match seal::open_own(me, prekeys, packet) {
            Ok(opened) => Arrival::Opened(Box::new(opened)),
            Err(_) => {
                self.remember_broken(id);
                Arrival::Dropped(DropReason::NotForUs)
            }
        }
    }

    /// Whether something that came under this tag waits for the application.
    pub(crate) fn has_tag(&self, tag: Tag) -> bool {
        self.0.waiting.values().any(|received| received.tag == tag)
    }

    /// Whether another message may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.0.waiting.len() < INBOX_MAX && self.0.bytes < INBOX_BYTES_MAX
    }

    /// A message is whole, and waits for the application.
    pub(crate) fn add(&mut self, id: PacketId, received: Received) {
        self.0.bytes += received.head.message.len();
        self.0.waiting.insert(id, received);
        self.0.order.push_back(id);
    }

    pub(crate) fn has(&self, id: PacketId) -> bool {
        self.0.waiting.contains_key(&id)
    }

    /// The packet that a waiting message came in.
    pub(crate) fn find(&self, message: MessageId) -> Option<PacketId> {
        let found = self
            .0
            .waiting
            .iter()
            .find(|(_, received)| received.message == message);
        found.map(|(id, _)| *id)
    }

    /// The tag of what waits, if it is part of larger content.
    pub(crate) fn part(&self, id: PacketId) -> Option<Tag> {
        let received = self.0.waiting.get(&id)?;
        (received.head.kind == Kind::Part).then_some(received.tag)
    }

    /// The application has the message: it leaves.
    pub(crate) fn take(&mut self, id: PacketId) -> Option<Received> {
        self.0.order.retain(|theirs| *theirs != id);
        let received = self.0.waiting.remove(&id)?;
        self.0.bytes -= received.head.message.len();
        Some(received)
    }

    /// Of this packet nothing will ever come.
    pub(crate) fn remember_broken(&mut self, id: PacketId) {
        if self.0.broken.insert(id) {
            self.0.broken_order.push_back(id);
        }
        if self.0.broken_order.len() > BROKEN_MAX
            && let Some(oldest) = self.0.broken_order.pop_front()
        {
            self.0.broken.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Content;
    use crate::head::Kind;
    use crate::packet::Class;
    use crate::seal::{Envelope, seal};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn identity(n: u64) -> Identity {
        Identity::generate(&mut ChaCha20Rng::seed_from_u64(n))
    }

    fn sealed(n: u64) -> Packet {
        let head = Head {
            kind: Kind::Text,
            sent_at_ms: n,
            message: b"Tea?".to_vec(),
        };
        let envelope = Envelope {
            tag: Tag([1; 16]),
            day: 20_000,
            expiry_hours: 336,
        };
        let random = &mut ChaCha20Rng::seed_from_u64(n);
        seal(&identity(1), &identity(2).id(), envelope, &head, random)
            .unwrap()
            .packet
    }

    #[test]
    fn a_message_that_many_carriers_bring_waits_once() {
        let me = identity(2);
        let mut inbox = Inbox::default();
        let packet = sealed(5);
        let from = Some(identity(3).id());
        let Arrival::Opened(_) = inbox.arrive((&me, &Prekeys::default()), &packet, from) else {
            panic!("it was not known");
        };
        let mut first = received(&me, &packet, 4);
        first.carriers.extend(from);
        inbox.add(packet.id(), first);
        assert!(matches!(
            inbox.arrive((&me, &Prekeys::default()), &packet, Some(identity(4).id())),
            Arrival::Waiting
        ));
        assert!(matches!(
            inbox.arrive((&me, &Prekeys::default()), &packet, None),
            Arrival::Waiting
        ));
        let message = inbox.waiting().next().unwrap().message();
        let id = inbox.find(message).unwrap();
        assert_eq!(
            (id, inbox.take(id).unwrap().carriers.len()),
            (packet.id(), 2)
        );
        assert_eq!(inbox.waiting().count(), 0);
    }

    #[test]
    fn what_does_not_open_is_looked_at_once() {
        let me = identity(2);
        let mut inbox = Inbox::default();
        for n in 0..BROKEN_MAX + 20 {
            let mut tag = [0; 16];
            tag[..8].copy_from_slice(&(n as u64).to_le_bytes());
            let packet = crate::packet::tests::packet(Class::Small, Tag(tag), 20_000, 1);
            for _ in 0..2 {
                let arrival = inbox.arrive((&me, &Prekeys::default()), &packet, None);
                assert!(matches!(arrival, Arrival::Dropped(DropReason::NotForUs)));
            }
        }
        assert_eq!(
            (inbox.0.broken.len(), inbox.0.broken_order.len()),
            (BROKEN_MAX, BROKEN_MAX)
        );
    }

    fn received(me: &Identity, packet: &Packet, bytes: usize) -> Received {
        let opened = seal::open(me, packet).unwrap();
        let Content::Whole(mut head) = opened.content else {
            panic!("a short message");
        };
        head.message.resize(bytes, 0);
        Received {
            message: opened.message,
            from: opened.from,
            tag: packet.tag(),
            head,
            manifest: None,
            secret: opened.secret,
            carriers: BTreeSet::new(),
            fragments: Vec::new(),
        }
    }

    #[test]
    fn sixteen_megabytes_of_messages_are_as_many_as_a_thousand() {
        let me = identity(2);
        let (mut inbox, one, mut n) = (Inbox::default(), sealed(0), 0_u128);
        while inbox.has_room() {
            inbox.add(PacketId(n.to_be_bytes()), received(&me, &one, 65_536));
            n += 1;
        }
        assert_eq!((n, inbox.0.bytes), (245, 245 * 65_536));
        inbox.take(PacketId([0; 16]));
        assert!(inbox.has_room());
    }

    #[test]
    fn beyond_a_thousand_messages_wait_with_their_carriers() {
        let me = identity(2);
        let mut inbox = Inbox::default();
        let one = sealed(0);
        for n in 0..INBOX_MAX as u128 {
            inbox.add(PacketId(n.to_be_bytes()), received(&me, &one, 10));
        }
        let arrival = inbox.arrive((&me, &Prekeys::default()), &sealed(7), None);
        assert!(matches!(arrival, Arrival::Dropped(DropReason::InboxFull)));
        inbox.take(PacketId([0; 16]));
        let arrival = inbox.arrive((&me, &Prekeys::default()), &sealed(7), None);
        assert!(matches!(arrival, Arrival::Opened(_)));
    }
}
