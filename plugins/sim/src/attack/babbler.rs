//! Sends frames of all types with anything in them, over links like everybody's.

use super::{Attack, Number, Numbers, Strike};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Random, Timers};
use dunlin_net::{FrameOut, Links, Peer};
use rand_core::Rng;
use std::time::Duration;

pub(super) static ATTACK: Attack = Attack {
    name: "babbler",
    numbers: &[Number {
        name: "per_second",
        usual: 10.0,
        most: 100_000.0,
    }],
    carries: false,
    enlist,
};

#[derive(Component)]
pub(super) struct Babbler {
    wait: Duration,
}

fn enlist(node: &mut EntityWorldMut, numbers: &Numbers) {
    node.insert(Babbler {
        wait: numbers.wait("per_second", Duration::from_secs(1)),
    });
}

/// Of links and relay, and some beyond. PROTOCOL 2.3
const TYPES: u32 = 0x40;
/// CLOSE would end the link, and with it the babble.
const CLOSE: u8 = 0x04;
/// Longer than every frame but those with a packet.
const BODY_BYTES_MAX: usize = 160;

pub(super) fn babble(
    mut due: MessageReader<Due<Strike>>,
    mut babblers: Query<(&Babbler, &Links, &mut Random)>,
    links: Query<&Peer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut out: MessageWriter<FrameOut>,
) {
    for due in due.read() {
        let Ok((babbler, own, mut random)) = babblers.get_mut(due.entity) else {
            continue;
        };
        timers.set::<Strike>(due.entity, now.time + babbler.wait);
        let random = &mut random.0;
        for peer in own.entities().filter(|link| links.contains(*link)) {
            let kind = (random.next_u32() % TYPES) as u8;
            if kind == CLOSE {
                continue;
            }
            let mut body = vec![0; random.next_u64() as usize % BODY_BYTES_MAX];
            random.fill_bytes(&mut body);
            let body = Bytes::from(body);
            out.write(FrameOut { peer, kind, body });
        }
    }
}
