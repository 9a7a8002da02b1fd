//! What nodes count, held against what is seen from outside: a count that is wrong ends in a cache that is full for ever, or in
//! one datagram that does its work twice.

use crate::wire::Host;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, Time};
use dunlin_net::{DownReason, Drops, PeerDown};
use dunlin_relay::limits::{INDEX_BYTES, LARGE_PACKET_BYTES, SMALL_PACKET_BYTES};
use dunlin_relay::{Cache, RelaySystems};

/// Links of all nodes that PINGs without an answer, or the end of a session, called lost.
#[derive(Resource, Default)]
pub(super) struct LinksLost(pub u64);

pub(super) fn add(app: &mut App) {
    app.world_mut().init_resource::<LinksLost>();
    app.add_systems(RelaySystems::Mirror, count_lost);
}

fn count_lost(mut down: MessageReader<PeerDown>, mut lost: ResMut<LinksLost>) {
    let losses = down.read().filter(|down| down.reason == DownReason::Lost);
    lost.0 += losses.count() as u64;
}

/// Every second in a small run; in one of a million nodes every thousand, or looking would take most of its time.
pub(super) fn are_due(now: Time, nodes: u64) -> bool {
    let every = (nodes / 1_000).max(1);
    (now.0 / 1_000_000).is_multiple_of(every)
}

/// Every account that does not add up.
pub(super) fn faults(world: &mut World) -> Vec<String> {
    let mut faults = Vec::new();
    let mut nodes = world.query::<(&Host, Option<&Cache>, &Drops)>();
    for (host, cache, drops) in nodes.iter(world) {
        let fault =
            cache.and_then(|cache| cache_fault(cache.bytes(), cache.len(), cache.capacity()));
        let dropped: u64 = drops.iter().map(|(_, dropped)| dropped).sum();
        let taken = (dropped < host.twice).then(|| {
            let twice = host.twice;
            format!("{twice} data messages came to it twice, but it dropped {dropped} datagrams")
        });
        let all = [fault, taken].into_iter().flatten();
        faults.extend(all.map(|fault| format!("node {}: {fault}", host.number)));
    }
    faults
}

/// A packet is charged its bytes and its place in the index (PROTOCOL 5).
fn cache_fault(bytes: u64, packets: usize, capacity: u64) -> Option<String> {
    let each = |bytes: usize| packets as u64 * (bytes as u64 + INDEX_BYTES);
    let right = each(SMALL_PACKET_BYTES)..=each(LARGE_PACKET_BYTES);
    (!right.contains(&bytes) || bytes > capacity)
        .then(|| format!("its cache of {capacity} bytes counts {bytes} for {packets} packets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_does_not_give_back_bytes_or_takes_too_many_is_found() {
        for (bytes, packets, right) in [
            (0, 0, true),
            (400, 0, false),
            (399, 1, false),
            (400, 1, true),
            (1_168, 1, true),
            (1_169, 1, false),
            (3_000, 3, true),
            (3_001, 3, false),
        ] {
            let fault = cache_fault(bytes, packets, 3_000);
            assert_eq!(fault.is_none(), right, "{bytes} bytes, {packets} packets");
        }
    }
}
