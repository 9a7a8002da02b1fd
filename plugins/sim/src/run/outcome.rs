//! What a run came to, and whether what had to hold did.

use super::Run;
use crate::report::{Check, Report, SentBy};
use crate::scenario::{Must, Population};
use crate::sim::Who;
use crate::sim::safety::{Safety, Unchecked};
use crate::units::{bytes, count, percent, time};
use crate::wire::Network;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_relay::{Outbox, State};
use std::collections::BTreeMap;
use std::time::Instant;

impl Run<'_> {
    pub(super) fn report(mut self, seed: u64, begun: Instant, built: Instant, peak: u64) -> Report {
        self.samples.take(&mut self.sim);
        let (nodes, events) = (self.scenario.node_count(), self.sim.events());
        let (proved, drops) = (self.proved(), self.drops());
        let sent_by = self.sent_by();
        let virtual_seconds = self.sim.now().as_secs();
        let violations = self.sim.violations();
        let mut network = self.sim.run.app.world_mut().resource_mut::<Network>();
        let lost = network.losses.iter();
        let lost = lost.map(|(name, lost)| (name.to_owned(), lost)).collect();
        let mail = &self.sim.mail;
        let mut report = Report {
            scenario: self.scenario.name.clone(),
            seed,
            trace: network.trace.hash(),
            nodes,
            sent: mail.sent,
            delivered: mail.delivered,
            proved,
            hops: mail.hops as f64 / (mail.delivered.max(1)) as f64,
            waits_ms: mail.waits_ms.clone(),
            datagrams: network.datagrams,
            bytes: network.bytes,
            sent_by,
            lost,
            drops,
            events,
            events_per_second: events as f64 / built.elapsed().as_secs_f64(),
            bytes_per_node: peak / nodes.max(1),
            seconds: begun.elapsed().as_secs_f64(),
            virtual_seconds,
            samples: std::mem::take(&mut self.samples.0),
            checks: Vec::new(),
        };
        report.checks = checks(&self.scenario.must, &report, &violations);
        if let Some(most) = self.scenario.must.links_lost {
            let lost = self.sim.run.app.world().resource::<Safety>().links_lost;
            report.checks.push(Check {
                claim: format!("links lost ≤ {}", count(most)),
                found: count(lost),
                held: lost <= most,
            });
        }
        report
    }

    /// Messages whose sender is online and has the proof.
    fn proved(&mut self) -> u64 {
        let world = self.sim.run.app.world_mut();
        let mut outboxes = world.query::<&Outbox>();
        let all = outboxes.iter(world).flat_map(Outbox::messages);
        all.filter(|(_, message)| message.state() == State::Delivered)
            .count() as u64
    }

    fn sent_by(&self) -> Vec<SentBy> {
        let world = self.sim.run.app.world();
        let of = |population: &Population| {
            let mut sum = SentBy {
                population: population.name.clone(),
                ..SentBy::default()
            };
            for number in self.scenario.numbers(&population.name) {
                let node = self.sim.node(Who(number));
                if let Some(sent) = node.and_then(|node| world.get::<dunlin_net::Traffic>(node)) {
                    sum.nodes += 1;
                    sum.datagrams += sent.datagrams_out;
                    sum.bytes += sent.bytes_out;
                }
            }
            sum
        };
        self.scenario.nodes.iter().map(of).collect()
    }

    /// What attackers drop is their affair.
    fn drops(&mut self) -> Vec<(String, u64)> {
        let world = self.sim.run.app.world_mut();
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for drops in world
            .query_filtered::<&dunlin_net::Drops, Without<Unchecked>>()
            .iter(world)
        {
            for (reason, dropped) in drops.iter().filter(|(_, dropped)| *dropped > 0) {
                *sums.entry(format!("net {reason:?}")).or_default() += dropped;
            }
        }
        for drops in world
            .query_filtered::<&dunlin_relay::Drops, Without<Unchecked>>()
            .iter(world)
        {
            for (reason, dropped) in relay_drops(drops) {
                *sums.entry(format!("relay {reason:?}")).or_default() += dropped;
            }
        }
        sums.into_iter().collect()
    }
}

fn checks(must: &Must, report: &Report, violations: &[String]) -> Vec<Check> {
    let mut checks = vec![Check {
        claim: "nothing altered, twice, to others or readable; all bounds kept".to_owned(),
        found: match violations {
            [] => "on every turn".to_owned(),
            some => some.join("; "),
        },
        held: violations.is_empty(),
    }];
    let mut check = |claim: String, found: String, held: bool| {
        checks.push(Check { claim, found, held });
    };
    for (least, part, what) in [
        (must.delivered_percent, report.delivered, "delivered"),
        (must.proved_percent, report.proved, "proved"),
    ] {
        if let Some(least) = least {
            let found = format!("{} ({part} of {})", percent(part, report.sent), report.sent);
            let held = part as f64 * 100.0 >= least * report.sent as f64 && report.sent > 0;
            check(format!("{what} ≥ {least} %"), found, held);
        }
    }
    if let Some(least) = must.delivered_bound_percent {
        let bound = 100.0 * lower_bound(report.delivered, report.sent);
        let found = format!("{bound:.2} % ({} of {})", report.delivered, report.sent);
        check(
            format!("delivered, 95 % lower bound ≥ {least} %"),
            found,
            bound >= least,
        );
    }
    if let Some(most) = must.median_wait {
        let mut waits = report.waits_ms.clone();
        waits.sort_unstable();
        let median = waits.get(waits.len() / 2).copied();
        let found = median.map_or("nothing delivered".to_owned(), time);
        let held = median.is_some_and(|median| u128::from(median) <= most.as_millis());
        check(
            format!("half delivered within {}", time(most.as_millis() as u64)),
            found,
            held,
        );
    }
    if let (Some(most), false) = (must.bytes_per_node, cfg!(debug_assertions)) {
        let held = report.bytes_per_node <= most;
        let found = bytes(report.bytes_per_node as f64);
        check(
            format!("memory ≤ {} a node", bytes(most as f64)),
            found,
            held,
        );
    }
    if let Some(most) = must.datagrams_per_node_hour {
        let hours = report.virtual_seconds as f64 / 3_600.0;
        let found = report.datagrams as f64 / report.nodes.max(1) as f64 / hours.max(1e-9);
        let held = found <= most as f64;
        check(
            format!("datagrams a node and hour ≤ {}", count(most)),
            format!("{found:.0}"),
            held,
        );
    }
    checks
}

/// The least share that is not unlikely (5 %, one-sided) to come to so many of so many: E. B. Wilson, 1927.
fn lower_bound(part: u64, whole: u64) -> f64 {
    const Z: f64 = 1.644_854;
    if whole == 0 {
        return 0.0;
    }
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let middle = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - spread) / (1.0 + Z * Z / n)).clamp(0.0, 1.0)
}

fn relay_drops(
    drops: &dunlin_relay::Drops,
) -> impl Iterator<Item = (dunlin_relay::DropReason, u64)> {
    let all = dunlin_relay::DropReason::ALL.iter();
    all.map(|reason| (*reason, drops.get(*reason)))
        .filter(|(_, dropped)| *dropped > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_bound_of_a_share_is_that_of_wilson() {
        // By hand: 1 / (1 + z² / n) where all of n came, and its mirror image where none did.
        let z2 = 1.644_854_f64 * 1.644_854;
        assert!((lower_bound(100, 100) - 1.0 / (1.0 + z2 / 100.0)).abs() < 1e-9);
        assert!(lower_bound(0, 100).abs() < 1e-9);
        // The formula in Python.
        assert!((lower_bound(98, 100) - 0.941_351_6).abs() < 1e-6);
        assert!((lower_bound(9_995, 10_000) - 0.998_973_2).abs() < 1e-6);
        assert_eq!(lower_bound(0, 0), 0.0);
    }
}
