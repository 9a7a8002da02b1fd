//! What a scenario must not ask of real processes on one machine's loopback.

use dunlin_net::limits::LINKS_OUTBOUND;
use dunlin_sim::{Crypto, KeepAlive, Population, Scenario, Sessions};

/// Each is a process.
const NODES_MAX: u64 = 100;
/// What loopback takes anyway, in milliseconds.
const DELAY_MS_MAX: u32 = 1;

/// The first thing that loopback or the programs that ship do not do, and what to do about it.
pub(super) fn unfit(scenario: &Scenario) -> Option<String> {
    let network = &scenario.network;
    let whole = [
        (
            scenario.crypto != Crypto::Real,
            "crypto: real processes have only the real one",
        ),
        (
            scenario.keep_alive != KeepAlive::Simulated,
            "keep_alive: real processes notice by themselves",
        ),
        (
            !scenario.attackers.is_empty(),
            "attackers: there is no program of theirs",
        ),
        (
            !scenario.partitions.is_empty(),
            "partitions: loopback is in one",
        ),
        (
            !scenario.waves.is_empty(),
            "waves: processes stay until the end",
        ),
        (
            network.delay_ms > DELAY_MS_MAX || network.jitter_ms > DELAY_MS_MAX,
            "delay_ms, jitter_ms: on loopback at most 1",
        ),
        (
            network.loss_percent > 0.0
                || network.duplicate_percent > 0.0
                || network.reorder_percent > 0.0
                || network.up_kbit.is_some(),
            "network: loopback neither loses, doubles, reorders nor is slow",
        ),
        (
            scenario
                .messages
                .iter()
                .any(|traffic| traffic.sender_leaves || traffic.to_away.is_some()),
            "sender_leaves, to_away: processes stay until the end",
        ),
    ];
    if let Some((_, why)) = whole.into_iter().find(|(is, _)| *is) {
        return Some(format!("no twin with {why}; leave it out"));
    }
    if scenario.node_count() > NODES_MAX {
        return Some(format!(
            "no twin of {} nodes: each is a process, and {NODES_MAX} is the most",
            scenario.node_count()
        ));
    }
    if u64::from(scenario.prefixes) < scenario.node_count() {
        return Some(format!(
            "no twin with prefixes = {}: on loopback each of the {} nodes has one of its own; make it that many or more",
            scenario.prefixes,
            scenario.node_count()
        ));
    }
    scenario.nodes.iter().find_map(|population| {
        let why = unfit_nodes(population, scenario)?;
        Some(format!("no twin of \"{}\": {why}", population.name))
    })
}

fn unfit_nodes(population: &Population, scenario: &Scenario) -> Option<&'static str> {
    let writes = takes_mail(population, scenario);
    if population.sessions != Sessions::Always {
        return Some("sessions: processes stay until the end");
    }
    if population.nat.is_some() {
        return Some("nat: loopback has none");
    }
    if !population.clock_error.is_zero() {
        return Some("clock_error: all processes have the machine's clock");
    }
    if population.links != LINKS_OUTBOUND {
        return Some("links: real processes make 8");
    }
    match (population.carry, writes) {
        (true, true) => {
            Some("carry: `dunlin receive` carries nothing, so those with messages cannot")
        }
        (false, false) => {
            Some("they neither carry nor take part in messages: no program does nothing")
        }
        _ => None,
    }
}

/// Whether they write or read messages.
pub(super) fn takes_mail(population: &Population, scenario: &Scenario) -> bool {
    let mut messages = scenario.messages.iter();
    messages.any(|traffic| traffic.from == population.name || traffic.to == population.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIT: &str = "\
duration = \"20 s\"

[[nodes]]
name = \"carriers\"
count = 3
carry = true

[[nodes]]
name = \"people\"
count = 2

[[messages]]
from = \"people\"
to = \"people\"
count = 1
bytes = 9
";

    #[test]
    fn what_loopback_cannot_do_is_named_by_its_key() {
        let why = |from: &str, to: &str| {
            let text = FIT.replacen(from, to, 1);
            unfit(&Scenario::parse("a.toml", &text).expect("a scenario"))
        };
        assert_eq!(why("", ""), None);
        for (from, to, key) in [
            ("[[nodes]]", "crypto = \"stand-in\"\n[[nodes]]", "crypto"),
            (
                "[[nodes]]",
                "network.loss_percent = 1\n[[nodes]]",
                "network",
            ),
            ("[[nodes]]", "network.delay_ms = 40\n[[nodes]]", "delay_ms"),
            ("count = 3", "count = 200", "202 nodes"),
            ("[[nodes]]", "prefixes = 4\n[[nodes]]", "prefixes = 4"),
            (
                "carry = true",
                "carry = true\nnat = \"symmetric_random\"",
                "nat",
            ),
            ("carry = true", "carry = true\nlinks = 3", "links"),
            ("carry = true\n", "", "neither carry"),
            ("count = 2", "count = 2\ncarry = true", "carry"),
            (
                "bytes = 9",
                "bytes = 9\nto_away = \"1 s\"\nuntil = \"5 s\"",
                "to_away",
            ),
        ] {
            let why = why(from, to).unwrap_or_default();
            assert!(why.contains(key), "{to}: {why}");
        }
    }
}
