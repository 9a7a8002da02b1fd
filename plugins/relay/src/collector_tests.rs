//! The collector against senders that lie, and whoever knows a tag.

use super::*;
use crate::limits::ASKED;
use crate::placement::nearest;
use crate::seal::{Envelope, Sealed, open, seal, seal_manifest};
use dunlin_net::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;
const LENGTH: usize = 2 * 65_536 + 300;

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

fn envelope(tag: Tag) -> Envelope {
    Envelope {
        tag,
        day: 20_000,
        expiry_hours: 336,
    }
}

fn manifest(n: u64, length: usize) -> Sealed {
    let content = vec![7; length];
    let manifest = Manifest::of(Some("film.mkv".into()), NOON, &content).unwrap();
    let random = &mut ChaCha20Rng::seed_from_u64(n);
    let envelope = envelope(Tag([1; 16]));
    seal_manifest(&identity(1), &identity(2).id(), envelope, &manifest, random).unwrap()
}

/// What `from` seals under the tag of a part.
fn part(from: u64, tag: Tag, kind: Kind, bytes: usize) -> Opened {
    let head = Head {
        kind,
        sent_at_ms: NOON,
        message: vec![7; bytes],
    };
    let random = &mut ChaCha20Rng::seed_from_u64(9);
    let to = identity(2).id();
    let sealed = seal(&identity(from), &to, envelope(tag), &head, random).unwrap();
    open(&identity(2), &sealed.packet).unwrap()
}

fn tags(sealed: &Sealed) -> Vec<Tag> {
    sealed.parts.iter().map(Token::tag).collect()
}

fn begun(sealed: &Sealed, had: impl Fn(Tag) -> bool) -> Collector {
    let mut collector = Collector::default();
    let opened = open(&identity(2), &sealed.packet).unwrap();
    assert_eq!(opened.parts, sealed.parts);
    assert!(collector.begin(&sealed.packet, opened, None, had, Time::ZERO));
    collector
}

fn seconds(n: u64) -> Time {
    Time::ZERO + Duration::from_secs(n)
}

// PROTOCOL 3.9
#[test]
fn under_a_parts_tag_only_that_part_by_the_manifests_sender_counts() {
    let sealed = manifest(7, LENGTH);
    let mut collector = begun(&sealed, |_| false);
    let [first, _, last] = tags(&sealed)[..] else {
        panic!("three parts");
    };
    let wrong = [
        (first, part(3, first, Kind::Part, 65_536)),
        (first, part(1, first, Kind::Part, 65_535)),
        (first, part(1, first, Kind::File("film.mkv".into()), 65_536)),
        (last, part(1, last, Kind::Part, 65_536)),
        (Tag([9; 16]), part(1, Tag([9; 16]), Kind::Part, 65_536)),
    ];
    for (tag, opened) in wrong {
        assert!(!collector.take(tag, &opened, seconds(1)));
    }
    assert!(collector.wants(first) && collector.wants(last));
    assert!(collector.take(first, &part(1, first, Kind::Part, 65_536), seconds(1)));
    assert!(collector.take(last, &part(1, last, Kind::Part, 300), seconds(1)));
    assert!(!collector.wants(first) && !collector.wants(last));
    // What was here and is not any more is wanted again.
    collector.look_again(|tag| tag == last);
    assert!(collector.wants(first) && !collector.wants(last));
}

// PROTOCOL 3.9
#[test]
fn the_content_is_whole_once_the_application_has_every_part_and_is_told_once() {
    let sealed = manifest(7, LENGTH);
    let mut collector = begun(&sealed, |tag| tag == sealed.parts[1].tag());
    for tag in [0, 2].map(|place| sealed.parts[place].tag()) {
        assert!(collector.take_whole().is_empty());
        collector.had(tag, seconds(1));
    }
    let (id, received) = collector.take_whole().remove(0);
    assert_eq!((id, received.message), (sealed.packet.id(), sealed.message));
    assert!(collector.take_whole().is_empty() && collector.knows(id, None));
    collector.end(id);
    assert!(collector.is_empty());
}

// PROTOCOL 3.9
#[test]
fn the_first_eight_missing_parts_are_asked_for_at_their_sixteen_nearest() {
    let sealed = manifest(7, 12 * 65_536);
    let mut collector = begun(&sealed, |tag| tag == sealed.parts[0].tag());
    let all = candidates(40);
    let mut asked: BTreeMap<Tag, BTreeSet<PeerId>> = BTreeMap::new();
    let (mut now, mut rounds) = (Time::ZERO, 0);
    while rounds < 20 {
        now = collector.next_due().unwrap().max(now);
        for (carrier, task) in collector.poll(now, NOON, &all, |_| true) {
            let Task::Look { token, .. } = task else {
                panic!("nothing else is asked");
            };
            let tag = token.tag();
            asked.entry(tag).or_default().insert(carrier);
            collector.looked(tag, &carrier);
        }
        rounds += 1;
        assert_eq!(collector.has_asked_all(40), rounds >= 8);
    }
    assert_eq!(asked.len(), 8);
    for (tag, carriers) in asked {
        assert!(tags(&sealed)[1..9].contains(&tag));
        let nearest: BTreeSet<PeerId> = nearest(tag, &all, ASKED).iter().map(|c| c.id).collect();
        assert_eq!(carriers, nearest);
    }
    // Nothing has come for long: it is asked for ever more seldom, and in the end not at all.
    let next = collector.next_due().unwrap();
    assert!(next - now > WAIT_MIN && next - now <= WAIT_MAX);
    let expired = NOON + 17 * 86_400_000;
    assert!(collector.poll(next, expired, &all, |_| true).is_empty() && collector.is_empty());
}

// PROTOCOL 5
#[test]
fn eight_contents_at_once_and_one_that_stands_still_gives_its_place() {
    let mut collector = Collector::default();
    let mut begin = |n: u64, now: Time| {
        let sealed = manifest(n, LENGTH);
        let opened = open(&identity(2), &sealed.packet).unwrap();
        collector.begin(&sealed.packet, opened, None, |_| false, now)
    };
    for n in 0..COLLECTIONS_MAX as u64 {
        assert!(begin(n, Time::ZERO));
    }
    assert!(!begin(99, seconds(299)));
    assert!(begin(99, seconds(300)));
    assert_eq!(collector.len(), COLLECTIONS_MAX);
}
