//! A peer as peers tell each other of it: the rows of PEERS, and of FOUND. PROTOCOL 2.3, 3.13

use crate::address::{ADDRESS_BYTES, Scope, decode_address, encode_address};
use crate::limits::PEERS_ROW_BYTES;
use crate::{About, KnownPeer};
use bytes::BufMut;
use std::net::SocketAddr;

/// One row. Its id is whatever its teller wrote, and has to be checked before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Whose; unchecked.
    pub id: [u8; 32],
    /// Where its teller saw it.
    pub address: SocketAddr,
    /// What it said of itself.
    pub about: About,
    /// Minutes since its teller last heard it.
    pub minutes_silent: u16,
    /// Minutes for which its teller had seen it up by then; 0 in PEERS.
    pub minutes_up: u16,
}

impl PeerRow {
    /// Of a peer that we heard ourselves.
    #[must_use]
    pub fn of(peer: &KnownPeer, unix_ms: u64) -> PeerRow {
        let minutes = |ms: u64| u16::try_from(ms / 60_000).unwrap_or(u16::MAX);
        PeerRow {
            id: *peer.id.as_bytes(),
            address: peer.address,
            about: peer.about,
            minutes_silent: minutes(unix_ms.saturating_sub(peer.last_heard)),
            minutes_up: minutes(peer.seen_up_ms()),
        }
    }

    /// Its 56 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PEERS_ROW_BYTES] {
        let mut bytes = [0; PEERS_ROW_BYTES];
        let mut rest = &mut bytes[..];
        rest.put_slice(&self.id);
        rest.put_slice(&encode_address(self.address));
        rest.put_u8(self.about.byte());
        rest.put_u16_le(self.minutes_silent);
        rest.put_u16_le(self.minutes_up);
        bytes
    }

    /// Reads one; `None` for an address at which nobody can be, or flags that are reserved.
    #[must_use]
    pub fn decode(bytes: &[u8; PEERS_ROW_BYTES]) -> Option<PeerRow> {
        let (id, rest) = bytes.split_first_chunk::<32>()?;
        let (address, rest) = rest.split_first_chunk::<ADDRESS_BYTES>()?;
        let &[about, a, b, c, d] = rest else {
            return None;
        };
        Some(PeerRow {
            id: *id,
            address: decode_address(address)?,
            about: About::from_byte(about)?,
            minutes_silent: u16::from_le_bytes([a, b]),
            minutes_up: u16::from_le_bytes([c, d]),
        })
    }

    /// Reads the first `count`; `None` if there are fewer, or one of them is none.
    #[must_use]
    pub fn decode_all(bytes: &[u8], count: usize) -> Option<Vec<PeerRow>> {
        let rows = bytes.as_chunks::<PEERS_ROW_BYTES>().0.get(..count)?;
        rows.iter().map(PeerRow::decode).collect()
    }

    /// Whether it can be meant for us: a teller far away names nobody on our LAN.
    #[must_use]
    pub fn is_meant(&self, teller: SocketAddr) -> bool {
        Scope::of(self.address.ip()) >= Scope::of(teller.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // PROTOCOL 2.3
        #[test]
        fn a_row_is_read_as_it_was_written_and_anything_else_does_no_harm(
            id: [u8; 32], about in 0_u8..8, silent: u16, up: u16, mut other: [u8; PEERS_ROW_BYTES],
        ) {
            let row = PeerRow {
                id,
                address: "203.0.113.9:4000".parse().unwrap(),
                about: About::from_byte(about).unwrap(),
                minutes_silent: silent,
                minutes_up: up,
            };
            prop_assert_eq!(PeerRow::decode(&row.encode()), Some(row));
            other[32] %= 8;
            if let Some(read) = PeerRow::decode(&other) {
                prop_assert_eq!(read.encode(), other);
            }
        }
    }
}
