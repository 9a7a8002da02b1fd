//! Who takes part: joining, coming, going.

use super::lost_links::LostLinks;
use super::{Action, Plan, RunError};
use crate::nodes::NewNode;
use crate::scenario::{Crypto, KeepAlive, Population, Scenario};
use crate::wire::{Host, Network};
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Time, Virtual};
use dunlin_net::{AddressBook, Bound, LinkSettings, PeerId};
use dunlin_relay::RelaySettings;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Whom a newcomer knows: as many as an invitation or an old address book would name. // guess
const KNOWN: usize = 8;
/// Of a NAT's mappings, where nobody sends what would keep them.
const FOLDED_LIFETIME: Duration = Duration::from_hours(24);

/// A node, online or not.
pub(super) struct Member {
    pub population: u16,
    /// How often it has begun.
    starts: u32,
    /// Held offline by the plan so many times over.
    away: u16,
    /// Gone for good.
    gone: bool,
    /// Online as far as its own habits go.
    wants: bool,
    pub node: Option<Entity>,
    /// Once it was online.
    pub id: Option<PeerId>,
}

pub(super) struct Crowd {
    seed: u64,
    prefixes: u32,
    stand_in: bool,
    keep_alive: bool,
    a_second: u32,
    populations: Vec<Population>,
    /// The first number of each population, and one past the last.
    firsts: Vec<u32>,
    pub members: Vec<Member>,
    joined: u32,
    /// Numbers that others can dial, in order of joining.
    dialable: Vec<u32>,
    /// What those who are away have kept.
    books: BTreeMap<u32, AddressBook>,
    /// Who came online since it was last asked.
    pub arrived: Vec<u32>,
    /// Whose node went since then.
    pub departed: Vec<Entity>,
    /// Populations that take part in messages: they have a mailbox, and a folder if they may go.
    mail: Vec<bool>,
    mortal: Vec<bool>,
    folder: tempfile::TempDir,
    unix_ms: u64,
}

impl Crowd {
    pub(super) fn new(scenario: &Scenario, seed: u64, plan: &mut Plan) -> Result<Crowd, RunError> {
        let mut firsts = vec![0];
        let mut members = Vec::new();
        for (population, about) in scenario.nodes.iter().enumerate() {
            members.extend((0..about.count).map(|_| Member {
                population: population as u16,
                starts: 0,
                away: 0,
                gone: false,
                wants: false,
                node: None,
                id: None,
            }));
            firsts.push(members.len() as u32);
        }
        let named = |name: &str| {
            let part = |traffic: &crate::Traffic| traffic.from == name || traffic.to == name;
            scenario.messages.iter().any(part)
        };
        let leaves = |about: &Population| {
            let by_traffic = |traffic: &crate::Traffic| {
                (traffic.to == about.name && traffic.to_away.is_some())
                    || (traffic.from == about.name && traffic.sender_leaves)
            };
            about.sessions != crate::Sessions::Always
                || !scenario.waves.is_empty()
                || scenario.messages.iter().any(by_traffic)
        };
        for wave in &scenario.waves {
            for number in 0..members.len() as u64 {
                if let Some((at, away)) = wave.restart_of(number, seed) {
                    plan.add(at, Action::Leave(number as u32));
                    plan.add(at + away, Action::Return(number as u32));
                }
            }
        }
        Ok(Crowd {
            seed,
            prefixes: scenario.prefixes,
            stand_in: scenario.crypto == Crypto::StandIn,
            keep_alive: scenario.keep_alive == KeepAlive::Simulated,
            a_second: scenario.joins_per_second,
            mail: scenario
                .nodes
                .iter()
                .map(|about| named(&about.name))
                .collect(),
            mortal: scenario.nodes.iter().map(leaves).collect(),
            populations: scenario.nodes.clone(),
            firsts,
            members,
            joined: 0,
            dialable: Vec::new(),
            books: BTreeMap::new(),
            arrived: Vec::new(),
            departed: Vec::new(),
            folder: folder()?,
            unix_ms: super::BEGIN_UNIX_MS,
        })
    }

    /// The numbers of a population.
    pub(super) fn of(&self, name: &str) -> std::ops::Range<u32> {
        let place = self.populations.iter().position(|about| about.name == name);
        place.map_or(0..0, |place| self.firsts[place]..self.firsts[place + 1])
    }

    pub(super) fn all_joined(&self) -> bool {
        self.joined as usize == self.members.len()
    }

    /// Lets those join whose time has come.
    pub(super) fn join(
        &mut self,
        sim: &mut Virtual,
        now: Time,
        plan: &mut Plan,
        random: &mut ChaCha8Rng,
    ) {
        let seconds = now.0 / 1_000_000 + 1;
        let due = match self.a_second {
            0 => self.members.len() as u64,
            rate => (u64::from(rate) * seconds).min(self.members.len() as u64),
        };
        while u64::from(self.joined) < due {
            let number = self.joined;
            self.joined += 1;
            let population = usize::from(self.members[number as usize].population);
            let sessions = &self.populations[population].sessions;
            let (online, wait) = sessions.begin(number.into(), self.unix_ms, random);
            if let Some(wait) = wait {
                plan.add(now - Time::ZERO + wait, Action::Toggle(number));
            }
            self.members[number as usize].wants = online;
            self.start_if_wanted(number, sim);
        }
    }

    /// A node comes or goes by its habits.
    pub(super) fn toggle(
        &mut self,
        number: u32,
        sim: &mut Virtual,
        plan: &mut Plan,
        random: &mut ChaCha8Rng,
        lost: &mut LostLinks,
    ) {
        let now = sim.now();
        let member = &mut self.members[number as usize];
        member.wants = !member.wants;
        let wants = member.wants;
        let sessions = &self.populations[usize::from(member.population)].sessions;
        if let Some(wait) = sessions.next(wants, number.into(), now.unix_ms, random) {
            plan.add(now.time - Time::ZERO + wait, Action::Toggle(number));
        }
        if wants {
            self.start_if_wanted(number, sim);
        } else {
            self.end(number, sim, lost);
        }
    }

    /// A node goes until the plan lets it come back.
    pub(super) fn stop(&mut self, number: u32, sim: &mut Virtual, lost: &mut LostLinks) {
        self.members[number as usize].away += 1;
        self.end(number, sim, lost);
    }

    pub(super) fn start(&mut self, number: u32, sim: &mut Virtual) {
        let member = &mut self.members[number as usize];
        member.away = member.away.saturating_sub(1);
        self.start_if_wanted(number, sim);
    }

    /// A node goes for good.
    pub(super) fn retire(&mut self, number: u32, sim: &mut Virtual, lost: &mut LostLinks) {
        self.members[number as usize].gone = true;
        self.end(number, sim, lost);
    }

    /// Without a word, as when the power fails.
    fn end(&mut self, number: u32, sim: &mut Virtual, lost: &mut LostLinks) {
        let Some(node) = self.members[number as usize].node.take() else {
            return;
        };
        if !self.keep_alive {
            lost.gone(node, sim);
        }
        let world = sim.app.world_mut();
        if let Some(book) = world.get::<AddressBook>(node) {
            self.books.insert(number, book.clone());
        }
        if let Some(Bound(inside)) = world.get::<Bound>(node).copied() {
            world.resource_mut::<Network>().places.leave(inside);
        }
        world.despawn(node);
        self.departed.push(node);
    }

    /// Whether it takes part in messages.
    pub(super) fn takes_mail(&self, number: u32) -> bool {
        self.mail[usize::from(self.members[number as usize].population)]
    }

    fn start_if_wanted(&mut self, number: u32, sim: &mut Virtual) {
        let member = &self.members[number as usize];
        let joined = number < self.joined;
        if !joined || !member.wants || member.gone || member.away > 0 || member.node.is_some() {
            return;
        }
        let population = usize::from(member.population);
        let about = &self.populations[population];
        let fresh = member.starts == 0;
        let mut random = ChaCha8Rng::seed_from_u64(
            self.seed ^ u64::from(number) << 24 ^ u64::from(member.starts),
        );
        let mut book = self
            .books
            .remove(&number)
            .unwrap_or_else(|| AddressBook::with_room(self.book_room()));
        if fresh {
            for (id, address) in self.known(&mut random) {
                book.note(id, address, &mut random);
            }
        }
        let links = LinkSettings {
            outbound: about.links,
            keep_alive: self.keep_alive,
            ..LinkSettings::default()
        };
        let takes_mail = self.mail[population];
        let kept = (takes_mail && self.mortal[population]).then(|| self.folder_of(number));
        let relay = RelaySettings {
            carry: about.carry,
            cache_bytes: about.cache,
            outbox: kept.as_ref().map(|folder| folder.join("outbox")),
            seen: kept.as_ref().map(|folder| folder.join("seen")),
        };
        let mut nat = about.nat.clone();
        if let (Some(nat), false) = (&mut nat, self.keep_alive) {
            nat.lifetime = FOLDED_LIFETIME;
        }
        let most = about.clock_error.as_millis() as i64;
        let lot =
            ChaCha8Rng::seed_from_u64(self.seed ^ 0x636c_6f63_6b00 ^ u64::from(number)).next_u64();
        let clock_ms = if most == 0 {
            0
        } else {
            (lot % (2 * most as u64 + 1)) as i64 - most
        };
        let node = NewNode {
            seed: self.seed,
            number,
            start: member.starts,
            prefixes: self.prefixes,
            stand_in: self.stand_in,
            nat,
            clock_ms,
            mailbox: takes_mail,
            links,
            relay: Some(relay),
            book,
        };
        let dialable = about.nat.is_none();
        let (entity, id, _) = node.spawn(sim.app.world_mut());
        let member = &mut self.members[number as usize];
        (member.node, member.id) = (Some(entity), Some(id));
        member.starts += 1;
        self.arrived.push(number);
        if fresh && dialable {
            self.dialable.push(number);
        }
    }

    /// Rows of an address book: a million books of 1,536 rows would be all there is in memory.
    fn book_room(&self) -> usize {
        match self.members.len() {
            0..50_000 => 1_536,
            _ => 24,
        }
    }

    fn known(&self, random: &mut ChaCha8Rng) -> Vec<(PeerId, SocketAddr)> {
        let some = KNOWN.min(self.dialable.len());
        let mut numbers: Vec<u32> = (0..some)
            .map(|_| self.dialable[(random.next_u64() % self.dialable.len() as u64) as usize])
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let known = numbers.into_iter().filter_map(|number| {
            let id = self.members[number as usize].id?;
            Some((id, crate::places::address(number, self.prefixes)))
        });
        known.collect()
    }

    fn folder_of(&self, number: u32) -> PathBuf {
        let folder = self.folder.path().join(number.to_string());
        // If it cannot be made, the node says so when it opens its files.
        let _ = std::fs::create_dir_all(folder.join("outbox"));
        folder
    }

    /// Nodes online.
    pub(super) fn online(sim: &mut Virtual) -> u64 {
        let world = sim.app.world_mut();
        world.query::<&Host>().iter(world).len() as u64
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
