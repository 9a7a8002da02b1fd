//! A node comes to be: its keys, its place, whom it knows.

use crate::nat_kind::NatKind;
use crate::path::Uplink;
use crate::places;
use crate::stand_in::STAND_IN;
use crate::wire::{Host, Network};
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{ClockError, Node, Random};
use dunlin_net::{AddressBook, Bound, Identity, LinkSettings, PeerId};
use dunlin_relay::{Mailbox, RelaySettings};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::net::IpAddr;

/// What makes one node; the same number gives the same keys and place again after a restart.
pub(crate) struct NewNode {
    pub seed: u64,
    pub number: u32,
    /// Which address it has: that of this number.
    pub place: u32,
    /// How often it has begun: draws differ from one time to the next.
    pub start: u32,
    /// The /16s of the whole network.
    pub prefixes: u32,
    pub stand_in: bool,
    pub nat: Option<NatKind>,
    pub clock_ms: i64,
    pub mailbox: bool,
    pub links: LinkSettings,
    pub relay: RelaySettings,
    pub book: AddressBook,
}

/// The keys of node `number`.
pub(crate) fn identity(seed: u64, number: u32, stand_in: bool) -> Identity {
    let identity = Identity::generate(&mut keys(seed, number, b"identity"));
    match stand_in {
        true => identity.with_primitives(&STAND_IN),
        false => identity,
    }
}

/// The mailbox of node `number`.
pub(crate) fn mailbox(seed: u64, number: u32) -> Mailbox {
    let mut bytes = [0; 32];
    rand_core::Rng::fill_bytes(&mut keys(seed, number, b"mailbox."), &mut bytes);
    Mailbox::from_seed(&bytes)
}

fn keys(seed: u64, number: u32, what: &[u8; 8]) -> ChaCha20Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    bytes[12..20].copy_from_slice(what);
    ChaCha20Rng::from_seed(bytes)
}

impl NewNode {
    /// Puts the node on the network; its entity and id.
    pub(crate) fn spawn(self, world: &mut World) -> (Entity, PeerId) {
        let NewNode {
            seed,
            number,
            place,
            start,
            prefixes,
            ..
        } = self;
        let identity = identity(seed, number, self.stand_in);
        let id = identity.id();
        let random = Random::from_seed(seed, u64::from(start) << 32 | u64::from(number));
        let public = places::address(place, prefixes);
        let mut network = world.resource_mut::<Network>();
        let (inside, nat) = match (self.nat, public.ip()) {
            (Some(kind), IpAddr::V4(ip)) => {
                let network = &mut *network;
                let (inside, random) = (places::inside(number), &mut network.random);
                let nat = network.places.nat_at(kind, ip, inside, random);
                (inside, Some(nat))
            }
            _ => (public, None),
        };
        let host = Host {
            number,
            nat,
            uplink: Uplink::default(),
            twice: 0,
        };
        let mut node = world.spawn((
            (Node, random, Bound(inside), host),
            (ClockError(self.clock_ms), self.links, self.book),
            self.relay,
        ));
        if self.mailbox {
            node.insert(mailbox(seed, number));
        }
        // Last: with it the plugins give the node all else.
        let node = node.insert(identity).id();
        let mut network = world.resource_mut::<Network>();
        network.places.enter(inside, node);
        (node, id)
    }
}
