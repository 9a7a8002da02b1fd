//! Who takes part, online or not: nodes begin, end without a word, and begin again with what they had on disk.

use super::Sim;
use super::kind::Kind;
use super::nodes::NewNode;
use super::safety::Unchecked;
use crate::places::{self, PREFIX_HOSTS_MAX};
use crate::wire::{Host, Network};
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::{AddressBook, Bound, LinkSettings, PeerId};
use dunlin_relay::{GoesAway, Outbox, RelaySettings};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Whom a newcomer knows, unless said otherwise: as many as an invitation or an old address book would name. // guess
pub(crate) const KNOWN: usize = 8;
/// Of a NAT's mappings, where nobody sends what would keep them.
const FOLDED_LIFETIME: Duration = Duration::from_hours(24);

/// Books of fewer rows are for simulations of so many nodes that memory is short.
const FEELERS_ROWS_MIN: usize = 100;

/// The first host of a /24 far behind those that others have in their prefixes.
const CROWDED: u32 = 60_928;
/// What fits there.
pub(crate) const CROWDED_MAX: u64 = 250;

/// Somebody in a simulation, whether online or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who(pub(crate) u32);

/// A node, online or not.
pub(crate) struct Member {
    /// Which of [`Members::kinds`].
    kind: u16,
    /// How often it has begun.
    starts: u32,
    /// The number whose address it has: its own until it moves.
    place: u32,
    pub clock_ms: i64,
    pub node: Option<Entity>,
    /// Once it was online.
    pub id: Option<PeerId>,
}

pub(crate) struct Members {
    kinds: Vec<Kind>,
    pub list: Vec<Member>,
    /// Numbers that others can dial, in order of joining.
    dialable: Vec<u32>,
    /// What those who are away have kept.
    books: BTreeMap<u32, AddressBook>,
    /// Who came online since it was last asked.
    pub arrived: Vec<u32>,
    /// Whose node went since then.
    pub departed: Vec<Entity>,
    folder: tempfile::TempDir,
    /// How many addresses were given to who moved.
    moves: u32,
    /// Of each address book.
    pub book_rows: usize,
    /// How many of those who are there already a newcomer knows.
    pub knows: usize,
}

impl Members {
    pub(super) fn new() -> std::io::Result<Members> {
        Ok(Members {
            kinds: Vec::new(),
            list: Vec::new(),
            dialable: Vec::new(),
            books: BTreeMap::new(),
            arrived: Vec::new(),
            departed: Vec::new(),
            folder: folder()?,
            moves: 0,
            book_rows: dunlin_net::limits::BOOK_ROWS_MAX,
            knows: KNOWN,
        })
    }

    /// Somebody new, who is not online yet.
    pub(crate) fn add(&mut self, kind: &Kind, clock_ms: i64) -> u32 {
        let kinds = &mut self.kinds;
        // The last ones first: populations come one after another.
        let kind = match kinds.iter().rposition(|known| known == kind) {
            Some(known) => known,
            None => {
                kinds.push(kind.clone());
                kinds.len() - 1
            }
        };
        let number = self.list.len() as u32;
        self.list.push(Member {
            kind: kind as u16,
            starts: 0,
            place: number,
            clock_ms,
            node: None,
            id: None,
        });
        number
    }

    /// Gives somebody who has not been online an address in the one /24 that is for crowds of one owner.
    pub(crate) fn put_beside(&mut self, number: u32, one: u32, prefixes: u32) {
        self.list[number as usize].place = (CROWDED + one) * prefixes;
    }

    pub(crate) fn kind(&self, number: u32) -> &Kind {
        &self.kinds[usize::from(self.list[number as usize].kind)]
    }

    fn known(&self, prefixes: u32, random: &mut ChaCha8Rng) -> Vec<(PeerId, SocketAddr)> {
        let some = self.knows.min(self.dialable.len());
        let mut numbers: Vec<u32> = (0..some)
            .map(|_| self.dialable[(random.next_u64() % self.dialable.len() as u64) as usize])
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let known = numbers.into_iter().filter_map(|number| {
            let member = &self.list[number as usize];
            let id = member.id?;
            Some((id, places::address(member.place, prefixes)))
        });
        known.collect()
    }

    fn folder_of(&self, number: u32) -> PathBuf {
        let folder = self.folder.path().join(number.to_string());
        // If it cannot be made, the node says so when it opens its files.
        let _ = std::fs::create_dir_all(folder.join("outbox"));
        folder
    }
}

impl Sim {
    /// Comes online, unless it is. Addresses and keys are those it had before.
    pub(crate) fn begin(&mut self, number: u32) {
        let prefixes = self.wire().prefixes;
        let members = &mut self.members;
        let member = &members.list[number as usize];
        if member.node.is_some() {
            return;
        }
        let (starts, place, clock_ms) = (member.starts, member.place, member.clock_ms);
        let kind = members.kind(number).clone();
        let fresh = starts == 0;
        let mut random =
            ChaCha8Rng::seed_from_u64(self.seed.0 ^ u64::from(number) << 24 ^ u64::from(starts));
        let kept = members.books.remove(&number);
        let mut book = kept.unwrap_or_else(|| AddressBook::with_room(members.book_rows));
        if fresh {
            for (id, address) in members.known(prefixes, &mut random) {
                book.note(id, address, &mut random);
            }
        }
        let disk = kind.disk.then(|| members.folder_of(number));
        let mut nat = kind.nat.clone();
        if let (Some(nat), false) = (&mut nat, self.keep_alive) {
            nat.lifetime = FOLDED_LIFETIME;
        }
        let dialable = nat.is_none();
        let node = NewNode {
            seed: self.seed.0,
            number,
            place,
            start: starts,
            prefixes,
            stand_in: self.stand_in,
            nat,
            clock_ms,
            mailbox: kind.mailbox,
            links: LinkSettings {
                outbound: kind.links,
                keep_alive: self.keep_alive,
                // They would try the same few rows again and again.
                feelers: members.book_rows >= FEELERS_ROWS_MIN,
                ..LinkSettings::default()
            },
            relay: RelaySettings {
                carry: kind.carry,
                cache_bytes: kind.cache_bytes,
                circuits: self.circuits,
                outbox: disk.as_ref().map(|folder| folder.join("outbox")),
                seen: disk.as_ref().map(|folder| folder.join("seen")),
                prekeys: disk.as_ref().map(|folder| folder.join("prekeys")),
                ..RelaySettings::default()
            },
            book,
        };
        let (entity, id) = node.spawn(self.run.app.world_mut());
        let members = &mut self.members;
        let member = &mut members.list[number as usize];
        (member.node, member.id) = (Some(entity), Some(id));
        member.starts += 1;
        members.arrived.push(number);
        if fresh && dialable {
            members.dialable.push(number);
        }
    }

    /// Hands over what it keeps, and has to be ended when it has had the time. `false` if it is not online.
    pub(crate) fn say_farewell(&mut self, number: u32) -> bool {
        let node = self.members.list[number as usize].node;
        if let Some(node) = node {
            self.run.app.world_mut().entity_mut(node).insert(GoesAway);
        }
        node.is_some()
    }

    /// Goes without a word, as when the power fails.
    pub(crate) fn end(&mut self, number: u32) {
        let Some(node) = self.members.list[number as usize].node.take() else {
            return;
        };
        if !self.keep_alive {
            self.lost.gone(node, &self.run);
        }
        let world = self.run.app.world_mut();
        if let Some(outbox) = world.get::<Outbox>(node) {
            self.mail.remember(outbox);
        }
        if let Some(book) = world.get::<AddressBook>(node) {
            self.members.books.insert(number, book.clone());
        }
        if let Some(Bound(inside)) = world.get::<Bound>(node).copied() {
            world.resource_mut::<Network>().places.leave(inside);
        }
        world.despawn(node);
        self.members.departed.push(node);
    }

    /// Gets another address, in another prefix, or another NAT before it: as a phone that leaves the house.
    pub(crate) fn move_on(&mut self, number: u32) {
        self.members.moves += 1;
        // From the far end of all addresses, where nobody is.
        let prefixes = self.wire().prefixes;
        let place = prefixes * PREFIX_HOSTS_MAX - self.members.moves;
        let member = &mut self.members.list[number as usize];
        member.place = place;
        let Some(node) = member.node else {
            return;
        };
        let address = places::address(place, prefixes);
        let nat = self.members.kind(number).nat.clone();
        let world = self.run.app.world_mut();
        match (nat, address.ip()) {
            (Some(kind), IpAddr::V4(public)) => {
                let mut network = world.resource_mut::<Network>();
                let Network { places, random, .. } = &mut *network;
                let nat = places.nat_at(kind, public, places::inside(number), random);
                if let Some(mut host) = world.get_mut::<Host>(node) {
                    host.nat = Some(nat);
                }
            }
            _ => {
                let before = world.get::<Bound>(node).map(|bound| bound.0);
                world.entity_mut(node).insert(Bound(address));
                let mut network = world.resource_mut::<Network>();
                before
                    .into_iter()
                    .for_each(|before| network.places.leave(before));
                network.places.enter(address, node);
            }
        }
    }

    /// Nodes online, attackers not counted.
    pub(crate) fn online(&mut self) -> u64 {
        let world = self.run.app.world_mut();
        let mut nodes = world.query_filtered::<(), (With<Host>, Without<Unchecked>)>();
        nodes.iter(world).count() as u64
    }
}

/// In memory where the system has such a folder: what is written there is synced at once, thousands of times a run.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    let mut named = tempfile::Builder::new();
    named.prefix("dunlin-sim-");
    match memory.is_dir() {
        true => named.tempdir_in(memory).or_else(|_| named.tempdir()),
        false => named.tempdir(),
    }
}
