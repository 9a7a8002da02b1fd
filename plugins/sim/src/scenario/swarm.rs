//! Small scenarios drawn from a seed, to meet what nobody thought of writing down.

use super::{Attackers, Must, Partition, Population, Scenario, Traffic, most_links, usual_cache};
use crate::attack::ATTACKS;
use crate::nat_kind::NatKind;
use crate::path::Path;
use crate::sessions::{Sessions, Wave};
use dunlin_engine::Random;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);
/// A node and hour: twice what the busiest of a hundred seeds took. Whoever repeats without end is over it soon.
const DATAGRAMS_MAX: u64 = 40_000;

/// Draws, each from its range evenly enough.
struct Lots(Random);

impl Lots {
    fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.0.0.next_u64() % (range.end() - range.start() + 1)
    }

    fn minutes(&mut self, range: RangeInclusive<u64>) -> Duration {
        MINUTE * self.within(range) as u32
    }

    fn count(&mut self, range: RangeInclusive<u64>) -> u32 {
        self.within(range) as u32
    }

    /// In tenths of a percent.
    fn percent(&mut self, range: RangeInclusive<u64>) -> f64 {
        self.within(range.start() * 10..=range.end() * 10) as f64 / 10.0
    }

    /// So many times of a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.within(0..=99) < percent
    }

    fn one_of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.within(0..=from.len() as u64 - 1) as usize].clone()
    }
}

impl Scenario {
    /// A scenario of 12 to 60 nodes and 2 to 4 hours, drawn from `seed`: loss up to 20 %, duplicates, reordering, wrong clocks,
    /// partitions, churn, waves of restarts, NATs. The same seed draws the same scenario.
    #[must_use]
    pub fn swarm(seed: u64) -> Scenario {
        // Its own row of draws: nodes are numbered from 0.
        let mut lots = Lots(Random::from_seed(seed, u64::MAX));
        let (warm_up, until) = (lots.minutes(2..=4), lots.minutes(8..=14));
        let mut nodes = vec![carriers(&mut lots), people(&mut lots)];
        if lots.chance(25) {
            nodes.push(phones(&mut lots));
        }
        let mut messages: Vec<_> = (0..lots.within(1..=3))
            .map(|_| traffic(&nodes, until, &mut lots))
            .collect();
        if lots.chance(30) {
            let leavers = leavers(&mut lots);
            messages.push(Traffic {
                from: leavers.name.clone(),
                count: leavers.count,
                sender_leaves: true,
                ..traffic(&nodes, until, &mut lots)
            });
            nodes.push(leavers);
        }
        let count = nodes.iter().map(|nodes| nodes.count).sum();
        let mut scenario = Scenario {
            name: format!("swarm-{seed}"),
            about: format!("Drawn from seed {seed}."),
            duration: lots.minutes(30..=40),
            warm_up,
            // Links' arithmetic is most of what a small run costs; the relay's stays real.
            crypto: match lots.chance(25) {
                true => super::Crypto::Real,
                false => super::Crypto::StandIn,
            },
            keep_alive: super::KeepAlive::Simulated,
            circuits: super::CircuitUse::Prefer,
            prefixes: lots.count(4..=count),
            knows: crate::sim::KNOWN,
            joins_per_second: if lots.chance(50) {
                lots.count(1..=20)
            } else {
                0
            },
            network: network(&mut lots),
            nodes,
            messages,
            partitions: Vec::new(),
            waves: Vec::new(),
            attackers: Vec::new(),
            must: Must::default(),
        };
        // One after another, each over a quarter of an hour before the end: what was in two has time to come together.
        let mut at = warm_up;
        while lots.chance(35) && at < MINUTE * 15 {
            let lasts = lots.minutes(1..=6);
            let percent = lots.within(10..=50) as u8;
            scenario.partitions.push(Partition { at, lasts, percent });
            at += lasts + lots.minutes(1..=5);
        }
        if lots.chance(25) {
            scenario.waves.push(Wave {
                at: lots.minutes(5..=15),
                spread: lots.minutes(0..=5),
                percent: lots.percent(5..=60),
                away: Duration::from_secs(lots.within(5..=300)),
            });
        }
        if lots.chance(40) {
            scenario.attackers.push(attackers(&mut lots));
        } else {
            scenario.must.datagrams_per_node_hour = Some(DATAGRAMS_MAX);
        }
        if scenario.all_must_arrive() {
            scenario.must.delivered_percent = Some(100.0);
            // Who left cannot tell us.
            if scenario
                .messages
                .iter()
                .all(|traffic| !traffic.sender_leaves)
            {
                scenario.must.proved_percent = Some(100.0);
            }
        }
        scenario
    }

    /// Whether nothing in it excuses a lost message: all carriers keep what they have, no two clocks are over a day apart,
    /// whoever is written to is there in the end, and no sender leaves while those who hold the message cannot be reached.
    fn all_must_arrive(&self) -> bool {
        let stay = |nodes: &Population| nodes.sessions == Sessions::Always;
        let keep = |nodes: &Population| {
            let mut messages = self.messages.iter();
            !nodes.carry
                || nodes.cache == usual_cache()
                    && stay(nodes)
                    && messages.all(|traffic| traffic.to != nodes.name || traffic.to_away.is_none())
        };
        let named = |name: &str| self.nodes.iter().find(|nodes| nodes.name == name);
        // Recipients ask up to a day ahead (PROTOCOL 4.1).
        let clock = |name: &str| named(name).map_or(Duration::MAX, |nodes| nodes.clock_error);
        let arrives = |traffic: &Traffic| {
            let apart = clock(&traffic.from).saturating_add(clock(&traffic.to));
            apart <= Duration::from_hours(24)
                && named(&traffic.from).is_some_and(stay)
                && named(&traffic.to).is_some_and(stay)
                && (self.partitions.is_empty() || !traffic.sender_leaves)
        };
        // A liar's copy counts as one of eight, and a flooder may push out what nobody can place again.
        let harmless = |attackers: &Attackers| {
            !["liar", "flooder"].contains(&attackers.kind.as_str())
                || !self.messages.iter().any(|traffic| traffic.sender_leaves)
        };
        self.waves.is_empty()
            && self.attackers.iter().all(harmless)
            && self.nodes.iter().all(keep)
            && self.messages.iter().all(arrives)
    }
}

/// The core: without it a network loses messages by right.
fn carriers(lots: &mut Lots) -> Population {
    Population {
        name: "carriers".to_owned(),
        count: lots.within(6..=12),
        carry: true,
        sessions: Sessions::Always,
        links: lots.within(3..=most_links() as u64) as usize,
        // A cache of which a prefix's sixteenth is one or a few packets: what is full must choose.
        cache: match lots.chance(10) {
            true => 1_000 * lots.within(20..=100),
            false => usual_cache(),
        },
        nat: None,
        clean_percent: 0,
        clock_error: match lots.chance(20) {
            true => MINUTE * 60 * lots.count(12..=24),
            false => MINUTE * 60 * lots.count(0..=12),
        },
    }
}

fn people(lots: &mut Lots) -> Population {
    let sessions = [
        Sessions::Always,
        Sessions::Always,
        Sessions::Always,
        Sessions::Always,
        Sessions::Always,
        Sessions::Desktop,
        Sessions::Diurnal,
        Sessions::Ipfs,
    ];
    Population {
        name: "people".to_owned(),
        count: lots.within(3..=6),
        carry: lots.chance(50),
        sessions: lots.one_of(&sessions),
        links: lots.within(2..=most_links() as u64) as usize,
        cache: usual_cache(),
        nat: nat(40, lots),
        // Two people are at most a day apart: recipients ask up to a day ahead (PROTOCOL 4.1).
        clean_percent: 0,
        clock_error: MINUTE * 60 * lots.count(0..=12),
    }
}

fn phones(lots: &mut Lots) -> Population {
    Population {
        name: "phones".to_owned(),
        count: lots.within(2..=3),
        carry: false,
        sessions: Sessions::Phone,
        links: lots.within(1..=4) as usize,
        cache: usual_cache(),
        nat: nat(80, lots),
        clean_percent: 0,
        clock_error: MINUTE * 60 * lots.count(0..=12),
    }
}

fn leavers(lots: &mut Lots) -> Population {
    Population {
        name: "leavers".to_owned(),
        count: lots.within(1..=2),
        carry: false,
        sessions: Sessions::Always,
        ..people(lots)
    }
}

/// Last of all draws, so that a swarm's seeds draw what they drew before there were any.
fn attackers(lots: &mut Lots) -> Attackers {
    Attackers {
        kind: lots.one_of(&ATTACKS).name.to_owned(),
        count: lots.within(1..=2),
        one_prefix: false,
        numbers: BTreeMap::new(),
    }
}

fn nat(percent: u64, lots: &mut Lots) -> Option<NatKind> {
    if !lots.chance(percent) {
        return None;
    }
    NatKind::named(lots.one_of(&NatKind::NAMES))
}

fn network(lots: &mut Lots) -> Path {
    let mut path = Path {
        delay_ms: lots.count(1..=150),
        jitter_ms: lots.count(0..=50),
        ..Path::default()
    };
    if lots.chance(60) {
        path.loss_percent = lots.percent(0..=20);
    }
    if lots.chance(40) {
        path.duplicate_percent = lots.percent(0..=10);
    }
    if lots.chance(40) {
        path.reorder_percent = lots.percent(0..=20);
        path.reorder_ms = lots.count(1..=200);
    }
    if lots.chance(20) {
        path.up_kbit = Some(lots.count(256..=10_000));
    }
    path
}

fn traffic(nodes: &[Population], until: Duration, lots: &mut Lots) -> Traffic {
    Traffic {
        from: lots.one_of(nodes).name,
        to: lots.one_of(nodes).name,
        count: lots.within(1..=15),
        until: Some(until),
        bytes: lots.within(1..=dunlin_relay::limits::TEXT_BYTES_MAX as u64) as usize,
        sender_leaves: false,
        to_away: lots.chance(30).then(|| lots.minutes(1..=12)),
    }
}
