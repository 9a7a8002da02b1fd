//! The gatherer against carriers that have, have not, lie and vanish.

use super::*;
use crate::head::{Head, Kind};
use crate::limits::ASKED;
use crate::placement::nearest;
use crate::seal::{Envelope, Sealed, open, seal};
use dunlin_net::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;

fn identity(n: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(n))
}

fn candidates(count: u64) -> Vec<Candidate> {
    let candidate = |n| {
        let id = identity(n).id();
        Candidate {
            id,
            position: id.position(),
            address: format!("127.{n}.0.1:9000").parse().unwrap(),
            eligible: true,
        }
    };
    (0..count).map(candidate).collect()
}

fn sealed(n: u64, bytes: usize) -> Sealed {
    let head = Head {
        kind: Kind::File("tea.bin".into()),
        sent_at_ms: NOON,
        message: (0..bytes).map(|at| (at % 251) as u8).collect(),
    };
    let envelope = Envelope {
        tag: Tag([1; 16]),
        day: 20_000,
        expiry_hours: 336,
    };
    let random = &mut ChaCha20Rng::seed_from_u64(n);
    seal(&identity(1), &identity(2).id(), envelope, &head, random).unwrap()
}

fn begun(sealed: &Sealed) -> Gatherer {
    let mut gatherer = Gatherer::default();
    let opened = open(&identity(2), &sealed.packet).unwrap();
    assert!(gatherer.begin(&sealed.packet, opened, Some(identity(5).id()), Time::ZERO));
    gatherer
}

fn seconds(n: u64) -> Time {
    Time::ZERO + Duration::from_secs(n)
}

// PROTOCOL 3.5
#[test]
fn a_message_is_whole_once_its_last_fragment_came_in_whatever_order() {
    let sealed = sealed(7, 65_536);
    assert_eq!(sealed.fragments.len(), 64);
    let mut gatherer = begun(&sealed);
    let carrier = Some(identity(9).id());
    for (fragment, _) in sealed.fragments.iter().rev() {
        assert!(gatherer.take_whole().is_empty() && gatherer.wants(fragment.tag()));
        assert_eq!(gatherer.take(fragment, carrier, seconds(1)), Some(true));
        assert_eq!(gatherer.take(fragment, carrier, seconds(1)), Some(true));
        assert!(!gatherer.wants(fragment.tag()));
    }
    let mut whole = gatherer.take_whole();
    let (id, received) = whole.remove(0);
    let received = received.unwrap();
    assert_eq!(id, sealed.packet.id());
    assert_eq!(received.from(), identity(1).id());
    assert!(
        received
            .head
            .message
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == (at % 251) as u8)
    );
    for (fragment, (packet, _)) in received.fragments.iter().zip(&sealed.fragments) {
        assert_eq!(fragment.id, packet.id());
        assert!(fragment.secret.ends(&packet.delete_hash()));
    }
    assert!(gatherer.is_empty() && gatherer.next_due().is_none());
}

// PROTOCOL 3.5
#[test]
fn a_packet_that_somebody_else_put_under_the_tag_changes_nothing() {
    let (ours, theirs) = (sealed(7, 2_000), sealed(8, 2_000));
    let mut gatherer = begun(&ours);
    let fragment = &ours.fragments[0].0;
    let mut bytes = theirs.fragments[0].0.bytes().to_vec();
    bytes[16..32].copy_from_slice(&fragment.tag().0);
    let forged = Packet::parse(bytes.clone().into()).unwrap();
    assert_eq!(gatherer.take(&forged, None, Time::ZERO), Some(false));
    bytes[32..48].copy_from_slice(&fragment.delete_hash());
    let forged = Packet::parse(bytes.into()).unwrap();
    assert_eq!(gatherer.take(&forged, None, Time::ZERO), Some(false));
    assert_eq!(
        gatherer.take(&theirs.fragments[0].0, None, Time::ZERO),
        None
    );
    for bit in (0..fragment.bytes().len() * 8).step_by(61) {
        let mut bytes = fragment.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(altered) = Packet::parse(bytes.into())
            && !(64..128).contains(&bit)
        {
            assert_ne!(
                gatherer.take(&altered, None, Time::ZERO),
                Some(true),
                "bit {bit}"
            );
        }
    }
    assert_eq!(gatherer.take(fragment, None, Time::ZERO), Some(true));
}

// PROTOCOL 3.5
#[test]
fn a_missing_fragment_is_asked_for_at_the_sixteen_nearest_and_ever_more_seldom() {
    let sealed = sealed(7, 1_000);
    let mut gatherer = begun(&sealed);
    let all = candidates(40);
    let tag = sealed.fragments[0].0.tag();
    let nearest: BTreeSet<PeerId> = nearest(tag, &all, ASKED).iter().map(|c| c.id).collect();
    let (mut asked, mut times) = (BTreeSet::new(), Vec::new());
    while times.len() < 20 {
        let now = gatherer.next_due().unwrap();
        times.push(now);
        let tasks = gatherer.poll(now, NOON, &all, |_| true);
        assert_eq!(tasks.len(), 2);
        for (carrier, _) in tasks {
            asked.insert(carrier);
            gatherer.looked(tag, &carrier);
        }
        assert_eq!(gatherer.has_asked_all(40), times.len() >= 8);
    }
    assert_eq!(asked, nearest);
    // Trickle: each wait is between half and all of an interval that doubles up to a minute.
    let waits: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    for (n, wait) in waits.iter().enumerate() {
        let interval = (0.3 * f64::from(1 << n.min(8))).min(60.0);
        assert!(
            (interval / 2.0..=interval).contains(wait),
            "{n}: {wait} of {interval}"
        );
    }
    // Two weeks later nobody has it any more.
    let expired = NOON + 17 * 86_400_000;
    assert!(
        gatherer
            .poll(seconds(9_999), expired, &all, |_| true)
            .is_empty()
    );
    assert!(gatherer.is_empty());
}

#[test]
fn heads_without_fragments_cannot_keep_out_a_message_that_has_them() {
    let mut gatherer = Gatherer::default();
    let open = |sealed: &Sealed| open(&identity(2), &sealed.packet).unwrap();
    for n in 0..GATHERINGS_MAX as u64 {
        let flood = sealed(n, 900);
        assert!(gatherer.begin(&flood.packet, open(&flood), None, Time::ZERO));
    }
    let late = sealed(1_000, 900);
    assert!(!gatherer.begin(&late.packet, open(&late), None, seconds(59)));
    assert!(gatherer.begin(&late.packet, open(&late), None, seconds(60)));
    assert_eq!(gatherer.len(), GATHERINGS_MAX);
    assert_eq!(
        gatherer.take(&late.fragments[0].0, None, seconds(60)),
        Some(true)
    );
    assert_eq!(gatherer.take_whole().len(), 1);
}
