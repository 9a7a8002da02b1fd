//! The 16 bytes before everything. PROTOCOL 2.1.

use crate::DropReason;
use crate::limits::{COOKIE_BYTES, DATAGRAM_BYTES_MAX, HEADER_BYTES, TAG_BYTES};

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ik1 = 1,
    Ik2 = 2,
    Xx1 = 3,
    Xx2 = 4,
    Xx3 = 5,
    Cookie = 6,
    Data = 7,
}

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const HELLO_BYTES: usize = 4;

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Ik1,
            2 => Kind::Ik2,
            3 => Kind::Xx1,
            4 => Kind::Xx2,
            5 => Kind::Xx3,
            6 => Kind::Cookie,
            7 => Kind::Data,
            _ => return None,
        })
    }

    /// Least and greatest length of a whole datagram of this kind.
    const fn lengths(self) -> (usize, usize) {
        let hello = HELLO_BYTES + TAG_BYTES;
        let sealed_key = KEY_BYTES + TAG_BYTES;
        match self {
            Kind::Ik1 => (
                HEADER_BYTES + COOKIE_BYTES + KEY_BYTES + sealed_key + hello,
                DATAGRAM_BYTES_MAX,
            ),
            Kind::Ik2 => (HEADER_BYTES + KEY_BYTES + hello, DATAGRAM_BYTES_MAX),
            Kind::Xx1 => {
                let exact = HEADER_BYTES + COOKIE_BYTES + KEY_BYTES;
                (exact, exact)
            }
            Kind::Xx2 => (
                HEADER_BYTES + KEY_BYTES + sealed_key + hello,
                DATAGRAM_BYTES_MAX,
            ),
            Kind::Xx3 => (HEADER_BYTES + sealed_key + hello, DATAGRAM_BYTES_MAX),
            Kind::Cookie => (HEADER_BYTES + COOKIE_BYTES, HEADER_BYTES + COOKIE_BYTES),
            Kind::Data => (HEADER_BYTES + TAG_BYTES, DATAGRAM_BYTES_MAX),
        }
    }
}

// A cookie is never longer than what it answers. PROTOCOL 2.2
const _: () = assert!(Kind::Cookie.lengths().1 <= Kind::Ik1.lengths().0);
const _: () = assert!(Kind::Cookie.lengths().1 <= Kind::Xx1.lengths().0);

/// A datagram's first 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub index: u32,
    pub counter: u64,
}

impl Header {
    // PROTOCOL 2.1
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1] = VERSION;
        bytes[4..8].copy_from_slice(&self.index.to_le_bytes());
        bytes[8..].copy_from_slice(&self.counter.to_le_bytes());
        bytes
    }

    /// Splits a datagram into header and rest; both lengths are then right for the kind.
    // PROTOCOL 2.1
    pub(crate) fn decode(datagram: &[u8]) -> Result<(Header, &[u8]), DropReason> {
        let (bytes, rest) = datagram
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(DropReason::Length)?;
        let kind = Kind::from_byte(bytes[0]).ok_or(DropReason::Unknown)?;
        if bytes[1] != VERSION {
            return Err(DropReason::Unknown);
        }
        let (least, most) = kind.lengths();
        if datagram.len() < least || datagram.len() > most {
            return Err(DropReason::Length);
        }
        let index = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let counter = u64::from_le_bytes([
            bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15],
        ]);
        let reserved = match kind {
            Kind::Ik2 | Kind::Xx2 => counter >> 32,
            Kind::Xx3 => counter,
            _ => 0,
        };
        if bytes[2..4] != [0; 2] || reserved != 0 {
            return Err(DropReason::Reserved);
        }
        let header = Header {
            kind,
            index,
            counter,
        };
        Ok((header, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Header = Header {
        kind: Kind::Data,
        index: 0x0403_0201,
        counter: 0x0c0b_0a09_0807_0605,
    };

    // PROTOCOL 2.1
    #[test]
    fn the_header_is_laid_out_as_the_protocol_says() {
        let bytes = DATA.encode();
        assert_eq!(bytes, [7, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let mut datagram = bytes.to_vec();
        datagram.resize(40, 9);
        assert_eq!(Header::decode(&datagram), Ok((DATA, &[9; 24][..])));
    }

    // PROTOCOL 2.1
    #[test]
    fn each_kind_has_its_lengths_and_no_others() {
        let exact = [
            (1, 132),
            (2, 68),
            (3, 64),
            (4, 116),
            (5, 84),
            (6, 32),
            (7, 32),
        ];
        for (kind, least) in exact {
            let mut datagram = vec![0; least];
            (datagram[0], datagram[1]) = (kind, 1);
            assert!(Header::decode(&datagram).is_ok(), "kind {kind}");
            assert_eq!(
                Header::decode(&datagram[..least - 1]),
                Err(DropReason::Length),
                "kind {kind}"
            );
            datagram.resize(1_201, 0);
            assert_eq!(Header::decode(&datagram), Err(DropReason::Length));
        }
    }

    // PROTOCOL 2.1
    #[test]
    fn anything_else_is_dropped_by_its_reason() {
        let with = |place: usize, value: u8, kind: u8| {
            let mut datagram = [0; 132];
            (datagram[0], datagram[1]) = (kind, 1);
            datagram[place] = value;
            Header::decode(&datagram).err()
        };
        assert_eq!(Header::decode(&[]), Err(DropReason::Length));
        assert_eq!(with(0, 0, 7), Some(DropReason::Unknown));
        assert_eq!(with(0, 8, 7), Some(DropReason::Unknown));
        assert_eq!(with(1, 2, 7), Some(DropReason::Unknown));
        assert_eq!(with(2, 1, 7), Some(DropReason::Reserved));
        assert_eq!(with(3, 1, 7), Some(DropReason::Reserved));
        assert_eq!(with(12, 1, 2), Some(DropReason::Reserved));
        assert_eq!(with(15, 1, 4), Some(DropReason::Reserved));
        assert_eq!(with(8, 1, 5), Some(DropReason::Reserved));
    }
}
