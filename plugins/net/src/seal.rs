//! Frames become datagrams. In `Transmit`, set `NetSystems::Seal`.

use crate::circuit::Hop;
use crate::desk::{Desk, Parts, PartsItem};
use crate::frame::{self, kind};
use crate::limits::{DATAGRAM_BYTES_MAX, HEADER_BYTES, NESTED_BYTES_MAX, TAG_BYTES};
use crate::link_table::Held;
use crate::session::Session;
use crate::{DropReason, FrameOut};
use bevy_ecs::prelude::*;
use bytes::BytesMut;
use dunlin_engine::bevy_ecs;
use std::collections::BTreeMap;

pub(crate) fn seal_frames(
    mut frames: ParamSet<(MessageReader<FrameOut>, Desk)>,
    holders: Query<&Held>,
    mut nodes: Query<Parts>,
) {
    // What leaves in circuits becomes frames of the links that carry these, which are sealed in the next round; there are two at most.
    loop {
        let mut leaving: Vec<FrameOut> = frames.p0().read().cloned().collect();
        if leaving.is_empty() {
            return;
        }
        // A link's datagrams leave one after the other, links in the order in which they were first written to.
        let mut order: BTreeMap<Entity, usize> = BTreeMap::new();
        for frame in &leaving {
            let next = order.len();
            order.entry(frame.peer).or_insert(next);
        }
        leaving.sort_by_key(|frame| order[&frame.peer]);
        let mut desk = frames.p1();
        for frames in leaving.chunk_by(|a, b| a.peer == b.peer) {
            let peer = frames[0].peer;
            let Ok(held) = holders.get(peer) else {
                continue; // The link's end was told, and its node with it.
            };
            if let Ok(mut parts) = nodes.get_mut(held.0) {
                seal_link(&mut parts, peer, frames, &mut desk);
            }
        }
    }
}

/// Packs what leaves on one link into as few datagrams as it fits.
fn seal_link(parts: &mut PartsItem, peer: Entity, frames: &[FrameOut], desk: &mut Desk) {
    let nested = parts
        .links
        .get(peer)
        .and_then(|link| Hop::of(link.address()));
    let most = match nested {
        Some(_) => NESTED_BYTES_MAX,
        None => DATAGRAM_BYTES_MAX,
    };
    let full = most - TAG_BYTES;
    let room = |frames: &[FrameOut]| {
        let bytes = frames.iter().map(|frame| frame::size(&frame.body)).sum();
        Session::blank_for((full - HEADER_BYTES).min(bytes))
    };
    let mut datagram = room(frames);
    let (empty, mut asks) = (datagram.len(), false);
    for (place, frame) in frames.iter().enumerate() {
        tracing::trace!(
            ?peer,
            kind = frame.kind,
            bytes = frame.body.len(),
            "frame out"
        );
        let up = parts.links.get(peer).is_some_and(|link| link.is_up());
        if !up || frame::size(&frame.body) > full - HEADER_BYTES {
            parts.drops.count(DropReason::NotSent);
            continue;
        }
        if datagram.len() + frame::size(&frame.body) > full {
            let whole = std::mem::replace(&mut datagram, room(&frames[place..]));
            flush(parts, peer, whole, std::mem::take(&mut asks), desk);
        }
        frame::put(&mut datagram, frame.kind, &frame.body);
        asks |= matches!(
            frame.kind,
            kind::PING | kind::PEERS_ASK | kind::CIRCUIT_OPEN | kind::CIRCUIT_DATA | 0x20..
        );
    }
    if datagram.len() > empty {
        flush(parts, peer, datagram, asks, desk);
    }
}

fn flush(parts: &mut PartsItem, peer: Entity, datagram: BytesMut, asks: bool, desk: &mut Desk) {
    let now = desk.time();
    let Some(link) = parts.links.get_mut(peer) else {
        return;
    };
    let session = link.current.as_mut();
    let Some(sealed) = session.and_then(|session| session.seal(datagram, now)) else {
        parts.drops.count(DropReason::NotSent);
        return;
    };
    link.pulse.on_sent(asks, now);
    let to = link.address();
    desk.arm(peer, link);
    desk.datagram(&mut parts.traffic, parts.node, to, sealed);
}
