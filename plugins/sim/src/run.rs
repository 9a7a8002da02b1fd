//! A scenario is run: nodes join, go and come back, write to each other, and what came of it is counted.

mod accounts;
mod crowd;
mod hops;
mod lost_links;
mod mail;
mod measure;
mod memory;
mod outcome;

use crate::plugin::SimPlugin;
use crate::report::Report;
use crate::scenario::{KeepAlive, Scenario};
use crate::wheel::TICK;
use crate::wire::Network;
use crowd::Crowd;
use dunlin_engine::{App, Client, Grants, StartError, Time, Timers, Virtual};
use dunlin_net::LinkPlugin;
use dunlin_relay::RelayPlugin;
use lost_links::LostLinks;
use mail::Mail;
use measure::Samples;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// 2026-01-01, noon, UTC: the wall clock where a run begins.
const BEGIN_UNIX_MS: u64 = 1_767_268_800_000;

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the beginning.
    pub virtual_time: Duration,
    /// At the end.
    pub virtual_end: Duration,
    /// Datagrams delivered and timers fired.
    pub events: u64,
    /// Real time since the beginning.
    pub real: Duration,
    /// What goes on at present, in a word or two.
    pub phase: &'static str,
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The scenario does not fit together.
    #[error("{0}")]
    Scenario(String),
    /// The app did not start.
    #[error("the simulation does not start: {0}")]
    Start(#[from] StartError),
    /// There is no room for the files that nodes keep over a restart.
    #[error("no temporary folder for what nodes keep on disk: {0}")]
    Folder(#[from] std::io::Error),
    /// A system failed.
    #[error("system {system} failed at {at:?}: {text}")]
    System {
        /// Its name.
        system: String,
        /// Virtual time.
        at: Duration,
        /// What it said.
        text: String,
    },
}

/// What the plan does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// A node comes or goes by its own habits.
    Toggle(u32),
    /// A node goes, whatever its habits.
    Leave(u32),
    /// And comes back.
    Return(u32),
    /// A message is written.
    Send(u32),
    /// The network falls in two.
    Part(u8),
    /// And is one again.
    Join,
    /// A row of figures.
    Sample,
}

/// What will be done, by time and order of planning.
#[derive(Default)]
struct Plan {
    rows: BTreeMap<(Time, u64), Action>,
    planned: u64,
}

impl Plan {
    fn add(&mut self, at: Duration, action: Action) {
        self.planned += 1;
        self.rows.insert((Time::ZERO + at, self.planned), action);
    }

    fn next(&self) -> Option<Time> {
        self.rows.keys().next().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Time) -> Option<Action> {
        let first = self.rows.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    sim: Virtual,
    client: Client,
    plan: Plan,
    random: ChaCha8Rng,
    crowd: Crowd,
    mail: Mail,
    lost: LostLinks,
    samples: Samples,
}

/// Runs a scenario from `seed`; tells of its progress about four times a second.
///
/// # Errors
/// A scenario that does not fit together, an app that does not start, a system that fails. What the scenario demands and what did
/// not hold is no error: see [`Report::checks`].
pub fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, RunError> {
    let begun = Instant::now();
    let faults = scenario.faults();
    if let Some((_, fault)) = faults.first() {
        return Err(RunError::Scenario(fault.clone()));
    }
    let resident = memory::resident();
    let mut run = Run::new(scenario, seed)?;
    let built = Instant::now();
    let mut told = Instant::now();
    let end = Time::ZERO + scenario.duration;
    while run.sim.now().time < end {
        run.second(end)?;
        if told.elapsed() >= Duration::from_millis(250) {
            told = Instant::now();
            progress(&Progress {
                virtual_time: run.sim.now().time - Time::ZERO,
                virtual_end: scenario.duration,
                events: run.events(),
                real: begun.elapsed(),
                phase: run.phase(),
            });
        }
    }
    let peak = memory::peak().saturating_sub(resident);
    Ok(run.report(seed, begun, built, peak))
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Result<Run<'a>, RunError> {
        let mut app = App::new();
        let path = scenario.network.clone();
        app.add_plugins((LinkPlugin, RelayPlugin::default(), SimPlugin { seed, path }));
        hops::add(&mut app);
        accounts::add(&mut app);
        let client = app.client(Grants::everything());
        let sim = Virtual::start(app, BEGIN_UNIX_MS)?.in_steps(TICK);
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x0070_6c61_6e00);
        let mut plan = Plan::default();
        let crowd = Crowd::new(scenario, seed, &mut plan)?;
        let mail = Mail::new(scenario, seed, &crowd, &mut plan, &mut random);
        let samples = Samples::new(scenario, &mut plan);
        for partition in &scenario.partitions {
            plan.add(partition.at, Action::Part(partition.percent));
            plan.add(partition.at + partition.lasts, Action::Join);
        }
        Ok(Run {
            scenario,
            sim,
            client,
            plan,
            random,
            crowd,
            mail,
            lost: LostLinks::default(),
            samples,
        })
    }

    /// Runs to the next whole second or planned action, whichever comes first.
    fn second(&mut self, end: Time) -> Result<(), RunError> {
        let now = self.sim.now().time;
        let whole = Time((now.0 / 1_000_000 + 1) * 1_000_000).min(end);
        let stop = self.plan.next().map_or(whole, |at| at.clamp(now, whole));
        if stop > now {
            let (mail, client) = (&mut self.mail, &self.client);
            self.sim.run_until(stop - now, |app| {
                mail.collect(app, client);
                false
            });
            self.check_systems()?;
        }
        let now = self.sim.now().time;
        self.crowd
            .join(&mut self.sim, now, &mut self.plan, &mut self.random);
        while let Some(action) = self.plan.take(now) {
            self.act(action);
        }
        self.mail.close_streams(&mut self.crowd);
        self.mail.open_streams(&mut self.crowd, &self.client);
        if now.0.is_multiple_of(1_000_000) {
            let (sim, crowd) = (&mut self.sim, &mut self.crowd);
            self.mail.watch_leavers(sim, crowd, &mut self.lost);
            self.lost.report(&mut self.sim, now);
            if accounts::are_due(now, self.scenario.node_count()) {
                for fault in accounts::faults(self.sim.app.world_mut()) {
                    self.mail.violate(now, &fault);
                }
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) {
        let folded = self.scenario.keep_alive == KeepAlive::Folded;
        match action {
            Action::Toggle(number) => {
                self.crowd.toggle(
                    number,
                    &mut self.sim,
                    &mut self.plan,
                    &mut self.random,
                    &mut self.lost,
                );
            }
            Action::Leave(number) => self.crowd.stop(number, &mut self.sim, &mut self.lost),
            Action::Return(number) => self.crowd.start(number, &mut self.sim),
            Action::Send(message) => self.mail.send(message, &self.crowd, &self.client),
            Action::Part(percent) => {
                self.sim.app.world_mut().resource_mut::<Network>().partition = Some(percent);
                if folded {
                    self.lost.part(&mut self.sim);
                }
            }
            Action::Join => {
                self.sim.app.world_mut().resource_mut::<Network>().partition = None;
            }
            Action::Sample => self.samples.take(&mut self.sim, &self.mail),
        }
    }

    /// A run in which a system of ours failed is worth nothing.
    fn check_systems(&self) -> Result<(), RunError> {
        let failures = self.sim.app.world().resource::<dunlin_engine::Failures>();
        match failures.iter().next() {
            None => Ok(()),
            Some((system, failure)) => Err(RunError::System {
                system: system.to_owned(),
                at: self.sim.now().time - Time::ZERO,
                text: failure.last.clone(),
            }),
        }
    }

    fn phase(&self) -> &'static str {
        let now = self.sim.now().time - Time::ZERO;
        if !self.crowd.all_joined() {
            "joining"
        } else if now < self.scenario.warm_up {
            "warming up"
        } else {
            "running"
        }
    }

    fn events(&self) -> u64 {
        let world = self.sim.app.world();
        world.resource::<Network>().delivered + world.resource::<Timers>().fired()
    }
}
