//! Data messages: opened, and what follows for their link before any frame is looked at. PROTOCOL 2.2.

use crate::circuit::Hop;
use crate::datagram::Header;
use crate::desk::{Desk, PartsItem, new_link_entity};
use crate::frame::{self, kind};
use crate::handshake::Pending;
use crate::limits::PEERS_ROWS_MAX;
use crate::link_state::{Link, Purpose, Slot};
use crate::link_table::Place;
use crate::moment::Moment;
use crate::roam::Roam;
use crate::session::Session;
use crate::{CloseReason, DownReason, DropReason};
use bytes::{BufMut, Bytes};
use dunlin_engine::bevy_ecs::prelude::*;
use rand_core::Rng;
use std::net::SocketAddr;
use std::num::NonZeroU32;

/// An opened message.
pub(crate) struct Opened {
    pub link: Entity,
    pub slot: Slot,
    pub plain: Bytes,
}

/// Opens a data message and lets its link come up, take over a session, or begin to roam.
pub(crate) fn on_data(
    parts: &mut PartsItem,
    from: SocketAddr,
    header: &Header,
    sealed: &[u8],
    desk: &mut Desk,
) -> Result<Opened, DropReason> {
    let now = desk.time();
    let (entity, slot, plain) = match parts.links.place(header.index) {
        None => return Err(DropReason::NoSession),
        Some(Place::HalfOpen) => {
            let (entity, plain) = prove(parts, header, sealed, desk)?;
            (entity, Slot::Current, plain)
        }
        Some(Place::Link(entity)) => {
            let link = parts.links.get_mut(entity).ok_or(DropReason::NoSession)?;
            let slot = link.slot(header.index).ok_or(DropReason::NoSession)?;
            let session = link.session_mut(slot).ok_or(DropReason::NoSession)?;
            (entity, slot, session.open(header, sealed, now)?)
        }
    };
    let link = parts.links.get_mut(entity).ok_or(DropReason::NoSession)?;
    let identity = parts.identity; // Looked at only where two sessions compete.
    let we_win = |link: &Link| link.id.is_some_and(|id| identity.id() < id);
    if link.on_heard(slot, we_win, now) {
        parts.links.reindex(entity);
        desk.note_change(parts.node, entity);
    }
    let came = crate::limits::HEADER_BYTES + sealed.len();
    notice_address(parts, entity, from, came, desk);
    let link = parts.links.get_mut(entity).ok_or(DropReason::NoSession)?;
    // Who refuses us says so in the first frame; that is no link.
    if !link.is_up() && plain.first() != Some(&kind::CLOSE) {
        come_up(parts, entity, desk);
    }
    // The session may have moved up.
    let link = parts.links.get(entity).ok_or(DropReason::NoSession)?;
    let slot = link.slot(header.index).unwrap_or(slot);
    Ok(Opened {
        link: entity,
        slot,
        plain,
    })
}

/// The first message of a session that another began: its initiator has proved itself.
// PROTOCOL 2.2
fn prove(
    parts: &mut PartsItem,
    header: &Header,
    sealed: &[u8],
    desk: &mut Desk,
) -> Result<(Entity, Bytes), DropReason> {
    let now = desk.time();
    let row = parts.links.half_open.get_mut(header.index);
    let row = row.ok_or(DropReason::NoSession)?;
    let Pending::Data { session, .. } = &mut row.pending else {
        return Err(DropReason::NoSession); // XX-3 has not come.
    };
    let plain = session.open(header, sealed, now)?;
    let row = parts.links.half_open.remove(header.index);
    parts.links.release(header.index);
    let Some((
        from,
        Pending::Data {
            session,
            id,
            anonymous,
        },
    )) = row.map(|row| (row.from, row.pending))
    else {
        return Err(DropReason::NoSession);
    };
    // Whom we know keeps the link, and the link its entity; whom we are dialling comes up as that.
    let known = match anonymous {
        true => parts.links.by_throwaway(&id),
        false => {
            let dialled = || parts.links.dial_to(&id).map(|(entity, _)| entity);
            parts.links.by_id(&id).or_else(dialled)
        }
    };
    if known.is_none() && !parts.links.has_room_inbound(from) {
        refuse(parts, from, *session, desk);
        return Err(DropReason::LinksFull);
    }
    let entity = known.unwrap_or_else(|| {
        let entity = new_link_entity(desk, parts.node);
        let mut link = Link::new(from, false, parts.settings.keep_alive, now);
        (link.id, link.anonymous) = (Some(id), anonymous);
        parts.links.insert(entity, link);
        entity
    });
    if let Some(link) = parts.links.get_mut(entity) {
        link.accept(*session, now);
        link.move_to(from); // Its cookie was right.
        link.roam = None;
    }
    parts.links.reindex(entity);
    desk.note_change(parts.node, entity);
    Ok((entity, plain))
}

fn refuse(parts: &mut PartsItem, to: SocketAddr, mut session: Session, desk: &mut Desk) {
    let mut datagram = Session::blank();
    frame::put(&mut datagram, kind::CLOSE, &[CloseReason::TooMany as u8]);
    if let Some(sealed) = session.seal(datagram, desk.time()) {
        desk.datagram(&mut parts.traffic, parts.node, to, sealed);
    }
}

/// A message that came from elsewhere: asks there, and moves the link only when the answer comes.
// PROTOCOL 2.2
fn notice_address(
    parts: &mut PartsItem,
    entity: Entity,
    from: SocketAddr,
    came: usize,
    desk: &mut Desk,
) {
    let now = desk.time();
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    if link.is_at(from) {
        return; // As nearly always: nothing is drawn.
    }
    if Hop::of(from).is_some() || Hop::of(link.address()).is_some() {
        return; // Into and out of circuits a link moves with a new session only.
    }
    let ping = parts.random.0.next_u32();
    let roam = match &mut link.roam {
        Some(roam) if roam.to == from => roam,
        other => other.insert(Box::new(Roam::new(from, ping, now))),
    };
    if !roam.came(came, now) {
        return;
    }
    let mut datagram = Session::blank();
    frame::put(&mut datagram, kind::PING, &roam.ping.to_le_bytes());
    let session = link.current.as_mut();
    if let Some(sealed) = session.and_then(|session| session.seal(datagram, now)) {
        desk.datagram(&mut parts.traffic, parts.node, from, sealed);
    }
}

/// A PONG: if it is the one that a new address had to send, the link moves there.
// PROTOCOL 2.2
pub(crate) fn on_pong(
    parts: &mut PartsItem,
    entity: Entity,
    from: SocketAddr,
    id: u32,
    desk: &mut Desk,
) {
    let unix_ms = desk.now.unix_ms_of(parts.clock);
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    if !link
        .roam
        .as_ref()
        .is_some_and(|roam| roam.to == from && roam.ping == id)
    {
        return;
    }
    link.move_to(from);
    link.roam = None;
    if let (Some(id), false) = (link.id, link.anonymous) {
        parts.book.heard(id, from, link.about, unix_ms);
    }
    desk.note_change(parts.node, entity);
    let observed = Bytes::copy_from_slice(&crate::encode_address(from));
    desk.frame_out(entity, kind::OBSERVED, observed);
}

/// Both sides have proved themselves; or the responder has, and we who hide begin to ask.
pub(crate) fn come_up(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let (node, now) = (parts.node, desk.time());
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    link.come_up(now);
    let (id, main) = (link.id, !link.anonymous && link.hidden.is_none());
    let lasting = matches!(link.purpose, Purpose::Asked | Purpose::Chosen);
    let ask = link.outbound && link.hidden.is_none() && lasting;
    tracing::debug!(?node, link = ?entity, peer = ?id, address = %link.address(), "link up");
    desk.up(node, entity);
    if let (Some(id), true) = (id, main)
        && let Some(old) = parts.links.make_main(id, entity)
    {
        desk.down(parts, old, DownReason::Replaced);
    }
    crate::pass::link_up(parts, entity, desk);
    if ask {
        ask_for_peers(parts, entity, desk);
    }
}

/// Asks a peer whom else it knows.
// PROTOCOL 2.3
pub(crate) fn ask_for_peers(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let request = NonZeroU32::new(parts.random.0.next_u32()).unwrap_or(NonZeroU32::MIN);
    let now = desk.time();
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    link.peers_request = Some(request);
    link.peers_asked = Moment::at(now);
    let mut body = Vec::with_capacity(5);
    body.put_u32_le(request.get());
    body.put_u8(PEERS_ROWS_MAX as u8);
    desk.frame_out(entity, kind::PEERS_ASK, body);
}
