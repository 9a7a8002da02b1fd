//! Which circuits a node has, and where each leads: pure state. PROTOCOL 2.5
//!
//! Inside a node a circuit has an address as a socket has, which no datagram from outside may bear. So a link nested in another is a link
//! like any: its handshake, cookies, shares and sessions know nothing of circuits.

use crate::PeerId;
use crate::address::Scope;
use crate::admission::Bucket;
use crate::limits::{
    CIRCUIT_IDLE, CIRCUIT_VAIN, CIRCUITS_ASKED_BURST, CIRCUITS_ASKED_SECOND, CIRCUITS_LINK_MAX,
    CIRCUITS_MAX, CIRCUITS_REMEMBERED, CIRCUITS_VAIN_MAX,
};
use bytes::Bytes;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::prelude::Entity;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The first four bytes of a circuit's address: 100::/32, which nobody is ever given (its first /64 is for what is to be discarded, RFC 6666).
const NOWHERE: [u8; 4] = [1, 0, 0, 0];
/// Bytes of such an address that say over which link the circuit goes.
pub(crate) const LINK_BYTES: usize = 12;

/// One circuit at one of its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hop {
    /// The link that carries it.
    pub link: Entity,
    /// Its number there.
    pub handle: u32,
}

impl Hop {
    /// What stands where a datagram's address does, if it came or is to go through this circuit.
    pub(crate) fn address(self) -> SocketAddr {
        let mut ip = [0; 16];
        ip[..4].copy_from_slice(&NOWHERE);
        ip[4..12].copy_from_slice(&self.link.to_bits().to_be_bytes());
        ip[12..].copy_from_slice(&self.handle.to_be_bytes());
        SocketAddr::new(Ipv6Addr::from(ip).into(), 1)
    }

    pub(crate) fn of(address: SocketAddr) -> Option<Hop> {
        let ip = nowhere(address.ip())?;
        let (link, handle) = ip[4..].split_first_chunk::<8>()?;
        Some(Hop {
            link: Entity::try_from_bits(u64::from_be_bytes(*link))?,
            handle: u32::from_be_bytes(*handle.first_chunk()?),
        })
    }
}

/// The bytes of an address that is a circuit's, or pretends to be.
pub(crate) fn nowhere(ip: IpAddr) -> Option<[u8; 16]> {
    match ip {
        IpAddr::V6(ip) if ip.octets()[..4] == NOWHERE => Some(ip.octets()),
        _ => None,
    }
}

/// What counts as one address for who wants no datagrams: a public one whatever the port.
fn place(address: SocketAddr) -> SocketAddr {
    match Scope::of(address.ip()) {
        Scope::Global => SocketAddr::new(address.ip(), 0),
        Scope::Local | Scope::Loopback => address,
    }
}

/// Where a circuit leads at this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Into a link of ours, which is nested in it.
    Own(Entity),
    /// It ends here; who nests a link in it will be known by that.
    Here,
    /// On over another link, and back.
    On(Hop),
    /// To this peer, once the dial at this entity has come up.
    Waits { dial: Entity, to: PeerId },
}

#[derive(Clone, Debug)]
pub(crate) struct Circuit {
    pub end: End,
    /// The other side of this link opened it.
    pub asked: bool,
    /// Both sides know of it.
    pub open: bool,
    /// When something last came through.
    pub used: Time,
    /// While it waits: the last datagram that came to go on.
    pub held: Bytes,
}

/// All of a node's circuits. Bounded by what others may open, and by the links that a node nests in its own.
#[derive(Default)]
pub(crate) struct Circuits {
    rows: BTreeMap<Hop, Circuit>,
    /// How often each link may still ask for one.
    asks: BTreeMap<Entity, Bucket>,
    /// Through whom the last links of our own went, and to whom.
    last: VecDeque<(PeerId, Entity)>,
    /// Addresses that were dialled for others and did not answer.
    vain: VecDeque<(SocketAddr, Time)>,
    /// Those who pass nothing on.
    pub unwilling: BTreeSet<Entity>,
    number: u32,
}

impl Circuits {
    pub(crate) fn get(&self, hop: Hop) -> Option<Circuit> {
        self.rows.get(&hop).cloned()
    }

    pub(crate) fn get_mut(&mut self, hop: Hop) -> Option<&mut Circuit> {
        self.rows.get_mut(&hop)
    }

    pub(crate) fn insert(&mut self, hop: Hop, end: End, asked: bool, now: Time) {
        let circuit = Circuit {
            end,
            asked,
            open: false,
            used: now,
            held: Bytes::new(),
        };
        self.rows.insert(hop, circuit);
    }

    pub(crate) fn remove(&mut self, hop: Hop) -> Option<Circuit> {
        self.rows.remove(&hop)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Those over one link.
    pub(crate) fn over(&self, link: Entity) -> impl Iterator<Item = (Hop, Circuit)> + '_ {
        let hop = |handle| Hop { link, handle };
        let rows = self.rows.range(hop(0)..=hop(u32::MAX));
        rows.map(|(hop, circuit)| (*hop, circuit.clone()))
    }

    /// Those that wait for a dial.
    pub(crate) fn waiting(&self, on: Entity) -> Vec<(Hop, PeerId)> {
        let waits = |(hop, circuit): (&Hop, &Circuit)| match circuit.end {
            End::Waits { dial, to } if dial == on => Some((*hop, to)),
            _ => None,
        };
        self.rows.iter().filter_map(waits).collect()
    }

    /// A handle that is free on this link: of two ends the one with the smaller id takes even ones, so that both can open circuits at once.
    // PROTOCOL 2.5
    pub(crate) fn new_handle(&mut self, link: Entity, smaller: bool) -> u32 {
        loop {
            self.number = self.number.wrapping_add(1);
            let handle = self.number << 1 | u32::from(!smaller);
            let hop = Hop { link, handle };
            if handle > 1 && !self.rows.contains_key(&hop) {
                return handle;
            }
        }
    }

    /// Whether the other side of a link may open one more, as far as numbers go. Takes what it may ask for in a second.
    // PROTOCOL 5
    pub(crate) fn admit(&mut self, link: Entity, now: Time) -> bool {
        let fresh = || Bucket::full(CIRCUITS_ASKED_BURST, CIRCUITS_ASKED_SECOND, now);
        let bucket = self.asks.entry(link).or_insert_with(fresh);
        let in_time = bucket.take(CIRCUITS_ASKED_BURST, CIRCUITS_ASKED_SECOND, now);
        let asked = self.over(link).filter(|(_, circuit)| circuit.asked).count();
        in_time && asked < CIRCUITS_LINK_MAX
    }

    /// Whether there is room for one that others open.
    // PROTOCOL 5
    pub(crate) fn is_full(&self) -> bool {
        let asked = self.rows.values().filter(|circuit| circuit.asked).count();
        asked >= CIRCUITS_MAX
    }

    /// Those of others through which nothing has come for long: their ends are gone, and word of it was lost.
    pub(crate) fn idle(&self, now: Time) -> Vec<Hop> {
        let idle = |circuit: &Circuit| {
            !matches!(circuit.end, End::Own(_)) && now - circuit.used >= CIRCUIT_IDLE
        };
        let rows = self.rows.iter().filter(|(_, circuit)| idle(circuit));
        rows.map(|(hop, _)| *hop).collect()
    }

    /// A link of our own goes to this peer through that neighbour.
    pub(crate) fn chose(&mut self, to: PeerId, neighbour: Entity) {
        self.last.truncate(CIRCUITS_REMEMBERED - 1);
        self.last.push_front((to, neighbour));
    }

    /// How lately that was: 0 for never, or too long ago to know.
    pub(crate) fn chosen(&self, to: &PeerId, neighbour: Entity) -> usize {
        let is = |last: &(PeerId, Entity)| last.0 == *to && last.1 == neighbour;
        let ago = self.last.iter().position(is);
        ago.map_or(0, |ago| CIRCUITS_REMEMBERED - ago)
    }

    /// Nobody answered at an address that was dialled for somebody else.
    // PROTOCOL 2.5
    pub(crate) fn dialled_in_vain(&mut self, address: SocketAddr, now: Time) {
        self.vain.truncate(CIRCUITS_VAIN_MAX - 1);
        self.vain.push_front((place(address), now));
    }

    /// Whether that was lately: then it is not dialled for others again.
    // PROTOCOL 2.5
    pub(crate) fn was_in_vain(&self, address: SocketAddr, now: Time) -> bool {
        let lately =
            |(at, when): &(SocketAddr, Time)| *at == place(address) && now - *when < CIRCUIT_VAIN;
        self.vain.iter().any(lately)
    }

    /// A link is gone: what was remembered of it goes too. Its circuits are ended one by one.
    pub(crate) fn forget_link(&mut self, link: Entity) {
        self.asks.remove(&link);
        self.unwilling.remove(&link);
        self.last.retain(|(_, neighbour)| *neighbour != link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Prefix, is_reachable};
    use proptest::prelude::*;
    use std::time::Duration;

    fn link(n: u32) -> Entity {
        Entity::from_raw_u32(n).unwrap()
    }

    proptest! {
        // PROTOCOL 2.5
        #[test]
        fn a_circuit_s_address_is_its_own_and_nobody_else_can_be_there(n in 0_u32..u32::MAX, handle: u32) {
            let hop = Hop { link: link(n), handle };
            prop_assert_eq!(Hop::of(hop.address()), Some(hop));
            prop_assert!(!is_reachable(&hop.address()));
            let other = Hop { link: link(n), handle: !handle };
            prop_assert_eq!(Prefix::of(hop.address()), Prefix::of(other.address()));
            let elsewhere = Hop { link: link(n ^ 1), handle };
            prop_assert_ne!(Prefix::of(hop.address()), Prefix::of(elsewhere.address()));
        }
    }

    // PROTOCOL 2.5
    #[test]
    fn both_sides_of_a_link_can_open_circuits_at_once() {
        let mut circuits = Circuits::default();
        for _ in 0..100 {
            let (even, odd) = (
                circuits.new_handle(link(1), true),
                circuits.new_handle(link(1), false),
            );
            assert!(even % 2 == 0 && odd % 2 == 1 && even > 1 && odd > 1);
            for handle in [even, odd] {
                let hop = Hop {
                    link: link(1),
                    handle,
                };
                assert!(circuits.get(hop).is_none());
                circuits.insert(hop, End::Here, true, Time::ZERO);
            }
        }
    }

    // PROTOCOL 5
    #[test]
    fn one_link_has_its_share_and_all_together_theirs() {
        let mut circuits = Circuits::default();
        let mut opened = 0;
        for n in 0..20 {
            for handle in 2..1_000 {
                let hop = Hop {
                    link: link(n),
                    handle,
                };
                if !circuits.is_full() && circuits.admit(link(n), Time::ZERO) {
                    circuits.insert(hop, End::Here, true, Time::ZERO);
                    opened += 1;
                }
            }
            let mine = circuits.over(link(n)).count();
            assert!(mine <= CIRCUITS_LINK_MAX && opened <= CIRCUITS_MAX);
        }
        assert_eq!(opened, CIRCUITS_MAX);
        let late = Time::ZERO + CIRCUIT_IDLE;
        assert_eq!(circuits.idle(late).len(), CIRCUITS_MAX);
        assert!(
            circuits
                .idle(Time::ZERO + Duration::from_secs(1))
                .is_empty()
        );
    }

    #[test]
    fn who_was_chosen_last_for_a_peer_is_known_for_a_while() {
        let id = |n: u8| {
            let mut random =
                <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(n.into());
            crate::Identity::generate(&mut random).id()
        };
        let mut circuits = Circuits::default();
        assert_eq!(circuits.chosen(&id(1), link(1)), 0);
        circuits.chose(id(1), link(1));
        circuits.chose(id(1), link(2));
        assert!(circuits.chosen(&id(1), link(1)) < circuits.chosen(&id(1), link(2)));
        assert_eq!(circuits.chosen(&id(2), link(1)), 0);
        circuits.forget_link(link(2));
        assert_eq!(circuits.chosen(&id(1), link(2)), 0);
        (0..1_000).for_each(|_| circuits.chose(id(2), link(3)));
        assert!(circuits.last.len() <= CIRCUITS_REMEMBERED);
    }
}
