//! Delete on delivery: whoever shows the secret behind a packet's delete-hash ends it. In `Route`, set `RelaySystems::Erase`,
//! before deposits, so that a copy that comes in the same turn is known to be ended.

use crate::cache::Cache;
use crate::decode::send;
use crate::drops::{DropReason, Drops};
use crate::frames::Frame;
use crate::messages::{PacketGone, ReceiptShown};
use crate::tombstones::Tombstones;
use dunlin_engine::Now;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::FrameOut;

// PROTOCOL 4.3
pub(crate) fn erase_delivered(
    mut receipts: MessageReader<ReceiptShown>,
    mut nodes: Query<(&mut Cache, &mut Tombstones, &mut Drops)>,
    now: Res<Now>,
    mut gone: MessageWriter<PacketGone>,
    mut out: MessageWriter<FrameOut>,
) {
    for ReceiptShown {
        node,
        peer,
        request,
        id,
        secret,
    } in receipts.read()
    {
        // The node may have closed earlier in this turn; its packets went with it.
        let Ok((mut cache, mut tombstones, mut drops)) = nodes.get_mut(*node) else {
            continue;
        };
        match cache.get(*id, now.time) {
            None => drops.count(DropReason::ReceiptUnknown),
            Some(packet) if !secret.ends(&packet.delete_hash()) => {
                drops.count(DropReason::ReceiptForged);
            }
            Some(_) => {
                cache.remove(*id);
                tombstones.insert(*id, secret.clone(), now.time);
                gone.write(PacketGone {
                    node: *node,
                    id: *id,
                });
            }
        }
        // Whatever came of it: a forger learns nothing, and who repeats an honest one is told to stop.
        send(
            &mut out,
            *peer,
            &Frame::Ended {
                request: *request,
                id: *id,
            },
        );
    }
}
