//! Who takes part: joining, coming, going, each by the habits of its population.

use super::{Action, Plan};
use crate::attack::{Attack, Numbers};
use crate::scenario::{Population, Scenario};
use crate::sim::{Kind, Sim, Who};
use dunlin_engine::Time;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// A node as its population's habits and the plan have it.
struct Habit {
    population: u16,
    /// Held offline by the plan so many times over.
    away: u16,
    /// Gone for good.
    gone: bool,
    /// Online as far as its own habits go.
    wants: bool,
    /// It takes its leave.
    goes: bool,
}

/// How long who goes takes to hand over what it keeps; no relay takes longer than 3.5 s.
const FAREWELL: Duration = Duration::from_secs(4);

struct Attacker {
    number: u32,
    attack: &'static Attack,
    numbers: Numbers,
}

impl Attacker {
    fn join(self, sim: &mut Sim) {
        sim.begin(self.number);
        let now = sim.run.now().time;
        if let Some(node) = sim.node(Who(self.number)) {
            let world = sim.run.app.world_mut();
            self.attack.enlist(node, &self.numbers, world, now);
        }
    }
}

pub(super) struct Crowd {
    a_second: u32,
    populations: Vec<Population>,
    /// They come once all others are there, and stay.
    attackers: Vec<Attacker>,
    habits: Vec<Habit>,
    joined: u32,
}

impl Crowd {
    /// Everybody, none of them online yet.
    pub(super) fn new(scenario: &Scenario, sim: &mut Sim, plan: &mut Plan) -> Crowd {
        let mut habits = Vec::new();
        for (population, about) in scenario.nodes.iter().enumerate() {
            let kind = kind(about, scenario);
            for _ in 0..about.count {
                let number = habits.len() as u32;
                sim.members.add(&kind, clock_ms(about, sim.seed.0, number));
                habits.push(Habit {
                    population: population as u16,
                    away: 0,
                    gone: false,
                    wants: false,
                    goes: false,
                });
            }
        }
        for wave in &scenario.waves {
            for number in 0..habits.len() as u64 {
                if let Some((at, away)) = wave.restart_of(number, sim.seed.0) {
                    plan.add(at, Action::Leave(number as u32));
                    plan.add(at + away, Action::Return(number as u32));
                }
            }
        }
        Crowd {
            a_second: scenario.joins_per_second,
            populations: scenario.nodes.clone(),
            attackers: attackers(scenario, sim),
            habits,
            joined: 0,
        }
    }

    pub(super) fn all_joined(&self) -> bool {
        self.joined as usize == self.habits.len()
    }

    /// Lets those join whose time has come.
    pub(super) fn join(&mut self, sim: &mut Sim, plan: &mut Plan, random: &mut ChaCha8Rng) {
        let now = sim.run.now();
        let seconds = now.time.0 / 1_000_000 + 1;
        let due = match self.a_second {
            0 => self.habits.len() as u64,
            rate => (u64::from(rate) * seconds).min(self.habits.len() as u64),
        };
        while u64::from(self.joined) < due {
            let number = self.joined;
            self.joined += 1;
            let habit = &mut self.habits[number as usize];
            let sessions = &self.populations[usize::from(habit.population)].sessions;
            let (online, wait) = sessions.begin(number.into(), super::BEGIN_UNIX_MS, random);
            if let Some(wait) = wait {
                plan.add(now.time - Time::ZERO + wait, Action::Toggle(number));
            }
            habit.wants = online;
            self.begin_if_wanted(number, sim);
        }
        if self.all_joined() {
            for attacker in std::mem::take(&mut self.attackers) {
                attacker.join(sim);
            }
        }
    }

    /// A node comes or goes by its habits.
    pub(super) fn toggle(
        &mut self,
        number: u32,
        sim: &mut Sim,
        plan: &mut Plan,
        random: &mut ChaCha8Rng,
    ) {
        let now = sim.run.now();
        let habit = &mut self.habits[number as usize];
        habit.wants = !habit.wants;
        let wants = habit.wants;
        let about = &self.populations[usize::from(habit.population)];
        let since = now.time - Time::ZERO;
        if let Some(wait) = about
            .sessions
            .next(wants, number.into(), now.unix_ms, random)
        {
            plan.add(since + wait, Action::Toggle(number));
        }
        // Nothing is drawn where nobody ever does.
        let clean = !wants
            && about.clean_percent > 0
            && random.next_u64() % 100 < u64::from(about.clean_percent);
        if clean && sim.say_farewell(number) {
            habit.goes = true;
            plan.add(since + FAREWELL, Action::Gone(number));
            return;
        }
        if !std::mem::take(&mut habit.goes) && wants {
            self.begin_if_wanted(number, sim);
        } else {
            // Who comes back before it has gone begins anew.
            sim.end(number);
            self.begin_if_wanted(number, sim);
        }
    }

    /// A node that took its leave has had the time for it.
    pub(super) fn gone(&mut self, number: u32, sim: &mut Sim) {
        if std::mem::take(&mut self.habits[number as usize].goes) {
            sim.end(number);
        }
    }

    /// A node goes until the plan lets it come back.
    pub(super) fn stop(&mut self, number: u32, sim: &mut Sim) {
        self.habits[number as usize].away += 1;
        sim.end(number);
    }

    pub(super) fn start(&mut self, number: u32, sim: &mut Sim) {
        let habit = &mut self.habits[number as usize];
        habit.away = habit.away.saturating_sub(1);
        self.begin_if_wanted(number, sim);
    }

    /// A node goes for good.
    pub(super) fn retire(&mut self, number: u32, sim: &mut Sim) {
        self.habits[number as usize].gone = true;
        sim.end(number);
    }

    fn begin_if_wanted(&self, number: u32, sim: &mut Sim) {
        let habit = &self.habits[number as usize];
        if number < self.joined && habit.wants && !habit.gone && habit.away == 0 {
            sim.begin(number);
        }
    }
}

fn attackers(scenario: &Scenario, sim: &mut Sim) -> Vec<Attacker> {
    let mut all = Vec::new();
    for attackers in &scenario.attackers {
        // Kinds that there are not were refused when the scenario was read.
        let Some(attack) = Attack::named(&attackers.kind) else {
            continue;
        };
        for one in 0..attackers.count as u32 {
            let number = sim.members.add(&attack.kind(), 0);
            if attackers.one_prefix {
                sim.members.put_beside(number, one, scenario.prefixes);
            }
            all.push(Attacker {
                number,
                attack,
                numbers: Numbers(attackers.numbers.clone()),
            });
        }
    }
    all
}

fn kind(about: &Population, scenario: &Scenario) -> Kind {
    let mut messages = scenario.messages.iter();
    let mailbox = messages.any(|traffic| traffic.from == about.name || traffic.to == about.name);
    let mut messages = scenario.messages.iter();
    let leaves = about.sessions != crate::Sessions::Always
        || !scenario.waves.is_empty()
        || messages.any(|traffic| {
            (traffic.to == about.name && traffic.to_away.is_some())
                || (traffic.from == about.name && traffic.sender_leaves)
        });
    Kind {
        carry: about.carry,
        mailbox,
        disk: mailbox && leaves,
        links: about.links,
        cache_bytes: about.cache,
        nat: about.nat.clone(),
    }
}

/// Drawn for each by itself.
fn clock_ms(about: &Population, seed: u64, number: u32) -> i64 {
    let most = about.clock_error.as_millis() as i64;
    if most == 0 {
        return 0;
    }
    let lot = ChaCha8Rng::seed_from_u64(seed ^ CLOCK_SALT ^ u64::from(number)).next_u64();
    (lot % (2 * most as u64 + 1)) as i64 - most
}

const CLOCK_SALT: u64 = 0x636c_6f63_6b00;
