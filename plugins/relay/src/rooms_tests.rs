//! Rooms that are listened to: what waits, for whom there is room, and what others make of it.

use super::*;
use crate::head::{Head, Kind};
use crate::limits::{BROKEN_MAX, ROOM_INBOX_MAX};
use crate::packet::Class;
use crate::packet::tests::packet;
use crate::room_seal::seal_for_room;
use crate::seal::Envelope;
use dunlin_net::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const TODAY: u16 = 20_000;
const ME: u64 = 100;

fn identity(n: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(n))
}

fn room() -> Room {
    Room::generate("Tea", &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

fn rooms() -> Rooms {
    let mut rooms = Rooms::default();
    let seen = || Ok(Seen::in_memory());
    let listened = rooms.listen(&room(), TODAY, Time::ZERO, seen);
    listened.unwrap().unwrap();
    rooms
}

/// Message number `n` of somebody.
fn by(author: &Identity, n: u64, bytes: usize) -> Packet {
    let head = Head {
        kind: Kind::File("tea".into()),
        sent_at_ms: n,
        message: vec![7; bytes],
    };
    let envelope = Envelope {
        tag: room().tag(TODAY, (n % 16) as u8),
        day: TODAY,
        expiry_hours: 336,
    };
    let random = &mut ChaCha20Rng::seed_from_u64(n);
    let made = seal_for_room(author, &room(), envelope, &head, random);
    made.unwrap().sealed.packet
}

fn hear(rooms: &mut Rooms, packet: &Packet) -> Heard {
    rooms.hear(identity(ME).id(), packet, None, Time::ZERO)
}

#[test]
fn a_message_that_many_carriers_bring_waits_once_until_it_is_confirmed() {
    let mut rooms = rooms();
    let one = by(&identity(1), 1, 10);
    assert!(rooms.wants(one.tag()));
    assert_eq!(hear(&mut rooms, &one), Heard::New);
    assert_eq!(hear(&mut rooms, &one), Heard::Waiting);
    assert_eq!(rooms.said(room().id()).count(), 1);
    rooms.confirm(one.id(), TODAY).unwrap().unwrap();
    assert!(rooms.confirm(one.id(), TODAY).is_none());
    assert_eq!(rooms.waiting(), 0);
    assert_eq!(hear(&mut rooms, &one), Heard::Dropped(DropReason::Repeated));
}

#[test]
fn own_messages_are_heard_by_who_wants_them() {
    let mut rooms = rooms();
    let own = by(&identity(ME), 1, 10);
    assert_eq!(
        hear(&mut rooms, &own),
        Heard::Dropped(DropReason::OwnInRoom)
    );
    rooms.keep(&[(room().id(), true)].into());
    assert_eq!(hear(&mut rooms, &own), Heard::New);
}

#[test]
fn one_member_fills_an_eighth_of_what_may_wait_and_others_still_get_in() {
    let mut rooms = rooms();
    let (flooder, quiet) = (identity(1), identity(2));
    for n in 0..125 {
        assert_eq!(hear(&mut rooms, &by(&flooder, n, 10)), Heard::New);
    }
    let over = Heard::Dropped(DropReason::AuthorOverShare);
    assert_eq!(hear(&mut rooms, &by(&flooder, 125, 10)), over);
    assert_eq!(hear(&mut rooms, &by(&quiet, 1, 10)), Heard::New);
    let first = rooms.said(room().id()).next().unwrap().0;
    rooms.confirm(first, TODAY).unwrap().unwrap();
    assert_eq!(hear(&mut rooms, &by(&flooder, 125, 10)), Heard::New);
}

#[test]
fn a_thousand_messages_wait_and_the_rest_stays_with_the_carriers() {
    let mut rooms = rooms();
    for n in 0..ROOM_INBOX_MAX as u64 {
        assert_eq!(hear(&mut rooms, &by(&identity(n % 8), n, 10)), Heard::New);
    }
    let one_more = by(&identity(9), 5_000, 10);
    let full = Heard::Dropped(DropReason::InboxFull);
    assert_eq!(hear(&mut rooms, &one_more), full);
    rooms.keep(&BTreeMap::new());
    assert_eq!((rooms.waiting(), rooms.len()), (0, 0));
    assert!(!rooms.wants(one_more.tag()));
}

#[test]
fn what_does_not_open_is_looked_at_once_and_remembered_within_a_bound() {
    let mut rooms = rooms();
    let dropped = Heard::Dropped(DropReason::NotForUs);
    for n in 0..BROKEN_MAX + 20 {
        let day = TODAY - (n % 16) as u16;
        let tag = room().tag(TODAY, (n / 16 % 16) as u8);
        let junk = packet(Class::Small, tag, day, (n / 256) as u8 + 1);
        for _ in 0..2 {
            assert_eq!(hear(&mut rooms, &junk), dropped);
        }
    }
    let table = rooms.0.as_ref().unwrap();
    assert_eq!(table.inbox.broken(), (BROKEN_MAX, BROKEN_MAX));
    let elsewhere = packet(Class::Small, Tag([9; 16]), TODAY, 1);
    assert!(!rooms.wants(elsewhere.tag()));
    let unasked = Heard::Dropped(DropReason::AnswerUnasked);
    assert_eq!(hear(&mut rooms, &elsewhere), unasked);
}

#[test]
fn what_cannot_be_written_down_is_not_confirmed() {
    let mut rooms = Rooms::default();
    let seen = || Ok(Seen::on_full_disk());
    let listened = rooms.listen(&room(), TODAY, Time::ZERO, seen);
    listened.unwrap().unwrap();
    let one = by(&identity(1), 1, 10);
    hear(&mut rooms, &one);
    assert!(rooms.confirm(one.id(), TODAY).unwrap().is_err());
    assert_eq!(rooms.said(room().id()).count(), 1);
}
