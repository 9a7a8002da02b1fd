//! Links that this node begins, and those it ends. In `Transmit`, set `NetSystems::Seal`, before `seal.rs`.

use crate::address::is_reachable;
use crate::desk::{Desk, Parts, PartsItem};
use crate::frame::kind;
use crate::handshake::Initiation;
use crate::link_state::{Hidden, Link, Purpose};
use crate::link_table::{Held, Links};
use crate::noise::NoiseError;
use crate::{CircuitUse, CloseReason, Dial, DownReason, DropReason, HangUp, nested};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::bevy_ecs;
use rand_core::Rng;
use zeroize::Zeroizing;

pub(crate) fn dial_peers(mut dials: MessageReader<Dial>, mut nodes: Query<Parts>, mut desk: Desk) {
    for dial in dials.read() {
        if let Ok(mut parts) = nodes.get_mut(dial.node) {
            start(&mut parts, dial, Purpose::Asked, &mut desk);
        }
    }
}

/// Begins a link. What cannot be is told in the next turn, when everybody reads it.
pub(crate) fn start(parts: &mut PartsItem, dial: &Dial, purpose: Purpose, desk: &mut Desk) {
    let entity = dial.link;
    let Ok(mut commands) = desk.commands.get_entity(entity) else {
        return; // Despawned in the same turn: nobody waits for it.
    };
    if parts.links.get(entity).is_some() {
        return; // Dialled already.
    }
    commands.try_insert(Held(parts.node));
    let keep_alive = parts.settings.keep_alive;
    let mut link = Link::new(dial.address, true, keep_alive, desk.time());
    (link.id, link.purpose) = (dial.id, purpose);
    if dial.anonymous {
        let mut hidden = Box::new(Hidden {
            secret: Zeroizing::new([0; 32]),
            opening: None,
        });
        parts.random.0.fill_bytes(&mut *hidden.secret);
        link.hidden = Some(hidden);
    }
    let impossible = !is_reachable(&dial.address) || (dial.anonymous && dial.id.is_none());
    link.over = if impossible {
        Some(DownReason::Impossible)
    } else if dial.id == Some(parts.identity.id()) {
        Some(DownReason::Oneself)
    } else if !parts.links.has_room_to_dial() {
        Some(DownReason::TooMany)
    } else {
        None
    };
    let refused = link.over.is_some();
    let nested = dial.anonymous && parts.settings.circuits != CircuitUse::Off;
    parts.links.insert(entity, link);
    if !refused && nested {
        let over = nested::open(parts, entity, desk).err();
        if let Some(link) = parts.links.get_mut(entity) {
            link.over = over;
        }
    } else if !refused && begin(parts, entity, desk).is_err() {
        // Only an id that no check would have passed has no agreement.
        if let Some(link) = parts.links.get_mut(entity) {
            link.over = Some(DownReason::Impossible);
        }
    }
    if let Some(link) = parts.links.get_mut(entity) {
        desk.arm(entity, link);
    }
}

/// Sends the first message of a handshake for this link: its first, or a new session's.
// PROTOCOL 2.2
pub(crate) fn begin(
    parts: &mut PartsItem,
    entity: Entity,
    desk: &mut Desk,
) -> Result<(), NoiseError> {
    let random = &mut parts.random.0;
    let index = parts.links.new_index(random);
    let Some(link) = parts.links.get_mut(entity) else {
        return Ok(());
    };
    let ours = parts.identity.link_secret();
    let hidden = link.hidden.as_ref().map(|hidden| &hidden.secret);
    let secret = hidden.unwrap_or(&ours);
    let hides = link.hidden.is_some();
    let initiation = Initiation::begin(
        parts.identity.primitives(),
        secret,
        link.id.as_ref(),
        hides,
        index,
        desk.time(),
        random,
    )?;
    desk.datagram(
        &mut parts.traffic,
        parts.node,
        link.address(),
        initiation.datagram(),
    );
    link.dial = Some(Box::new(initiation));
    parts.links.reindex(entity);
    Ok(())
}

pub(crate) fn hang_up(
    mut hang_ups: MessageReader<HangUp>,
    holders: Query<&Held>,
    mut nodes: Query<Parts>,
    mut desk: Desk,
) {
    for hang_up in hang_ups.read() {
        let held = holders.get(hang_up.peer);
        let Some(mut parts) = held.ok().and_then(|held| nodes.get_mut(held.0).ok()) else {
            continue; // Gone already, which is what was asked for.
        };
        let Some(link) = parts.links.get_mut(hang_up.peer) else {
            continue;
        };
        if link.over.is_none() {
            end(link, hang_up.peer, hang_up.reason, &mut desk);
        }
    }
}

/// Ends a link, and tells the other side.
pub(crate) fn end(link: &mut Link, entity: Entity, reason: CloseReason, desk: &mut Desk) {
    if link.is_up() {
        let reason = Bytes::copy_from_slice(&[reason as u8]);
        desk.frame_out(entity, kind::CLOSE, reason);
    }
    link.over = Some(DownReason::HungUp(reason));
    desk.arm(entity, link);
}

/// A node closed: its links' entities go too.
pub(crate) fn forget_node(gone: On<Remove<Links>>, nodes: Query<&Links>, mut commands: Commands) {
    let Ok(links) = nodes.get(gone.event_target()) else {
        return;
    };
    for (link, _) in links.iter() {
        commands.entity(link).try_despawn();
    }
}

/// A link's entity was despawned by someone else: what the node keeps of it goes too.
pub(crate) fn forget_link(gone: On<Remove<Held>>, held: Query<&Held>, mut nodes: Query<Parts>) {
    let entity = gone.event_target();
    let Ok(held) = held.get(entity) else {
        return;
    };
    if let Ok(mut parts) = nodes.get_mut(held.0)
        && parts.links.remove(entity).is_some()
    {
        parts.drops.count(DropReason::NotSent); // It was not told.
    }
}
