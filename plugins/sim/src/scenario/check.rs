//! What in a scenario does not fit together.

use super::keys::{Place, did_you_mean};
use super::values::time;
use super::{Attackers, Must, Partition, Population, Scenario, Traffic};
use crate::attack::{ATTACKS, Attack};
use crate::places::{PREFIX_HOSTS_MAX, PREFIXES_MAX};
use crate::sim::members::CROWDED_MAX;
use dunlin_net::limits::LINKS_OUTBOUND;
use dunlin_relay::limits::{EXPIRY_HOURS_MAX, MESSAGE_BYTES_MAX};
use std::time::Duration;

/// Whom a newcomer may know.
const KNOWN_MAX: usize = 64;

/// Hosts that a network behind NATs has: 10.0.0.0/8.
const INSIDE_MAX: u64 = (1 << 24) - 2;

/// Collects faults of one table.
struct Check<'a> {
    scenario: &'a Scenario,
    faults: Vec<(Place, String)>,
    table: &'static str,
    index: usize,
}

impl Scenario {
    /// All that does not fit together; nothing if it can be run.
    pub(crate) fn faults(&self) -> Vec<(Place, String)> {
        let mut check = Check {
            scenario: self,
            faults: Vec::new(),
            table: "",
            index: 0,
        };
        check.whole();
        check.at("network", 0);
        if let Err(error) = self.network.validate() {
            check.fault("", error.to_string());
        }
        for (index, population) in self.nodes.iter().enumerate() {
            check.at("nodes", index);
            check.population(population);
        }
        for (index, traffic) in self.messages.iter().enumerate() {
            check.at("messages", index);
            check.traffic(traffic);
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            check.at("partitions", index);
            check.partition(partition);
        }
        for (index, wave) in self.waves.iter().enumerate() {
            check.at("waves", index);
            check.before_the_end("at", wave.at);
            check.percent("percent", wave.percent);
        }
        for (index, attackers) in self.attackers.iter().enumerate() {
            check.at("attackers", index);
            check.some("count", attackers.count);
            check.attackers(attackers);
        }
        check.at("must", 0);
        check.must(&self.must);
        check.faults
    }
}

impl Check<'_> {
    fn at(&mut self, table: &'static str, index: usize) {
        (self.table, self.index) = (table, index);
    }

    fn fault(&mut self, key: &'static str, what: String) {
        let place = Place {
            table: self.table,
            index: self.index,
            key,
        };
        self.faults.push((place, what));
    }

    fn some(&mut self, key: &'static str, count: u64) {
        if count == 0 {
            self.fault(
                key,
                format!("{key} is 0: leave the table out, or say how many"),
            );
        }
    }

    fn percent(&mut self, key: &'static str, percent: f64) {
        if !(0.0..=100.0).contains(&percent) {
            self.fault(key, format!("{key} is {percent}: it goes from 0 to 100"));
        }
    }

    fn before_the_end(&mut self, key: &'static str, at: Duration) {
        let duration = self.scenario.duration;
        if at >= duration {
            let (at, duration) = (time(at), time(duration));
            self.fault(
                key,
                format!("{key} is {at}, but the run ends after {duration}"),
            );
        }
    }

    fn whole(&mut self) {
        let scenario = self.scenario;
        if scenario.duration.is_zero() {
            self.fault(
                "duration",
                "duration is 0: say how long the run is".to_owned(),
            );
        } else {
            self.before_the_end("warm_up", scenario.warm_up);
        }
        if !(1..=PREFIXES_MAX).contains(&scenario.prefixes) {
            self.fault(
                "prefixes",
                format!("prefixes goes from 1 to {PREFIXES_MAX}"),
            );
        }
        let nodes = scenario.node_count();
        if scenario.nodes.is_empty() {
            self.fault(
                "nodes",
                "nobody takes part: add a table [[nodes]]".to_owned(),
            );
        }
        let attackers = scenario.attackers.iter().map(|kind| kind.count);
        let all = attackers.fold(nodes, u64::saturating_add);
        let room = u64::from(scenario.prefixes) * u64::from(PREFIX_HOSTS_MAX);
        if all > room {
            let prefixes = all.div_ceil(PREFIX_HOSTS_MAX.into());
            let need = if prefixes <= PREFIXES_MAX.into() {
                format!("give them {prefixes} prefixes or more")
            } else {
                format!("even {PREFIXES_MAX} prefixes would not do")
            };
            self.fault(
                "prefixes",
                format!("{all} nodes have no room in {room} addresses: {need}"),
            );
        }
        let behind = scenario.nodes.iter().filter(|nodes| nodes.nat.is_some());
        let behind = behind.fold(0, |sum: u64, nodes| sum.saturating_add(nodes.count));
        if behind > INSIDE_MAX {
            let what = format!("{behind} nodes behind NATs: {INSIDE_MAX} is the most");
            self.fault("nodes", what);
        }
        if !(1..=KNOWN_MAX).contains(&scenario.knows) {
            self.fault("knows", format!("knows goes from 1 to {KNOWN_MAX}"));
        }
        let joins = u64::from(scenario.joins_per_second);
        if joins > 0 && !scenario.messages.is_empty() {
            let last = Duration::from_secs(nodes.div_ceil(joins));
            if last > scenario.warm_up {
                self.fault(
                    "joins_per_second",
                    format!(
                        "the last node joins after {}, but messages begin after {}: let more join in a second, or warm_up be longer",
                        time(last),
                        time(scenario.warm_up)
                    ),
                );
            }
        }
    }

    fn population(&mut self, population: &Population) {
        self.some("count", population.count);
        if population.name.trim().is_empty() {
            self.fault(
                "name",
                "nodes without a name: messages could not name them".to_owned(),
            );
        }
        let earlier = &self.scenario.nodes[..self.index];
        if earlier.iter().any(|other| other.name == population.name) {
            let what = format!("there are already nodes called \"{}\"", population.name);
            self.fault("name", what);
        }
        self.percent("clean_percent", population.clean_percent.into());
        if population.links > LINKS_OUTBOUND {
            self.fault(
                "links",
                format!("links goes up to {LINKS_OUTBOUND} (PROTOCOL 5)"),
            );
        }
    }

    fn traffic(&mut self, traffic: &Traffic) {
        let scenario = self.scenario;
        self.some("count", traffic.count);
        let senders = self.named("from", &traffic.from);
        self.named("to", &traffic.to);
        if traffic.from == traffic.to && senders == Some(1) {
            self.fault(
                "to",
                "there is only one of them, and nobody writes to themselves".to_owned(),
            );
        }
        if let Some(senders) = senders
            && traffic.sender_leaves
            && senders < traffic.count
        {
            let what = format!(
                "{} messages need as many senders who leave for good, but there are {senders}",
                traffic.count
            );
            self.fault("count", what);
        }
        let others = scenario.messages.iter().enumerate();
        let mut others = others.filter(|(index, other)| {
            other.to == traffic.from || (*index != self.index && other.from == traffic.from)
        });
        if traffic.sender_leaves && others.next().is_some() {
            let what = format!(
                "\"{}\" go for good, but have another part in messages: give those who go a name of their own in [[nodes]]",
                traffic.from
            );
            self.fault("sender_leaves", what);
        }
        if !(1..=MESSAGE_BYTES_MAX).contains(&traffic.bytes) {
            self.fault("bytes", format!("bytes goes from 1 to {MESSAGE_BYTES_MAX}"));
        }
        let until = traffic.until.unwrap_or(scenario.duration);
        if until > scenario.duration {
            self.before_the_end("until", until);
        }
        if until <= scenario.warm_up {
            let warm_up = time(scenario.warm_up);
            self.fault(
                "until",
                format!("no time for messages: they begin after {warm_up} (warm_up)"),
            );
        }
        if let Some(away) = traffic.to_away {
            if until + away >= scenario.duration {
                let what = format!(
                    "who is away for {} from {} on is not back when the run ends after {}: set until, or a longer duration",
                    time(away),
                    time(until),
                    time(scenario.duration)
                );
                self.fault("to_away", what);
            }
            if away > Duration::from_hours(EXPIRY_HOURS_MAX.into()) {
                self.fault(
                    "to_away",
                    "no message lives longer than 14 days (PROTOCOL 3.1)".to_owned(),
                );
            }
        }
    }

    fn named(&mut self, key: &'static str, name: &str) -> Option<u64> {
        let nodes = &self.scenario.nodes;
        if let Some(found) = nodes.iter().find(|nodes| nodes.name == name) {
            return Some(found.count);
        }
        let near = did_you_mean(name, nodes.iter().map(|nodes| nodes.name.as_str()));
        self.fault(key, format!("no nodes are called \"{name}\"{near}"));
        None
    }

    fn partition(&mut self, partition: &Partition) {
        self.before_the_end("at", partition.at);
        if partition.lasts.is_zero() {
            self.fault("for", "for is 0: say how long it lasts".to_owned());
        }
        if !(1..=99).contains(&partition.percent) {
            self.fault(
                "percent",
                "percent goes from 1 to 99: there are two sides".to_owned(),
            );
        }
        let overlaps = |other: &Partition| {
            other.at < partition.at + partition.lasts && partition.at < other.at + other.lasts
        };
        if self.scenario.partitions[..self.index].iter().any(overlaps) {
            self.fault("at", "an earlier one is not over: one at a time".to_owned());
        }
    }

    fn attackers(&mut self, attackers: &Attackers) {
        let Some(attack) = Attack::named(&attackers.kind) else {
            let known = ATTACKS.into_iter().map(|attack| attack.name);
            let names = known.clone().collect::<Vec<_>>().join(", ");
            let near = did_you_mean(&attackers.kind, known);
            let kind = &attackers.kind;
            let what = format!("no attackers are of kind \"{kind}\"{near} (there are {names})");
            return self.fault("kind", what);
        };
        if attackers.one_prefix && attackers.count > CROWDED_MAX {
            let what = format!("at most {CROWDED_MAX} are in one prefix");
            self.fault("count", what);
        }
        for (key, said) in &attackers.numbers {
            let known = attack.numbers.iter().find(|number| number.name == key);
            match known {
                None if attack.numbers.is_empty() => {
                    let name = attack.name;
                    let what = format!("unknown key \"{key}\": of a {name} only count is said");
                    self.fault("kind", what);
                }
                None => {
                    let known = attack.numbers.iter().map(|number| number.name);
                    let near = did_you_mean(key, known);
                    let name = attack.name;
                    self.fault("kind", format!("unknown key \"{key}\" of a {name}{near}"));
                }
                Some(number) if !(0.0..=number.most).contains(said) || *said == 0.0 => {
                    let most = number.most;
                    let what = format!("{key} is {said}: it is more than 0 and at most {most}");
                    self.fault("kind", what);
                }
                Some(_) => {}
            }
        }
    }

    fn must(&mut self, must: &Must) {
        for (key, percent) in [
            ("delivered_percent", must.delivered_percent),
            ("delivered_bound_percent", must.delivered_bound_percent),
            ("proved_percent", must.proved_percent),
        ] {
            let Some(percent) = percent else { continue };
            self.percent(key, percent);
            if self.scenario.messages.is_empty() {
                self.fault(
                    key,
                    format!("{key} of no messages: add a table [[messages]]"),
                );
            }
        }
    }
}
