//! What is due on links: retries, keep-alive, new sessions, losses. In `Maintain`, set `NetSystems::Keep`.

use crate::desk::{Desk, Parts, PartsItem, Wake, greet};
use crate::dial::begin;
use crate::frame::kind;
use crate::limits::{CIRCUIT_DIAL_MAX, HANDSHAKE_AGE_MAX, UNHEARD_MAX};
use crate::link_state::Purpose;
use crate::link_table::Held;
use crate::moment::Moment;
use crate::pulse::Beat;
use crate::retry::Again;
use crate::{DownReason, PeerDown, PeerSilent, nested};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::{Due, bevy_ecs};
use rand_core::Rng;

pub(crate) fn keep_links(
    mut due: MessageReader<Due<Wake>>,
    holders: Query<&Held>,
    mut nodes: Query<Parts>,
    mut desk: Desk,
) {
    for due in due.read() {
        let Ok(held) = holders.get(due.entity) else {
            continue;
        };
        // The node may have closed; its links went with it.
        let Ok(mut parts) = nodes.get_mut(held.0) else {
            continue;
        };
        if let Err(reason) = keep(&mut parts, due.entity, &mut desk) {
            desk.down(&mut parts, due.entity, reason);
        } else if let Some(link) = parts.links.get_mut(due.entity) {
            link.armed = Moment::NONE;
            desk.arm(due.entity, link);
        }
    }
    desk.write_peers(&nodes);
}

/// Links of which somebody else knows that they are over.
pub(crate) fn lose_silent(
    mut silent: MessageReader<PeerSilent>,
    holders: Query<&Held>,
    mut nodes: Query<Parts>,
    mut desk: Desk,
) {
    for PeerSilent { peer } in silent.read() {
        if let Ok(held) = holders.get(*peer)
            && let Ok(mut parts) = nodes.get_mut(held.0)
        {
            desk.down(&mut parts, *peer, DownReason::Lost);
        }
    }
}

fn keep(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) -> Result<(), DownReason> {
    let now = desk.time();
    let node = parts.node;
    let Some(link) = parts.links.get_mut(entity) else {
        return Ok(());
    };
    if let Some(reason) = link.over {
        return Err(reason);
    }
    let for_circuits = link.purpose == Purpose::Circuits && !link.is_up();
    if let Some(dial) = &mut link.dial {
        let unwanted =
            for_circuits && !dial.has_cookie() && dial.retry.age(now) >= CIRCUIT_DIAL_MAX;
        match dial.retry.on_time(now) {
            Again::Wait => {}
            Again::Send if unwanted => give_up(parts, entity, desk)?,
            Again::Send => {
                let datagram = dial.datagram();
                desk.datagram(&mut parts.traffic, node, link.address(), datagram);
            }
            Again::GiveUp => give_up(parts, entity, desk)?,
        }
    }
    let link = parts.links.get_mut(entity).ok_or(DownReason::Lost)?;
    match link
        .greeting
        .as_mut()
        .map(|greeting| greeting.retry.on_time(now))
    {
        Some(Again::Send) => {
            greet(parts, entity, desk);
            begin_again(parts, entity, desk);
        }
        Some(Again::GiveUp) => give_up(parts, entity, desk)?,
        Some(Again::Wait) | None => {}
    }
    nested::on_time(parts, entity, desk)?;
    let link = parts.links.get_mut(entity).ok_or(DownReason::Lost)?;
    if link.is_unheard(now) {
        return Err(DownReason::Lost);
    }
    if !link.is_up() {
        let under_way = link.dial.is_some() || link.greeting.is_some() || link.opening().is_some();
        return if under_way {
            Ok(())
        } else {
            Err(DownReason::Unreachable)
        };
    }
    if link
        .current
        .as_ref()
        .is_none_or(|session| session.is_over(now))
    {
        return Err(DownReason::Lost);
    }
    match link.pulse.on_time(link.initiator(), now) {
        Beat::Rest => {}
        Beat::Lost => return Err(DownReason::Lost),
        Beat::Ping => {
            let id = parts.random.0.next_u32().to_le_bytes();
            desk.frame_out(entity, kind::PING, Bytes::copy_from_slice(&id));
            desk.note_heard(parts, entity);
        }
    }
    let link = parts.links.get_mut(entity).ok_or(DownReason::Lost)?;
    if link.forget_previous(now) {
        parts.links.reindex(entity);
    }
    let link = parts.links.get(entity).ok_or(DownReason::Lost)?;
    if link.wants_rekey(now) {
        // It fails only on a key that no handshake would have proved.
        begin(parts, entity, desk).map_err(|_| DownReason::Lost)?;
    }
    Ok(())
}

/// The responder answered, but does not know the session any more: others pushed it out before our proof came. Asks anew.
fn begin_again(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let now = desk.time();
    let Some(link) = parts.links.get(entity) else {
        return;
    };
    let greeting = link.greeting.as_ref();
    let unheard = greeting.is_some_and(|greeting| now - greeting.retry.started >= UNHEARD_MAX);
    let in_time = now - link.since < 2 * HANDSHAKE_AGE_MAX;
    if unheard && in_time && !link.is_up() && link.dial.is_none() {
        // An error would be our own key's, which began this link well.
        let _ = begin(parts, entity, desk);
    }
}

/// A handshake had no answer in time: a dial has failed, but a link that is up goes on with the session it has.
fn give_up(parts: &mut PartsItem, entity: Entity, desk: &Desk) -> Result<(), DownReason> {
    let link = parts.links.get_mut(entity).ok_or(DownReason::Unreachable)?;
    if !link.is_up() {
        return Err(DownReason::Unreachable);
    }
    link.rekey_failed(desk.time());
    parts.links.reindex(entity);
    Ok(())
}

/// Despawns the entities of links that went down in this turn. In `Settle`.
pub(crate) fn sweep(mut downs: MessageReader<PeerDown>, mut commands: Commands) {
    for down in downs.read() {
        if let Ok(mut entity) = commands.get_entity(down.peer) {
            entity.try_despawn();
        }
    }
}
