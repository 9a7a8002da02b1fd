//! The address book: whom a node could dial. Addresses are not mail, so it is kept on disk.
//!
//! Two tables, each in buckets chosen under a secret key: *new*, what we were told, by who told it and where it lies; *tried*,
//! what we had a link with, by where it lies. Who tells from one prefix, or holds one, reaches an eighth of a table.

use crate::address::{Prefix, Scope, encode_address, is_reachable};
use crate::book_row::{Bucket, KnownPeer, Row};
use crate::limits::{
    BOOK_ANCHORS, BOOK_BUCKET_ROWS, BOOK_FAILURES_MAX, BOOK_NEW_BUCKETS, BOOK_NEW_BUCKETS_A_SOURCE,
    BOOK_ROWS_MAX, BOOK_TRIED_BUCKETS, BOOK_TRIED_BUCKETS_A_PREFIX, REDIAL_WAIT_MS,
};
use crate::{About, PeerId};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use rand_core::CryptoRng;
use std::net::SocketAddr;

/// Whom a node knows, on its [`Node`](dunlin_engine::Node). At most 1,536 peers.
#[derive(Component, Clone, Debug, PartialEq, Eq)]
pub struct AddressBook {
    key: Option<[u8; 32]>,
    /// By id. A bucket's rows are found by looking at all: it is asked for once for each row that is new.
    rows: Vec<Row>,
    room: usize,
    anchors: Vec<PeerId>,
    changed: bool,
}

/// Rows for which room is made at once.
const ROWS_TO_SPARE: usize = 16;

impl Default for AddressBook {
    fn default() -> AddressBook {
        AddressBook::with_room(BOOK_ROWS_MAX)
    }
}

impl AddressBook {
    /// A book for fewer peers, where memory is short; at most 1,536.
    #[must_use]
    pub fn with_room(rows: usize) -> AddressBook {
        AddressBook {
            key: None,
            rows: Vec::new(),
            room: rows.min(BOOK_ROWS_MAX),
            anchors: Vec::new(),
            changed: false,
        }
    }

    /// All known peers, by id.
    pub fn entries(&self) -> impl Iterator<Item = KnownPeer> {
        self.rows.iter().map(Row::peer)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<KnownPeer> {
        self.find(id).ok().map(|place| self.rows[place].peer())
    }

    /// The id of these bytes, if it stands here: then it was checked.
    pub(crate) fn known(&self, bytes: &[u8; 32]) -> Option<PeerId> {
        let place = self
            .rows
            .binary_search_by(|row| row.id.as_bytes().cmp(bytes));
        place.ok().map(|place| self.rows[place].id)
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

    fn find(&self, id: &PeerId) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.id.cmp(id))
    }

    fn row_mut(&mut self, id: &PeerId) -> Option<&mut Row> {
        self.find(id).ok().map(|place| &mut self.rows[place])
    }

    fn of_bucket(&self, bucket: Bucket) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.bucket == bucket)
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
        let known = self.find(&id).ok().map(|place| &self.rows[place]);
        if known.is_some_and(|row| row.failures < BOOK_FAILURES_MAX) {
            return true;
        }
        let room = known.is_some() || self.rows.len() < self.room;
        let useless = |row: &&Row| row.failures >= BOOK_FAILURES_MAX;
        if !is_reachable(&address)
            || !about.takes_links()
            || !(room || self.rows.iter().any(|row| useless(&row)))
        {
            return false;
        }
        let bucket = self.new_bucket(address, &source);
        let full = self.of_bucket(bucket).count() >= BOOK_BUCKET_ROWS;
        if full || !room {
            let useless = match full {
                true => self.of_bucket(bucket).find(useless),
                false => self.rows.iter().find(useless),
            };
            let Some(useless) = useless.map(|row| row.id) else {
                return false;
            };
            self.forget(&useless);
        }
        self.forget(&id);
        let peer = KnownPeer {
            id,
            address,
            about,
            first_heard: 0,
            last_heard: 0,
        };
        self.place(Row::new(&peer, bucket));
        true
    }

    /// Notes that we have a link with a peer whom others can dial at this address.
    pub(crate) fn heard(&mut self, id: PeerId, address: SocketAddr, about: About, unix_ms: u64) {
        if !is_reachable(&address) || !about.takes_links() {
            return;
        }
        let packed = encode_address(address);
        // Where it lies is all that decides on a bucket.
        if let Some(row) = self.row_mut(&id)
            && matches!(row.bucket, Bucket::Tried(_))
            && row.address == packed
        {
            let changed = row.about != about;
            row.heard(address, about, unix_ms);
            row.failures = 0;
            self.changed |= changed;
            return;
        }
        let bucket = self.tried_bucket(&id, address);
        let mut row = self.forget(&id).unwrap_or_else(|| {
            let (first_heard, last_heard) = (0, 0);
            let peer = KnownPeer {
                id,
                address,
                about,
                first_heard,
                last_heard,
            };
            Row::new(&peer, bucket)
        });
        (row.bucket, row.failures, row.not_before) = (bucket, 0, 0);
        row.heard(address, about, unix_ms);
        // Who failed most goes, then who was silent longest: whoever answers now is of more use.
        let key = |row: &&Row| (u8::MAX - row.failures, row.last_heard, row.id);
        if self.of_bucket(bucket).count() >= BOOK_BUCKET_ROWS {
            let worst = self.of_bucket(bucket).min_by_key(key).map(|row| row.id);
            worst.map(|worst| self.forget(&worst));
        } else if self.rows.len() >= self.room {
            let worst = self.rows.iter().min_by_key(key).map(|row| row.id);
            worst.map(|worst| self.forget(&worst));
        }
        self.place(row);
    }

    /// Notes that a dial failed.
    pub(crate) fn failed(&mut self, id: &PeerId, unix_ms: u64) {
        if let Some(row) = self.row_mut(id) {
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
        let ready = |row: &&Row| {
            let wait = row.not_before.saturating_sub(unix_ms);
            // A wait longer than any we set is the clock's doing: it was put back.
            wait == 0 || wait > REDIAL_WAIT_MS << 6
        };
        let mut rows: Vec<(Bucket, KnownPeer)> = self
            .rows
            .iter()
            .filter(ready)
            .map(|row| (row.bucket, row.peer()))
            .filter(|(_, peer)| wanted(peer))
            .collect();
        rows.sort_by_key(|(bucket, _)| *bucket); // Stable: a bucket's rows stay in order of id.
        let tried = rows.partition_point(|(bucket, _)| matches!(bucket, Bucket::New(_)));
        let (new, tried) = rows.split_at(tried);
        let table = match (chance[0] & 1 == 0, new.is_empty(), tried.is_empty()) {
            (true, false, _) | (false, _, true) => new,
            _ => tried,
        };
        let buckets: Vec<&[(Bucket, KnownPeer)]> = table.chunk_by(|a, b| a.0 == b.0).collect();
        let rows = buckets[pick(buckets.len(), chance[1])?];
        Some(rows[pick(rows.len(), chance[2])?].1.clone())
    }

    /// Peers to tell `to` of: heard ourselves, reachable from there, in random order.
    pub(crate) fn sample(
        &self,
        count: usize,
        to: SocketAddr,
        random: &mut impl CryptoRng,
    ) -> Vec<KnownPeer> {
        let scope = Scope::of(to.ip());
        let tellable = |row: &&Row| {
            let address = row.address();
            row.last_heard > 0 && address != to && Scope::of(address.ip()) >= scope
        };
        let mut rows: Vec<&Row> = self.rows.iter().filter(tellable).collect();
        let count = count.min(rows.len());
        for place in 0..count {
            let left = rows.len() - place;
            rows.swap(place, place + pick(left, random.next_u64()).unwrap_or(0));
        }
        rows[..count].iter().map(|row| row.peer()).collect()
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
        let room = self.room;
        let present = std::mem::replace(self, saved);
        self.room = room;
        for peer in present.entries() {
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
        self.rows.iter()
    }

    /// Puts back a row that was saved, if its bucket has room. A tried one's bucket is computed, not believed.
    pub(crate) fn restore(&mut self, key: [u8; 32], mut row: Row) {
        self.key = Some(key);
        row.bucket = match row.bucket {
            Bucket::New(bucket) => Bucket::New(bucket % BOOK_NEW_BUCKETS as u8),
            Bucket::Tried(_) => self.tried_bucket(&row.id, row.address()),
        };
        let held = self.of_bucket(row.bucket).count();
        if held < BOOK_BUCKET_ROWS && self.find(&row.id).is_err() {
            self.place(row);
        }
        self.changed = false;
    }

    fn place(&mut self, row: Row) {
        self.changed = true;
        match self.find(&row.id) {
            Ok(place) => self.rows[place] = row,
            Err(place) => {
                // Doubling would leave half of a book empty, and a simulation keeps a million of them.
                if self.rows.len() == self.rows.capacity() {
                    let left = self.room.saturating_sub(self.rows.len());
                    self.rows.reserve_exact(left.clamp(1, ROWS_TO_SPARE));
                }
                self.rows.insert(place, row);
            }
        }
    }

    fn forget(&mut self, id: &PeerId) -> Option<Row> {
        let place = self.find(id).ok()?;
        Some(self.rows.remove(place))
    }
}

fn pick(among: usize, chance: u64) -> Option<usize> {
    // The bias of the remainder is below 2^-50 for tables of this size.
    (among > 0).then(|| (chance % among as u64) as usize)
}
