//! Frames become datagrams. In `Transmit`, set `NetSystems::Seal`.

use crate::desk::{Desk, Parts, PartsItem};
use crate::frame::{self, kind};
use crate::limits::{DATAGRAM_BYTES_MAX, FRAME_BODY_BYTES_MAX, TAG_BYTES};
use crate::link_table::Held;
use crate::session::Session;
use crate::{DropReason, FrameOut};
use bevy_ecs::prelude::*;
use dunlin_engine::bevy_ecs;

pub(crate) fn seal_frames(
    mut frames: ParamSet<(MessageReader<FrameOut>, Desk)>,
    holders: Query<&Held>,
    mut nodes: Query<Parts>,
) {
    // Datagrams leave in the order in which their links were first written to.
    let mut touched: Vec<(Entity, Entity)> = Vec::new();
    let leaving: Vec<FrameOut> = frames.p0().read().cloned().collect();
    let mut desk = frames.p1();
    for frame in leaving {
        let Ok(held) = holders.get(frame.peer) else {
            continue; // The link's end was told, and its node with it.
        };
        let Ok(mut parts) = nodes.get_mut(held.0) else {
            continue;
        };
        tracing::trace!(peer = ?frame.peer, kind = frame.kind, bytes = frame.body.len(), "frame out");
        match pack(&mut parts, &frame, &mut desk) {
            Ok(true) => touched.push((held.0, frame.peer)),
            Ok(false) => {}
            Err(reason) => parts.drops.count(reason),
        }
    }
    for (node, link) in touched {
        if let Ok(mut parts) = nodes.get_mut(node) {
            flush(&mut parts, link, &mut desk);
        }
    }
}

/// Appends a frame to its link's datagram; a full one leaves first. Says whether it is the link's first of this turn.
fn pack(parts: &mut PartsItem, frame: &FrameOut, desk: &mut Desk) -> Result<bool, DropReason> {
    let link = parts.links.get_mut(frame.peer).ok_or(DropReason::NotSent)?;
    if link.up.is_none() || frame.body.len() > FRAME_BODY_BYTES_MAX {
        return Err(DropReason::NotSent);
    }
    let full = DATAGRAM_BYTES_MAX - TAG_BYTES;
    let fresh = link.out.is_empty();
    if !fresh && link.out.len() + frame::size(&frame.body) > full {
        flush(parts, frame.peer, desk);
    }
    let link = parts.links.get_mut(frame.peer).ok_or(DropReason::NotSent)?;
    if link.out.is_empty() {
        link.out = Session::blank();
    }
    frame::put(&mut link.out, frame.kind, &frame.body);
    link.out_asks |= matches!(frame.kind, kind::PING | kind::PEERS_ASK | 0x20..);
    Ok(fresh)
}

fn flush(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let now = desk.time();
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    let datagram = std::mem::take(&mut link.out);
    if datagram.is_empty() {
        return;
    }
    let session = link.current.as_mut();
    let Some(sealed) = session.and_then(|session| session.seal(datagram, now)) else {
        parts.drops.count(DropReason::NotSent);
        return;
    };
    link.pulse.on_sent(std::mem::take(&mut link.out_asks), now);
    let to = link.address;
    desk.arm(entity, link);
    desk.datagram(parts.node, to, sealed);
}
