//! The address book: whom a node could dial. Addresses are not mail, so it is kept on disk.
//!
//! Two tables, each in buckets chosen under a secret key: *new*, what we were told, by who told it and where it lies; *tried*,
//! what we had a link with, by where it lies. Who tells from one prefix, or holds one, reaches an eighth of a table.

use crate::address::{Prefix, Scope, is_reachable};
use crate::limits::{
    BOOK_ANCHORS, BOOK_BUCKET_ROWS, BOOK_FAILURES_MAX, BOOK_GAP_MS_MAX, BOOK_NEW_BUCKETS,
    BOOK_NEW_BUCKETS_A_SOURCE, BOOK_TRIED_BUCKETS, BOOK_TRIED_BUCKETS_A_PREFIX, REDIAL_WAIT_MS,
};
use crate::{About, PeerId};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A peer in the address book. Times are this node's wall clock, milliseconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Who.
    pub id: PeerId,
    /// Where.
    pub address: SocketAddr,
    /// What they said of themselves when we had a link, or others said of them.
    pub about: About,
    /// When the present stretch of hearing them began, without a gap of an hour; 0 if we never had a link.
    pub first_heard: u64,
    /// When we last heard them; 0 if we never had a link.
    pub last_heard: u64,
}

impl KnownPeer {
    /// For how many milliseconds we have seen them up ourselves, in the present stretch.
    // PROTOCOL 3.6
    #[must_use]
    pub fn seen_up_ms(&self) -> u64 {
        self.last_heard.saturating_sub(self.first_heard)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bucket {
    New(u8),
    Tried(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub peer: KnownPeer,
    pub bucket: Bucket,
    pub failures: u8,
    /// Not dialled before this time of the wall clock.
    pub not_before: u64,
}

/// Whom a node knows, on its [`Node`](dunlin_engine::Node). At most 1,536 peers.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressBook {
    key: Option<[u8; 32]>,
    rows: BTreeMap<PeerId, Row>,
    buckets: BTreeMap<Bucket, Vec<PeerId>>,
    anchors: Vec<PeerId>,
    changed: bool,
}

impl AddressBook {
    /// All known peers, by id.
    pub fn entries(&self) -> impl Iterator<Item = &KnownPeer> {
        self.rows.values().map(|row| &row.peer)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<&KnownPeer> {
        self.rows.get(id).map(|row| &row.peer)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it knows nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Notes a peer from a contact card or a person's own hand: as if told by its own prefix.
    pub fn note(&mut self, id: PeerId, address: SocketAddr, random: &mut impl CryptoRng) {
        self.draw_key(random);
        self.told(id, address, About::TAKES_LINKS, Prefix::wide(address));
    }

    /// Draws the secret that chooses buckets, once.
    pub(crate) fn draw_key(&mut self, random: &mut impl CryptoRng) {
        if self.key.is_none() {
            let mut key = [0; 32];
            random.fill_bytes(&mut key);
            self.key = Some(key);
        }
    }

    fn hash(&self, what: &[&[u8]]) -> usize {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.unwrap_or_default());
        what.iter().for_each(|part| _ = hasher.update(part));
        let hash = hasher.finalize();
        usize::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]))
    }

    fn new_bucket(&self, address: SocketAddr, source: &Prefix) -> Bucket {
        let (place, source) = (Prefix::wide(address), source.as_bytes());
        let spread = self.hash(&[b"n", source, place.as_bytes()]) % BOOK_NEW_BUCKETS_A_SOURCE;
        let bucket = self.hash(&[b"N", source, &[spread as u8]]) % BOOK_NEW_BUCKETS;
        Bucket::New(bucket as u8)
    }

    fn tried_bucket(&self, id: &PeerId, address: SocketAddr) -> Bucket {
        let place = Prefix::wide(address);
        let spread =
            self.hash(&[b"t", place.as_bytes(), id.as_bytes()]) % BOOK_TRIED_BUCKETS_A_PREFIX;
        let bucket = self.hash(&[b"T", place.as_bytes(), &[spread as u8]]) % BOOK_TRIED_BUCKETS;
        Bucket::Tried(bucket as u8)
    }

    /// Notes what somebody in the prefix `source` said. Says whether there was room.
    ///
    /// What we proved ourselves, and what was told before, stands until dialling it has failed: hearsay moves nobody.
    pub(crate) fn told(
        &mut self,
        id: PeerId,
        address: SocketAddr,
        about: About,
        source: Prefix,
    ) -> bool {
        if self
            .rows
            .get(&id)
            .is_some_and(|row| row.failures < BOOK_FAILURES_MAX)
        {
            return true;
        }
        if !is_reachable(&address) || !about.takes_links() {
            return false;
        }
        let bucket = self.new_bucket(address, &source);
        let full = |book: &AddressBook| {
            let bucket = book.buckets.get(&bucket);
            bucket.is_some_and(|rows| rows.len() >= BOOK_BUCKET_ROWS)
        };
        if full(self) {
            let useless = |id: &&PeerId| self.rows[*id].failures >= BOOK_FAILURES_MAX;
            let Some(useless) = self.buckets[&bucket].iter().find(useless).copied() else {
                return false;
            };
            self.forget(&useless);
        }
        self.forget(&id);
        self.place(Row {
            peer: KnownPeer {
                id,
                address,
                about,
                first_heard: 0,
                last_heard: 0,
            },
            bucket,
            failures: 0,
            not_before: 0,
        });
        true
    }

    /// Notes that we have a link with a peer whom others can dial at this address.
    pub(crate) fn heard(&mut self, id: PeerId, address: SocketAddr, about: About, unix_ms: u64) {
        if !is_reachable(&address) || !about.takes_links() {
            return;
        }
        let bucket = self.tried_bucket(&id, address);
        if let Some(row) = self.rows.get_mut(&id)
            && row.bucket == bucket
        {
            row.peer.heard(unix_ms);
            self.changed |= row.peer.address != address || row.peer.about != about;
            (row.peer.address, row.peer.about, row.failures) = (address, about, 0);
            return;
        }
        let mut peer = match self.forget(&id) {
            Some(row) => row.peer,
            None => KnownPeer {
                id,
                address,
                about,
                first_heard: 0,
                last_heard: 0,
            },
        };
        peer.heard(unix_ms);
        (peer.address, peer.about) = (address, about);
        if self
            .buckets
            .get(&bucket)
            .is_some_and(|rows| rows.len() >= BOOK_BUCKET_ROWS)
        {
            // Who failed most goes, then who was silent longest: whoever answers now is of more use.
            let rows = self.buckets[&bucket].iter().map(|id| &self.rows[id]);
            let key = |row: &&Row| (u8::MAX - row.failures, row.peer.last_heard, row.peer.id);
            let worst = rows.min_by_key(key).map(|row| row.peer.id);
            worst.map(|worst| self.forget(&worst));
        }
        self.place(Row {
            peer,
            bucket,
            failures: 0,
            not_before: 0,
        });
    }

    /// Notes that a dial failed.
    pub(crate) fn failed(&mut self, id: &PeerId, unix_ms: u64) {
        if let Some(row) = self.rows.get_mut(id) {
            row.failures = row.failures.saturating_add(1);
            row.not_before = unix_ms + (REDIAL_WAIT_MS << (row.failures - 1).min(6));
        }
    }

    /// Draws a peer to dial, from both tables alike and from all their buckets alike; `chance` is three random numbers.
    pub(crate) fn draw(
        &self,
        unix_ms: u64,
        wanted: impl Fn(&KnownPeer) -> bool,
        chance: [u64; 3],
    ) -> Option<KnownPeer> {
        let mut tables: [BTreeMap<Bucket, Vec<&KnownPeer>>; 2] = Default::default();
        for row in self.rows.values() {
            let wait = row.not_before.saturating_sub(unix_ms);
            // A wait longer than any we set is the clock's doing: it was put back.
            let ready = wait == 0 || wait > REDIAL_WAIT_MS << 6;
            if ready && wanted(&row.peer) {
                let table = usize::from(matches!(row.bucket, Bucket::Tried(_)));
                tables[table].entry(row.bucket).or_default().push(&row.peer);
            }
        }
        let coin = (chance[0] & 1) as usize;
        let table = if tables[coin].is_empty() {
            1 - coin
        } else {
            coin
        };
        let bucket = pick(tables[table].len(), chance[1])?;
        let rows = tables[table].values().nth(bucket)?;
        Some(rows[pick(rows.len(), chance[2])?].clone())
    }

    /// Peers to tell `to` of: heard ourselves, reachable from there, in random order.
    pub(crate) fn sample(
        &self,
        count: usize,
        to: SocketAddr,
        random: &mut impl CryptoRng,
    ) -> Vec<KnownPeer> {
        let scope = Scope::of(to.ip());
        let tellable = |peer: &&KnownPeer| {
            peer.last_heard > 0 && peer.address != to && Scope::of(peer.address.ip()) >= scope
        };
        let mut rows: Vec<&KnownPeer> = self.entries().filter(tellable).collect();
        let count = count.min(rows.len());
        for place in 0..count {
            let left = rows.len() - place;
            rows.swap(place, place + pick(left, random.next_u64()).unwrap_or(0));
        }
        rows[..count].iter().map(|peer| (*peer).clone()).collect()
    }

    /// Whom to come back to first after a restart.
    pub(crate) fn anchors(&self) -> &[PeerId] {
        &self.anchors
    }

    pub(crate) fn set_anchors(&mut self, anchors: Vec<PeerId>) {
        self.anchors = anchors;
        self.anchors.truncate(BOOK_ANCHORS);
    }

    /// Whether something worth saving changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Takes over what a saved book knows and this one does not.
    pub(crate) fn absorb(&mut self, saved: AddressBook) {
        let present = std::mem::replace(self, saved);
        for row in present.rows.into_values() {
            let peer = &row.peer;
            if peer.last_heard > 0 {
                self.heard(peer.id, peer.address, peer.about, peer.last_heard);
            } else {
                self.told(
                    peer.id,
                    peer.address,
                    peer.about,
                    Prefix::wide(peer.address),
                );
            }
        }
    }

    pub(crate) fn key(&self) -> Option<&[u8; 32]> {
        self.key.as_ref()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Puts back a row that was saved, if its bucket has room. A tried one's bucket is computed, not believed.
    pub(crate) fn restore(&mut self, key: [u8; 32], mut row: Row) {
        self.key = Some(key);
        row.bucket = match row.bucket {
            Bucket::New(bucket) => Bucket::New(bucket % BOOK_NEW_BUCKETS as u8),
            Bucket::Tried(_) => self.tried_bucket(&row.peer.id, row.peer.address),
        };
        let held = self.buckets.get(&row.bucket).map_or(0, Vec::len);
        if held < BOOK_BUCKET_ROWS && !self.rows.contains_key(&row.peer.id) {
            self.place(row);
        }
        self.changed = false;
    }

    fn place(&mut self, row: Row) {
        self.changed = true;
        let id = row.peer.id;
        self.buckets.entry(row.bucket).or_default().push(id);
        self.rows.insert(id, row);
    }

    fn forget(&mut self, id: &PeerId) -> Option<Row> {
        let row = self.rows.remove(id)?;
        if let Some(bucket) = self.buckets.get_mut(&row.bucket) {
            bucket.retain(|other| other != id);
            if bucket.is_empty() {
                self.buckets.remove(&row.bucket);
            }
        }
        Some(row)
    }
}

impl KnownPeer {
    fn heard(&mut self, unix_ms: u64) {
        let gap = unix_ms.saturating_sub(self.last_heard);
        if self.last_heard == 0 || gap > BOOK_GAP_MS_MAX {
            self.first_heard = unix_ms;
        }
        self.last_heard = unix_ms.max(self.last_heard);
    }
}

fn pick(among: usize, chance: u64) -> Option<usize> {
    // The bias of the remainder is below 2^-50 for tables of this size.
    (among > 0).then(|| (chance % among as u64) as usize)
}
