//! Handshakes that others begin, and answers to our own. PROTOCOL 2.2.

use crate::circuit::Hop;
use crate::data::come_up;
use crate::datagram::{Header, Kind};
use crate::desk::{Desk, PartsItem, greet};
use crate::half_open::HalfOpen;
use crate::handshake::{Pending, cookie_datagram, respond};
use crate::limits::{COOKIE_BYTES, LINKS_MAX, SIMULTANEOUS_AGE_MAX};
use crate::link_table::Place;
use crate::{DownReason, DropReason, PeerId, Prefix};
use std::net::SocketAddr;

/// IK-1 or XX-1: a stranger's first word. Nothing is kept, and no public-key work done, before the cookie is right.
// PROTOCOL 2.2
pub(crate) fn on_first(
    parts: &mut PartsItem,
    from: SocketAddr,
    header: &Header,
    rest: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let (node, now) = (parts.node, desk.time());
    let random = &mut parts.random.0;
    let (cookie, message) = rest
        .split_first_chunk::<COOKIE_BYTES>()
        .ok_or(DropReason::Length)?;
    let nested = Hop::of(from).is_some();
    let cookies = parts.links.cookies(now, random);
    // Who comes through a circuit is where its neighbour is, who has proved it.
    if !nested && let Err(right) = cookies.check(from, cookie) {
        desk.datagram(
            &mut parts.traffic,
            node,
            from,
            cookie_datagram(header, &right),
        );
        return Err(DropReason::CookieWanted);
    }
    // Through a circuit only those who hide come.
    if nested && header.kind != Kind::Ik1 {
        return Err(DropReason::HandshakeForged);
    }
    let asked = (header.index, header.counter);
    if let Some(reply) = parts.links.half_open.answered(from, asked) {
        desk.datagram(&mut parts.traffic, node, from, reply);
        return Ok(());
    }
    if !parts.links.admission.admit(Prefix::of(from), now) {
        return Err(DropReason::HandshakeRate);
    }
    let index = parts.links.new_index(random);
    let (primitives, secret) = (parts.identity.primitives(), parts.identity.link_secret());
    let (reply, pending) = respond(primitives, &secret, header, message, index, now, random)?;
    if let Pending::Data { id, anonymous, .. } = &pending {
        if nested && !anonymous {
            return Err(DropReason::HandshakeForged);
        }
        check_initiator(parts, id, *anonymous, desk)?;
    }
    let row = HalfOpen {
        from,
        asked,
        reply: reply.clone(),
        pending,
        since: now,
    };
    for gone in parts.links.half_open.insert(index, row) {
        parts.links.release(gone);
        parts.drops.count(DropReason::HalfOpenFull);
    }
    parts.links.hold(index);
    desk.datagram(&mut parts.traffic, node, from, reply);
    Ok(())
}

/// Ourselves are no peer; and of two handshakes begun at once, the one whose initiator has the smaller id stands.
// PROTOCOL 2.2
fn check_initiator(
    parts: &PartsItem,
    id: &PeerId,
    anonymous: bool,
    desk: &Desk,
) -> Result<(), DropReason> {
    let ours = parts.identity.id();
    if *id == ours {
        return Err(DropReason::HandshakeId);
    }
    if anonymous || *id < ours {
        return Ok(());
    }
    let dial = parts
        .links
        .dial_to(id)
        .and_then(|(_, link)| link.dial.as_ref());
    // An old one gives way: theirs comes through, and ours perhaps cannot.
    match dial {
        Some(dial) if desk.time() - dial.retry.started < SIMULTANEOUS_AGE_MAX => {
            Err(DropReason::Simultaneous)
        }
        _ => Ok(()),
    }
}

/// XX-3: the initiator proves its key. The link comes up with the data that follows.
// PROTOCOL 2.2
pub(crate) fn on_third(
    parts: &mut PartsItem,
    header: &Header,
    message: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let now = desk.time();
    let row = parts.links.half_open.get_mut(header.index);
    let row = row.ok_or(DropReason::NoSession)?;
    let Pending::Third(third) = &mut row.pending else {
        return Err(DropReason::Unasked); // Repeated: the first one did.
    };
    let secret = parts.identity.link_secret();
    let (session, id) = third.conclude(&secret, header, message, now)?;
    if id == parts.identity.id() {
        return Err(DropReason::HandshakeId);
    }
    row.pending = Pending::Data {
        session: Box::new(session),
        id,
        anonymous: false,
    };
    Ok(())
}

/// A cookie for a handshake of ours: the same message goes again, with it.
// PROTOCOL 2.2
pub(crate) fn on_cookie(
    parts: &mut PartsItem,
    from: SocketAddr,
    header: &Header,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let Some(Place::Link(entity)) = parts.links.place(header.index) else {
        return Err(DropReason::Unasked);
    };
    let link = parts.links.get_mut(entity).ok_or(DropReason::Unasked)?;
    let here = link.is_at(from);
    let dial = link.dial.as_mut().ok_or(DropReason::Unasked)?;
    if !here || !dial.take_cookie(header, body) {
        return Err(DropReason::Unasked);
    }
    desk.datagram(&mut parts.traffic, parts.node, from, dial.datagram());
    Ok(())
}

/// IK-2 or XX-2: the responder has proved itself.
// PROTOCOL 2.2
pub(crate) fn on_second(
    parts: &mut PartsItem,
    from: SocketAddr,
    header: &Header,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let now = desk.time();
    let Some(Place::Link(entity)) = parts.links.place(header.index) else {
        return Err(DropReason::Unasked);
    };
    let full = parts.links.up_count() >= LINKS_MAX && Hop::of(from).is_none();
    let link = parts.links.get_mut(entity).ok_or(DropReason::Unasked)?;
    if !link.is_at(from) {
        return Err(DropReason::Unasked);
    }
    let dial = link.dial.as_mut().ok_or(DropReason::Unasked)?;
    let established = dial.finish(header, body, now)?;
    let refused = if established.id == parts.identity.id() {
        Some(DownReason::Oneself)
    } else if !link.is_up() && full {
        Some(DownReason::TooMany)
    } else {
        None
    };
    if let Some(reason) = refused {
        (link.dial, link.over) = (None, Some(reason));
    } else {
        link.establish(established, now);
        let speaks_first = link.speaks_first(now);
        greet(parts, entity, desk);
        if speaks_first {
            parts.links.reindex(entity);
            come_up(parts, entity, desk);
        }
    }
    parts.links.reindex(entity);
    if let Some(link) = parts.links.get_mut(entity) {
        desk.arm(entity, link);
    }
    Ok(())
}
