//! What the systems of links share: a node's parts, and where results go.

use crate::circuit::Hop;
use crate::limits::HEARD_WAIT;
use crate::link_state::{Link, Purpose};
use crate::link_table::{Held, Links};
use crate::moment::Moment;
use crate::{
    About, AddressBook, Bandwidth, DatagramOut, DownReason, DropReason, Drops, FrameIn, FrameOut,
    Identity, LinkSettings, Peer, PeerDown, PeerUp, Traffic, frame,
};
use bevy_ecs::prelude::*;
use bevy_ecs::query::QueryData;
use bevy_ecs::system::SystemParam;
use bytes::{BufMut, Bytes, BytesMut};
use dunlin_engine::bevy_ecs;
use dunlin_engine::{ClockError, Now, Random, Time, Timers};
use rand_core::Rng;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Timer of a link: something about it is due.
pub(crate) struct Wake;
/// Timer of a node: time to look for more links.
pub(crate) struct Fill;
/// Timer of a node: time to save its address book.
pub(crate) struct Save;

/// The parts of a node that links need.
#[derive(QueryData)]
#[query_data(mutable)]
pub(crate) struct Parts {
    pub node: Entity,
    pub identity: &'static Identity,
    pub settings: &'static LinkSettings,
    pub links: &'static mut Links,
    pub book: &'static mut AddressBook,
    pub drops: &'static mut Drops,
    pub traffic: &'static mut Traffic,
    pub bandwidth: &'static mut Bandwidth,
    pub random: &'static mut Random,
    pub clock: Option<&'static ClockError>,
}

/// Where the systems of links write.
#[derive(SystemParam)]
pub(crate) struct Desk<'w, 's> {
    pub now: Res<'w, Now>,
    pub timers: ResMut<'w, Timers>,
    pub commands: Commands<'w, 's>,
    datagrams: MessageWriter<'w, DatagramOut>,
    frames_in: MessageWriter<'w, FrameIn>,
    frames_out: MessageWriter<'w, FrameOut>,
    ups: MessageWriter<'w, PeerUp>,
    downs: MessageWriter<'w, PeerDown>,
    /// Links whose [`Peer`] is to be written anew when the system ends.
    changed: Local<'s, BTreeSet<(Entity, Entity)>>,
}

impl Desk<'_, '_> {
    pub(crate) fn time(&self) -> Time {
        self.now.time
    }

    pub(crate) fn datagram(
        &mut self,
        traffic: &mut Traffic,
        node: Entity,
        to: SocketAddr,
        bytes: Bytes,
    ) {
        if let Some(hop) = Hop::of(to) {
            let mut nested = BytesMut::with_capacity(4 + bytes.len());
            nested.put_u32_le(hop.handle);
            nested.put_slice(&bytes);
            self.frame_out(hop.link, frame::kind::CIRCUIT_DATA, nested);
            return;
        }
        traffic.count_out(bytes.len());
        self.datagrams.write(DatagramOut { node, to, bytes });
    }

    pub(crate) fn frame_in(&mut self, node: Entity, peer: Entity, kind: u8, body: Bytes) {
        tracing::trace!(?peer, kind, bytes = body.len(), "frame in");
        self.frames_in.write(FrameIn {
            node,
            peer,
            kind,
            body,
        });
    }

    pub(crate) fn frame_out(&mut self, peer: Entity, kind: u8, body: impl Into<Bytes>) {
        let body = body.into();
        self.frames_out.write(FrameOut { peer, kind, body });
    }

    /// Sets the link's timer, if it has to be set anew.
    pub(crate) fn arm(&mut self, entity: Entity, link: &mut Link) {
        if let Some(at) = link.rearm() {
            self.timers.set::<Wake>(entity, at.max(self.now.time));
        }
    }

    /// Soon looks for more links.
    pub(crate) fn fill(&mut self, parts: &mut PartsItem) {
        parts.links.fill_wait = std::time::Duration::ZERO;
        self.timers.set::<Fill>(parts.node, self.now.time);
    }

    /// Sees to it that a changed book is saved.
    pub(crate) fn keep_book(&mut self, parts: &PartsItem) {
        let kept = parts.settings.book.is_some() && parts.book.has_changed();
        if kept && self.timers.get::<Save>(parts.node).is_none() {
            let at = self.now.time + crate::limits::BOOK_SAVE_WAIT;
            self.timers.set::<Save>(parts.node, at);
        }
    }

    pub(crate) fn note_change(&mut self, node: Entity, link: Entity) {
        self.changed.insert((node, link));
    }

    /// Ends a link now: frees what the node keeps of it and tells everyone. Its entity goes at the end of the turn.
    pub(crate) fn down(&mut self, parts: &mut PartsItem, entity: Entity, reason: DownReason) {
        let Some(link) = parts.links.remove(entity) else {
            return;
        };
        let unix_ms = self.now.unix_ms_of(parts.clock);
        crate::circuit_end::link_down(parts, entity, link.address(), reason, self);
        match (reason, link.id) {
            (DownReason::Unreachable | DownReason::Lost, Some(id)) => {
                parts.book.failed(&id, unix_ms)
            }
            (DownReason::Closed(_), Some(id)) => parts.book.failed(&id, unix_ms), // Not at once again.
            _ => {}
        }
        self.timers.cancel::<Wake>(entity);
        // One that came up in this same turn is seen as it was.
        if let (Some(peer), Ok(mut commands)) = (
            peer(parts.node, &parts.links, &link),
            self.commands.get_entity(entity),
        ) {
            commands.try_insert(peer);
        }
        self.downs.write(PeerDown {
            node: parts.node,
            peer: entity,
            reason,
        });
        tracing::debug!(node = ?parts.node, link = ?entity, peer = ?link.id, ?reason, "link down");
        // What cannot be would be tried again at once, for ever; the node's own timer comes back to it.
        let hopeless = matches!(
            reason,
            DownReason::Impossible | DownReason::Oneself | DownReason::TooMany
        );
        if link.purpose == Purpose::Chosen && !hopeless {
            self.fill(parts);
        }
        self.keep_book(parts);
    }

    /// The book knows how long a peer has been up, as of its last sign of life; it is told once a minute, for it is long.
    pub(crate) fn note_heard(&mut self, parts: &mut PartsItem, entity: Entity) {
        let now = self.now.time;
        let Some(link) = parts.links.get_mut(entity) else {
            return;
        };
        if link.noted.get().is_some_and(|last| now - last < HEARD_WAIT) {
            return;
        }
        link.noted = Moment::at(now);
        let silence = link.pulse.silence(now).as_millis() as u64;
        if let (Some(id), false) = (link.id, link.anonymous) {
            let heard = self.now.unix_ms_of(parts.clock).saturating_sub(silence);
            parts.book.heard(id, link.address(), link.about, heard);
        }
        self.keep_book(parts);
    }

    pub(crate) fn up(&mut self, node: Entity, peer: Entity) {
        self.note_change(node, peer);
        self.ups.write(PeerUp { node, peer });
    }

    /// Writes the [`Peer`] of each link that changed. Call where a system ends.
    pub(crate) fn write_peers(&mut self, nodes: &Query<Parts>) {
        for (node, entity) in std::mem::take(&mut *self.changed) {
            let links = nodes.get(node).ok().map(|parts| parts.links);
            let peer = links.and_then(|links| peer(node, links, links.get(entity)?));
            if let (Some(peer), Ok(mut commands)) = (peer, self.commands.get_entity(entity)) {
                commands.try_insert(peer);
            }
        }
    }
}

fn peer(node: Entity, links: &Links, link: &Link) -> Option<Peer> {
    let through = Hop::of(link.address()).and_then(|hop| links.get(hop.link));
    Some(Peer {
        node,
        id: link.id?,
        address: through.unwrap_or(link).address(),
        anonymous: link.anonymous,
        hidden: link.hidden.is_some(),
        outbound: link.outbound,
        handshake_hash: link.current.as_ref()?.hash,
        about: link.about,
        since: link.up()?,
    })
}

/// An entity for a link that another began.
pub(crate) fn new_link_entity(desk: &mut Desk, node: Entity) -> Entity {
    desk.commands.spawn(Held(node)).id()
}

/// What this node says of itself on this link: nothing, where it hides.
pub(crate) fn about(settings: &LinkSettings, link: &Link) -> [u8; 2] {
    let about = match link.hidden {
        Some(_) => About::default(),
        None => settings.about,
    };
    [about.byte(), 0]
}

/// Sends (again) what a session that we began needs to come up: XX's third message, and PING, ABOUT and OBSERVED in one datagram.
// PROTOCOL 2.2
pub(crate) fn greet(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let (node, now) = (parts.node, desk.time());
    let ping = parts.random.0.next_u32().to_le_bytes();
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    let (address, about, third) = (
        link.address(),
        about(parts.settings, link),
        link.greeting
            .as_ref()
            .and_then(|greeting| greeting.third.clone()),
    );
    let Some(session) = link.greeting_session() else {
        return;
    };
    let mut datagram = crate::session::Session::blank();
    frame::put(&mut datagram, frame::kind::PING, &ping);
    frame::put(&mut datagram, frame::kind::ABOUT, &about);
    if Hop::of(address).is_none() {
        let observed = crate::encode_address(address);
        frame::put(&mut datagram, frame::kind::OBSERVED, &observed);
    }
    debug_assert!(
        datagram.has_remaining_mut(),
        "a greeting is far shorter than a datagram"
    );
    let sealed = session.seal(datagram, now);
    if let Some(third) = third {
        desk.datagram(&mut parts.traffic, node, address, third);
    }
    match sealed {
        Some(sealed) => {
            link.pulse.on_sent(false, now); // It has a schedule of its own.
            desk.datagram(&mut parts.traffic, node, address, sealed);
        }
        None => parts.drops.count(DropReason::NotSent),
    }
}
