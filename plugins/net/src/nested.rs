//! Links of our own that go through a neighbour: whoever is at the other end sees neither who nor where we are. PROTOCOL 2.5

use crate::circuit::{End, Hop};
use crate::desk::{Desk, PartsItem};
use crate::dial::begin;
use crate::frame::kind;
use crate::limits::{CIRCUIT_TRIES, CIRCUIT_WAIT, NESTED_MAX};
use crate::link_state::Link;
use crate::pass::{Why, say_closed};
use crate::retry::{Again, Retry};
use crate::{ADDRESS_BYTES, CircuitUse, DownReason, PeerId, Prefix, encode_address};
use bytes::BufMut;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::prelude::*;
use rand_core::Rng;
use std::net::SocketAddr;

/// A link that waits for its circuit.
pub(crate) struct Opening {
    /// Where its peer is, should no neighbour lead there.
    address: SocketAddr,
    /// The circuit that was asked for, and when.
    asked: Option<(Hop, Time)>,
    /// Neighbours that did not do it.
    tried: Vec<Entity>,
    pub retry: Retry,
}

/// Whether this link is one of ours that goes through a neighbour, or is to.
pub(crate) fn is_nested(link: &Link) -> bool {
    link.opening().is_some() || Hop::of(link.address()).is_some()
}

/// A hidden link was asked for: it goes through a neighbour unless the app wants none.
pub(crate) fn open(
    parts: &mut PartsItem,
    entity: Entity,
    desk: &mut Desk,
) -> Result<(), DownReason> {
    let nested = parts
        .links
        .iter()
        .filter(|(_, link)| link.hidden.is_some() && is_nested(link));
    if nested.count() >= NESTED_MAX {
        return Err(DownReason::TooMany);
    }
    let Some(link) = parts.links.get_mut(entity) else {
        return Ok(());
    };
    let opening = Opening {
        address: link.address(),
        asked: None,
        tried: Vec::new(),
        retry: Retry::new(desk.time()),
    };
    if let Some(hidden) = &mut link.hidden {
        hidden.opening = Some(opening);
    }
    ask(parts, entity, desk);
    let asked = parts
        .links
        .get(entity)
        .and_then(|link| link.opening()?.asked);
    match asked.is_some() || may_have_neighbours(parts) {
        true => Ok(()),
        false => straight(parts, entity, desk),
    }
}

/// Whether somebody to go through may come within moments: a link is being made, or there is none yet at a node that makes some.
fn may_have_neighbours(parts: &PartsItem) -> bool {
    let dialled = |link: &Link| link.hidden.is_none() && link.over.is_none() && !link.is_up();
    let begins = parts.settings.outbound > 0 && parts.links.up_count() == 0;
    begins || parts.links.iter().any(|(_, link)| dialled(link))
}

/// Asks the next neighbour, if there is one.
fn ask(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let now = desk.time();
    let Some((to, address, tried)) = parts.links.get(entity).and_then(|link| {
        let opening = link.opening()?;
        Some((link.id?, opening.address, opening.tried.clone()))
    }) else {
        return;
    };
    let Some(neighbour) = choose(parts, &to, address, &tried, now) else {
        return;
    };
    let Some(smaller) = smaller(parts, neighbour) else {
        return;
    };
    let circuits = parts.links.circuits_mut();
    let hop = Hop {
        link: neighbour,
        handle: circuits.new_handle(neighbour, smaller),
    };
    circuits.insert(hop, End::Own(entity), false, now);
    circuits.chose(to, neighbour);
    if let Some(link) = parts.links.get_mut(entity) {
        link.move_to(hop.address());
        if let Some(opening) = link.opening_mut() {
            (opening.asked, opening.retry) = (Some((hop, now)), Retry::new(now));
        }
    }
    send_open(hop, &to, address, desk);
    start(parts, entity, desk); // In the same datagram.
}

/// Whether our id is the smaller one on this link.
pub(crate) fn smaller(parts: &PartsItem, link: Entity) -> Option<bool> {
    let theirs = parts.links.get(link)?.id?;
    Some(parts.identity.id() < theirs)
}

// PROTOCOL 2.5
pub(crate) fn send_open(hop: Hop, to: &PeerId, address: SocketAddr, desk: &mut Desk) {
    let mut body = Vec::with_capacity(4 + 32 + ADDRESS_BYTES);
    body.put_u32_le(hop.handle);
    body.put_slice(to.as_bytes());
    body.put_slice(&encode_address(address));
    desk.frame_out(hop.link, kind::CIRCUIT_OPEN, body);
}

/// A neighbour to go through: none that is the peer itself or passes nothing on. Of the others one that answers; that was not lately used for this
/// peer, since what comes through one neighbour seems to be one sender's; that is not beside the peer; and by chance.
// PROTOCOL 2.5
fn choose(
    parts: &mut PartsItem,
    to: &PeerId,
    address: SocketAddr,
    tried: &[Entity],
    now: Time,
) -> Option<Entity> {
    let passes_on = |link: &Link| {
        let up = link.main && link.is_up() && link.over.is_none();
        up && link.about.carries() && !link.about.metered() && link.id != Some(*to)
    };
    let circuits = parts.links.circuits();
    let unwilling = |entity| circuits.is_some_and(|circuits| circuits.unwilling.contains(&entity));
    let there = Prefix::of(address);
    let rank = |entity, link: &Link| {
        let silent = link.pulse.unanswered(now) >= CIRCUIT_WAIT;
        let chosen = circuits.map_or(0, |circuits| circuits.chosen(to, entity));
        (silent, chosen, Prefix::of(link.address()) == there)
    };
    let neighbours = parts
        .links
        .iter()
        .filter(|(entity, link)| passes_on(link) && !tried.contains(entity))
        .filter(|(entity, _)| !unwilling(*entity));
    let mut ranked: Vec<_> = neighbours
        .map(|(entity, link)| (rank(entity, link), entity))
        .collect();
    ranked.sort_unstable();
    let (best, _) = ranked.first()?;
    let equal = ranked.iter().take_while(|(rank, _)| rank == best).count();
    let drawn = parts.random.0.next_u64() % equal as u64;
    Some(ranked[drawn as usize].1)
}

/// The circuit is there: it need not be asked for again.
pub(crate) fn opened(parts: &mut PartsItem, entity: Entity) {
    let link = parts.links.get_mut(entity);
    if let Some(hidden) = link.and_then(|link| link.hidden.as_mut()) {
        hidden.opening = None;
    }
}

fn start(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let begun = begin(parts, entity, desk);
    if let Some(link) = parts.links.get_mut(entity) {
        if begun.is_err() {
            link.over = Some(DownReason::Impossible);
        }
        desk.arm(entity, link);
    }
}

/// It is time to look at a link that waits for its circuit.
pub(crate) fn on_time(
    parts: &mut PartsItem,
    entity: Entity,
    desk: &mut Desk,
) -> Result<(), DownReason> {
    let now = desk.time();
    let Some(link) = parts.links.get_mut(entity) else {
        return Ok(());
    };
    let to = link.id;
    let Some(opening) = link.opening_mut() else {
        return Ok(());
    };
    if opening.retry.on_time(now) == Again::Wait {
        return Ok(());
    }
    match opening.asked {
        Some((hop, since)) if now - since < CIRCUIT_WAIT => {
            let address = opening.address;
            if let Some(to) = to {
                send_open(hop, &to, address, desk);
            }
            Ok(())
        }
        Some((hop, _)) => {
            say_closed(hop, Why::HungUp, desk);
            elsewhere(parts, entity, desk)
        }
        // Nobody to ask yet: a node that has just begun may soon have somebody.
        None => {
            ask(parts, entity, desk);
            let waits = |opening: &Opening| {
                opening.asked.is_some() || now - opening.retry.started < CIRCUIT_WAIT
            };
            let opening = parts.links.get(entity).and_then(|link| link.opening());
            if opening.is_some_and(waits) {
                return Ok(());
            }
            straight(parts, entity, desk)
        }
    }
}

/// A neighbour did not do it: asks the next, or goes without.
pub(crate) fn elsewhere(
    parts: &mut PartsItem,
    entity: Entity,
    desk: &mut Desk,
) -> Result<(), DownReason> {
    let Some(opening) = parts
        .links
        .get_mut(entity)
        .and_then(|link| link.opening_mut())
    else {
        return Err(DownReason::Lost);
    };
    let hop = opening.asked.take().map(|(hop, _)| hop);
    opening.tried.extend(hop.map(|hop| hop.link));
    let more = opening.tried.len() < CIRCUIT_TRIES;
    if let Some(hop) = hop {
        parts.links.circuits_mut().remove(hop);
    }
    if more {
        ask(parts, entity, desk);
    }
    let opening = parts.links.get(entity).and_then(|link| link.opening());
    match opening.is_some_and(|opening| opening.asked.is_some()) {
        true => Ok(()),
        false => straight(parts, entity, desk),
    }
}

/// No neighbour leads there. The link is still one on which we hide, but its peer will see where we are: unless the app would rather have none.
fn straight(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) -> Result<(), DownReason> {
    if parts.settings.circuits == CircuitUse::Require {
        return Err(DownReason::Unreachable);
    }
    if let Some(link) = parts.links.get_mut(entity)
        && let Some(opening) = link
            .hidden
            .as_mut()
            .and_then(|hidden| hidden.opening.take())
    {
        link.move_to(opening.address);
        start(parts, entity, desk);
    }
    Ok(())
}
