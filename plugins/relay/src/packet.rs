//! The packet: immutable but for its work nonce, the same bytes at every carrier. PROTOCOL 3.1, 3.2

use crate::limits::{EXPIRY_HOURS_MAX, HEADER_BYTES, LARGE_PACKET_BYTES, SMALL_PACKET_BYTES};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use dunlin_engine::bevy_ecs::{self, prelude::Component};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

macro_rules! sixteen_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotSixteenBytes;

            fn from_str(text: &str) -> Result<Self, NotSixteenBytes> {
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotSixteenBytes)?;
                bytes.try_into().map(Self).map_err(|_| NotSixteenBytes)
            }
        }
    };
}

/// Said of text that should be 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 lower-case hexadecimal digits")]
pub struct NotSixteenBytes;

sixteen_bytes! {
    /// A packet's id: computed from its bytes, never carried. PROTOCOL 3.2
    #[derive(Component)]
    PacketId
}
sixteen_bytes! {
    /// Where a packet belongs: the tag of a mailbox's day, or one that is used once. PROTOCOL 4.1
    Tag
}
sixteen_bytes! {
    /// A message's id, which only its sender and its recipient know. PROTOCOL 3.3
    MessageId
}

/// What a one-time tag is the hash of. Whoever knows it may fetch what lies under the tag; whoever knows the tag alone, as the holder of a
/// contact card knows those of a mailbox, may not. PROTOCOL 4.2
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// The tag.
    // PROTOCOL 4.2
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag(hash16("dunlin 1 one-time tag", &self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)") // Who reads a log is not to fetch by it.
    }
}

/// `hash(context, data)` of the protocol, cut to 16 bytes.
pub(crate) fn hash16(context: &str, data: &[u8]) -> [u8; 16] {
    let whole = blake3::derive_key(context, data);
    let mut cut = [0; 16];
    cut.copy_from_slice(&whole[..16]);
    cut
}

/// What ends a packet. Whoever opened the packet has it; whoever shows it proves that. PROTOCOL 4.3
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DeleteSecret([u8; 16]);

impl DeleteSecret {
    /// Takes the 16 bytes as they are.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, for a receipt or as proof of delivery.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The delete-hash that a packet carries. PROTOCOL 3.1
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        hash16("dunlin 1 delete", &self.0)
    }

    /// Whether this is the secret behind a delete-hash.
    #[must_use]
    pub fn ends(&self, delete_hash: &[u8; 16]) -> bool {
        self.hash().ct_eq(delete_hash).into()
    }
}

impl fmt::Debug for DeleteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeleteSecret")
    }
}

/// The two sizes of packets. PROTOCOL 3.1
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 320 bytes.
    Small,
    /// 1,088 bytes.
    Large,
}

impl Class {
    /// The whole packet, in bytes.
    #[must_use]
    pub const fn packet_bytes(self) -> usize {
        match self {
            Class::Small => SMALL_PACKET_BYTES,
            Class::Large => LARGE_PACKET_BYTES,
        }
    }

    /// The content of a sealed packet, in bytes. PROTOCOL 3.3
    #[must_use]
    pub const fn content_bytes(self) -> usize {
        self.bytes_beside(crate::limits::SEAL_BYTES)
    }

    /// What is left beside the header and a seal of so many bytes.
    pub(crate) const fn bytes_beside(self, seal_bytes: usize) -> usize {
        self.packet_bytes() - HEADER_BYTES - seal_bytes
    }
}

/// Why bytes are not a packet of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither 320 nor 1,088 bytes, or not what its class says.
    #[error("the length is not that of the class")]
    Length,
    /// Another version.
    #[error("the version is not 1")]
    Version,
    /// A class that no version knows.
    #[error("unknown size class")]
    Class,
    /// X-Wing, or a suite that no version knows.
    #[error("a suite of a later version")]
    Suite,
    /// A reserved field that is not zero.
    #[error("a reserved field is not zero")]
    Reserved,
    /// An expiry of 0 or of more than 336 hours.
    #[error("the expiry is not between 1 and 336 hours")]
    Expiry,
}

/// A packet whose header was checked. Its body means something to its recipient alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    bytes: Bytes,
    id: PacketId,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({}, {} bytes)", self.id, self.bytes.len())
    }
}

impl Packet {
    /// Checks every field of the header, and computes the id.
    // PROTOCOL 3.1
    pub fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        if bytes.len() != SMALL_PACKET_BYTES && bytes.len() != LARGE_PACKET_BYTES {
            return Err(Malformed::Length);
        }
        if bytes[0] != 1 {
            return Err(Malformed::Version);
        }
        let class = match bytes[1] & 0x0f {
            0 => Class::Small,
            1 => Class::Large,
            _ => return Err(Malformed::Class),
        };
        if bytes[1] >> 4 != 0 {
            return Err(Malformed::Suite);
        }
        if bytes.len() != class.packet_bytes() {
            return Err(Malformed::Length);
        }
        if bytes[2] != 0 || bytes[3] != 0 {
            return Err(Malformed::Reserved);
        }
        let id = id_of(&bytes);
        let packet = Self { bytes, id };
        if !(1..=EXPIRY_HOURS_MAX).contains(&packet.expiry_hours()) {
            return Err(Malformed::Expiry);
        }
        Ok(packet)
    }

    /// The id. PROTOCOL 3.2
    #[must_use]
    pub fn id(&self) -> PacketId {
        self.id
    }

    /// The size class.
    #[must_use]
    pub fn class(&self) -> Class {
        if self.bytes.len() == SMALL_PACKET_BYTES {
            Class::Small
        } else {
            Class::Large
        }
    }

    /// The day on which it was sealed, in days since 1970-01-01.
    #[must_use]
    pub fn day(&self) -> u16 {
        u16::from_le_bytes([self.bytes[4], self.bytes[5]])
    }

    /// How long after the start of that day it is to be kept, in hours, 1 to 336.
    #[must_use]
    pub fn expiry_hours(&self) -> u16 {
        u16::from_le_bytes([self.bytes[6], self.bytes[7]])
    }

    /// The work nonce.
    #[must_use]
    pub fn nonce(&self) -> [u8; 8] {
        field(&self.bytes, 8)
    }

    /// Where it belongs.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag(field(&self.bytes, 16))
    }

    /// The hash of the secret that ends it.
    #[must_use]
    pub fn delete_hash(&self) -> [u8; 16] {
        field(&self.bytes, 32)
    }

    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The whole packet, as it goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header as both seals authenticate it: the nonce zeroed. PROTOCOL 3.3
    #[must_use]
    pub fn sealed_header(&self) -> [u8; HEADER_BYTES] {
        let mut header = field(&self.bytes, 0);
        header[8..16].fill(0);
        header
    }

    /// The work in its nonce, in bits. PROTOCOL 3.2
    #[must_use]
    pub fn work(&self) -> u8 {
        work_of(self.id, self.nonce())
    }

    /// The same packet with another nonce.
    #[must_use]
    pub fn with_nonce(&self, nonce: [u8; 8]) -> Self {
        let mut bytes = self.bytes.to_vec();
        bytes[8..16].copy_from_slice(&nonce);
        Self {
            bytes: bytes.into(),
            id: self.id,
        }
    }

    /// The same packet with at least `bits` of work, at most `WORK_BITS_MAX` of which are looked for.
    /// Takes 2^bits hashes on average.
    #[must_use]
    pub fn worked(&self, bits: u8) -> Self {
        let bits = bits.min(crate::limits::WORK_BITS_MAX);
        if self.work() >= bits {
            return self.clone();
        }
        // Nobody else's nonce need be beaten, so counting up is as good as chance.
        let mut nonce = 0_u64;
        while work_of(self.id, nonce.to_le_bytes()) < bits {
            nonce += 1;
        }
        self.with_nonce(nonce.to_le_bytes())
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

// PROTOCOL 3.2
fn id_of(bytes: &[u8]) -> PacketId {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&bytes[..8])
        .update(&[0; 8])
        .update(&bytes[16..]);
    PacketId(field(hasher.finalize().as_bytes(), 0))
}

// PROTOCOL 3.2
fn work_of(id: PacketId, nonce: [u8; 8]) -> u8 {
    let mut input = [0; 24];
    input[..16].copy_from_slice(&id.0);
    input[16..].copy_from_slice(&nonce);
    let hash = blake3::hash(&input);
    let zeros = hash
        .as_bytes()
        .iter()
        .take_while(|byte| **byte == 0)
        .count();
    let next = hash
        .as_bytes()
        .get(zeros)
        .map_or(0, |byte| byte.leading_zeros());
    // 255 bits of work will not be seen.
    u8::try_from(zeros * 8 + next as usize).unwrap_or(u8::MAX)
}

/// What a header says beside the fields that are the same in every packet of this version.
pub(crate) struct Header {
    pub(crate) class: Class,
    pub(crate) day: u16,
    pub(crate) expiry_hours: u16,
    pub(crate) tag: Tag,
    pub(crate) delete_hash: [u8; 16],
}

impl Header {
    // PROTOCOL 3.1
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = 1;
        bytes[1] = match self.class {
            Class::Small => 0,
            Class::Large => 1,
        };
        bytes[4..6].copy_from_slice(&self.day.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.expiry_hours.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.tag.0);
        bytes[32..48].copy_from_slice(&self.delete_hash);
        bytes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A packet of one's choosing, with a body that is not sealed.
    pub(crate) fn packet(class: Class, tag: Tag, day: u16, filling: u8) -> Packet {
        let header = Header {
            class,
            day,
            expiry_hours: 336,
            tag,
            delete_hash: DeleteSecret::new([filling; 16]).hash(),
        };
        let mut bytes = header.encode().to_vec();
        bytes.resize(class.packet_bytes(), filling);
        Packet::parse(bytes.into()).unwrap()
    }

    fn refused(at: usize, value: u8) -> Result<Packet, Malformed> {
        let mut bytes = packet(Class::Small, Tag([1; 16]), 20_000, 7)
            .bytes()
            .to_vec();
        bytes[at] = value;
        Packet::parse(bytes.into())
    }

    // PROTOCOL 3.1
    #[test]
    fn every_reserved_or_later_value_is_refused_with_its_reason() {
        for version in (0..=255).filter(|version| *version != 1) {
            assert_eq!(refused(0, version), Err(Malformed::Version));
        }
        assert_eq!(refused(1, 0x10), Err(Malformed::Suite));
        assert_eq!(refused(1, 0xf0), Err(Malformed::Suite));
        assert_eq!(refused(1, 0x02), Err(Malformed::Class));
        assert_eq!(refused(1, 0x01), Err(Malformed::Length));
        assert_eq!(refused(2, 1), Err(Malformed::Reserved));
        assert_eq!(refused(3, 0x80), Err(Malformed::Reserved));
        assert_eq!(refused(7, 2), Err(Malformed::Expiry));
    }

    #[test]
    fn an_expiry_of_nothing_is_refused() {
        let mut bytes = packet(Class::Small, Tag([1; 16]), 20_000, 7)
            .bytes()
            .to_vec();
        bytes[6..8].fill(0);
        assert_eq!(Packet::parse(bytes.into()), Err(Malformed::Expiry));
    }

    #[test]
    fn only_two_lengths_are_packets() {
        for length in (0..1_300).filter(|length| *length != 320 && *length != 1_088) {
            let bytes = vec![1; length];
            assert_eq!(Packet::parse(bytes.into()), Err(Malformed::Length));
        }
    }

    // PROTOCOL 3.2
    #[test]
    fn the_nonce_is_outside_the_id_and_every_other_bit_is_inside() {
        let packet = packet(Class::Small, Tag([1; 16]), 20_000, 7);
        for bit in 0..packet.bytes().len() * 8 {
            let mut bytes = packet.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let same = id_of(&bytes) == packet.id();
            assert_eq!(same, (64..128).contains(&bit), "bit {bit}");
        }
    }

    // PROTOCOL 3.2
    #[test]
    fn work_is_counted_in_leading_zero_bits_and_can_be_done() {
        let packet = packet(Class::Large, Tag([2; 16]), 20_000, 9);
        let worked = packet.worked(10);
        assert!(worked.work() >= 10);
        assert_eq!(worked.id(), packet.id());
        let mut input = packet.id().0.to_vec();
        input.extend(worked.nonce());
        let hash = blake3::hash(&input);
        let first = u64::from_be_bytes(hash.as_bytes()[..8].try_into().unwrap());
        assert_eq!(u32::from(worked.work()), first.leading_zeros());
    }

    #[test]
    fn a_secret_ends_its_packet_alone_and_is_not_printed() {
        let packet = packet(Class::Small, Tag([3; 16]), 20_000, 5);
        assert!(DeleteSecret::new([5; 16]).ends(&packet.delete_hash()));
        assert!(!DeleteSecret::new([6; 16]).ends(&packet.delete_hash()));
        assert_eq!(format!("{:?}", DeleteSecret::new([5; 16])), "DeleteSecret");
    }
}
