//! Frames become happenings; what is malformed or of a later version is refused. In `Decode`, set `RelaySystems::Decode`.

use crate::answers::Reason;
use crate::drops::{DropReason, Drops};
use crate::frames::{self, Frame};
use crate::messages::{
    AnswerCame, CarriersAsked, ClaimShown, KnowledgeAsked, NeighbourAsked, PacketArrived,
    ReceiptShown, Wanted,
};
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::{FrameIn, FrameOut};

/// Sends a frame of ours over a link.
pub(crate) fn send(out: &mut MessageWriter<FrameOut>, peer: Entity, frame: &Frame) {
    let (kind, body) = frame.encode();
    out.write(FrameOut { peer, kind, body });
}

// PROTOCOL 2.3
#[expect(clippy::too_many_arguments, reason = "one writer for each happening")]
pub(crate) fn decode_frames(
    mut incoming: MessageReader<FrameIn>,
    mut drops: Query<&mut Drops>,
    mut arrived: MessageWriter<PacketArrived>,
    mut claims: MessageWriter<ClaimShown>,
    mut receipts: MessageWriter<ReceiptShown>,
    mut asked: MessageWriter<KnowledgeAsked>,
    mut neighbours: MessageWriter<NeighbourAsked>,
    mut carriers: MessageWriter<CarriersAsked>,
    mut answers: MessageWriter<AnswerCame>,
    mut out: MessageWriter<FrameOut>,
) {
    for FrameIn {
        node,
        peer,
        kind,
        body,
    } in incoming.read()
    {
        let (node, peer) = (*node, *peer);
        if *kind != frames::REFUSED && !(frames::DEPOSIT..=frames::LAST_RESERVED).contains(kind) {
            continue; // Another plugin's.
        }
        match Frame::decode(*kind, body) {
            Ok(Frame::Deposit { request, packet }) => {
                let refused = None;
                arrived.write(PacketArrived {
                    node,
                    peer,
                    request,
                    packet,
                    pulled: false,
                    refused,
                });
            }
            Ok(Frame::Fetch {
                request,
                claim,
                after,
            }) => {
                let after = Some(after);
                claims.write(ClaimShown {
                    node,
                    peer,
                    request,
                    claim,
                    after,
                });
            }
            Ok(Frame::Subscribe { request, claim }) => {
                let after = None;
                claims.write(ClaimShown {
                    node,
                    peer,
                    request,
                    claim,
                    after,
                });
            }
            Ok(Frame::Receipt {
                request,
                id,
                secret,
            }) => {
                receipts.write(ReceiptShown {
                    node,
                    peer,
                    request,
                    id,
                    secret,
                });
            }
            Ok(Frame::Ask { request, id }) => {
                asked.write(KnowledgeAsked {
                    node,
                    peer,
                    request,
                    id,
                });
            }
            Ok(Frame::Find {
                request,
                target,
                count,
            }) => {
                carriers.write(CarriersAsked {
                    node,
                    peer,
                    request,
                    target,
                    count,
                });
            }
            Ok(Frame::List {
                request,
                after,
                until,
            }) => {
                let what = Wanted::List { after, until };
                neighbours.write(NeighbourAsked {
                    node,
                    peer,
                    request,
                    what,
                });
            }
            Ok(Frame::Pull { request, id }) => {
                let what = Wanted::Copy { id };
                neighbours.write(NeighbourAsked {
                    node,
                    peer,
                    request,
                    what,
                });
            }
            Ok(frame) => {
                answers.write(AnswerCame { node, peer, frame });
            }
            Err(bad) => {
                if let Ok(mut drops) = drops.get_mut(node) {
                    drops.count(match bad.reason {
                        Reason::Unsupported => DropReason::Unsupported,
                        _ => DropReason::Malformed,
                    });
                }
                if !frames::is_answer(*kind) {
                    let (kind, reason, request) = (*kind, bad.reason, bad.request);
                    send(
                        &mut out,
                        peer,
                        &Frame::Refused {
                            kind,
                            reason,
                            price: 0,
                            request,
                        },
                    );
                }
            }
        }
    }
}
