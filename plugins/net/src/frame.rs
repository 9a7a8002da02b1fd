//! Frames: what a data message carries. PROTOCOL 2.3.

use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The types of frames that links handle themselves. From 0x20 on they are a plugin's.
pub mod kind {
    /// Anything; ignored.
    pub const PADDING: u8 = 0x00;
    /// Are you there? Body: id (4).
    pub const PING: u8 = 0x01;
    /// I am. Body: the PING's id (4).
    pub const PONG: u8 = 0x02;
    /// Where the sender sees its receiver. Body: address (19).
    pub const OBSERVED: u8 = 0x03;
    /// The link ends. Body: reason (1).
    pub const CLOSE: u8 = 0x04;
    /// Whom do you know? Body: request (4), count (1).
    pub const PEERS_ASK: u8 = 0x05;
    /// These. Body: request (4), rows.
    pub const PEERS: u8 = 0x06;
    /// What the sender is. Body: flags (1), reserved (1).
    pub const ABOUT: u8 = 0x07;
    /// A frame was not done. Body: see [`Refused`](super::Refused).
    pub const REFUSED: u8 = 0x08;
    /// Open a circuit. Body: handle (4), peer id (32), address (19).
    pub const CIRCUIT_OPEN: u8 = 0x09;
    /// It is open. Body: handle (4).
    pub const CIRCUIT_OPENED: u8 = 0x0a;
    /// A datagram in it. Body: handle (4), datagram.
    pub const CIRCUIT_DATA: u8 = 0x0b;
    /// It is over. Body: handle (4), reason (1).
    pub const CIRCUIT_CLOSE: u8 = 0x0c;
    /// From here on an unknown type is skipped in silence.
    pub const SKIPPABLE: u8 = 0xc0;
}

/// Reasons of REFUSED.
// PROTOCOL 2.3
pub mod refusal {
    /// This peer does not do that.
    pub const UNSUPPORTED: u8 = 1;
    /// A field is out of range.
    pub const MALFORMED: u8 = 2;
    /// No room.
    pub const FULL: u8 = 3;
    /// More work would help.
    pub const WORK: u8 = 4;
    /// The asker had its share.
    pub const SHARE: u8 = 5;
    /// Expired, or too long-lived.
    pub const LIFE: u8 = 6;
    /// The claim does not prove itself.
    pub const CLAIM: u8 = 7;
    /// This peer does not carry for others.
    pub const CARRY: u8 = 8;
    /// The peer at the far end of a circuit is not reached.
    pub const UNREACHED: u8 = 9;
}

/// The body of a REFUSED frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Type of the frame that was refused.
    pub frame: u8,
    /// One of [`refusal`].
    pub reason: u8,
    /// Leading zero bits of work that might have helped.
    pub price_bits: u8,
    /// The frame's request number; 0 if it has none.
    pub request: u32,
}

impl Refused {
    /// The body's bytes.
    // PROTOCOL 2.3
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(8);
        body.put_slice(&[self.frame, self.reason, self.price_bits, 0]);
        body.put_u32_le(self.request);
        body.freeze()
    }

    /// Reads a body; `None` if it is too short or its reserved byte is not zero.
    // PROTOCOL 2.3
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Refused> {
        let &[frame, reason, price_bits, 0, ref rest @ ..] = body else {
            return None;
        };
        Some(Refused {
            frame,
            reason,
            price_bits,
            request: u32::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// Appends a frame; the caller has checked that it fits.
// PROTOCOL 2.3
pub(crate) fn put(out: &mut BytesMut, kind: u8, body: &[u8]) {
    debug_assert!(
        body.len() <= FRAME_BODY_BYTES_MAX,
        "a frame too long for any datagram"
    );
    out.put_u8(kind);
    out.put_u16_le(body.len() as u16);
    out.put_slice(body);
}

/// Bytes that a frame takes.
pub(crate) fn size(body: &[u8]) -> usize {
    FRAME_HEADER_BYTES + body.len()
}

/// One frame; the body shares the message's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: u8,
    pub body: Bytes,
}

/// A frame's length runs past its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overrun;

/// The frames of a message in order; an overrun is the last item.
pub(crate) struct Frames(Bytes);

impl Frames {
    pub(crate) fn of(plain: Bytes) -> Frames {
        Frames(plain)
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Overrun>;

    // PROTOCOL 2.3
    fn next(&mut self) -> Option<Self::Item> {
        let rest = &mut self.0;
        if rest.is_empty() {
            return None;
        }
        if rest.len() < FRAME_HEADER_BYTES {
            rest.clear();
            return Some(Err(Overrun));
        }
        let (kind, length) = (rest.get_u8(), usize::from(rest.get_u16_le()));
        if length > rest.len() {
            rest.clear();
            return Some(Err(Overrun));
        }
        let body = rest.split_to(length);
        Some(Ok(Frame { kind, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // PROTOCOL 2.3
        #[test]
        fn what_was_packed_comes_out(frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20)) {
            let mut plain = BytesMut::new();
            for (kind, body) in &frames {
                put(&mut plain, *kind, body);
            }
            let total: usize = frames.iter().map(|(_, body)| size(body)).sum();
            prop_assert_eq!(plain.len(), total);
            let read: Vec<_> = Frames::of(plain.freeze()).map(|frame| frame.map(|frame| (frame.kind, frame.body.to_vec()))).collect();
            prop_assert_eq!(read, frames.into_iter().map(Ok).collect::<Vec<_>>());
        }

        // PROTOCOL 2.3
        #[test]
        fn any_bytes_end_and_only_the_last_item_overruns(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let length = bytes.len();
            let items: Vec<_> = Frames::of(bytes.into()).collect();
            let used: usize = items.iter().flatten().map(|frame| size(&frame.body)).sum();
            prop_assert!(used <= length);
            let overruns = items.iter().filter(|item| item.is_err()).count();
            prop_assert_eq!(overruns, usize::from(used < length));
            prop_assert!(overruns == 0 || items[items.len() - 1].is_err());
        }
    }

    // PROTOCOL 2.3
    #[test]
    fn a_refusal_survives_the_wire() {
        let refused = Refused {
            frame: 0x20,
            reason: refusal::WORK,
            price_bits: 12,
            request: 0x0403_0201,
        };
        let body = refused.encode();
        assert_eq!(&body[..], [0x20, 4, 12, 0, 1, 2, 3, 4]);
        assert_eq!(Refused::decode(&body), Some(refused));
        assert_eq!(Refused::decode(&body[..7]), None);
        assert_eq!(Refused::decode(&[0x20, 4, 12, 1, 1, 2, 3, 4]), None);
        // A longer body may come from a later version: its end is ignored.
        assert_eq!(
            Refused::decode(&[0x20, 4, 12, 0, 1, 2, 3, 4, 9]),
            Some(refused)
        );
    }
}
