//! The record of somebody's next prekeys: who has the contact card finds it and reads it, and nobody else knows what it is. PROTOCOL 4.5

use crate::limits::{FRAGMENT_BYTES, HEADER_BYTES, LARGE_PACKET_BYTES, PREKEYS};
use crate::mailbox::MailboxPublic;
use crate::packet::{Class, DeleteSecret, Header, Packet, Token};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use dunlin_net::{Identity, PeerId};

/// A packet's tag serves for so many days.
const TAG_DAYS: u16 = 14;
const KEYS_BYTES: usize = PREKEYS * 32;
/// First day, when it was made, keys.
const SIGNED_BYTES: usize = 2 + 8 + KEYS_BYTES;
const _: () = assert!(SIGNED_BYTES + 64 <= FRAGMENT_BYTES);
/// A key is used for one record alone: its delete-hash goes into it.
const NONCE: [u8; 12] = [0; 12];

/// Public keys for 28 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrekeyRecord {
    /// The day of the first, in days since 1970-01-01.
    pub first_day: u16,
    /// By its owner's clock, in Unix milliseconds: of two the later one counts.
    pub made_ms: u64,
    /// X25519, one a day.
    pub keys: Vec<[u8; 32]>,
}

/// By what a record published on this day is fetched.
// PROTOCOL 4.5
#[must_use]
pub fn prekey_token(mailbox: &MailboxPublic, day: u16) -> Token {
    let mut hasher = blake3::Hasher::new_derive_key("dunlin 1 prekey token");
    hasher.update(&mailbox.to_bytes());
    hasher.update(&(day / TAG_DAYS).to_le_bytes());
    let mut token = Token([0; 16]);
    token.0.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    token
}

/// By what records may be fetched that are of use on this day, the latest first: a clock may be a day wrong.
#[must_use]
pub fn prekey_tokens(mailbox: &MailboxPublic, day: u16) -> Vec<Token> {
    let days = [day.saturating_add(1), day, day.saturating_sub(TAG_DAYS)];
    let mut tokens = days.map(|day| prekey_token(mailbox, day)).to_vec();
    tokens.dedup();
    tokens
}

fn signed(mailbox: &MailboxPublic, record: &[u8]) -> Vec<u8> {
    [b"dunlin 1 prekeys", &mailbox.to_bytes()[..], record].concat()
}

fn cipher(mailbox: &MailboxPublic, header: &[u8; HEADER_BYTES]) -> ChaCha20Poly1305 {
    let mut hasher = blake3::Hasher::new_derive_key("dunlin 1 prekey key");
    hasher.update(&mailbox.to_bytes());
    hasher.update(&header[32..]);
    ChaCha20Poly1305::new(hasher.finalize().as_bytes().into())
}

impl PrekeyRecord {
    /// The key of a day, if it has one.
    #[must_use]
    pub fn key(&self, day: u16) -> Option<&[u8; 32]> {
        let place = day.checked_sub(self.first_day)?;
        self.keys.get(usize::from(place))
    }

    /// The packet to be placed. `secret` is the owner's alone: who has the card can read the record, not end it.
    // PROTOCOL 4.5
    #[must_use]
    pub fn seal(
        &self,
        owner: &Identity,
        mailbox: &MailboxPublic,
        (day, expiry_hours): (u16, u16),
        secret: &DeleteSecret,
    ) -> Option<Packet> {
        let header = Header {
            class: Class::Large,
            day,
            expiry_hours,
            tag: prekey_token(mailbox, day).tag(),
            delete_hash: secret.hash(),
        };
        let header = header.encode();
        let mut record = Vec::with_capacity(FRAGMENT_BYTES);
        record.extend(self.first_day.to_le_bytes());
        record.extend(self.made_ms.to_le_bytes());
        record.extend(self.keys.iter().flatten());
        let signature = owner.sign(&signed(mailbox, &record));
        record.extend(signature);
        record.resize(FRAGMENT_BYTES, 0);
        let cipher = cipher(mailbox, &header);
        let sum =
            cipher.encrypt_inout_detached(&NONCE.into(), &header, record.as_mut_slice().into());
        let mut bytes = Vec::with_capacity(LARGE_PACKET_BYTES);
        bytes.extend(header);
        bytes.extend(record);
        bytes.extend(sum.ok()?);
        Packet::parse(bytes.into()).ok()
    }

    /// Reads a packet that lies under one of `mailbox`'s tags. `None` if it is no record by `owner`: whoever has the card may put anything there.
    // PROTOCOL 4.5
    #[must_use]
    pub fn open(packet: &Packet, owner: &PeerId, mailbox: &MailboxPublic) -> Option<PrekeyRecord> {
        if packet.class() != Class::Large
            || packet.tag() != prekey_token(mailbox, packet.day()).tag()
        {
            return None;
        }
        let header = packet.sealed_header();
        let (text, sum) = packet.body().split_last_chunk::<16>()?;
        let mut text = text.to_vec();
        cipher(mailbox, &header)
            .decrypt_inout_detached(
                &NONCE.into(),
                &header,
                text.as_mut_slice().into(),
                &(*sum).into(),
            )
            .ok()?;
        let (record, rest) = text.split_at_checked(SIGNED_BYTES)?;
        let (signature, zeros) = rest.split_first_chunk()?;
        if zeros.iter().any(|byte| *byte != 0) || !owner.verify(&signed(mailbox, record), signature)
        {
            return None;
        }
        let (first_day, rest) = record.split_first_chunk()?;
        let (made_ms, keys) = rest.split_first_chunk()?;
        let (keys, _) = keys.as_chunks();
        Some(PrekeyRecord {
            first_day: u16::from_le_bytes(*first_day),
            made_ms: u64::from_le_bytes(*made_ms),
            keys: keys.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;

    const DAY: u16 = 20_000;

    fn identity(n: u8) -> Identity {
        let valid = (n..=u8::MAX).find_map(|seed| Identity::from_seed(&[seed; 32]).ok());
        valid.unwrap()
    }

    fn record(made_ms: u64) -> PrekeyRecord {
        PrekeyRecord {
            first_day: DAY - 1,
            made_ms,
            keys: (0..PREKEYS).map(|n| [n as u8; 32]).collect(),
        }
    }

    // PROTOCOL 4.5
    #[test]
    fn who_has_the_card_reads_the_record_and_can_neither_make_nor_end_one() {
        let (bob, eve) = (identity(1), identity(90));
        let mailbox = Mailbox::from_seed(&[7; 32]);
        let secret = DeleteSecret::new([5; 16]);
        let packet = record(1)
            .seal(&bob, mailbox.public(), (DAY, 336), &secret)
            .unwrap();
        let opened = PrekeyRecord::open(&packet, &bob.id(), mailbox.public()).unwrap();
        assert_eq!(opened, record(1));
        assert_eq!(opened.key(DAY - 1), Some(&[0; 32]));
        assert_eq!(opened.key(DAY + 26), Some(&[27; 32]));
        assert_eq!((opened.key(DAY - 2), opened.key(DAY + 27)), (None, None));
        let tokens = prekey_tokens(mailbox.public(), DAY + 13);
        assert!(tokens.iter().any(|token| token.tag() == packet.tag()));
        // Eve has the card, and signs with what she has.
        let hers = record(2)
            .seal(&eve, mailbox.public(), (DAY, 336), &secret)
            .unwrap();
        assert!(PrekeyRecord::open(&hers, &bob.id(), mailbox.public()).is_none());
        // A record of Bob's for another mailbox of his; another mailbox's key.
        let other = Mailbox::from_seed(&[8; 32]);
        assert!(PrekeyRecord::open(&packet, &bob.id(), other.public()).is_none());
        for bit in (0..packet.bytes().len() * 8).step_by(61) {
            let mut bytes = packet.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(altered) = Packet::parse(bytes.into())
                && !(64..128).contains(&bit)
            {
                let opened = PrekeyRecord::open(&altered, &bob.id(), mailbox.public());
                assert!(opened.is_none(), "bit {bit}");
            }
        }
    }
}
