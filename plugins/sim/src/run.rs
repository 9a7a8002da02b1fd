//! A scenario is run: nodes join, go and come back, write to each other, and what came of it is counted.

mod crowd;
mod letters;
mod measure;
mod memory;
mod outcome;

use crate::attack::attackers;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::sim::{BEGIN_UNIX_MS, Sim, SimError};
use crate::split::Split;
use crowd::Crowd;
use dunlin_engine::Time;
use letters::Letters;
use measure::Samples;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    /// There is no simulation to run it in.
    #[error(transparent)]
    Sim(#[from] SimError),
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
    /// A node that went by its own habits, and said so first, is gone.
    Gone(u32),
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
    sim: Sim,
    plan: Plan,
    random: ChaCha8Rng,
    crowd: Crowd,
    letters: Letters,
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
    while run.now() < end {
        run.second(end)?;
        if told.elapsed() >= Duration::from_millis(250) {
            told = Instant::now();
            progress(&Progress {
                virtual_time: run.sim.now(),
                virtual_end: scenario.duration,
                events: run.sim.events(),
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
        let mut sim = match scenario.attackers.is_empty() {
            true => Sim::new(seed, ())?,
            false => Sim::new(seed, attackers)?,
        };
        sim.network(scenario.network.clone());
        sim.prefixes(scenario.prefixes);
        sim.members.knows = scenario.knows;
        sim.crypto(scenario.crypto);
        sim.keep_alive(scenario.keep_alive);
        sim.circuits(scenario.circuits);
        sim.members.book_rows = book_rows(scenario.node_count());
        let mut random = crate::scenario::letters::plan(seed);
        let mut plan = Plan::default();
        let crowd = Crowd::new(scenario, &mut sim, &mut plan);
        let letters = Letters::new(scenario, &mut sim, &mut plan, &mut random);
        let samples = Samples::new(scenario, &mut plan);
        for partition in &scenario.partitions {
            plan.add(partition.at, Action::Part(partition.percent));
            plan.add(partition.at + partition.lasts, Action::Join);
        }
        Ok(Run {
            scenario,
            sim,
            plan,
            random,
            crowd,
            letters,
            samples,
        })
    }

    fn now(&self) -> Time {
        self.sim.run.now().time
    }

    /// Runs to the next whole second or planned action, whichever comes first.
    fn second(&mut self, end: Time) -> Result<(), RunError> {
        let now = self.now();
        let whole = Time((now.0 / 1_000_000 + 1) * 1_000_000).min(end);
        let stop = self.plan.next().map_or(whole, |at| at.clamp(now, whole));
        if stop > now {
            self.sim.run_to(stop - now, |_| false);
            self.check_systems()?;
        }
        let now = self.now();
        self.crowd
            .join(&mut self.sim, &mut self.plan, &mut self.random);
        while let Some(action) = self.plan.take(now) {
            self.act(action);
        }
        self.sim.settle();
        if now.0.is_multiple_of(1_000_000) {
            self.letters.watch_leavers(&mut self.sim, &mut self.crowd);
        }
        Ok(())
    }

    fn act(&mut self, action: Action) {
        let (sim, crowd) = (&mut self.sim, &mut self.crowd);
        match action {
            Action::Toggle(number) => {
                crowd.toggle(number, sim, &mut self.plan, &mut self.random);
            }
            Action::Gone(number) => crowd.gone(number, sim),
            Action::Leave(number) => crowd.stop(number, sim),
            Action::Return(number) => crowd.start(number, sim),
            Action::Send(letter) => self.letters.send(letter, sim),
            Action::Part(percent) => sim.split(Split::Percent(percent)),
            Action::Join => sim.split(Split::None),
            Action::Sample => self.samples.take(sim),
        }
    }

    /// A run in which a system of ours failed is worth nothing.
    fn check_systems(&self) -> Result<(), RunError> {
        let world = self.sim.run.app.world();
        let failures = world.resource::<dunlin_engine::Failures>();
        match failures.iter().next() {
            None => Ok(()),
            Some((system, failure)) => Err(RunError::System {
                system: system.to_owned(),
                at: self.sim.now(),
                text: failure.last.clone(),
            }),
        }
    }

    fn phase(&self) -> &'static str {
        if !self.crowd.all_joined() {
            "joining"
        } else if self.sim.now() < self.scenario.warm_up {
            "warming up"
        } else {
            "running"
        }
    }
}

/// Of an address book: a million books of 1,536 rows would be all there is in memory.
fn book_rows(nodes: u64) -> usize {
    match nodes {
        0..50_000 => dunlin_net::limits::BOOK_ROWS_MAX,
        _ => 12, // Whom a newcomer is told of, and half as many again.
    }
}
