//! Stands on everybody's path: what passes comes again later, or altered in a bit, or from an address that nobody has and before the
//! right one.

use super::{Attack, Number, Numbers};
use crate::wire::{Host, Network};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Now, Random, Timers};
use dunlin_net::{Bound, DatagramOut};
use rand_core::Rng;
use std::time::Duration;

pub(super) static ATTACK: Attack = Attack {
    name: "replayer",
    numbers: &[Number {
        name: "percent",
        usual: 10.0,
        most: 100.0,
    }],
    carries: false,
    enlist,
};

#[derive(Component)]
pub(super) struct Replayer {
    /// Of all that passes, in parts of 2^32.
    share: u64,
}

fn enlist(node: &mut EntityWorldMut, numbers: &Numbers) {
    node.insert(Replayer {
        share: (numbers.get("percent") / 100.0 * 4_294_967_296.0) as u64,
    });
}

/// How much later what passed comes again: within a session, and after the next ones. // guess
const LATER_MS: [u64; 4] = [5, 300, 20_000, 900_000];

pub(super) fn replay(
    mut passing: MessageReader<DatagramOut>,
    mut replayers: Query<(&Replayer, &Host, &mut Random)>,
    senders: Query<(&Bound, &Host), Without<Replayer>>,
    mut network: ResMut<Network>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    if replayers.is_empty() {
        return;
    }
    for DatagramOut { node, to, bytes } in passing.read() {
        let Ok((from, sender)) = senders.get(*node) else {
            continue;
        };
        for (replayer, host, mut random) in &mut replayers {
            let random = &mut random.0;
            if u64::from(random.next_u32()) >= replayer.share {
                continue;
            }
            let later = LATER_MS[random.next_u32() as usize % LATER_MS.len()];
            let later = now.time + Duration::from_millis(later);
            let mut altered = bytes.to_vec();
            let bit = random.next_u64() as usize % (altered.len() * 8).max(1);
            if let Some(byte) = altered.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            // What a NAT lets out bears its address, which is the network's to know.
            let direct = sender.nat.is_none();
            match random.next_u32() % 3 {
                0 if direct => network.repeat(host.number, from.0, *to, bytes.clone(), later),
                1 if direct => network.repeat(host.number, from.0, *to, altered.into(), later),
                _ => network.forge(host.number, *to, bytes.clone(), now.time, random),
            }
        }
    }
    network.arm(&mut timers);
}
