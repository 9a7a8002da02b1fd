//! Feelers: a node that has the links it wants dials somebody of whom it was only told, and hangs up once they have answered.
//!
//! So the book's *tried* table fills with peers that are really there before they are needed, and what liars told of makes room
//! (Heilman et al., "Eclipse Attacks on Bitcoin's Peer-to-Peer Network", 2015: "feeler connections"). It has no timer: it comes with the
//! rounds that `exchange.rs` makes every ten minutes, and when somebody has told of new peers.

use crate::desk::{Desk, PartsItem};
use crate::dial::{end, start};
use crate::exchange::linked;
use crate::link_state::{Link, Purpose};
use crate::{CloseReason, Dial, KnownPeer};
use bevy_ecs::prelude::*;
use dunlin_engine::bevy_ecs;
use rand_core::Rng;
use std::net::SocketAddr;

/// Dials one row that was never linked to, unless one is being dialled so.
pub(crate) fn feel(parts: &mut PartsItem, bound: Option<SocketAddr>, desk: &mut Desk) {
    let feels = |link: &Link| link.purpose == Purpose::Feeler;
    if parts.links.iter().any(|(_, link)| feels(link)) || !parts.links.has_room_to_dial() {
        return;
    }
    let linked = linked(parts);
    let untried = |peer: &KnownPeer| {
        peer.last_heard == 0
            && Some(peer.address) != bound
            && linked.binary_search(&peer.id).is_err()
    };
    let unix_ms = desk.now.unix_ms_of(parts.clock);
    let chance = [(); 3].map(|()| parts.random.0.next_u64());
    let Some(peer) = parts.book.draw(unix_ms, untried, chance) else {
        return;
    };
    let link = desk.commands.spawn_empty().id();
    let dial = Dial {
        node: parts.node,
        link,
        address: peer.address,
        id: Some(peer.id),
        anonymous: false,
    };
    start(parts, &dial, Purpose::Feeler, desk);
}

/// They have said what they are, and the book knows it: that was all.
pub(crate) fn felt(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    if link.purpose != Purpose::Feeler || link.over.is_some() {
        return;
    }
    // They dialled us at the same time, and may want it; and a CLOSE on the session that they gave up would not reach them.
    if !link.initiator() || link.has_other_session() {
        link.purpose = Purpose::Asked;
        return;
    }
    end(link, entity, CloseReason::Idle, desk);
}
