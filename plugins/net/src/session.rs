//! The keys of a link for at most eleven minutes: data messages are sealed and opened in place. PROTOCOL 2.2.

use crate::datagram::{Header, Kind};
use crate::limits::{
    DATAGRAM_BYTES_MAX, HEADER_BYTES, SESSION_AGE_MAX, SESSION_MESSAGES_MAX, TAG_BYTES,
};
use crate::noise::Split;
use crate::replay::ReplayWindow;
use crate::{DropReason, Primitives};
use bytes::{BufMut, Bytes, BytesMut};
use dunlin_engine::Time;
use zeroize::Zeroizing;

/// One session of a link. About 200 bytes; keys are erased when it is dropped.
pub(crate) struct Session {
    /// The index we chose: what we are sent bears it.
    pub local: u32,
    /// The index they chose.
    pub remote: u32,
    /// Noise's handshake hash.
    pub hash: [u8; 32],
    /// When its handshake ended here.
    pub born: Time,
    /// Whether this side began the handshake.
    pub initiator: bool,
    primitives: &'static dyn Primitives,
    seals: Zeroizing<[u8; 32]>,
    opens: Zeroizing<[u8; 32]>,
    counter: u64,
    window: ReplayWindow,
}

impl Session {
    pub(crate) fn new(
        split: &Split,
        initiator: bool,
        local: u32,
        remote: u32,
        now: Time,
    ) -> Session {
        let (forth, back) = (split.forth.clone(), split.back.clone());
        let (seals, opens) = if initiator {
            (forth, back)
        } else {
            (back, forth)
        };
        Session {
            local,
            remote,
            hash: split.hash,
            born: now,
            initiator,
            primitives: split.primitives,
            seals,
            opens,
            counter: 0,
            window: ReplayWindow::default(),
        }
    }

    /// An empty datagram to pack frames into.
    pub(crate) fn blank() -> BytesMut {
        Session::blank_for(DATAGRAM_BYTES_MAX - HEADER_BYTES - TAG_BYTES)
    }

    /// An empty datagram for so many bytes of frames. One that is filled to the last byte becomes `Bytes` as it is.
    pub(crate) fn blank_for(frames: usize) -> BytesMut {
        let mut datagram = BytesMut::with_capacity(HEADER_BYTES + frames + TAG_BYTES);
        datagram.put_bytes(0, HEADER_BYTES);
        datagram
    }

    pub(crate) fn is_over(&self, now: Time) -> bool {
        now - self.born >= SESSION_AGE_MAX || self.counter >= SESSION_MESSAGES_MAX
    }

    /// Seals what [`blank`](Session::blank) gave and was packed since. `None` if the session is over.
    // PROTOCOL 2.2
    pub(crate) fn seal(&mut self, mut datagram: BytesMut, now: Time) -> Option<Bytes> {
        if self.is_over(now) {
            return None;
        }
        let header = Header {
            kind: Kind::Data,
            index: self.remote,
            counter: self.counter,
        };
        let header = header.encode();
        let (head, plain) = datagram.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&header);
        let tag = self
            .primitives
            .seal(&self.seals, self.counter, &header, plain);
        self.counter += 1;
        datagram.put_slice(&tag);
        Some(datagram.freeze())
    }

    /// Opens a data message, checks that its counter is fresh, and returns its frames.
    ///
    /// The cheap checks come last where they would move state: a forger moves nothing.
    // PROTOCOL 2.2
    pub(crate) fn open(
        &mut self,
        header: &Header,
        sealed: &[u8],
        now: Time,
    ) -> Result<Bytes, DropReason> {
        if now - self.born >= SESSION_AGE_MAX || header.counter >= SESSION_MESSAGES_MAX {
            return Err(DropReason::Expired);
        }
        let (sealed, tag) = sealed
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(DropReason::Length)?;
        let mut plain = BytesMut::from(sealed);
        let (counter, authentic) = (header.counter, header.encode());
        let authentic = self
            .primitives
            .open(&self.opens, counter, &authentic, &mut plain, tag);
        if !authentic {
            return Err(DropReason::Forged);
        }
        if !self.window.accept(header.counter) {
            return Err(DropReason::Replayed);
        }
        Ok(plain.freeze())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    pub(crate) fn pair() -> (Session, Session) {
        let split = Split {
            primitives: &crate::Curve25519,
            forth: Zeroizing::new([1; 32]),
            back: Zeroizing::new([2; 32]),
            hash: [3; 32],
        };
        (
            Session::new(&split, true, 10, 20, Time::ZERO),
            Session::new(&split, false, 20, 10, Time::ZERO),
        )
    }

    fn sealed(session: &mut Session, text: &[u8]) -> Bytes {
        let mut datagram = Session::blank();
        datagram.put_slice(text);
        session.seal(datagram, Time::ZERO).unwrap()
    }

    fn opened(session: &mut Session, datagram: &[u8], now: Time) -> Result<Bytes, DropReason> {
        let (header, rest) = Header::decode(datagram)?;
        session.open(&header, rest, now)
    }

    // PROTOCOL 2.2
    #[test]
    fn what_one_side_seals_the_other_opens_once() {
        let (mut alice, mut bob) = pair();
        for text in [&b""[..], b"tea", &[7; 1_168]] {
            let forth = sealed(&mut alice, text);
            assert_eq!(forth.len(), 32 + text.len());
            assert_eq!(opened(&mut bob, &forth, Time::ZERO).unwrap(), text);
            assert_eq!(
                opened(&mut bob, &forth, Time::ZERO),
                Err(DropReason::Replayed)
            );
            let back = sealed(&mut bob, text);
            assert_eq!(opened(&mut alice, &back, Time::ZERO).unwrap(), text);
        }
    }

    // PROTOCOL 2.2
    #[test]
    fn every_altered_bit_is_refused_and_moves_nothing() {
        let (mut alice, mut bob) = pair();
        let datagram = sealed(&mut alice, b"four o'clock");
        for bit in 0..datagram.len() * 8 {
            let mut altered = datagram.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&mut bob, &altered, Time::ZERO).is_err(), "bit {bit}");
        }
        assert!(opened(&mut bob, &datagram, Time::ZERO).is_ok());
    }

    // PROTOCOL 2.2
    #[test]
    fn a_message_that_was_overtaken_by_64_others_is_refused() {
        let (mut alice, mut bob) = pair();
        let datagrams: Vec<Bytes> = (0..65).map(|_| sealed(&mut alice, b"")).collect();
        assert!(opened(&mut bob, &datagrams[64], Time::ZERO).is_ok());
        assert!(opened(&mut bob, &datagrams[1], Time::ZERO).is_ok());
        assert_eq!(
            opened(&mut bob, &datagrams[0], Time::ZERO),
            Err(DropReason::Replayed)
        );
    }

    // PROTOCOL 2.2
    #[test]
    fn a_session_ends_by_age_and_by_count() {
        let (mut alice, mut bob) = pair();
        let datagram = sealed(&mut alice, b"");
        let late = Time::ZERO + Duration::from_secs(660);
        assert_eq!(opened(&mut bob, &datagram, late), Err(DropReason::Expired));
        assert!(alice.seal(Session::blank(), late).is_none());
        alice.counter = SESSION_MESSAGES_MAX - 1;
        let last = alice.seal(Session::blank(), Time::ZERO).unwrap();
        assert!(opened(&mut bob, &last, Time::ZERO).is_ok());
        assert!(alice.seal(Session::blank(), Time::ZERO).is_none());
    }

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 200, "{}", size_of::<Session>());
    }
}
