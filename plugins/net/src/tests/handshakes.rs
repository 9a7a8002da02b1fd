//! Handshakes by hand, without a network: what is agreed, and that no altered bit leads to an agreement.

use crate::datagram::{Header, Kind};
use crate::handshake::{Established, Initiation, Pending, respond};
use crate::limits::COOKIE_BYTES;
use crate::session::Session;
use crate::{DropReason, Identity, PeerId};
use bytes::{BufMut, Bytes};
use dunlin_engine::Time;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Changes one datagram of a run.
type Alter<'a> = &'a dyn Fn(usize, Bytes) -> Bytes;

struct Agreed {
    initiator: Established,
    responder: (Session, PeerId),
}

/// Runs a handshake without cookies; `alter` sees each datagram by its number.
fn run(ik: bool, alter: Alter) -> Result<Agreed, DropReason> {
    let mut random = ChaCha20Rng::seed_from_u64(7);
    let (alice, bob) = (
        Identity::generate(&mut random),
        Identity::generate(&mut random),
    );
    let to = ik.then(|| bob.id());
    let secret = alice.agreement_secret();
    let mut dial = Initiation::begin(
        &crate::Curve25519,
        secret,
        to.as_ref(),
        false,
        11,
        Time::ZERO,
        &mut random,
    )
    .unwrap();
    let first = alter(0, dial.datagram());
    let (header, rest) = Header::decode(&first)?;
    if !matches!(header.kind, Kind::Ik1 | Kind::Xx1) {
        return Err(DropReason::Unknown);
    }
    let secret = bob.agreement_secret();
    let (reply, pending) = respond(
        &crate::Curve25519,
        secret,
        &header,
        &rest[COOKIE_BYTES..],
        22,
        Time::ZERO,
        &mut random,
    )?;
    let second = alter(1, reply);
    let (header, rest) = Header::decode(&second)?;
    let initiator = dial.finish(&header, rest, Time::ZERO)?;
    let responder = match pending {
        Pending::Data { session, id, .. } => (*session, id),
        Pending::Third(mut third) => {
            let datagram = alter(2, initiator.third.clone().unwrap());
            let (header, rest) = Header::decode(&datagram)?;
            if header.kind != Kind::Xx3 || header.index != 22 {
                return Err(DropReason::NoSession);
            }
            third.conclude(secret, &header, rest, Time::ZERO)?
        }
    };
    assert_eq!((initiator.id, responder.1), (bob.id(), alice.id()));
    Ok(Agreed {
        initiator,
        responder,
    })
}

/// Whether what one side seals the other opens, both ways.
fn talks(agreed: Agreed) -> bool {
    let (mut ours, mut theirs) = (agreed.initiator.session, agreed.responder.0);
    let speak = |from: &mut Session, to: &mut Session| {
        let mut datagram = Session::blank();
        datagram.put_slice(b"tea");
        let sealed = from.seal(datagram, Time::ZERO).unwrap();
        let (header, rest) = Header::decode(&sealed).unwrap();
        header.index == to.local && to.open(&header, rest, Time::ZERO).is_ok()
    };
    ours.hash == theirs.hash && speak(&mut ours, &mut theirs) && speak(&mut theirs, &mut ours)
}

fn lengths(ik: bool) -> Vec<usize> {
    let lengths = std::cell::RefCell::new(Vec::new());
    let agreed = run(ik, &|_, bytes| {
        lengths.borrow_mut().push(bytes.len());
        bytes
    });
    assert!(talks(agreed.unwrap()));
    lengths.into_inner()
}

// PROTOCOL 2.1, 2.2
#[test]
fn both_patterns_agree_in_as_many_bytes_as_the_protocol_says() {
    assert_eq!(lengths(true), [132, 68]);
    assert_eq!(lengths(false), [64, 116, 84]);
}

// PROTOCOL 2.2
#[test]
fn no_altered_bit_of_a_handshake_leads_to_a_link() {
    for ik in [true, false] {
        for (number, length) in lengths(ik).into_iter().enumerate() {
            for bit in 0..length * 8 {
                // The cookie of a first message is not the handshake's: the node checks it before.
                if number == 0 && (16..32).contains(&(bit / 8)) {
                    continue;
                }
                let agreed = run(ik, &|place, bytes| {
                    if place != number {
                        return bytes;
                    }
                    let mut altered = bytes.to_vec();
                    altered[bit / 8] ^= 1 << (bit % 8);
                    altered.into()
                });
                assert!(
                    !agreed.is_ok_and(talks),
                    "IK: {ik}, message {number}, bit {bit}"
                );
            }
        }
    }
}

// PROTOCOL 2.2
#[test]
fn a_cookie_is_taken_only_for_this_handshake_and_once() {
    let mut random = ChaCha20Rng::seed_from_u64(7);
    let alice = Identity::generate(&mut random);
    let secret = alice.agreement_secret();
    let mut dial = Initiation::begin(
        &crate::Curve25519,
        secret,
        None,
        false,
        11,
        Time::ZERO,
        &mut random,
    )
    .unwrap();
    let (ours, _) = Header::decode(&dial.datagram()).unwrap();
    let (other_index, other_counter) = (
        Header { index: 12, ..ours },
        Header {
            counter: !ours.counter,
            ..ours
        },
    );
    for other in [other_index, other_counter] {
        assert!(!dial.take_cookie(&other, &[1; 16]));
    }
    assert!(!dial.take_cookie(&ours, &[1; 15]));
    let before = dial.datagram();
    assert!(dial.take_cookie(&ours, &[1; 16]));
    assert!(
        !dial.take_cookie(&ours, &[1; 16]),
        "the same again draws nothing from us"
    );
    let after = dial.datagram();
    assert_eq!((&before[..16], &before[32..]), (&after[..16], &after[32..]));
    assert_eq!(
        (&before[16..32], &after[16..32]),
        (&[0; 16][..], &[1; 16][..])
    );
}
