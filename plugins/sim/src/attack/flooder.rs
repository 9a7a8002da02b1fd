//! Deposits packets that are for nobody with everybody it has links to, as fast as it is told to: to fill caches, and to push others'
//! packets out of them.

use super::{Attack, Number, Numbers, Strike};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Random, Timers};
use dunlin_net::{FrameOut, Links, Peer};
use dunlin_relay::limits::{LARGE_PACKET_BYTES, SMALL_PACKET_BYTES};
use dunlin_relay::{Tag, day_of};
use rand_core::Rng;
use std::time::Duration;

pub(super) static ATTACK: Attack = Attack {
    name: "flooder",
    numbers: &[Number {
        name: "per_minute",
        usual: 60.0,
        most: 100_000.0,
    }],
    carries: false,
    enlist,
};

#[derive(Component)]
pub(super) struct Flooder {
    wait: Duration,
}

fn enlist(node: &mut EntityWorldMut, numbers: &Numbers) {
    node.insert(Flooder {
        wait: numbers.wait("per_minute", Duration::from_mins(1)),
    });
}

/// PROTOCOL 2.3
pub(super) const DEPOSIT: u8 = 0x20;
const EXPIRY_HOURS: u16 = 336;

pub(super) fn flood(
    mut due: MessageReader<Due<Strike>>,
    mut flooders: Query<(&Flooder, &Links, &mut Random)>,
    links: Query<&Peer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut out: MessageWriter<FrameOut>,
) {
    for due in due.read() {
        let Ok((flooder, own, mut random)) = flooders.get_mut(due.entity) else {
            continue;
        };
        timers.set::<Strike>(due.entity, now.time + flooder.wait);
        for peer in own.entities().filter(|link| links.contains(*link)) {
            let body = deposit(&mut random.0, day_of(now.unix_ms), None);
            let kind = DEPOSIT;
            out.write(FrameOut { peer, kind, body });
        }
    }
}

/// A request with a packet that no carrier can tell from an honest one, under this tag or one drawn. PROTOCOL 3.1
pub(super) fn deposit(random: &mut impl Rng, day: u16, tag: Option<Tag>) -> Bytes {
    let large = random.next_u32().is_multiple_of(2);
    let size = if large {
        LARGE_PACKET_BYTES
    } else {
        SMALL_PACKET_BYTES
    };
    let mut body = vec![0; 5 + size];
    random.fill_bytes(&mut body);
    body[4] = 0;
    body[5..9].copy_from_slice(&[1, u8::from(large), 0, 0]);
    body[9..11].copy_from_slice(&day.to_le_bytes());
    body[11..13].copy_from_slice(&EXPIRY_HOURS.to_le_bytes());
    if let Some(tag) = tag {
        body[21..37].copy_from_slice(&tag.0);
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_floods_has_the_shape_of_a_packet() {
        let mut random = Random::from_seed(1, 1).0;
        for _ in 0..10 {
            let body = deposit(&mut random, 20_454, Some(Tag([7; 16])));
            let packet = dunlin_relay::Packet::parse(body.slice(5..)).expect("a packet");
            assert_eq!((packet.day(), packet.expiry_hours()), (20_454, 336));
            assert_eq!(packet.tag(), Tag([7; 16]));
        }
    }
}
