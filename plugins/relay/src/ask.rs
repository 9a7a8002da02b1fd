//! Senders ask what became of a packet. In `Route`, set `RelaySystems::Ask`.

use crate::answers::Known;
use crate::cache::Cache;
use crate::decode::send;
use crate::frames::Frame;
use crate::messages::KnowledgeAsked;
use crate::tombstones::Tombstones;
use dunlin_engine::Now;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::FrameOut;

// PROTOCOL 4.3
pub(crate) fn answer_asked(
    mut asked: MessageReader<KnowledgeAsked>,
    mut nodes: Query<(&Cache, &mut Tombstones)>,
    now: Res<Now>,
    mut out: MessageWriter<FrameOut>,
) {
    for KnowledgeAsked {
        node,
        peer,
        request,
        id,
    } in asked.read().copied()
    {
        let Ok((cache, mut tombstones)) = nodes.get_mut(node) else {
            continue;
        };
        let known = if let Some(secret) = tombstones.get(id, now.time) {
            Known::Ended(secret.clone())
        } else if cache.holds(id, now.time) {
            Known::Kept
        } else {
            Known::Unknown
        };
        send(&mut out, peer, &Frame::Answer { request, id, known });
    }
}
