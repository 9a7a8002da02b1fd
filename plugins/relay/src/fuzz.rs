//! Decoders of strangers' bytes as plain functions, for the fuzzers in `tests/fuzz`. Each panics where a decoder breaks its
//! word: what it takes, it gives back.

use crate::card::Card;
use crate::frames::Frame;
use crate::head::{Content, Head};
use crate::limits::{FRAGMENTS_MAX, PARTS_MAX, ROOM_SEAL_BYTES};
use crate::mailbox::Mailbox;
use crate::outbox_disk;
use crate::packet::{Class, Packet};
use crate::room::Room;
use crate::room_seal::{open_in_room, seal_content};
use crate::seal::Envelope;
use bytes::Bytes;
use dunlin_engine::{Random, Time};
use dunlin_net::Identity;

/// A packet, as a carrier gets it.
// PROTOCOL 3.1, 3.2
pub fn packet(bytes: &[u8]) {
    let Ok(packet) = Packet::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert_eq!(packet.bytes()[..], *bytes);
    assert_eq!(packet.bytes().len(), packet.class().packet_bytes());
    assert_eq!(packet.sealed_header()[..8], bytes[..8]);
    // The id does not depend on the nonce, and a stranger's nonce changes nothing else.
    let other = packet.with_nonce([0xa5; 8]);
    assert_eq!(Packet::parse(other.bytes().clone()), Ok(other.clone()));
    assert_eq!(other.id(), packet.id());
    assert_eq!(other.body(), packet.body());
}

/// A frame of the relay: its type, then its body.
// PROTOCOL 2.3
pub fn frame(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    if let Ok(frame) = Frame::decode(*kind, &Bytes::copy_from_slice(body)) {
        let (kind_again, body_again) = frame.encode();
        assert_eq!(kind_again, *kind);
        // Fields may have been added at the end; what is known of it stands first.
        assert_eq!(body_again, body[..body_again.len()]);
    }
}

/// The content of an opened packet.
// PROTOCOL 3.4
pub fn head(bytes: &[u8]) {
    let head = match Head::decode(bytes) {
        Ok(Content::Whole(head)) => head,
        Ok(Content::Outline(outline)) => {
            assert!((1..=FRAGMENTS_MAX).contains(&outline.fragments()));
            let _ = outline.fill(bytes);
            return;
        }
        Ok(Content::Manifest(manifest)) => {
            assert!((2..=PARTS_MAX).contains(&manifest.parts()));
            let (_, again) = manifest.encode();
            let both = again.len().min(bytes.len());
            assert_eq!(again[..both], bytes[..both]);
            return;
        }
        Err(_) => return,
    };
    // Whoever sealed it may have put a short message into a large packet, so only the shorter of the two is compared.
    if let Ok((class, content, _)) = head.encode() {
        assert_eq!(content.len(), class.content_bytes());
        let both = content.len().min(bytes.len());
        assert_eq!(content[..both], bytes[..both]);
        assert!(Head::decode(&content) == Ok(Content::Whole(head.clone())));
    }
}

/// A contact card as somebody pasted it.
// PROTOCOL 4.4
pub fn card_text(bytes: &[u8]) {
    if let Ok(card) = String::from_utf8_lossy(bytes).parse::<Card>() {
        assert_eq!(card.to_string().parse(), Ok(card));
    }
}

/// The fields of a contact card whose owner signed whatever they are: neither sum nor signature keeps a stranger from that.
// PROTOCOL 4.4
pub fn card_fields(bytes: &[u8]) {
    // Every other seed will do.
    let Some(owner) = (0..=u8::MAX).find_map(|seed| Identity::from_seed(&[seed; 32]).ok()) else {
        return;
    };
    let mailbox = Mailbox::from_seed(&[7; 32]);
    if let Ok(card) = Card::signed(&owner, mailbox.public(), bytes) {
        assert_eq!(card.id(), owner.id());
        assert_eq!(card.mailbox(), mailbox.public());
        assert_eq!(card.to_string().parse(), Ok(card.clone()));
        // Whatever was taken can be said again by who reads it.
        let again = Card::new(&owner, mailbox.public(), card.addresses(), card.name());
        assert!(again.is_ok_and(
            |again| again.addresses() == card.addresses() && again.name() == card.name()
        ));
    }
}

/// An invitation to a room as somebody pasted it, and its bytes with a sum that is right.
// PROTOCOL 4.6
pub fn invitation(bytes: &[u8]) {
    for room in [
        String::from_utf8_lossy(bytes).parse::<Room>(),
        Room::summed(bytes),
    ] {
        let Ok(room) = room else {
            continue;
        };
        let again: Result<Room, _> = room.invitation().parse();
        assert!(again.is_ok_and(|again| again.id() == room.id() && again.name() == room.name()));
    }
}

/// What a member sealed to a room: any packet at all, and any content under a seal and signature that hold.
// PROTOCOL 3.8
pub fn room_packet(bytes: &[u8]) {
    let mut random = Random::from_seed(7, 7).0;
    let author = Identity::generate(&mut random);
    let Ok(room) = Room::generate("fuzz", &mut random) else {
        return;
    };
    if let Ok(packet) = Packet::parse(Bytes::copy_from_slice(bytes)) {
        // Nobody can guess the room's secret.
        assert!(open_in_room(&room, &packet).is_err());
    }
    for class in [Class::Small, Class::Large] {
        let mut content = bytes.to_vec();
        content.resize(class.bytes_beside(ROOM_SEAL_BYTES), 0);
        let (tag, day, expiry_hours) = (room.tag(20_000, 3), 20_000, 336);
        let envelope = Envelope {
            tag,
            day,
            expiry_hours,
        };
        let Ok((packet, _, _)) =
            seal_content(&author, &room, envelope, class, &content, &mut random)
        else {
            continue;
        };
        if let Ok(opened) = open_in_room(&room, &packet) {
            assert!(opened.from == author.id());
            assert!(Head::decode(&content).is_ok_and(|content| content == opened.content));
        }
    }
}

/// The file of an own message: one whose sum is right, whatever it holds.
pub fn outbox_file(bytes: &[u8]) {
    let sum = blake3::hash(bytes);
    let file = [bytes, &sum.as_bytes()[..16]].concat();
    let Some((id, message)) = outbox_disk::decode(file, Time::ZERO) else {
        return;
    };
    let again = outbox_disk::encode(id, &message);
    let read = outbox_disk::decode(again.clone(), Time::ZERO);
    assert!(read.is_some_and(|(id, message)| outbox_disk::encode(id, &message) == again));
}
