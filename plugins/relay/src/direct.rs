//! Two who write to each other and are there at the same time have a link of their own: what the one sends is pushed to the other, who
//! has the rest of it from its outbox. In `Deliver`, set `RelaySystems::Own`. PROTOCOL 4.8

use crate::carriers::at_work;
use crate::day_keys::DayKeys;
use crate::decode::send;
use crate::errands::Errands;
use crate::fetch::Subscribers;
use crate::frames::Frame;
use crate::limits::{CORRESPONDENTS_MAX, DIRECT_IDLE, DIRECT_LINKS_MAX, LEFT_MAX};
use crate::listeners::Receivers;
use crate::messages::Work;
use crate::outbox::Outbox;
use crate::own_message::OwnMessage;
use crate::packet::{MessageId, Packet, PacketId, Tag};
use crate::seldom::{Empty, Seldom};
use crate::settings::RelaySettings;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Now, Time};
use dunlin_net::{AddressBook, CircuitUse, FrameOut, Peer, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who was not there is tried again after this.
const AGAIN: Duration = Duration::from_mins(1);
/// Days subscribed to: yesterday, today and tomorrow, since clocks may be a day wrong.
const DAYS: usize = 3;

/// On a node: who wrote to it lately, and how it stands with each. At most 64.
#[derive(Component, Default)]
pub struct Direct(Seldom<Table>);

#[derive(Default)]
struct Table {
    correspondents: BTreeMap<PeerId, Correspondent>,
    /// Links that were there before, and stay.
    shared: BTreeSet<Entity>,
    /// Own messages that were pushed.
    pushed: BTreeSet<MessageId>,
}

struct Correspondent {
    heard: Time,
    subscribed: BTreeSet<u16>,
    not_before: Time,
}

impl Empty for Table {
    const EMPTY: &'static Table = &Table {
        correspondents: BTreeMap::new(),
        shared: BTreeSet::new(),
        pushed: BTreeSet::new(),
    };
}

impl Direct {
    /// A message of theirs was opened.
    pub(crate) fn heard(&mut self, from: PeerId, now: Time) {
        let known = &mut self.0.correspondents;
        let fresh = || Correspondent {
            heard: now,
            subscribed: BTreeSet::new(),
            not_before: now,
        };
        known.entry(from).or_insert_with(fresh).heard = now;
        if known.len() > CORRESPONDENTS_MAX {
            let oldest = known.iter().min_by_key(|(id, known)| (known.heard, **id));
            let oldest = oldest.map(|(id, _)| *id);
            oldest.map(|id| known.remove(&id));
        }
    }

    /// With whom there should be a link: those who wrote last, of those to whom this node wrote too. Who only knows our card does not
    /// make us dial.
    // PROTOCOL 4.8
    fn active(&self, outbox: &Outbox, now: Time) -> BTreeSet<PeerId> {
        let known = &self.0.correspondents;
        if known.is_empty() {
            return BTreeSet::new();
        }
        let written: BTreeSet<PeerId> = outbox.messages().map(|(_, own)| own.to).collect();
        let lately = known
            .iter()
            .filter(|(id, known)| now - known.heard < DIRECT_IDLE && written.contains(id));
        let mut lately: Vec<(Time, PeerId)> =
            lately.map(|(id, known)| (known.heard, *id)).collect();
        lately.sort_unstable_by(|a, b| b.cmp(a));
        lately.truncate(DIRECT_LINKS_MAX);
        lately.into_iter().map(|(_, id)| id).collect()
    }

    /// What to ask of one now.
    fn subscribe(&mut self, id: &PeerId, days: &[u16], now: Time) -> Vec<Task> {
        let Some(known) = self.0.correspondents.get_mut(id) else {
            return Vec::new();
        };
        if now < known.not_before {
            return Vec::new();
        }
        let fresh = days.iter().filter(|day| known.subscribed.insert(**day));
        fresh
            .map(|day| Task::Subscribe {
                day: *day,
                topic: Topic::Direct,
            })
            .collect()
    }

    /// A subscription was refused, or they are not there.
    pub(crate) fn not_subscribed(&mut self, id: &PeerId, day: u16, now: Time) {
        if let Some(known) = self.0.correspondents.get_mut(id) {
            known.subscribed.remove(&day);
            known.not_before = now + AGAIN;
        }
    }

    /// The link is down, and its subscriptions with it.
    pub(crate) fn link_lost(&mut self, id: &PeerId, link: Entity, now: Time) {
        self.0.shared.remove(&link);
        if let Some(known) = self.0.correspondents.get_mut(id) {
            known.subscribed.clear();
            known.not_before = now + AGAIN;
        }
    }

    /// A link is used that was there before.
    pub(crate) fn share(&mut self, link: Entity) {
        self.0.shared.insert(link);
    }

    /// Whether a link that is not needed any more was there before.
    pub(crate) fn lets_stay(&mut self, link: Entity) -> bool {
        !self.0.is_untouched() && self.0.shared.remove(&link)
    }
}

type Correspondence<'a> = (
    (&'a RelaySettings, Has<Receivers>),
    &'a Outbox,
    &'a DayKeys,
    &'a AddressBook,
    &'a mut Errands,
    &'a mut Direct,
);

/// Who receives keeps a link with those it writes to and hears of, and subscribes there.
// PROTOCOL 4.8
pub(crate) fn keep_links(
    mut work: MessageReader<Work>,
    mut nodes: Query<Correspondence>,
    now: Res<Now>,
) {
    for node in at_work(&mut work) {
        let Ok(((settings, receives), outbox, keys, book, mut errands, mut direct)) =
            nodes.get_mut(node)
        else {
            continue;
        };
        if direct.0.is_untouched() {
            continue;
        }
        let may = receives && settings.direct && settings.circuits != CircuitUse::Require;
        let mut active = match may {
            true => direct.active(outbox, now.time),
            false => BTreeSet::new(),
        };
        active.retain(|id| book.get(id).is_some());
        let days: Vec<u16> = keys.tags().iter().map(|(day, _)| *day).collect();
        let days = &days[days.len().saturating_sub(DAYS)..];
        for id in &active {
            for task in direct.subscribe(id, days, now.time) {
                errands.add(*id, task, now.time);
            }
        }
        errands.keep_for_direct(active);
    }
}

/// Who subscribed to its mailbox here is told of what waits for it here. What gets lost it has from carriers.
// PROTOCOL 4.8
pub(crate) fn push_own(
    mut work: MessageReader<Work>,
    mut nodes: Query<(&Outbox, &Subscribers, &mut Direct)>,
    links: Query<&Peer>,
    mut out: MessageWriter<FrameOut>,
) {
    for node in at_work(&mut work) {
        let Ok((outbox, subscribers, mut direct)) = nodes.get_mut(node) else {
            continue;
        };
        if subscribers.is_empty() {
            continue;
        }
        direct.forget_ended(outbox);
        for (id, own) in outbox.messages() {
            if own.end.is_some() || direct.0.pushed.contains(id) {
                continue;
            }
            let packet = &own.head().packet;
            let theirs = |link: &&Entity| links.get(**link).is_ok_and(|peer| is_of(peer, &own.to));
            if let Some(link) = subscribers.of(packet.tag()).find(theirs) {
                direct.0.pushed.insert(*id);
                let packet = packet.clone();
                send(&mut out, *link, &Frame::Pushed { packet });
            }
        }
    }
}

/// Whether at the other end of a link is this one, and shows it.
pub(crate) fn is_of(peer: &Peer, id: &PeerId) -> bool {
    peer.id == *id && !peer.anonymous && !peer.hidden
}

impl Direct {
    fn forget_ended(&mut self, outbox: &Outbox) {
        if !self.0.pushed.is_empty() {
            let open = |id: &MessageId| outbox.get(*id).is_some_and(|own| own.end.is_none());
            self.0.pushed.retain(open);
        }
    }
}

/// The message under way to somebody that a packet is of.
pub(crate) fn message_of(outbox: &Outbox, to: &PeerId, packet: PacketId) -> Option<MessageId> {
    let has = |own: &OwnMessage| own.parts.iter().any(|part| part.packet.id() == packet);
    let found = outbox.open_to(to).find(|(_, own)| has(own));
    found.map(|(id, _)| *id)
}

/// The first packet after `after` under a tag, of what waits here for the one who asks, and how many more there are.
// PROTOCOL 4.8
pub(crate) fn page(
    outbox: &Outbox,
    to: &PeerId,
    tag: Tag,
    after: PacketId,
) -> (Option<Packet>, u16) {
    let mut packets: Vec<&Packet> = outbox
        .open_to(to)
        .flat_map(|(_, own)| &own.parts)
        .map(|part| &part.packet)
        .filter(|packet| packet.tag() == tag && packet.id() > after)
        .collect();
    packets.sort_unstable_by_key(|packet| packet.id());
    let left = packets.len().saturating_sub(1).min(LEFT_MAX);
    (packets.first().copied().cloned(), left as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_packet::OwnPacket;
    use crate::packet::Class;
    use crate::packet::tests::packet;
    use dunlin_net::Identity;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn id(n: u64) -> PeerId {
        Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id()
    }

    fn seconds(n: u64) -> Time {
        Time::ZERO + Duration::from_secs(n)
    }

    /// An outbox with a message to each of these.
    fn outbox(to: impl Iterator<Item = u64>) -> Outbox {
        let mut outbox = Outbox::default();
        for n in to {
            let packet = packet(Class::Small, Tag([n as u8; 16]), 20_000, n as u8);
            let message = MessageId(packet.id().0);
            let parts = vec![OwnPacket::new(packet, Time::ZERO)];
            outbox.add(message, OwnMessage::new(id(n), parts, 0, Time::ZERO));
        }
        outbox
    }

    // PROTOCOL 4.8
    #[test]
    fn only_whom_we_wrote_to_and_who_wrote_lately_gets_a_link_and_of_those_the_last_eight() {
        let outbox = outbox(0..12);
        let mut direct = Direct::default();
        assert!(direct.active(&outbox, seconds(0)).is_empty());
        for n in 2..30 {
            direct.heard(id(n), seconds(n));
        }
        // 12 to 29 were never written to, 0 and 1 never wrote.
        let last: BTreeSet<PeerId> = (4..12).map(id).collect();
        assert_eq!(direct.active(&outbox, seconds(30)), last);
        let later = seconds(8) + DIRECT_IDLE;
        let last: BTreeSet<PeerId> = (9..12).map(id).collect();
        assert_eq!(direct.active(&outbox, later), last);
    }

    #[test]
    fn of_all_who_wrote_the_last_sixty_four_are_remembered() {
        let mut direct = Direct::default();
        for n in 0..200 {
            direct.heard(id(n), seconds(n));
        }
        let known = direct.0.correspondents.keys().copied();
        let last: BTreeSet<PeerId> = (136..200).map(id).collect();
        assert_eq!(known.collect::<BTreeSet<_>>(), last);
    }

    // PROTOCOL 4.8
    #[test]
    fn what_waits_for_one_is_shown_to_nobody_else_and_page_by_page() {
        let outbox = outbox(0..3);
        let tag = Tag([1; 16]);
        let none = PacketId([0; 16]);
        let (first, left) = page(&outbox, &id(1), tag, none);
        let first = first.expect("it is theirs");
        assert_eq!((first.tag(), left), (tag, 0));
        assert!(page(&outbox, &id(2), tag, none).0.is_none());
        assert!(page(&outbox, &id(1), Tag([2; 16]), none).0.is_none());
        assert!(page(&outbox, &id(1), tag, first.id()).0.is_none());
    }
}
