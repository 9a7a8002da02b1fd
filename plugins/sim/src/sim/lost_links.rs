//! Folded keep-alives: who lost a link is told when PINGs without an answer would have told it.

use crate::split::Split;
use crate::wire::{Host, Network};
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Input, Time, Virtual};
use dunlin_net::{Links, Peer, PeerSilent};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// The initiator of a session sends PING 25 s after its last word, and gives up 15.5 s later (`plugins/net`, limits).
const KEEP_ALIVE_MS: u64 = 25_000;
const PROBES_MS: u64 = 15_500;
/// The responder waits for so long since it last heard something, which was up to 25 s before.
const SILENCE_MS: u64 = 60_000;

pub(super) struct LostLinks {
    due: BTreeMap<(Time, u64), Entity>,
    noted: u64,
    random: ChaCha8Rng,
}

impl Default for LostLinks {
    fn default() -> LostLinks {
        LostLinks {
            due: BTreeMap::new(),
            noted: 0,
            random: ChaCha8Rng::seed_from_u64(0),
        }
    }
}

impl LostLinks {
    /// A node is about to go: the other ends of its links will notice.
    pub(super) fn gone(&mut self, node: Entity, sim: &Virtual) {
        let now = sim.now().time;
        let world = sim.app.world();
        let Some(links) = world.get::<Links>(node) else {
            return;
        };
        for link in links.entities() {
            let Some(peer) = world.get::<Peer>(link) else {
                continue;
            };
            if let Some(end) = other_end(world, peer) {
                self.note(end, peer.outbound, now);
            }
        }
    }

    /// The network fell in two: both ends of each link between the parts will notice, unless it heals before.
    pub(super) fn part(&mut self, sim: &mut Virtual) {
        let now = sim.now().time;
        let mut links = sim.app.world_mut().query::<(Entity, &Peer)>();
        let world = sim.app.world();
        let all: Vec<(Entity, bool)> = links
            .iter(world)
            .filter(|(_, peer)| is_cut(world, peer))
            .map(|(link, peer)| (link, !peer.outbound))
            .collect();
        for (link, responder) in all {
            self.note(link, responder, now);
        }
    }

    /// `responder`: that this end did not begin the link.
    fn note(&mut self, end: Entity, responder: bool, now: Time) {
        let since = self.random.next_u64() % KEEP_ALIVE_MS;
        let wait = match responder {
            true => SILENCE_MS - since,
            false => KEEP_ALIVE_MS - since + PROBES_MS,
        };
        self.noted += 1;
        self.due
            .insert((now + Duration::from_millis(wait), self.noted), end);
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Tells those whose time has come, if the link is still there and still dead. Says whether there were any.
    pub(super) fn report(&mut self, sim: &mut Virtual) -> bool {
        let now = sim.now().time;
        let mut told = false;
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= now
        {
            let link = first.remove();
            let world = sim.app.world();
            let Some(peer) = world.get::<Peer>(link) else {
                continue;
            };
            if other_end(world, peer).is_none() || is_cut(world, peer) {
                sim.app.push(Input::message(PeerSilent { peer: link }));
                told = true;
            }
        }
        told
    }
}

/// The same link at the other node, if that is there and has it: both ends know the same handshake.
fn other_end(world: &World, peer: &Peer) -> Option<Entity> {
    let there = reached(world, peer)?;
    world.get::<Links>(there)?.entities().find(|link| {
        let back = world.get::<Peer>(*link);
        back.is_some_and(|back| back.handshake_hash == peer.handshake_hash)
    })
}

/// Who is at the address at which a peer is seen.
fn reached(world: &World, peer: &Peer) -> Option<Entity> {
    let network = world.resource::<Network>();
    network.places.behind(peer.address)
}

fn is_cut(world: &World, peer: &Peer) -> bool {
    let split = &world.resource::<Network>().split;
    if *split == Split::None {
        return false;
    }
    let number = |node: Entity| world.get::<Host>(node).map(|host| host.number);
    match (reached(world, peer).and_then(number), number(peer.node)) {
        (Some(there), Some(here)) => split.parts(there, here),
        _ => false,
    }
}
