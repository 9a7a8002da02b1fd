//! A simulation to use as a library: nodes, a network between them, messages, and what became of them.
//!
//! The systems are those that ship, and so are an app's own plugins, which [`Sim::new`] takes. Only datagrams travel through a model,
//! and time is virtual: an hour lasts as long as what happens in it.

mod acts;
mod asks;
pub(crate) mod hops;
mod intern;
mod kind;
mod lost_links;
pub(crate) mod mail;
pub(crate) mod members;
pub(crate) mod nodes;
pub(crate) mod safety;
mod seed;

pub use kind::Kind;
pub use mail::Message;
pub(crate) use members::KNOWN;
pub use members::Who;

use crate::path::Path;
use crate::plugin::SimPlugin;
use crate::scenario::{Crypto, KeepAlive};
use crate::split::Split;
use crate::wheel::TICK;
use crate::wire::Network;
use dunlin_engine::{App, Client, Grants, Plugins, StartError, Time, Timers, Virtual};
use dunlin_net::{CircuitUse, LinkPlugin};
use dunlin_relay::RelayPlugin;
use lost_links::LostLinks;
use mail::Mail;
use members::Members;
use seed::Seed;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// 2026-01-01, noon, UTC: the wall clock where a run begins.
pub(crate) const BEGIN_UNIX_MS: u64 = 1_767_268_800_000;

/// Many nodes in one World, in virtual time.
///
/// ```
/// use dunlin_sim::{Path, Sim, State, minutes};
///
/// let mut sim = Sim::from_env_seed();
/// sim.network(Path { delay_ms: 40, ..Path::default() });
/// let [alice, bob] = sim.people(["alice", "bob"]);
/// sim.introduce(alice, bob);
/// sim.carriers(8);
/// sim.run_for(minutes(5));
///
/// let message = sim.send(alice, bob, "Tea at four?");
/// sim.run_until(minutes(1), |sim| sim.inbox(bob) == ["Tea at four?"]);
/// sim.run_until(minutes(1), |sim| sim.status(message) == State::Delivered);
/// assert_eq!(sim.copies(message), 0);
/// ```
pub struct Sim {
    pub(crate) seed: Seed,
    stand_in: bool,
    /// Whether nodes notice by themselves that a link is dead.
    keep_alive: bool,
    circuits: CircuitUse,
    pub(crate) run: Virtual,
    pub(crate) client: Client,
    pub(crate) members: Members,
    pub(crate) mail: Mail,
    lost: LostLinks,
    names: BTreeMap<Who, String>,
    /// Who has whose card.
    introduced: BTreeSet<(Who, Who)>,
}

/// Why there is no simulation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The app did not start.
    #[error("the simulation does not start: {0}")]
    Start(#[from] StartError),
    /// There is no room for the files that nodes keep over a restart.
    #[error("no temporary folder for what nodes keep on disk: {0}")]
    Folder(#[from] std::io::Error),
}

/// So many seconds.
#[must_use]
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// So many minutes.
#[must_use]
pub const fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

/// So many hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_hours(n)
}

/// So many days.
#[must_use]
pub const fn days(n: u64) -> Duration {
    Duration::from_hours(24 * n)
}

impl Sim {
    /// An empty network, whose chance comes from `seed`, and whose nodes run `plugins` beside those of links and relay; `()` for none.
    ///
    /// # Errors
    /// Plugins that do not fit together; no temporary folder.
    pub fn new<M>(seed: u64, plugins: impl Plugins<M>) -> Result<Sim, SimError> {
        let mut app = App::new();
        let path = Path::default();
        app.add_plugins((LinkPlugin, RelayPlugin::default(), SimPlugin { seed, path }));
        app.add_plugins(plugins);
        hops::add(&mut app);
        intern::add(&mut app);
        safety::add(&mut app);
        let client = app.client(Grants::everything());
        Ok(Sim {
            seed: Seed(seed),
            stand_in: false,
            keep_alive: true,
            circuits: CircuitUse::default(),
            run: Virtual::start(app, BEGIN_UNIX_MS)?.in_steps(TICK),
            client,
            members: Members::new()?,
            mail: Mail::default(),
            lost: LostLinks::default(),
            names: BTreeMap::new(),
            introduced: BTreeSet::new(),
        })
    }

    /// With the seed in `DUNLIN_SEED`, or 1, and no plugins of one's own. A test that fails prints its seed.
    ///
    /// # Panics
    /// A seed that is no number; otherwise as [`Sim::new`] fails.
    #[must_use]
    pub fn from_env_seed() -> Sim {
        Sim::new(Seed::from_env(), ()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What happens to datagrams from now on, between any two nodes.
    ///
    /// # Panics
    /// A network that cannot be: see [`Path::validate`].
    pub fn network(&mut self, path: Path) {
        let way = path.way().unwrap_or_else(|error| panic!("{error}"));
        self.run.app.world_mut().resource_mut::<Network>().way = way;
    }

    /// The /16s of IPv4 that nodes are spread over: few make neighbours of many. Before the first node.
    pub fn prefixes(&mut self, prefixes: u32) {
        let world = self.run.app.world_mut();
        world.resource_mut::<Network>().prefixes = prefixes;
    }

    /// Whether the arithmetic of links is computed. Before the first node.
    pub fn crypto(&mut self, crypto: Crypto) {
        self.stand_in = crypto == Crypto::StandIn;
    }

    /// Who notices that a link is dead. Before the first node.
    pub fn keep_alive(&mut self, keep_alive: KeepAlive) {
        self.keep_alive = keep_alive == KeepAlive::Simulated;
    }

    /// Whether who hides goes through a neighbour. Before the first node.
    pub fn circuits(&mut self, circuits: CircuitUse) {
        self.circuits = circuits;
    }

    /// Runs for `span` of virtual time.
    ///
    /// # Panics
    /// If something did not hold that always has to: nothing is altered, delivered twice or to somebody else, or readable on its way,
    /// no table is over its bound, no system fails.
    #[track_caller]
    pub fn run_for(&mut self, span: Duration) {
        self.run_to(span, |_| false);
        self.check();
    }

    /// Runs until `done` says so.
    ///
    /// # Panics
    /// If that is not within `limit` of virtual time; and as [`Sim::run_for`].
    #[track_caller]
    pub fn run_until(&mut self, limit: Duration, done: impl FnMut(&Sim) -> bool) {
        let is_done = self.run_to(limit, done);
        self.check();
        assert!(is_done, "not within {limit:?}; it is {:?} now", self.now());
    }

    #[track_caller]
    fn check(&self) {
        let found = self.violations();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    /// Since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.run.now().time - Time::ZERO
    }

    /// The app: its World, to look at and to give components and messages to between turns.
    pub fn app(&mut self) -> &mut App {
        &mut self.run.app
    }

    /// A caller that may everything.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// 256 bits of all that happened so far, in hexadecimal: the same for the same seed and calls, on every machine.
    pub fn trace(&mut self) -> String {
        let world = self.run.app.world_mut();
        world.resource_mut::<Network>().trace.hash()
    }

    /// Runs until `done`, at most for `limit`; says whether it was done.
    pub(crate) fn run_to(&mut self, limit: Duration, mut done: impl FnMut(&Sim) -> bool) -> bool {
        let end = self.run.now().time + limit;
        self.run.turn();
        loop {
            self.mail.collect(&mut self.run.app, &self.client);
            self.settle();
            if done(self) {
                return true;
            }
            if self.lost.report(&mut self.run) {
                self.run.turn();
            } else {
                let stop = self.lost.next().map_or(end, |at| at.min(end));
                if !self.run.step(stop) && stop == end {
                    return false;
                }
            }
        }
    }

    /// Inboxes of those who came and went.
    pub(crate) fn settle(&mut self) {
        for node in std::mem::take(&mut self.members.departed) {
            self.mail.close(node);
        }
        for number in std::mem::take(&mut self.members.arrived) {
            let kind = self.members.kind(number);
            let member = &self.members.list[number as usize];
            let (Some(node), Some(id)) = (member.node, member.id) else {
                continue; // Gone again.
            };
            if kind.mailbox {
                self.mail.open(node, number, id, &self.client);
            }
            for letter in self.mail.take_waiting(number) {
                self.send_letter(letter);
            }
        }
    }

    /// Sends a letter, or keeps it until its sender is there.
    pub(crate) fn send_letter(&mut self, letter: u32) {
        self.mail
            .send(letter, self.seed.0, &self.members, &self.client);
    }

    /// Where nobody asks whether links are alive, those between the two sides are told of as lost.
    pub(crate) fn split(&mut self, split: Split) {
        self.run.app.world_mut().resource_mut::<Network>().split = split;
        if !self.keep_alive {
            self.lost.part(&mut self.run);
        }
    }

    /// All that did not hold so far; a failed system first.
    pub(crate) fn violations(&self) -> Vec<String> {
        let world = self.run.app.world();
        let failures = world.resource::<dunlin_engine::Failures>();
        let failed = failures
            .iter()
            .map(|(system, failure)| format!("system {system} failed: {}", failure.last));
        let found = world.resource::<safety::Safety>().violations.iter();
        let forged = self.wire().forged.violations();
        failed.chain(found.cloned()).chain(forged).collect()
    }

    pub(crate) fn wire(&self) -> &Network {
        self.run.app.world().resource::<Network>()
    }

    /// Datagrams delivered and timers fired.
    pub(crate) fn events(&self) -> u64 {
        let world = self.run.app.world();
        world.resource::<Network>().delivered + world.resource::<Timers>().fired()
    }
}
