//! Seals to a room: what opens for members, and what no member can do.

use super::*;
use crate::head::{BadHead, Kind};
use crate::packet::Tag;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const DAY: u16 = 20_833;

fn identity(n: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(n))
}

fn room(n: u64) -> Room {
    Room::generate("Tea", &mut ChaCha20Rng::seed_from_u64(n)).unwrap()
}

fn head(text: &str) -> Head {
    Head {
        kind: Kind::Text,
        sent_at_ms: 1_800_000_000_000,
        message: text.into(),
    }
}

fn envelope() -> Envelope {
    Envelope {
        tag: room(1).tag(DAY, 5),
        day: DAY,
        expiry_hours: 336,
    }
}

fn sealed(text: &str) -> SealedForRoom {
    let random = &mut ChaCha20Rng::seed_from_u64(9);
    seal_for_room(&identity(1), &room(1), envelope(), &head(text), random).unwrap()
}

fn refusal(room: &Room, packet: &Packet) -> OpenError {
    open_in_room(room, packet).unwrap_err()
}

/// What a member can make with the room's key: any author's name, any signature that they have seen, any header.
fn made_by_a_member(
    author: PeerId,
    tag: Tag,
    content: &[u8],
    sign: impl Fn(&[u8; HEADER_BYTES], &[u8]) -> [u8; 64],
) -> Packet {
    let room = room(1);
    let public = <Suite as Kem>::PublicKey::from_bytes(room.public()).unwrap();
    let random = &mut ChaCha20Rng::seed_from_u64(77);
    let (enc, mut context): (_, Sender) =
        setup_sender_with_rng(&OpModeS::Base, &public, &info(&room), random).unwrap();
    let header = Header {
        class: Class::Small,
        day: DAY,
        expiry_hours: 336,
        tag,
        delete_hash: [7; 16],
    };
    let header = header.encode();
    let enc = enc.to_bytes();
    let signature = sign(&header, &enc);
    let inside = [author.as_bytes(), &signature[..], content].concat();
    let body = context.seal(&inside, &header).unwrap();
    Packet::parse([&header[..], &enc, &body].concat().into()).unwrap()
}

fn content(text: &str) -> Vec<u8> {
    head(text).encode_in(ROOM_SEAL_BYTES).unwrap().1
}

// PROTOCOL 3.8
#[test]
fn every_member_opens_it_and_knows_the_author() {
    let longest = "x".repeat(876);
    for (text, class) in [("Tea at four?", Class::Small), (&longest, Class::Large)] {
        let sealed = sealed(text);
        assert_eq!(sealed.sealed.packet.class(), class);
        assert!(sealed.sealed.fragments.is_empty());
        let joined: Room = room(1).invitation().parse().unwrap();
        let opened = open_in_room(&joined, &sealed.sealed.packet).unwrap();
        assert_eq!(opened.from, identity(1).id());
        assert!(opened.content == Content::Whole(head(text)));
    }
}

// PROTOCOL 3.8
#[test]
fn it_opens_in_no_other_room_and_not_if_a_bit_was_altered() {
    let packet = sealed("Tea?").sealed.packet;
    assert_eq!(refusal(&room(2), &packet), OpenError::Outer);
    let renamed = room(1).named("Cake").unwrap();
    assert!(open_in_room(&renamed, &packet).is_ok());
    for bit in 0..packet.bytes().len() * 8 {
        let mut bytes = packet.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(altered) = Packet::parse(bytes.into()) else {
            continue;
        };
        let opened = open_in_room(&room(1), &altered);
        // The work nonce alone may be anybody's.
        assert_eq!(opened.is_ok(), (64..128).contains(&bit), "bit {bit}");
    }
}

// PROTOCOL 3.8
#[test]
fn no_member_can_write_in_the_name_of_another() {
    let (alice, mallory) = (identity(1), identity(3));
    let tag = envelope().tag;
    let text = content("I resign.");
    let by = |author: &Identity, name: &Identity| {
        made_by_a_member(name.id(), tag, &text, |header, enc| {
            author.sign(&signed(&room(1), header, enc, &text))
        })
    };
    // The same with the right author's signature opens, so it is the signature that is looked at.
    assert!(open_in_room(&room(1), &by(&alice, &alice)).is_ok());
    assert_eq!(refusal(&room(1), &by(&mallory, &alice)), OpenError::Inner);
    let nobody = made_by_a_member(alice.id(), tag, &text, |_, _| [0; 64]);
    assert_eq!(refusal(&room(1), &nobody), OpenError::Inner);
}

// PROTOCOL 3.8
#[test]
fn what_somebody_wrote_holds_in_one_room_one_packet_and_one_lane_alone() {
    let alice = identity(1);
    let text = content("Yes.");
    let tag = envelope().tag;
    let as_signed = |room: &Room, tag: Tag, enc: Option<[u8; 32]>| {
        made_by_a_member(alice.id(), envelope().tag, &text, |header, theirs| {
            let mut header = *header;
            header[16..32].copy_from_slice(&tag.0);
            alice.sign(&signed(
                room,
                &header,
                enc.as_ref().map_or(theirs, |enc| enc),
                &text,
            ))
        })
    };
    assert!(open_in_room(&room(1), &as_signed(&room(1), tag, None)).is_ok());
    for (whose, lane, enc) in [
        (room(2), tag, None),
        (room(1), room(1).tag(DAY + 1, 5), None),
        (room(1), tag, Some([5; 32])),
    ] {
        let moved = as_signed(&whose, lane, enc);
        assert_eq!(refusal(&room(1), &moved), OpenError::Inner);
    }
}

// PROTOCOL 3.8
#[test]
fn the_author_alone_has_what_ends_it() {
    let text = "tea ".repeat(500);
    let made = sealed(&text);
    assert!(made.secret.ends(&made.sealed.packet.delete_hash()));
    let opened = open_in_room(&room(1), &made.sealed.packet).unwrap();
    for (key, (packet, secret)) in opened.fragments.iter().zip(&made.sealed.fragments) {
        assert!(secret.ends(&packet.delete_hash()));
        // What a member can export of the seal ends nothing.
        assert!(!key.secret().ends(&packet.delete_hash()));
    }
    // Nor does what another makes of the same bytes.
    let enc = &made.sealed.packet.body()[..32];
    let mallorys = delete_secret(&identity(3), enc, None);
    assert!(!mallorys.ends(&made.sealed.packet.delete_hash()));
    let authors = delete_secret(&identity(1), enc, None);
    assert!(authors.ends(&made.sealed.packet.delete_hash()));
}

// PROTOCOL 3.8, 3.5
#[test]
fn a_long_message_comes_in_fragments_and_one_too_long_is_refused() {
    let text = "tea ".repeat(500);
    let made = sealed(&text);
    let opened = open_in_room(&room(1), &made.sealed.packet).unwrap();
    let Content::Outline(outline) = opened.content else {
        panic!("2,000 bytes are in fragments");
    };
    let mut whole = Vec::new();
    for (key, (packet, _)) in opened.fragments.iter().zip(&made.sealed.fragments) {
        whole.extend_from_slice(&key.open(packet).unwrap());
    }
    assert!(outline.fill(&whole).unwrap() == head(&text));
    let seal = |text: &str, expiry_hours| {
        let envelope = Envelope {
            expiry_hours,
            ..envelope()
        };
        let random = &mut ChaCha20Rng::seed_from_u64(9);
        seal_for_room(&identity(1), &room(1), envelope, &head(text), random)
    };
    let bytes = 65_537;
    let refused = seal(&"x".repeat(bytes), 336).unwrap_err();
    assert_eq!(refused, SealError::Head(BadHead::TooLongForOne { bytes }));
    assert_eq!(seal("x", 337).unwrap_err(), SealError::Expiry(337));
    // One byte more than a packet holds.
    assert_eq!(seal(&"x".repeat(877), 1).unwrap().sealed.fragments.len(), 1);
}
