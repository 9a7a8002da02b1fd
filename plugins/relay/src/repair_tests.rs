//! Rounds of repair, without links: whatever neighbours answer, a round stays within its bounds, and takes only what belongs.

use super::*;
use crate::neighbours::oneself;
use crate::neighbours::tests::carrier;
use crate::packet::tests::packet;
use crate::packet::{Class, DeleteSecret, Packet};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

struct Scene {
    state: State,
    me: Candidate,
    known: Vec<Candidate>,
    cache: Cache,
    tombstones: Tombstones,
    random: ChaCha20Rng,
}

const BEGIN: Time = Time(1_000_000);

impl Scene {
    /// A round of a carrier that knows so many others begins.
    fn begun(others: u64) -> Scene {
        let mut scene = Scene {
            state: State::default(),
            me: oneself(carrier(1_000).id),
            known: (0..others).map(carrier).collect(),
            cache: Cache::default(),
            tombstones: Tombstones::default(),
            random: ChaCha20Rng::seed_from_u64(1),
        };
        scene.begin(BEGIN);
        scene
    }

    fn begin(&mut self, now: Time) {
        self.state.next = Some(now);
        let (me, known) = (self.me.clone(), self.known.clone());
        self.state.begin(&me, &known, true, now, &mut self.random);
    }

    fn ended(&mut self, carrier: PeerId, task: Task, answer: Option<Frame>) {
        let done = Done {
            carrier,
            task,
            asked: true,
            answer,
        };
        let both = (&self.cache, &mut self.tombstones);
        self.state
            .ended(done, &self.me, both, BEGIN, &mut self.random);
    }

    /// All that is asked now, in order; it is not asked any more.
    fn take_asked(&mut self) -> Vec<(PeerId, Task)> {
        let asked = self.state.errands.tasks();
        let asked: Vec<(PeerId, Task)> = asked.map(|(who, task)| (who, task.clone())).collect();
        self.state.errands.cancel(|_| true);
        asked
    }

    /// Each that is asked lists these, and that was all.
    fn all_list(&mut self, rows: &[ListedRow]) {
        for (who, task) in self.take_asked() {
            let Task::List { until, .. } = task else {
                panic!("{task:?}");
            };
            self.ended(who, task, Some(listed(until, rows)));
        }
    }

    fn pulled(&mut self) -> Vec<(PeerId, PacketId)> {
        self.state.advance(&self.me, true, BEGIN);
        let asked = self.take_asked().into_iter();
        let pulls = asked.filter_map(|(who, task)| match task {
            Task::Pull { id } => Some((who, id)),
            _ => None,
        });
        pulls.collect()
    }
}

fn listed(next: PacketId, rows: &[ListedRow]) -> Frame {
    Frame::Listed {
        request: 0,
        next,
        rows: rows.to_vec(),
    }
}

fn numbered(n: u32) -> ListedRow {
    let hash = blake3::hash(&n.to_le_bytes());
    let (mut id, mut tag) = ([0; 16], [0; 16]);
    id.copy_from_slice(&hash.as_bytes()[..16]);
    tag.copy_from_slice(&hash.as_bytes()[16..]);
    ListedRow::new(PacketId(id), Tag(tag))
}

fn small(n: u8) -> (Packet, ListedRow) {
    let packet = packet(Class::Small, Tag([n; 16]), 20_000, n);
    let row = ListedRow::new(packet.id(), packet.tag());
    (packet, row)
}

proptest! {
    // PROTOCOL 3.12
    #[test]
    fn whatever_is_listed_only_what_belongs_here_is_pulled_and_no_more_than_a_round_may(
        others in 1_u64..60,
        pages in proptest::collection::vec(0_u32..100_000, 0..60),
    ) {
        let mut scene = Scene::begun(others);
        let rows: Vec<ListedRow> =
            pages.iter().flat_map(|first| (*first..first + 50).map(numbered)).collect();
        scene.all_list(&rows);
        let round = scene.state.round.as_ref().unwrap();
        prop_assert!(round.listed.len() <= LISTED_MAX);
        let pulled = scene.pulled();
        prop_assert!(pulled.len() <= PULLS_MAX);
        for (who, id) in &pulled {
            let row = rows.iter().find(|row| row.id == *id).unwrap();
            prop_assert!(scene.state.neighbours.belongs_here(row.nearly(), &scene.me));
            prop_assert!(scene.known.iter().any(|other| other.id == *who));
        }
        let ids: BTreeSet<PacketId> = pulled.iter().map(|(_, id)| *id).collect();
        prop_assert_eq!(ids.len(), pulled.len(), "each of one neighbour");
    }
}

// PROTOCOL 3.12
#[test]
fn lists_without_end_are_asked_for_no_more_than_a_round_may() {
    let mut scene = Scene::begun(30);
    let mut asked = 0;
    loop {
        let lists = scene.take_asked();
        if lists.is_empty() {
            break;
        }
        for (who, task) in lists {
            let Task::List { after, .. } = task else {
                panic!("{task:?}");
            };
            asked += 1;
            let next = PacketId((u128::from_be_bytes(after.0).wrapping_add(1)).to_be_bytes());
            scene.ended(who, task, Some(listed(next, &[])));
        }
    }
    assert_eq!(asked, NEIGHBOURS + REPAIR_PAGES_MAX);
    // The next round goes on where this one ended, with those that were not asked lately.
    scene.begin(BEGIN + REPAIR_EVERY);
    let first = scene.take_asked();
    assert_eq!(first.len(), NEIGHBOURS);
    for (who, task) in first {
        let Task::List { after, until } = task else {
            panic!("{task:?}");
        };
        assert_eq!(after, until);
        assert_eq!(scene.state.neighbours.get(&who).unwrap().cursor, after);
    }
}

#[test]
fn a_page_that_does_not_go_on_ends_its_list() {
    let mut scene = Scene::begun(1);
    let (who, task) = scene.take_asked().remove(0);
    let Task::List { after, .. } = task else {
        panic!("{task:?}");
    };
    let until = PacketId([7; 16]);
    // It says that it has shown nothing new, and not that this was all.
    scene.ended(who, Task::List { after, until }, Some(listed(after, &[])));
    assert!(scene.take_asked().is_empty());
    scene.state.advance(&scene.me, true, BEGIN);
    assert!(scene.state.round.is_none(), "the round is over");
}

// PROTOCOL 3.12
#[test]
fn who_does_not_answer_makes_room_for_the_next_nearest_and_is_left_alone() {
    let mut scene = Scene::begun(60);
    let mut nearest = scene.known.clone();
    nearest.sort_by_key(|other| distance(&scene.me.position, &other.position));
    let asked: BTreeSet<PeerId> = scene.state.errands.tasks().map(|(who, _)| who).collect();
    let expected = nearest[..NEIGHBOURS].iter().map(|other| other.id);
    assert_eq!(asked, expected.collect());
    let mut tried = BTreeSet::new();
    loop {
        let lists = scene.take_asked();
        if lists.is_empty() {
            break;
        }
        for (who, task) in lists {
            assert!(tried.insert(who), "each once");
            scene.ended(who, task, None);
        }
    }
    assert_eq!(tried.len(), REPAIR_DIALS_MAX);
    assert_eq!(scene.state.neighbours.len(), 0);
    scene.begin(BEGIN + REPAIR_EVERY);
    let next = scene.take_asked().into_iter();
    assert!(next.map(|(who, _)| who).all(|who| !tried.contains(&who)));
    scene.begin(BEGIN + ABSENT_FIRST);
    let later: BTreeSet<PeerId> = scene.take_asked().into_iter().map(|(who, _)| who).collect();
    assert_eq!(later, asked, "they may be back");
    for n in 0..1_000 {
        scene.state.shun(carrier(n).id, BEGIN);
        assert!(scene.state.absent.len() <= ABSENT_MAX);
    }
}

#[test]
fn lists_have_their_time_and_what_came_by_then_is_pulled() {
    let mut scene = Scene::begun(3);
    let (_, row) = small(1);
    let (who, task) = scene.take_asked().remove(0);
    let Task::List { until, .. } = task else {
        panic!("{task:?}");
    };
    scene.ended(who, task, Some(listed(until, &[row])));
    assert_eq!(scene.pulled(), [], "two have not answered");
    let late = BEGIN + LISTING_MAX;
    assert_eq!(scene.state.next_due(BEGIN), Some(late));
    scene.state.advance(&scene.me, true, late);
    let asked = scene.take_asked();
    assert!(matches!(asked[..], [(from, Task::Pull { id })] if (from, id) == (who, row.id)));
}

#[test]
fn a_carrier_that_is_young_pulls_nothing() {
    let mut scene = Scene::begun(3);
    scene.all_list(&[small(1).1]);
    scene.state.advance(&scene.me, false, BEGIN);
    assert!(scene.take_asked().is_empty());
}

// PROTOCOL 3.12
#[test]
fn of_those_that_list_a_packet_the_next_is_asked_if_one_has_it_no_more() {
    let mut scene = Scene::begun(3);
    let (packet, row) = small(1);
    scene.all_list(&[row]);
    let mut asked = scene.pulled();
    let mut tried = BTreeSet::new();
    for gives in [None, Some(None), Some(Some(packet))] {
        assert_eq!(asked.len(), 1, "of one at a time");
        let (who, id) = asked.remove(0);
        assert!(tried.insert(who));
        let answer = gives.map(|packet| Frame::Pulled { request: 0, packet });
        scene.ended(who, Task::Pull { id }, answer);
        asked = scene.pulled();
    }
    assert!(asked.is_empty());
    assert!(scene.state.round.is_none());
}

// PROTOCOL 3.12, 4.3
#[test]
fn what_was_ended_is_not_pulled_and_its_secret_is_shown_to_who_lists_it() {
    let mut scene = Scene::begun(3);
    let (packet, row) = small(1);
    let secret = DeleteSecret::new([1; 16]);
    scene.tombstones.insert(packet.id(), secret, BEGIN);
    let (kept, kept_row) = small(2);
    let from = dunlin_net::Prefix::of(([198, 51, 1, 1], 9_000).into());
    scene.cache.insert(&kept, from, Time(u64::MAX));
    scene.all_list(&[row, kept_row]);
    let told = scene.take_asked();
    assert_eq!(told.len(), 3);
    for (_, task) in told {
        assert!(matches!(task, Task::Receipt { id, .. } if id == packet.id()));
    }
    assert_eq!(scene.pulled(), []);
}

#[test]
fn a_round_shows_no_more_secrets_than_it_may() {
    let mut scene = Scene::begun(16);
    let rows: Vec<ListedRow> = (0..50).map(numbered).collect();
    for row in &rows {
        let secret = DeleteSecret::new([1; 16]);
        scene.tombstones.insert(row.id, secret, BEGIN);
    }
    scene.all_list(&rows);
    assert_eq!(scene.take_asked().len(), REPAIR_RECEIPTS_MAX);
}

// PROTOCOL 3.12
#[test]
fn who_asks_is_asked_in_turn_but_not_if_it_was_lately_nor_if_it_is_far() {
    let mut scene = Scene::begun(1);
    let near = scene.known[0].clone();
    scene.all_list(&[]);
    let State { back, back_at, .. } = &scene.state;
    assert!(back.is_empty() && back_at.is_none());
    let (me, random) = (scene.me.clone(), &mut scene.random);
    assert!(scene.state.asked_by(near.clone(), &me, BEGIN, random));
    assert!(scene.state.back.is_empty(), "it was asked a moment ago");
    let later = BEGIN + REPAIR_EVERY / 2;
    assert!(scene.state.asked_by(near.clone(), &me, later, random));
    assert!(scene.state.back.contains(&near.id));
    let due = scene.state.back_at.unwrap();
    assert!(due >= later + ASK_BACK_AFTER && due <= later + 2 * ASK_BACK_AFTER);
    // It keeps nothing itself, so nobody else is asked.
    scene.state.begin(&me, &scene.known, false, due, random);
    assert_eq!(scene.state.errands.tasks().count(), 1);
    assert!(scene.state.back.is_empty());
    let mut all: Vec<Candidate> = (0..200).map(carrier).collect();
    all.sort_by_key(|other| distance(&me.position, &other.position));
    let far = all.pop().unwrap();
    for other in all {
        scene.state.asked_by(other, &me, due, &mut scene.random);
    }
    assert!(!scene.state.asked_by(far, &me, due, &mut scene.random));
    assert!(scene.state.back.len() <= crate::limits::NEIGHBOURS_MAX);
}
