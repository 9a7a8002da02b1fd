//! The outbox against carriers that store, refuse, forget, lie and vanish.

use super::*;
use crate::answers::{Known, Outcome, Reason};
use crate::frames::{DEPOSIT, Frame};
use crate::outbox_answers::Word;
use crate::own_packet::OwnPacket;
use crate::packet::{Class, DeleteSecret, Packet, PacketId, Tag};
use dunlin_net::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::net::SocketAddr;
use std::time::Duration;

const DAY: u16 = 20_000;
const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;
const ID: MessageId = MessageId([9; 16]);

fn candidates(count: u64) -> Vec<Candidate> {
    let candidate = |n| {
        let id = Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id();
        let address = format!("127.{n}.0.1:9000").parse().unwrap();
        Candidate {
            id,
            position: id.position(),
            address,
            eligible: true,
        }
    };
    (0..count).map(candidate).collect()
}

fn own<const N: usize>(to: PeerId, packets: [&Packet; N]) -> OwnMessage {
    let part = |packet: &Packet| OwnPacket::new(packet.clone(), Time::ZERO);
    OwnMessage::new(to, packets.map(part).into(), NOON, Time::ZERO)
}

fn outbox() -> (Outbox, Packet) {
    // The secret behind its delete-hash is sixteen sevens.
    let packet = crate::packet::tests::packet(Class::Small, Tag([3; 16]), DAY, 7);
    let to = candidates(1)[0].id;
    let mut outbox = Outbox::default();
    outbox.add(ID, own(to, [&packet]));
    (outbox, packet)
}

fn seconds(n: u64) -> Time {
    Time::ZERO + Duration::from_secs(n)
}

fn state(outbox: &Outbox) -> State {
    outbox.get(ID).unwrap().state()
}

fn stored(packet: &Packet) -> Option<Frame> {
    let outcome = Outcome::Stored;
    Some(Frame::Deposited {
        request: 1,
        outcome,
        price: 0,
        id: packet.id(),
    })
}

fn answer(packet: &Packet, known: Known) -> Option<Frame> {
    Some(Frame::Answer {
        request: 1,
        id: packet.id(),
        known,
    })
}

fn address() -> Option<SocketAddr> {
    Some("127.0.0.1:9000".parse().unwrap())
}

/// Polls, and lets every carrier that is asked to store do so. Gives back who was asked what else.
fn store_all(outbox: &mut Outbox, packet: &Packet, all: &[Candidate], now: Time) -> Vec<PeerId> {
    let mut deposited = Vec::new();
    for (carrier, task) in outbox.poll(now, NOON, all, |_| true) {
        if matches!(task, Task::Deposit { .. }) {
            outbox.deposited(ID, packet.id(), carrier, address(), stored(packet), now);
            deposited.push(carrier);
        }
    }
    deposited
}

#[test]
fn a_message_goes_through_its_five_states() {
    let (mut outbox, packet) = outbox();
    assert_eq!(state(&outbox), State::Queued);
    assert!(outbox.poll(Time::ZERO, NOON, &[], |_| true).is_empty());
    let all = candidates(12);
    let tasks = outbox.poll(seconds(2), NOON, &all, |_| true);
    assert_eq!(tasks.len(), 8);
    outbox.left(ID);
    assert_eq!(state(&outbox), State::Sent);
    for (n, (carrier, _)) in tasks.into_iter().enumerate() {
        outbox.deposited(
            ID,
            packet.id(),
            carrier,
            address(),
            stored(&packet),
            seconds(3),
        );
        assert_eq!(state(&outbox), State::Stored(n + 1));
    }
    let asked = outbox.poll(seconds(4), NOON, &all, |_| true);
    assert!(
        asked.len() == 2
            && asked
                .iter()
                .all(|(_, task)| matches!(task, Task::Ask { .. }))
    );
    let secret = DeleteSecret::new([7; 16]);
    let word = outbox.answered(
        ID,
        packet.id(),
        asked[0].0,
        answer(&packet, Known::Ended(secret)),
        seconds(4),
    );
    assert_eq!((word, state(&outbox)), (Word::Good, State::Delivered));
    let proof = outbox.get(ID).unwrap().proof().unwrap();
    assert!(proof.ends(&packet.delete_hash()));
    assert_eq!(outbox.next_due(), None);
}

#[test]
fn a_message_that_nobody_fetched_expires_by_its_own_date() {
    let (mut outbox, _) = outbox();
    let expiry = life::expiry_ms(DAY, 336);
    outbox.poll(seconds(1), expiry - 1, &[], |_| true);
    assert_eq!(state(&outbox), State::Queued);
    outbox.poll(seconds(9), expiry, &[], |_| true);
    assert_eq!(state(&outbox), State::Expired);
}

#[test]
fn carriers_that_vanish_are_replaced_by_the_next_nearest() {
    let (mut outbox, packet) = outbox();
    let all = candidates(12);
    let first = store_all(&mut outbox, &packet, &all, seconds(0));
    assert_eq!(first.len(), 8);
    let gone = &first[..3];
    // A look at what is placed comes half a minute later, and finds three out of reach.
    let tasks = outbox.poll(seconds(31), NOON, &all, |id| !gone.contains(id));
    let new: Vec<PeerId> = tasks
        .iter()
        .filter(|(_, task)| matches!(task, Task::Deposit { .. }))
        .map(|(carrier, _)| *carrier)
        .collect();
    assert_eq!(new.len(), 3);
    assert!(new.iter().all(|carrier| !first.contains(carrier)));
    // Three questions that did not reach them, and their copies no longer count.
    for n in 0..3 {
        assert_eq!(state(&outbox), State::Stored(8));
        for carrier in gone {
            outbox.answered(ID, packet.id(), *carrier, None, seconds(40 + n));
        }
    }
    assert_eq!(state(&outbox), State::Stored(5));
}

#[test]
fn a_carrier_that_forgot_the_packet_gets_it_again() {
    let (mut outbox, packet) = outbox();
    let all = candidates(8);
    let first = store_all(&mut outbox, &packet, &all, seconds(0));
    outbox.answered(
        ID,
        packet.id(),
        first[2],
        answer(&packet, Known::Unknown),
        seconds(3),
    );
    assert_eq!(state(&outbox), State::Stored(7));
    assert_eq!(
        store_all(&mut outbox, &packet, &all, seconds(3)),
        [first[2]]
    );
    assert_eq!(state(&outbox), State::Stored(8));
}

#[test]
fn delivered_is_not_taken_on_a_carriers_word() {
    let (mut outbox, packet) = outbox();
    let all = candidates(8);
    let first = store_all(&mut outbox, &packet, &all, seconds(0));
    let forged = Known::Ended(DeleteSecret::new([8; 16]));
    let word = outbox.answered(
        ID,
        packet.id(),
        first[0],
        answer(&packet, forged),
        seconds(1),
    );
    assert_eq!((word, state(&outbox)), (Word::Forged, State::Stored(7)));
    // Nor from an answer that speaks of another packet.
    let secret = DeleteSecret::new([7; 16]);
    let other = Frame::Answer {
        request: 1,
        id: PacketId([1; 16]),
        known: Known::Ended(secret),
    };
    outbox.answered(ID, packet.id(), first[1], Some(other), seconds(1));
    assert_eq!(state(&outbox), State::Stored(7));
    // To a carrier that says it was ended, the question is put what it knows.
    let ended = Frame::Deposited {
        request: 1,
        outcome: Outcome::WasEnded,
        price: 0,
        id: packet.id(),
    };
    let task = outbox.deposited(
        ID,
        packet.id(),
        first[0],
        address(),
        Some(ended),
        seconds(2),
    );
    assert!(matches!(task, Some(Task::Ask { .. })));
}

#[test]
fn a_full_carrier_is_paid_in_work_or_passed_over() {
    let (mut outbox, packet) = outbox();
    let all = candidates(9);
    let tasks = outbox.poll(seconds(0), NOON, &all, |_| true);
    let refused = |price| {
        let reason = Reason::Full;
        Some(Frame::Refused {
            kind: DEPOSIT,
            reason,
            price,
            request: 1,
        })
    };
    let price = packet.work() + 5;
    outbox.deposited(
        ID,
        packet.id(),
        tasks[0].0,
        address(),
        refused(price),
        seconds(1),
    );
    let again = outbox.poll(seconds(1), NOON, &all, |_| true);
    let Task::Deposit { packet: worked, .. } = &again[0].1 else {
        panic!("a deposit");
    };
    assert_eq!(
        (again.len(), again[0].0, worked.id()),
        (1, tasks[0].0, packet.id())
    );
    assert!(worked.work() >= price);
    // No more than 16 bits for anybody: the ninth carrier has it instead.
    outbox.deposited(
        ID,
        packet.id(),
        tasks[0].0,
        address(),
        refused(17),
        seconds(2),
    );
    let again = outbox.poll(seconds(2), NOON, &all, |_| true);
    assert!(again.len() == 1 && again[0].0 != tasks[0].0);
    // A minute later it may have room.
    outbox.deposited(ID, packet.id(), again[0].0, address(), None, seconds(3));
    let later = outbox.poll(seconds(63), NOON, &all, |_| true);
    assert!(later.iter().any(|(carrier, _)| *carrier == tasks[0].0));
}

#[test]
fn a_sender_asks_for_news_less_and_less_often() {
    let (mut outbox, packet) = outbox();
    let all = candidates(8);
    store_all(&mut outbox, &packet, &all, seconds(0));
    let mut rounds = 0;
    let mut now = Time::ZERO;
    while now < seconds(86_400) {
        let asked = outbox.poll(now, NOON, &all, |_| true);
        rounds += u32::from(!asked.is_empty());
        for (carrier, _) in asked {
            outbox.answered(ID, packet.id(), carrier, answer(&packet, Known::Kept), now);
        }
        now = outbox
            .next_due()
            .unwrap()
            .max(now + Duration::from_millis(1));
    }
    // Every second at first, then an eighth more each time, then every quarter of an hour.
    assert_eq!(rounds, 153);
}

#[test]
fn a_thousand_messages_under_way_and_no_more() {
    let (mut outbox, packet) = outbox();
    for n in 0..OUTBOX_MAX as u128 - 1 {
        assert_eq!(outbox.has_room(0), Ok(()));
        let message = own(candidates(1)[0].id, [&packet]);
        outbox.add(MessageId(n.to_be_bytes()), message);
    }
    let full = outbox.has_room(0).unwrap_err();
    assert!(
        full.to_string()
            .starts_with("1000 messages, or 40000000 bytes of them, are under way")
    );
}

// PROTOCOL 3.5
#[test]
fn of_a_message_in_fragments_the_weakest_counts_and_the_head_is_the_proof() {
    let (mut outbox, head) = outbox();
    let fragment = |n: u8| crate::packet::tests::packet(Class::Large, Tag([n; 16]), DAY, n);
    let fragments = [fragment(20), fragment(60)];
    let to = candidates(1)[0].id;
    outbox.add(ID, own(to, [&head, &fragments[0], &fragments[1]]));
    let all = candidates(12);
    let tasks = outbox.poll(seconds(1), NOON, &all, |_| true);
    assert_eq!(tasks.len(), 3 * 8);
    outbox.left(ID);
    for (n, (carrier, task)) in tasks.into_iter().enumerate() {
        let Task::Deposit { packet, .. } = task else {
            panic!("nothing is stored yet");
        };
        outbox.deposited(
            ID,
            packet.id(),
            carrier,
            address(),
            stored(&packet),
            seconds(1),
        );
        // The head's copies come first, then those of the fragments.
        let weakest = (n + 1).saturating_sub(16);
        let expected = if weakest == 0 {
            State::Sent
        } else {
            State::Stored(weakest)
        };
        assert_eq!(state(&outbox), expected, "{n}");
    }
    assert_eq!(outbox.get(ID).unwrap().packets_stored(), 3);
    // The recipient has shown the fragments, and no copies of them are made any more.
    let carrier = all[0].id;
    for (fragment, secret) in fragments.iter().zip([20, 60]) {
        let known = Known::Ended(DeleteSecret::new([secret; 16]));
        let word = outbox.answered(
            ID,
            fragment.id(),
            carrier,
            answer(fragment, known),
            seconds(2),
        );
        assert_eq!((word, state(&outbox)), (Word::Good, State::Stored(8)));
    }
    let other = candidates(40);
    let later = outbox.poll(seconds(3_600), NOON, &other[20..], |_| true);
    let deposits = later.iter().filter_map(|(_, task)| match task {
        Task::Deposit { packet, .. } => Some(packet.id()),
        _ => None,
    });
    assert!(deposits.into_iter().all(|id| id == head.id()));
    let known = Known::Ended(DeleteSecret::new([7; 16]));
    outbox.answered(ID, head.id(), carrier, answer(&head, known), seconds(3_601));
    assert_eq!(state(&outbox), State::Delivered);
}

fn to_room(packet: &Packet, created_ms: u64) -> OwnMessage {
    let part = OwnPacket {
        secret: Some(DeleteSecret::new([7; 16])),
        ..OwnPacket::new(packet.clone(), Time::ZERO)
    };
    let (author, room) = (candidates(1)[0].id, crate::RoomId([5; 16]));
    OwnMessage::to_room(author, room, vec![part], created_ms, Time::ZERO)
}

#[test]
fn a_message_to_a_room_is_stored_and_expires_and_is_never_delivered() {
    let packet = crate::packet::tests::packet(Class::Small, Tag([3; 16]), DAY, 7);
    let all = candidates(8);
    let mut outbox = Outbox::default();
    outbox.add(ID, to_room(&packet, NOON));
    store_all(&mut outbox, &packet, &all, Time::ZERO);
    assert_eq!(state(&outbox), State::Stored(8));
    // Only its author has the secret, so it was deleted from another of its devices.
    let ended = Known::Ended(DeleteSecret::new([7; 16]));
    let word = outbox.answered(
        ID,
        packet.id(),
        all[0].id,
        answer(&packet, ended),
        Time::ZERO,
    );
    assert_eq!((word, state(&outbox)), (Word::Good, State::Expired));
    assert!(outbox.get(ID).unwrap().proof().is_none());
}

#[test]
fn past_256_messages_to_rooms_the_oldest_that_is_stored_leaves_and_mail_stays() {
    let (mut outbox, packet) = outbox();
    for n in 0..ROOM_OUTBOX_MAX as u128 {
        assert_eq!(outbox.make_room(), Ok(None));
        outbox.add(
            MessageId(n.to_be_bytes()),
            to_room(&packet, NOON + n as u64),
        );
    }
    // Nothing of them lies anywhere yet, so nothing may go.
    assert_eq!(outbox.make_room(), Err(OutboxFull));
    let all = candidates(1);
    for n in [7_u128, 3] {
        let (id, packet_id) = (MessageId(n.to_be_bytes()), packet.id());
        outbox.deposited(
            id,
            packet_id,
            all[0].id,
            address(),
            stored(&packet),
            Time::ZERO,
        );
    }
    let oldest = MessageId(3_u128.to_be_bytes());
    assert_eq!(outbox.make_room(), Ok(Some(oldest)));
    assert!(outbox.get(oldest).is_none() && outbox.get(ID).is_some());
}
