//! Sealing to a room: every member opens it and knows who wrote it, and no member can write in another's name or delete what
//! another wrote. PROTOCOL 3.8

use crate::fragment::FragmentKey;
use crate::head::{BadHead, Content, Head, Kind};
use crate::limits::{EXPIRY_HOURS_MAX, HEADER_BYTES, ROOM_SEAL_BYTES};
use crate::packet::{Class, DeleteSecret, Header, MessageId, Packet, hash16};
use crate::room::Room;
use crate::seal::{Envelope, OpenError, SealError, Sealed};
use dunlin_net::{Identity, PeerId};
use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use hpke::{setup_receiver, setup_sender_with_rng};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

type Suite = X25519HkdfSha256;
type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, Suite>;
type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, Suite>;

const ENC_BYTES: usize = 32;

/// A message to a room, as its author has it.
#[derive(Debug, Clone)]
pub struct SealedForRoom {
    /// What goes to the carriers.
    pub sealed: Sealed,
    /// What ends its head there; nobody else has it.
    pub secret: DeleteSecret,
}

/// What a member finds.
#[derive(Debug)]
pub struct OpenedInRoom {
    /// Who wrote it: they signed it, for this room alone.
    pub from: PeerId,
    /// The message, or what its fragments make.
    pub content: Content,
    /// What its fragments are opened with.
    pub fragments: Vec<FragmentKey>,
}

// PROTOCOL 3.8
fn info(room: &Room) -> [u8; 45] {
    let mut info = [0; 45];
    info[..13].copy_from_slice(b"dunlin 1 room");
    info[13..].copy_from_slice(room.public());
    info
}

// PROTOCOL 3.8
fn signed(
    room: &Room,
    header: &[u8; HEADER_BYTES],
    enc: &[u8],
    content: &[u8],
) -> Zeroizing<Vec<u8>> {
    let parts = [
        b"dunlin 1 room author",
        &room.public()[..],
        header,
        enc,
        content,
    ];
    Zeroizing::new(parts.concat())
}

/// What ends a message of ours, or its fragment of this number. Made of what its author alone has.
// PROTOCOL 3.8
fn delete_secret(author: &Identity, enc: &[u8], number: Option<u16>) -> DeleteSecret {
    let mut data = Zeroizing::new(author.agreement_secret().to_vec());
    data.extend_from_slice(enc);
    data.extend(number.map(u16::to_le_bytes).into_iter().flatten());
    DeleteSecret::new(hash16("dunlin 1 room delete", &data))
}

/// Seals a message from `from` to a room, on one of its lanes. Takes one scalar multiplication, one of the base, and a signature.
// PROTOCOL 3.8
pub fn seal_for_room(
    from: &Identity,
    room: &Room,
    envelope: Envelope,
    head: &Head,
    random: &mut impl CryptoRng,
) -> Result<SealedForRoom, SealError> {
    let Envelope {
        day, expiry_hours, ..
    } = envelope;
    if !(1..=EXPIRY_HOURS_MAX).contains(&expiry_hours) {
        return Err(SealError::Expiry(expiry_hours));
    }
    let (class, content, parts) = head.encode_in(ROOM_SEAL_BYTES)?;
    let content = Zeroizing::new(content);
    let key = |_| SealError::Key;
    let (packet, secret, context) =
        seal_content(from, room, envelope, class, &content, random).map_err(key)?;
    let (enc, _) = packet.body().split_at(ENC_BYTES);
    let mut fragments = Vec::new();
    for (number, part) in (0..).zip(parts) {
        let secret = delete_secret(from, enc, Some(number));
        let export = |what: &[u8], out: &mut [u8]| context.export(what, out);
        let fragment = FragmentKey::of_room(number, export, Some(secret)).map_err(key)?;
        let packet = fragment.seal(day, expiry_hours, part);
        fragments.push((packet.ok_or(SealError::Key)?, fragment.secret().clone()));
    }
    let message = MessageId(packet.id().0);
    let sealed = Sealed {
        packet,
        fragments,
        message,
        parts: Vec::new(),
    };
    Ok(SealedForRoom { sealed, secret })
}

/// The packet, what ends it, and the context of which fragments' keys are exported.
// PROTOCOL 3.8
pub(crate) fn seal_content(
    from: &Identity,
    room: &Room,
    envelope: Envelope,
    class: Class,
    content: &[u8],
    random: &mut impl CryptoRng,
) -> Result<(Packet, DeleteSecret, Sender), hpke::HpkeError> {
    let Envelope {
        tag,
        day,
        expiry_hours,
    } = envelope;
    let public = <Suite as Kem>::PublicKey::from_bytes(room.public())?;
    let (enc, mut context): (_, Sender) =
        setup_sender_with_rng(&OpModeS::Base, &public, &info(room), random)?;
    let enc = enc.to_bytes();
    let secret = delete_secret(from, &enc, None);
    let header = Header {
        class,
        day,
        expiry_hours,
        tag,
        delete_hash: secret.hash(),
    };
    let header = header.encode();
    let mut inside = Zeroizing::new(from.id().as_bytes().to_vec());
    inside.extend(from.sign(&signed(room, &header, &enc, content)));
    inside.extend_from_slice(content);
    let mut bytes = Vec::with_capacity(class.packet_bytes());
    bytes.extend(header);
    bytes.extend_from_slice(&enc);
    bytes.extend(context.seal(&inside, &header)?);
    match Packet::parse(bytes.into()) {
        Ok(packet) => Ok((packet, secret, context)),
        Err(_) => Err(hpke::HpkeError::SealError), // A content of the wrong length: `Head::encode_in` makes none.
    }
}

/// Opens a packet that was sealed to a room. Takes one scalar multiplication, and a verification if it was.
// PROTOCOL 3.8
pub fn open_in_room(room: &Room, packet: &Packet) -> Result<OpenedInRoom, OpenError> {
    let outer = |_| OpenError::Outer;
    let header = packet.sealed_header();
    let private = <Suite as Kem>::PrivateKey::from_bytes(room.key()).map_err(outer)?;
    let (enc, text) = packet.body().split_at(ENC_BYTES);
    let key = <Suite as Kem>::EncappedKey::from_bytes(enc).map_err(outer)?;
    let mut context: Receiver =
        setup_receiver(&OpModeR::Base, &private, &key, &info(room)).map_err(outer)?;
    let inside = Zeroizing::new(context.open(text, &header).map_err(outer)?);
    let (author, rest) = inside.split_first_chunk().ok_or(OpenError::SenderId)?;
    let from = PeerId::from_bytes(*author).map_err(|_| OpenError::SenderId)?;
    let (signature, content) = rest.split_first_chunk().ok_or(OpenError::Inner)?;
    if !from.verify(&signed(room, &header, enc, content), signature) {
        return Err(OpenError::Inner);
    }
    let content = Head::decode(content)?;
    let count = match &content {
        Content::Whole(head) if head.kind != Kind::Part => 0,
        Content::Outline(outline) if !outline.is_part() => outline.fragments(),
        // Rooms have no larger content.
        _ => return Err(BadHead::Later.into()),
    };
    let export = |what: &[u8], out: &mut [u8]| context.export(what, out);
    let key = |number| FragmentKey::of_room(number, export, None);
    let fragments = (0..count as u16).map(key).collect::<Result<_, _>>();
    Ok(OpenedInRoom {
        from,
        content,
        fragments: fragments.map_err(outer)?,
    })
}

#[cfg(test)]
#[path = "room_seal_tests.rs"]
mod tests;
