//! Circuits that others open: to this node, and through it to another. PROTOCOL 2.5
//!
//! A node passes datagrams on between two links of its own, and reads none of them: what is inside is a link of its two ends.

use crate::address::{ADDRESS_BYTES, Scope, decode_address};
use crate::circuit::{End, Hop};
use crate::circuit_end::{Unused, close};
use crate::desk::{Desk, PartsItem};
use crate::dial::start;
use crate::frame::{Refused, kind, refusal};
use crate::limits::CIRCUIT_LINK_IDLE;
use crate::link_state::Purpose;
use crate::nested::{opened, send_open, smaller};
use crate::{CloseReason, Dial, DownReason, DropReason, FrameKinds, PeerId};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) fn handle(body: &[u8]) -> Result<u32, DropReason> {
    let handle = body.first_chunk().ok_or(DropReason::FrameMalformed)?;
    Ok(u32::from_le_bytes(*handle))
}

/// Somebody wants a circuit, to us or to a peer of ours.
// PROTOCOL 2.5
pub(crate) fn on_open(
    parts: &mut PartsItem,
    link: Entity,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let hop = Hop {
        link,
        handle: handle(body)?,
    };
    let (to, rest) = body[4..]
        .split_first_chunk::<32>()
        .ok_or(DropReason::FrameMalformed)?;
    let address = *rest
        .first_chunk::<ADDRESS_BYTES>()
        .ok_or(DropReason::FrameMalformed)?;
    let ours = smaller(parts, link).ok_or(DropReason::NoSession)?;
    // Their handles are not ours, and 0 stands for none.
    if hop.handle % 2 == u32::from(!ours) || hop.handle < 2 {
        return Err(DropReason::FrameMalformed);
    }
    match settle(parts, hop, to, &address, desk) {
        Ok(()) => Ok(()),
        Err(reason) => {
            refuse(hop, reason, desk);
            Err(DropReason::CircuitRefused)
        }
    }
}

/// Opens it, or begins to; or says why not.
fn settle(
    parts: &mut PartsItem,
    hop: Hop,
    to: &[u8; 32],
    address: &[u8; ADDRESS_BYTES],
    desk: &mut Desk,
) -> Result<(), u8> {
    let now = desk.time();
    // Only over a link between two that know each other: else who asks would be nobody's to limit.
    if parts.links.get(hop.link).is_none_or(|link| !link.main) {
        return Err(refusal::UNSUPPORTED);
    }
    if let Some(circuit) = parts.links.circuits_mut().get(hop) {
        // Repeated: the answer was lost, or is not there yet.
        match circuit.end {
            _ if circuit.open => say_opened(hop, desk),
            End::On(next) => {
                if let Some(to) = parts.links.get(next.link).and_then(|link| link.id) {
                    send_open(next, &to, nobody(), desk);
                }
            }
            _ => {}
        }
        return Ok(());
    }
    let here = to == parts.identity.id().as_bytes();
    let about = parts.settings.about;
    if !here && (!about.carries() || about.metered() || parts.bandwidth.limit() == Some(0)) {
        return Err(refusal::CARRY);
    }
    for idle in parts.links.circuits_mut().idle(now) {
        close(parts, idle, desk);
    }
    let circuits = parts.links.circuits_mut();
    if !circuits.admit(hop.link, now) {
        return Err(refusal::SHARE);
    }
    if circuits.is_full() {
        return Err(refusal::FULL);
    }
    if here {
        circuits.insert(hop, End::Here, true, now);
        say_opened(hop, desk);
        return Ok(());
    }
    let known = parts.book.known(to);
    let to = known.or_else(|| PeerId::checked(parts.identity.primitives(), *to).ok());
    let to = to.ok_or(refusal::MALFORMED)?;
    match parts.links.by_id(&to) {
        Some(link) if link == hop.link => Err(refusal::UNREACHED),
        Some(link) => {
            pass(parts, hop, link, &to, desk);
            Ok(())
        }
        None => {
            let dial = lead_to(parts, hop, &to, address, desk).ok_or(refusal::UNREACHED)?;
            let waits = End::Waits { dial, to };
            parts.links.circuits_mut().insert(hop, waits, true, now);
            Ok(())
        }
    }
}

/// Dials the peer that somebody wants to reach, where we know it to be; else where they say, if that reaches as far as they do: nobody
/// learns through us what there is on our LAN.
fn lead_to(
    parts: &mut PartsItem,
    hop: Hop,
    to: &PeerId,
    address: &[u8; ADDRESS_BYTES],
    desk: &mut Desk,
) -> Option<Entity> {
    if let Some((dial, _)) = parts.links.dial_to(to) {
        return Some(dial);
    }
    let asker = parts.links.get(hop.link)?.address();
    let told = || {
        let address = decode_address(address)?;
        (Scope::of(address.ip()) >= Scope::of(asker.ip())).then_some(address)
    };
    let known = parts.book.get(to).map(|peer| peer.address);
    let address = known.or_else(told)?;
    let now = desk.time();
    if !parts.links.has_room_to_dial() || parts.links.circuits_mut().was_in_vain(address, now) {
        return None;
    }
    let dial = Dial {
        node: parts.node,
        link: desk.commands.spawn_empty().id(),
        address,
        id: Some(*to),
        anonymous: false,
    };
    start(parts, &dial, Purpose::Circuits, desk);
    let at = desk.time() + CIRCUIT_LINK_IDLE;
    desk.timers.set::<Unused>(dial.link, at);
    Some(dial.link)
}

/// Joins a circuit that was asked for to a new one over the link to its peer.
pub(crate) fn pass(parts: &mut PartsItem, hop: Hop, link: Entity, to: &PeerId, desk: &mut Desk) {
    let now = desk.time();
    let Some(smaller) = smaller(parts, link) else {
        return;
    };
    let circuits = parts.links.circuits_mut();
    let handle = circuits.new_handle(link, smaller);
    let next = Hop { link, handle };
    let held = circuits.remove(hop).map(|waited| waited.held);
    circuits.insert(hop, End::On(next), true, now);
    circuits.insert(next, End::On(hop), false, now);
    send_open(next, to, nobody(), desk);
    if let Some(held) = held.filter(|held| !held.is_empty()) {
        send_on(next, &held, desk);
    }
}

/// Stands for an address that its reader has no use for.
fn nobody() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, 0).into()
}

fn say_opened(hop: Hop, desk: &mut Desk) {
    desk.frame_out(
        hop.link,
        kind::CIRCUIT_OPENED,
        hop.handle.to_le_bytes().to_vec(),
    );
}

pub(crate) fn refuse(hop: Hop, reason: u8, desk: &mut Desk) {
    let refused = Refused {
        frame: kind::CIRCUIT_OPEN,
        reason,
        price_bits: 0,
        request: hop.handle,
    };
    desk.frame_out(hop.link, kind::REFUSED, refused.encode());
}

/// The other side of a link has opened what we asked for.
// PROTOCOL 2.5
pub(crate) fn on_opened(
    parts: &mut PartsItem,
    link: Entity,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let hop = Hop {
        link,
        handle: handle(body)?,
    };
    let circuits = parts.links.circuits_mut();
    let circuit = circuits.get_mut(hop).filter(|circuit| !circuit.asked);
    let circuit = circuit.ok_or(DropReason::Unasked)?;
    circuit.open = true;
    match circuit.end {
        End::Own(nested) => opened(parts, nested),
        End::On(asker) => {
            if let Some(asked) = circuits.get_mut(asker) {
                asked.open = true;
                say_opened(asker, desk);
            }
        }
        End::Here | End::Waits { .. } => {}
    }
    Ok(())
}

/// A datagram came through a circuit: it is for a link here, or goes on.
// PROTOCOL 2.5
pub(crate) fn on_circuit(
    parts: &mut PartsItem,
    link: Entity,
    body: &Bytes,
    kinds: &FrameKinds,
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let hop = Hop {
        link,
        handle: handle(body)?,
    };
    let now = desk.time();
    let circuits = parts.links.circuits_mut();
    let Some(circuit) = circuits.get_mut(hop) else {
        say_closed(hop, Why::Lost, desk); // Theirs goes on as if it were there.
        return Err(DropReason::NoCircuit);
    };
    circuit.used = now;
    match circuit.end {
        End::Own(_) | End::Here => crate::open::open(parts, hop.address(), &body[4..], kinds, desk),
        End::On(next) => {
            if let Some(circuit) = circuits.get_mut(next) {
                circuit.used = now;
            }
            if !parts.bandwidth.take(body.len(), now) {
                return Err(DropReason::Share);
            }
            send_on(next, &body[4..], desk);
            Ok(())
        }
        // The first word of a handshake: it goes on with what opens the circuit.
        End::Waits { .. } => {
            circuit.held = body.slice(4..);
            Ok(())
        }
    }
}

fn send_on(hop: Hop, datagram: &[u8], desk: &mut Desk) {
    let mut body = Vec::with_capacity(4 + datagram.len());
    body.extend_from_slice(&hop.handle.to_le_bytes());
    body.extend_from_slice(datagram);
    desk.frame_out(hop.link, kind::CIRCUIT_DATA, body);
}

/// Why a circuit ends. The numbers are the protocol's.
// PROTOCOL 2.5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// One of its ends ended it.
    HungUp = 0,
    /// A link on its way is gone, or does not know it.
    Lost = 1,
}

impl Why {
    /// What this is to a link that was nested in it.
    pub(crate) fn reason(self) -> DownReason {
        match self {
            Why::HungUp => DownReason::Closed(CloseReason::Idle),
            Why::Lost => DownReason::Lost,
        }
    }
}

pub(crate) fn say_closed(hop: Hop, why: Why, desk: &mut Desk) {
    let mut body = hop.handle.to_le_bytes().to_vec();
    body.push(why as u8);
    desk.frame_out(hop.link, kind::CIRCUIT_CLOSE, body);
}

/// A link came up: circuits that waited for it go on.
pub(crate) fn link_up(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let waiting = parts
        .links
        .circuits()
        .map(|circuits| circuits.waiting(entity));
    for (hop, to) in waiting.into_iter().flatten() {
        pass(parts, hop, entity, &to, desk);
    }
}
