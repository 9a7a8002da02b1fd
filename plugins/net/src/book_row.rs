//! A row of the address book.

use crate::address::{ADDRESS_BYTES, decode_address, encode_address};
use crate::limits::BOOK_GAP_MS_MAX;
use crate::{About, PeerId};
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

/// What the book keeps of a peer: 80 bytes, since a simulation keeps tens of millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub id: PeerId,
    first_heard: u64,
    pub last_heard: u64,
    /// Not dialled before this time of the wall clock.
    pub not_before: u64,
    pub address: [u8; ADDRESS_BYTES],
    pub about: About,
    pub failures: u8,
    pub bucket: Bucket,
}

const _: () = assert!(size_of::<Row>() == 80);

impl Row {
    pub(crate) fn new(peer: &KnownPeer, bucket: Bucket) -> Row {
        Row {
            id: peer.id,
            first_heard: peer.first_heard,
            last_heard: peer.last_heard,
            not_before: 0,
            address: encode_address(peer.address),
            about: peer.about,
            failures: 0,
            bucket,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        decode_address(&self.address).expect("what `encode_address` wrote")
    }

    pub(crate) fn peer(&self) -> KnownPeer {
        KnownPeer {
            id: self.id,
            address: self.address(),
            about: self.about,
            first_heard: self.first_heard,
            last_heard: self.last_heard,
        }
    }

    pub(crate) fn heard(&mut self, address: SocketAddr, about: About, unix_ms: u64) {
        let gap = unix_ms.saturating_sub(self.last_heard);
        if self.last_heard == 0 || gap > BOOK_GAP_MS_MAX {
            self.first_heard = unix_ms;
        }
        self.last_heard = unix_ms.max(self.last_heard);
        (self.address, self.about) = (encode_address(address), about);
    }
}
