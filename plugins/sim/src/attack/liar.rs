//! Says that it carries, takes every packet, says that it keeps it whenever it is asked, and has nothing for whoever fetches.

use super::{Attack, Numbers};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::{FrameIn, FrameOut};
use dunlin_relay::Packet;

pub(super) static ATTACK: Attack = Attack {
    name: "liar",
    numbers: &[],
    carries: true,
    enlist,
};

#[derive(Component)]
pub(super) struct Liar;

fn enlist(node: &mut EntityWorldMut, _: &Numbers) {
    node.insert(Liar);
}

/// A type that no relay reads.
const UNHEARD: u8 = 0xff;

pub(super) fn lie(
    mut heard: MessageMutator<FrameIn>,
    liars: Query<(), With<Liar>>,
    mut out: MessageWriter<FrameOut>,
) {
    if liars.is_empty() {
        return;
    }
    for frame in heard.read().filter(|frame| liars.contains(frame.node)) {
        let Some((kind, body)) = lie_to(frame.kind, &frame.body) else {
            continue;
        };
        let (peer, body) = (frame.peer, Bytes::from(body));
        out.write(FrameOut { peer, kind, body });
        frame.kind = UNHEARD; // Its own relay would say the truth.
    }
}

/// What it answers to a request. PROTOCOL 2.3
fn lie_to(kind: u8, body: &[u8]) -> Option<(u8, Vec<u8>)> {
    const STORED: u8 = 1;
    const KEPT: u8 = 1;
    let request = body.get(..4)?;
    Some(match kind {
        0x20 => {
            let packet = Packet::parse(Bytes::copy_from_slice(body.get(5..)?)).ok()?;
            (0x21, [request, &[STORED, 0], &packet.id().0].concat())
        }
        0x22 => (0x23, [request, &[0, 0]].concat()),
        0x24 => (0x25, request.to_vec()),
        0x27 => (0x28, body.get(..20)?.to_vec()),
        0x29 => (0x2a, [body.get(..20)?, &[KEPT]].concat()),
        _ => return None,
    })
}
