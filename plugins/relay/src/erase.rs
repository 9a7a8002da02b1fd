//! Delete on delivery: whoever shows the secret behind a packet's delete-hash ends it. In `Route`, set `RelaySystems::Erase`,
//! before deposits, so that a copy that comes in the same turn is known to be ended.

use crate::answers::Known;
use crate::cache::Cache;
use crate::decode::send;
use crate::direct::{is_of, message_of};
use crate::drops::{DropReason, Drops};
use crate::frames::Frame;
use crate::known_carriers::Carriers;
use crate::messages::{PacketGone, ReceiptShown, Work};
use crate::outbox::Outbox;
use crate::outbox_answers::Word;
use crate::receipts::Receipts;
use crate::send::end_copies;
use crate::tombstones::Tombstones;
use dunlin_engine::Now;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::{FrameOut, Peer};

type Keeper<'a> = (
    (&'a mut Cache, &'a mut Tombstones, &'a mut Drops),
    (&'a mut Outbox, &'a mut Receipts, &'a Carriers),
);

/// Of what a node keeps for others; or of what it sent itself, from its recipient (4.8).
// PROTOCOL 4.3
pub(crate) fn erase_delivered(
    mut receipts: MessageReader<ReceiptShown>,
    mut nodes: Query<Keeper>,
    links: Query<&Peer>,
    now: Res<Now>,
    mut gone: MessageWriter<PacketGone>,
    mut out: MessageWriter<FrameOut>,
    mut work: MessageWriter<Work>,
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
        let Ok(((mut cache, mut tombstones, mut drops), sender)) = nodes.get_mut(*node) else {
            continue;
        };
        let own = links.get(*peer).ok().filter(|link| is_of(link, &link.id));
        match cache.get(*id, now.time) {
            None if let Some(from) = own
                && let Some(message) = message_of(&sender.0, &from.id, *id) =>
            {
                let (mut outbox, mut receipts, carriers) = sender;
                let known = Known::Ended(secret.clone());
                let answer = Frame::Answer {
                    request: *request,
                    id: *id,
                    known,
                };
                if outbox.answered(message, *id, from.id, Some(answer), now.time) == Word::Forged {
                    drops.count(DropReason::ReceiptForged);
                }
                end_copies(&outbox, message, &mut receipts, carriers, now.time);
                work.write(Work { node: *node });
            }
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
