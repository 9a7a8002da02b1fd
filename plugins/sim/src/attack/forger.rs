//! Sends from addresses that nobody has: noise, headers with noise behind, and handshakes that others began. Who answers such an
//! address with more than came from it would be a weapon against whoever has it.

use super::{Attack, Number, Numbers, Strike};
use crate::places;
use crate::wire::{Host, Network};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Random, Timers};
use dunlin_net::limits::{DATAGRAM_BYTES_MAX, HEADER_BYTES};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use std::time::Duration;

pub(super) static ATTACK: Attack = Attack {
    name: "forger",
    numbers: &[Number {
        name: "per_second",
        usual: 100.0,
        most: 100_000.0,
    }],
    carries: false,
    enlist,
};

#[derive(Component)]
pub(super) struct Forger {
    wait: Duration,
}

fn enlist(node: &mut EntityWorldMut, numbers: &Numbers) {
    node.insert(Forger {
        wait: numbers.wait("per_second", Duration::from_secs(1)),
    });
}

/// Types of datagrams. PROTOCOL 2.1
const TYPES: u64 = 7;

pub(super) fn forge(
    mut due: MessageReader<Due<Strike>>,
    mut forgers: Query<(&Forger, &Host, &mut Random)>,
    mut network: ResMut<Network>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    if due.is_empty() {
        return;
    }
    for due in due.read() {
        let Ok((forger, host, mut random)) = forgers.get_mut(due.entity) else {
            continue;
        };
        timers.set::<Strike>(due.entity, now.time + forger.wait);
        let random = &mut random.0;
        // Attackers have the last numbers.
        let victim = random.next_u32() % host.number.max(1);
        let victim = places::address(victim, network.prefixes);
        let bytes = match (random.next_u32() % 3, network.handshake.clone()) {
            (0, Some(handshake)) => handshake,
            (1, _) => noise(random, 1),
            _ => header(random),
        };
        network.forge(host.number, victim, bytes, now.time, random);
    }
    network.arm(&mut timers);
}

fn noise(random: &mut ChaCha20Rng, least: usize) -> bytes::Bytes {
    let room = (DATAGRAM_BYTES_MAX - least) as u64;
    let mut bytes = vec![0; least + (random.next_u64() % (room + 1)) as usize];
    random.fill_bytes(&mut bytes);
    bytes.into()
}

fn header(random: &mut ChaCha20Rng) -> bytes::Bytes {
    let mut bytes = noise(random, HEADER_BYTES).to_vec();
    bytes[0] = 1 + (random.next_u64() % TYPES) as u8;
    bytes[1..4].copy_from_slice(&[1, 0, 0]);
    bytes.into()
}
