//! All that a node keeps of its links: the component `Links`.

use crate::address::decode_address;
use crate::admission::Admission;
use crate::circuit::{Circuits, Hop};
use crate::cookie::Cookies;
use crate::half_open::HalfOpens;
use crate::limits::{
    DIALS_MAX, LINKS_INBOUND_MAX, LINKS_INBOUND_PREFIX_MAX, LINKS_MAX, NESTED_MAX,
};
use crate::link_state::Link;
use crate::nested::is_nested;
use crate::{PeerId, Prefix};
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use rand_core::CryptoRng;
use std::net::SocketAddr;
use std::time::Duration;

/// Who answers to an index that we chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    HalfOpen,
    Link(Entity),
}

/// On a link's entity from its first moment: whose it is.
#[derive(Component, Clone, Copy, Debug)]
pub(crate) struct Held(pub Entity);

/// A node's links, by their entities, on its [`Node`](dunlin_engine::Node).
///
/// The states stand here and not on the entities, because a link that comes up must be able to receive within the same batch
/// of datagrams, and a system's new entities exist only after it. Bounded by `limits.rs` in each part.
#[derive(Component, Default)]
pub struct Links {
    /// By entity. Vectors and not trees: they are short, and a simulation keeps millions.
    rows: Vec<(Entity, Box<Link>)>,
    /// By index.
    places: Vec<(u32, Place)>,
    pub(crate) half_open: HalfOpens,
    pub(crate) admission: Admission,
    cookies: Option<Cookies>,
    circuits: Option<Box<Circuits>>,
    /// Whether the book was read and the anchors were dialled.
    pub(crate) begun: bool,
    /// The wait before the node looks for more links again.
    pub(crate) fill_wait: Duration,
    /// When the addresses to begin with may be dialled again.
    pub(crate) entries_after: Time,
}

impl Links {
    /// The entities of all links, in order: dialled, up or over. Those that are up bear a [`Peer`](crate::Peer).
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        self.rows.iter().map(|(entity, _)| *entity)
    }

    /// How many those are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Sessions of strangers that have not proved themselves yet.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Ends of circuits: its own, those of others that end here, and both of each that it passes on.
    #[must_use]
    pub fn circuit_ends(&self) -> usize {
        self.circuits().map_or(0, Circuits::len)
    }

    /// Where the peer at the other end of a link sees this node, if it said.
    #[must_use]
    pub fn observed(&self, link: Entity) -> Option<SocketAddr> {
        let observed = self.get(link)?.observed.as_ref();
        observed.and_then(decode_address)
    }

    fn find(&self, entity: Entity) -> Result<usize, usize> {
        self.rows
            .binary_search_by_key(&entity, |(entity, _)| *entity)
    }

    pub(crate) fn get(&self, entity: Entity) -> Option<&Link> {
        self.find(entity).ok().map(|row| &*self.rows[row].1)
    }

    pub(crate) fn get_mut(&mut self, entity: Entity) -> Option<&mut Link> {
        self.find(entity).ok().map(|row| &mut *self.rows[row].1)
    }

    /// All links in order of their entities: dialled, up or over.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Entity, &Link)> {
        self.rows.iter().map(|(entity, link)| (*entity, &**link))
    }

    pub(crate) fn insert(&mut self, entity: Entity, link: Link) {
        match self.find(entity) {
            Ok(row) => *self.rows[row].1 = link,
            Err(row) => self.rows.insert(row, (entity, Box::new(link))),
        }
        self.reindex(entity);
    }

    pub(crate) fn remove(&mut self, entity: Entity) -> Option<Box<Link>> {
        let row = self.find(entity).ok()?;
        let (_, link) = self.rows.remove(row);
        self.reindex(entity);
        Some(link)
    }

    /// Call when a link's sessions or handshake changed: what it no longer has is forgotten.
    pub(crate) fn reindex(&mut self, entity: Entity) {
        self.places
            .retain(|(_, place)| *place != Place::Link(entity));
        if let Ok(row) = self.find(entity) {
            for index in self.rows[row].1.indices() {
                put(&mut self.places, index, Place::Link(entity));
            }
        }
    }

    pub(crate) fn place(&self, index: u32) -> Option<Place> {
        let place = self
            .places
            .binary_search_by_key(&index, |(index, _)| *index);
        place.ok().map(|place| self.places[place].1)
    }

    /// An index that is nobody's yet.
    pub(crate) fn new_index(&self, random: &mut impl CryptoRng) -> u32 {
        loop {
            let index = random.next_u32();
            if self.place(index).is_none() {
                return index;
            }
        }
    }

    pub(crate) fn hold(&mut self, index: u32) {
        put(&mut self.places, index, Place::HalfOpen);
    }

    pub(crate) fn release(&mut self, index: u32) {
        self.places.retain(|(held, _)| *held != index);
    }

    /// The link to this peer that is up and stays so, other than hidden and anonymous ones.
    pub(crate) fn by_id(&self, id: &PeerId) -> Option<Entity> {
        let is = |link: &Link| link.main && link.over.is_none() && link.id == Some(*id);
        self.iter()
            .find(|(_, link)| is(link))
            .map(|(entity, _)| entity)
    }

    /// The link that somebody who hides began with this key: its next session shows the same one.
    // PROTOCOL 2.2
    pub(crate) fn by_throwaway(&self, id: &PeerId) -> Option<Entity> {
        let is = |link: &Link| link.anonymous && link.over.is_none() && link.id == Some(*id);
        self.iter()
            .find(|(_, link)| is(link))
            .map(|(entity, _)| entity)
    }

    /// Makes this the link to the peer; gives the one it replaces.
    #[must_use]
    pub(crate) fn make_main(&mut self, id: PeerId, entity: Entity) -> Option<Entity> {
        let old = self.by_id(&id).filter(|old| *old != entity);
        if let Some(link) = old.and_then(|old| self.get_mut(old)) {
            link.main = false;
        }
        if let Some(link) = self.get_mut(entity) {
            link.main = true;
        }
        old
    }

    /// A handshake of ours with this peer that is not hidden.
    pub(crate) fn dial_to(&self, id: &PeerId) -> Option<(Entity, &Link)> {
        self.iter().find(|(_, link)| {
            !link.is_up() && link.over.is_none() && link.hidden.is_none() && link.id == Some(*id)
        })
    }

    pub(crate) fn cookies(&mut self, now: Time, random: &mut impl CryptoRng) -> &Cookies {
        let cookies = self
            .cookies
            .get_or_insert_with(|| Cookies::new(now, random));
        cookies.rotate(now, random);
        cookies
    }

    /// The circuits, if there were ever any.
    pub(crate) fn circuits(&self) -> Option<&Circuits> {
        self.circuits.as_deref()
    }

    pub(crate) fn circuits_mut(&mut self) -> &mut Circuits {
        self.circuits.get_or_insert_default()
    }

    /// Links that are up, or of which only the first message is missing; without those nested in others.
    pub(crate) fn up_count(&self) -> usize {
        let live = |link: &Link| (link.is_up() || link.next.is_some()) && !is_nested(link);
        self.iter().filter(|(_, link)| live(link)).count()
    }

    // PROTOCOL 5
    pub(crate) fn has_room_to_dial(&self) -> bool {
        let dials = self.iter().filter(|(_, link)| !link.is_up()).count();
        dials < DIALS_MAX && self.up_count() < LINKS_MAX
    }

    /// Whether a link that another began may come up. Loopback is no stranger: one machine may run many nodes.
    // PROTOCOL 5
    pub(crate) fn has_room_inbound(&self, from: SocketAddr) -> bool {
        let nested = Hop::of(from).is_some();
        let inbound = || {
            self.iter()
                .map(|(_, link)| link)
                .filter(|link| !link.outbound && link.is_up() && is_nested(link) == nested)
        };
        if nested {
            return inbound().count() < NESTED_MAX; // Of one neighbour as many as it may have circuits.
        }
        let prefix = Prefix::of(from);
        let of_prefix = inbound().filter(|link| Prefix::of(link.address()) == prefix);
        inbound().count() < LINKS_INBOUND_MAX
            && self.up_count() < LINKS_MAX
            && (from.ip().to_canonical().is_loopback()
                || of_prefix.count() < LINKS_INBOUND_PREFIX_MAX)
    }

    /// Entries of all tables together.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        let tables = self.half_open.len() + self.admission.len() + self.circuit_ends();
        self.rows.len() + self.places.len() + tables
    }
}

fn put(places: &mut Vec<(u32, Place)>, index: u32, place: Place) {
    match places.binary_search_by_key(&index, |(index, _)| *index) {
        Ok(at) => places[at].1 = place,
        Err(at) => places.insert(at, (index, place)),
    }
}
