//! Carries for others, and tells everybody it has links to that what it keeps was delivered, with a secret that it made up.

use super::{Attack, Number, Numbers, Strike};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Random, Timers};
use dunlin_net::{FrameOut, Links, Peer};
use dunlin_relay::{HeldBy, Holds, PacketId};
use rand_core::Rng;
use std::time::Duration;

pub(super) static ATTACK: Attack = Attack {
    name: "ender",
    numbers: &[Number {
        name: "per_minute",
        usual: 60.0,
        most: 100_000.0,
    }],
    carries: true,
    enlist,
};

#[derive(Component)]
pub(super) struct Ender {
    wait: Duration,
}

fn enlist(node: &mut EntityWorldMut, numbers: &Numbers) {
    node.insert(Ender {
        wait: numbers.wait("per_minute", Duration::from_mins(1)),
    });
}

/// PROTOCOL 2.3
const RECEIPT: u8 = 0x27;

pub(super) fn end_falsely(
    mut due: MessageReader<Due<Strike>>,
    mut enders: Query<(&Ender, &Links, &mut Random, Option<&Holds>)>,
    packets: Query<&PacketId, With<HeldBy>>,
    links: Query<&Peer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut out: MessageWriter<FrameOut>,
) {
    for due in due.read() {
        let Ok((ender, own, mut random, holds)) = enders.get_mut(due.entity) else {
            continue;
        };
        timers.set::<Strike>(due.entity, now.time + ender.wait);
        let held = holds.into_iter().flat_map(RelationshipTarget::iter);
        let mut ids: Vec<&PacketId> = packets.iter_many(held).flatten().collect();
        ids.sort_unstable(); // The set has no order.
        let random = &mut random.0;
        let Some(id) = ids.get(random.next_u64() as usize % ids.len().max(1)) else {
            continue;
        };
        for peer in own.entities().filter(|link| links.contains(*link)) {
            let mut body = vec![0; 36];
            random.fill_bytes(&mut body);
            body[4..20].copy_from_slice(&id.0);
            let (kind, body) = (RECEIPT, Bytes::from(body));
            out.write(FrameOut { peer, kind, body });
        }
    }
}
