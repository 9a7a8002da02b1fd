//! The fragments of a message that one packet does not hold: packets like any other, each under a tag of its own. PROTOCOL 3.5
//!
//! Their keys, tags and delete secrets come from the head's seal, so that whoever opened the head knows them all, and nobody
//! else sees in their bytes that two of them belong together.

use crate::limits::{FRAGMENT_BYTES, HEADER_BYTES, LARGE_PACKET_BYTES};
use crate::packet::{Class, DeleteSecret, Header, Packet, Tag, Token};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use zeroize::Zeroizing;

/// What one fragment is sealed with, and where it lies.
pub struct FragmentKey {
    key: Zeroizing<[u8; 32]>,
    token: Token,
    tag: Tag,
    secret: DeleteSecret,
    /// Whether the packet's delete-hash must be that of `secret`: not for a room's members, whose author alone has it.
    ends: bool,
}

impl std::fmt::Debug for FragmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FragmentKey({})", self.tag)
    }
}

/// A key is used for one fragment alone, and never again.
const NONCE: [u8; 12] = [0; 12];

impl FragmentKey {
    /// Of fragment `number`, by the exporter of the head's outer seal.
    // PROTOCOL 3.3
    pub(crate) fn export<E>(
        number: u16,
        export: impl Fn(&[u8], &mut [u8]) -> Result<(), E>,
    ) -> Result<FragmentKey, E> {
        let of = |what: &[u8], out: &mut [u8]| export(&[what, &number.to_le_bytes()].concat(), out);
        let (mut key, mut token) = (Zeroizing::new([0; 32]), Token([0; 16]));
        let mut secret = Zeroizing::new([0; 16]);
        of(b"key", &mut *key)?;
        of(b"token", &mut token.0)?;
        of(b"delete", &mut *secret)?;
        Ok(FragmentKey {
            key,
            token,
            tag: token.tag(),
            secret: DeleteSecret::new(*secret),
            ends: true,
        })
    }

    /// The same for a room: what ends it is the author's `secret`, and members have none.
    // PROTOCOL 3.8
    pub(crate) fn of_room<E>(
        number: u16,
        export: impl Fn(&[u8], &mut [u8]) -> Result<(), E>,
        secret: Option<DeleteSecret>,
    ) -> Result<FragmentKey, E> {
        let key = Self::export(number, export)?;
        Ok(FragmentKey {
            ends: secret.is_some(),
            secret: secret.unwrap_or_else(|| key.secret.clone()),
            ..key
        })
    }

    /// By which it is fetched.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Where it lies.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// What ends it at its carriers.
    #[must_use]
    pub fn secret(&self) -> &DeleteSecret {
        &self.secret
    }

    /// Seals at most 1,024 bytes.
    // PROTOCOL 3.5
    pub(crate) fn seal(&self, day: u16, expiry_hours: u16, part: &[u8]) -> Option<Packet> {
        let header = Header {
            class: Class::Large,
            day,
            expiry_hours,
            tag: self.tag,
            delete_hash: self.secret.hash(),
        };
        let header = header.encode();
        let mut bytes = Vec::with_capacity(LARGE_PACKET_BYTES);
        bytes.extend(header);
        bytes.extend(part);
        bytes.resize(HEADER_BYTES + FRAGMENT_BYTES, 0);
        let cipher = ChaCha20Poly1305::new((&*self.key).into());
        let text = &mut bytes[HEADER_BYTES..];
        let sum = cipher.encrypt_inout_detached(&NONCE.into(), &header, text.into());
        bytes.extend(sum.ok()?);
        Packet::parse(bytes.into()).ok()
    }

    /// What is in it: 1,024 bytes. `None` if it is another packet, or altered.
    // PROTOCOL 3.5
    #[must_use]
    pub fn open(&self, packet: &Packet) -> Option<Zeroizing<Vec<u8>>> {
        if packet.tag() != self.tag
            || packet.class() != Class::Large
            || (self.ends && !self.secret.ends(&packet.delete_hash()))
        {
            return None;
        }
        let (text, sum) = packet.body().split_last_chunk::<16>()?;
        let mut part = Zeroizing::new(text.to_vec());
        let header = packet.sealed_header();
        ChaCha20Poly1305::new((&*self.key).into())
            .decrypt_inout_detached(
                &NONCE.into(),
                &header,
                part.as_mut_slice().into(),
                &(*sum).into(),
            )
            .ok()?;
        Some(part)
    }
}
