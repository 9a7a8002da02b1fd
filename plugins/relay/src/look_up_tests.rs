//! A look-up ends with the nearest, whoever lies, and asks no more than it may.

use super::*;
use crate::limits::LOOK_UP_LIFE;
use crate::neighbours::tests::carrier;
use dunlin_net::About;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Who it is, and where.
fn at(candidate: &Candidate) -> (PeerId, Option<SocketAddr>) {
    (candidate.id, Some(candidate.address))
}

const NEVER: fn(&PeerId) -> bool = |_| true;

fn row(candidate: &Candidate) -> PeerRow {
    PeerRow {
        id: *candidate.id.as_bytes(),
        address: candidate.address,
        about: About::CARRIES,
        minutes_silent: 0,
        minutes_up: 60,
    }
}

fn tag(n: u64) -> Tag {
    let mut tag = [0; 16];
    tag.copy_from_slice(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
    Tag(tag)
}

fn by_distance<'a>(tag: Tag, all: impl Iterator<Item = &'a Candidate>) -> Vec<&'a Candidate> {
    let mut all: Vec<&Candidate> = all.collect();
    all.sort_by_key(|candidate| distance(&nearly(target(tag)), &candidate.position));
    all
}

/// Carriers, each of which knows some at random and those next to it.
struct Net {
    all: Vec<Candidate>,
    known: Vec<Vec<usize>>,
}

impl Net {
    fn new(seed: u64, count: usize, at_random: usize) -> Net {
        let all: Vec<Candidate> = (0..count as u64).map(|n| carrier(seed + n)).collect();
        let known = (0..count).map(|n| {
            let at = |k: usize| blake3::hash(&[n, k, 7].map(usize::to_le_bytes).concat());
            let number = |k| u64::from_le_bytes(*at(k).as_bytes().first_chunk().unwrap());
            let mut known: Vec<usize> = (0..at_random)
                .map(|k| (number(k) % count as u64) as usize)
                .collect();
            let mut near: Vec<usize> = (0..count).filter(|other| *other != n).collect();
            near.sort_by_key(|other| distance(&all[n].position, &all[*other].position));
            known.extend(&near[..16.min(near.len())]);
            known
        });
        let known = known.collect();
        Net { all, known }
    }

    fn find(&self, id: &PeerId) -> usize {
        self.all
            .iter()
            .position(|candidate| candidate.id == *id)
            .unwrap()
    }

    /// What a carrier answers.
    fn told(&self, who: usize, target: Target) -> Vec<PeerRow> {
        let mut known: Vec<&Candidate> = self.known[who].iter().map(|n| &self.all[*n]).collect();
        known.sort_by_key(|candidate| distance(&nearly(target), &candidate.position));
        known
            .iter()
            .take(20)
            .map(|candidate| row(candidate))
            .collect()
    }
}

fn checked(id: &[u8; 32]) -> Option<PeerId> {
    PeerId::from_bytes(*id).ok()
}

fn seconds(n: u64) -> Time {
    Time::ZERO + Duration::from_secs(n)
}

/// Looks up to the end; gives how many rounds that took, and how many were asked.
fn look(looks: &mut LookUps, net: &Net, tag: Tag, known: &[Candidate]) -> (usize, usize) {
    looks.want([(tag, Topic::Mailbox, LOOK_UP_LIFE)], known, Time::ZERO);
    let (mut rounds, mut asked) = (0, 0);
    loop {
        let tasks = looks.poll(Time::ZERO, NEVER);
        if tasks.is_empty() {
            return (rounds, asked);
        }
        rounds += 1;
        for (carrier, task) in tasks {
            let Task::Find { target, .. } = task else {
                panic!("{task:?}");
            };
            asked += 1;
            let who = net.find(&carrier);
            let told = net.told(who, target);
            looks.ended(at(&net.all[who]), target, Some(&told), checked, Time::ZERO);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    // PROTOCOL 3.13
    #[test]
    fn who_knows_few_finds_the_eight_nearest_in_a_few_rounds(seed in 0_u64..1 << 40) {
        let net = Net::new(seed, 1_500, 100);
        let mut found = 0;
        for n in 0..10 {
            let tag = tag(seed + n);
            let me = (seed as usize + n as usize) % 1_500;
            let known: Vec<Candidate> = net.known[me].iter().map(|n| net.all[*n].clone()).collect();
            let mut looks = LookUps::default();
            let (rounds, asked) = look(&mut looks, &net, tag, &known);
            prop_assert!(asked <= LOOK_UP_ASKED_MAX && rounds <= 14, "{rounds} rounds, {asked} asked");
            let all = known.iter().chain(looks.found(Time::ZERO));
            let best: BTreeMap<u128, PeerId> = all
                .map(|candidate| (distance(&nearly(target(tag)), &candidate.position), candidate.id))
                .collect();
            let best: Vec<PeerId> = best.into_values().take(8).collect();
            let truly: Vec<PeerId> = by_distance(tag, net.all.iter()).iter().take(8).map(|c| c.id).collect();
            found += usize::from(best == truly);
        }
        prop_assert!(found >= 9, "{found} of 10");
    }
}

#[test]
fn what_was_looked_up_is_not_looked_up_again_for_a_while_and_many_wait_for_a_place() {
    let known: Vec<Candidate> = (0..20).map(carrier).collect();
    let mut looks = LookUps::default();
    let tags = (0..200).map(|n| (tag(n), Topic::Mailbox, LOOK_UP_LIFE));
    looks.want(tags.clone(), &known, seconds(0));
    assert_eq!(looks.searches.len(), LOOK_UPS_MAX);
    // Nobody can be reached: all end, and are not begun again at once.
    assert!(looks.poll(seconds(1), |_| false).is_empty());
    assert!(looks.searches.is_empty() && looks.over.len() == LOOK_UPS_MAX);
    looks.want(tags.clone().take(LOOK_UPS_MAX), &known, seconds(2));
    assert!(looks.searches.is_empty());
    looks.want(tags, &known, seconds(700));
    assert_eq!(looks.searches.len(), LOOK_UPS_MAX);
}

#[test]
fn three_are_asked_at_a_time_and_who_takes_long_holds_up_nobody() {
    let known: Vec<Candidate> = (0..20).map(carrier).collect();
    let mut looks = LookUps::default();
    looks.want([(tag(1), Topic::Mailbox, LOOK_UP_LIFE)], &known, seconds(0));
    let nearest = by_distance(tag(1), known.iter());
    let asked: Vec<PeerId> = looks
        .poll(seconds(0), NEVER)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(asked, [nearest[0].id, nearest[1].id, nearest[2].id]);
    assert!(looks.poll(seconds(1), NEVER).is_empty());
    assert_eq!(looks.next_due(), Some(Time::ZERO + PROMPT));
    assert_eq!(looks.poll(seconds(2), NEVER).len(), 3);
    // Over once the eight nearest have answered, or cannot be reached.
    looks.poll(seconds(4), NEVER);
    for candidate in &nearest[..8] {
        assert!(looks.searches.len() == 1);
        looks.ended(
            at(candidate),
            target(tag(1)),
            Some(&[]),
            checked,
            seconds(5),
        );
        looks.poll(seconds(5), |_| false);
    }
    assert!(looks.searches.is_empty());
}

// PROTOCOL 3.13
#[test]
fn who_makes_carriers_up_is_believed_three_times() {
    let known: Vec<Candidate> = (0..20).map(carrier).collect();
    let mut looks = LookUps::default();
    looks.want([(tag(1), Topic::Mailbox, LOOK_UP_LIFE)], &known, seconds(0));
    let liar = by_distance(tag(1), known.iter())[0].clone();
    // Twenty near the tag that are not there; the liar ground its ids.
    let mut made_up: Vec<Candidate> = (1_000..3_000).map(carrier).collect();
    made_up = by_distance(tag(1), made_up.iter())
        .into_iter()
        .take(20)
        .cloned()
        .collect();
    let rows: Vec<PeerRow> = made_up.iter().map(row).collect();
    looks.poll(seconds(0), NEVER);
    for honest in &by_distance(tag(1), known.iter())[1..3] {
        looks.ended(at(honest), target(tag(1)), Some(&[]), checked, seconds(1));
    }
    looks.ended(at(&liar), target(tag(1)), Some(&rows), checked, seconds(1));
    let mut dialled = 0;
    for n in 1..200 {
        for (id, _) in looks.poll(seconds(2 * n), NEVER) {
            let false_one = made_up.iter().find(|candidate| candidate.id == id);
            dialled += usize::from(false_one.is_some());
            let honest = known.iter().find(|candidate| candidate.id == id);
            let answer = honest.map(|_| &[][..]);
            looks.ended(
                at(false_one.or(honest).unwrap()),
                target(tag(1)),
                answer,
                checked,
                seconds(2 * n),
            );
        }
    }
    // Those that were asked together with the third go on.
    assert!((3..=5).contains(&dialled), "{dialled}");
    assert!(
        looks.searches.is_empty(),
        "the honest ones were asked after all"
    );
    for false_one in made_up.iter().take(3) {
        assert!(
            looks
                .found(seconds(400))
                .all(|found| found.id != false_one.id)
        );
    }
}

// PROTOCOL 3.13
#[test]
fn rows_that_cannot_be_meant_or_are_no_carriers_are_passed_over_and_what_is_kept_is_bounded() {
    let known: Vec<Candidate> = (0..20).map(carrier).collect();
    let teller = known[0].clone();
    let mut looks = LookUps::default();
    let good = row(&carrier(50));
    let bad = [
        PeerRow {
            address: "192.168.1.1:9".parse().unwrap(),
            ..good
        },
        PeerRow {
            about: About::TAKES_LINKS,
            ..good
        },
        PeerRow {
            about: About::CARRIES.and(About::METERED),
            ..good
        },
        PeerRow {
            id: [2; 32],
            ..good
        },
    ];
    looks.want([(tag(1), Topic::Mailbox, LOOK_UP_LIFE)], &known, seconds(0));
    looks.poll(seconds(0), NEVER);
    looks.ended(at(&teller), target(tag(1)), Some(&bad), checked, seconds(0));
    assert!(looks.found(seconds(0)).next().is_none() && !looks.take_news());
    looks.ended(
        at(&teller),
        target(tag(1)),
        Some(&[good]),
        checked,
        seconds(0),
    );
    assert!(looks.take_news() && !looks.take_news());
    let young = PeerRow {
        minutes_up: 19,
        ..row(&carrier(51))
    };
    looks.ended(
        at(&teller),
        target(tag(1)),
        Some(&[young]),
        checked,
        seconds(0),
    );
    let eligible: Vec<bool> = looks
        .found(seconds(0))
        .map(|found| found.eligible)
        .collect();
    assert_eq!(eligible.iter().filter(|eligible| **eligible).count(), 1);
    assert!(looks.found(seconds(0) + FOUND_LIFE).next().is_none());
    // Many look-ups, each told of twenty others.
    for n in 0..60_u64 {
        looks.want(
            [(tag(n), Topic::Mailbox, LOOK_UP_LIFE)],
            &known,
            seconds(1_000 + n * 700),
        );
        let rows: Vec<PeerRow> = (0..20)
            .map(|k| row(&carrier(10_000 + 20 * n + k)))
            .collect();
        looks.ended(
            at(&teller),
            target(tag(n)),
            Some(&rows),
            checked,
            seconds(1_000 + n),
        );
        assert!(
            looks
                .searches
                .values()
                .all(|search| search.rows.len() <= LOOK_UP_ROWS_MAX)
        );
    }
    assert_eq!(looks.found.len(), FOUND_KEPT_MAX);
}

/// As in the address book: hearsay moves nobody who is not known to be gone.
// PROTOCOL 3.13
#[test]
fn who_was_found_stays_where_it_is_until_it_was_not_there() {
    let known: Vec<Candidate> = (0..20).map(carrier).collect();
    let found = carrier(50);
    let moved = PeerRow {
        address: "198.51.100.1:9".parse().unwrap(),
        ..row(&found)
    };
    let mut looks = LookUps::default();
    let tags = [tag(1), tag(2), tag(3)];
    looks.want(
        tags.map(|tag| (tag, Topic::Mailbox, LOOK_UP_LIFE)),
        &known,
        seconds(0),
    );
    looks.poll(seconds(0), NEVER);
    let told = |looks: &mut LookUps, n: usize, row: PeerRow| {
        let target = target(tags[n]);
        looks.ended(at(&known[n]), target, Some(&[row]), checked, seconds(1));
        let at = looks.found(seconds(1)).find(|at| at.id == found.id);
        at.map(|at| at.address)
    };
    assert_eq!(told(&mut looks, 0, row(&found)), Some(found.address));
    assert_eq!(told(&mut looks, 1, moved), Some(found.address));
    looks.ended(at(&found), target(tags[0]), None, checked, seconds(1));
    assert_eq!(told(&mut looks, 2, moved), Some(moved.address));
}

/// Whoever has one network and any number of ids does not end a look-up among them.
// PROTOCOL 3.6
#[test]
fn carriers_of_one_prefix_are_one_of_the_eight_nearest_and_crowd_nobody_out() {
    let known: Vec<Candidate> = (0..40).map(carrier).collect();
    let mut crowd: Vec<Candidate> = (1_000..21_000).map(carrier).collect();
    crowd.sort_by_key(|candidate| distance(&nearly(target(tag(1))), &candidate.position));
    crowd.truncate(LOOK_UP_ROWS_MAX + 10);
    for (n, candidate) in crowd.iter_mut().enumerate() {
        candidate.address = format!("198.51.100.{n}:9000").parse().unwrap();
    }
    let mut looks = LookUps::default();
    let all: Vec<Candidate> = known.iter().chain(&crowd).cloned().collect();
    looks.want([(tag(1), Topic::Mailbox, LOOK_UP_LIFE)], &all, seconds(0));
    let search = looks.searches.get(&target(tag(1))).unwrap();
    let honest = |row: &&Row| known.iter().any(|candidate| candidate.id == row.id);
    assert_eq!(search.rows.values().filter(honest).count(), 40);
    let mut asked = BTreeSet::new();
    for n in 0..40 {
        for (id, _) in looks.poll(seconds(n), NEVER) {
            asked.insert(id);
            let who = all.iter().find(|candidate| candidate.id == id).unwrap();
            looks.ended(at(who), target(tag(1)), Some(&[]), checked, seconds(n));
        }
    }
    let honest = by_distance(tag(1), known.iter());
    let mut first = honest[..7].iter();
    assert!(first.all(|candidate| asked.contains(&candidate.id)));
    assert_eq!(asked.len(), 8);
}
