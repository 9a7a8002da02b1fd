//! Lanes: who is asked for what, and how much of it again.

use super::*;
use crate::packet::tests::packet;
use crate::packet::{Class, Packet};
use dunlin_net::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const TODAY: u16 = 20_000;
const LIVE: RangeInclusive<u16> = TODAY..=TODAY;

fn candidates(count: u64) -> Vec<Candidate> {
    let candidate = |n| {
        let id = Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id();
        Candidate {
            id,
            position: id.position(),
            address: format!("127.{n}.0.1:9000").parse().unwrap(),
            eligible: true,
        }
    };
    (0..count).map(candidate).collect()
}

fn room() -> Room {
    Room::generate("Tea", &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

fn lanes() -> Lanes {
    let mut lanes = Lanes::default();
    lanes.refresh(&room(), TODAY, Time::ZERO);
    lanes
}

fn asked(task: &Task) -> (Tag, PacketId) {
    match task {
        Task::Lane { tag, after } => (*tag, *after),
        other => panic!("{other:?}"),
    }
}

fn page(packet: Option<&Packet>, left: u16) -> Frame {
    Frame::Fetched {
        request: 1,
        left,
        packet: packet.cloned(),
    }
}

fn seconds(n: u64) -> Time {
    Time::ZERO + Duration::from_secs(n)
}

/// Every carrier answers that it has nothing.
fn answer(lanes: &mut Lanes, tasks: Vec<(PeerId, Task)>, now: Time) {
    for (carrier, task) in tasks {
        let next = lanes.fetched(carrier, asked(&task), Some(&page(None, 0)), now);
        assert!(next.is_none());
    }
}

// PROTOCOL 4.6
#[test]
fn each_lane_of_eighteen_days_is_asked_of_the_four_nearest() {
    let mut lanes = lanes();
    let all = candidates(40);
    let tasks = lanes.poll(Time::ZERO, &LIVE, &all, |_| true);
    assert_eq!(tasks.len(), 18 * 16 * 4);
    let tag = room().tag(TODAY - 16, 7);
    let whom: BTreeSet<PeerId> = tasks
        .iter()
        .filter(|(_, task)| asked(task).0 == tag)
        .map(|(carrier, _)| *carrier)
        .collect();
    let nearest = nearest(tag, &all, 4);
    assert_eq!(whom, nearest.iter().map(|carrier| carrier.id).collect());
    assert!(!lanes.has(room().tag(TODAY - 17, 0)) && lanes.has(room().tag(TODAY + 1, 15)));
    assert!(!lanes.has_asked_all());
    answer(&mut lanes, tasks, Time::ZERO);
    assert!(lanes.has_asked_all());
}

#[test]
fn todays_lanes_are_asked_for_ever_more_seldom_and_the_others_every_six_hours() {
    let (mut lanes, all) = (lanes(), candidates(8));
    let tasks = lanes.poll(Time::ZERO, &LIVE, &all, |_| true);
    answer(&mut lanes, tasks, Time::ZERO);
    let mut times = Vec::new();
    for _ in 0..7 {
        let now = lanes.next_due().unwrap();
        let tasks = lanes.poll(now, &LIVE, &all, |_| true);
        assert_eq!(tasks.len(), 16 * 4);
        answer(&mut lanes, tasks, now);
        times.push((now - Time::ZERO).as_secs());
    }
    assert_eq!(times, [10, 30, 70, 150, 310, 550, 790]);
    let later = Time::ZERO + SWEEP;
    assert_eq!(lanes.poll(later, &LIVE, &all, |_| true).len(), 18 * 16 * 4);
}

#[test]
fn a_day_that_begins_is_asked_for_at_once_and_old_ones_are_let_go() {
    let (mut lanes, all) = (lanes(), candidates(8));
    let tasks = lanes.poll(Time::ZERO, &LIVE, &all, |_| true);
    answer(&mut lanes, tasks, Time::ZERO);
    let both = TODAY..=TODAY + 1;
    let tasks = lanes.poll(seconds(5), &both, &all, |_| true);
    assert_eq!(tasks.len(), 16 * 4);
    answer(&mut lanes, tasks, seconds(5));
    lanes.refresh(&room(), TODAY + 1, seconds(6));
    assert!(!lanes.has(room().tag(TODAY - 16, 0)) && lanes.has(room().tag(TODAY + 2, 0)));
    assert_eq!(lanes.tags().count(), 288);
}

#[test]
fn who_cannot_be_reached_is_replaced_by_the_next_and_holds_up_nobody() {
    let (mut lanes, all) = (lanes(), candidates(8));
    let away = all[0].id;
    let tasks = lanes.poll(Time::ZERO, &LIVE, &all, |_| true);
    let count = tasks.iter().filter(|(carrier, _)| *carrier == away).count();
    for (carrier, task) in tasks {
        let page = page(None, 0);
        let came = (carrier != away).then_some(&page);
        lanes.fetched(carrier, asked(&task), came, Time::ZERO);
    }
    let again = lanes.poll(seconds(1), &LIVE, &all, |carrier| *carrier != away);
    assert_eq!(again.len(), count);
    assert!(again.iter().all(|(carrier, _)| *carrier != away));
    answer(&mut lanes, again, seconds(1));
    assert!(lanes.has_asked_all());
}

#[test]
fn a_lane_is_paged_through_once_and_again_only_if_something_is_there_that_was_not() {
    let (mut lanes, all) = (lanes(), candidates(1));
    let (tag, carrier) = (room().tag(TODAY, 0), all[0].id);
    let mut packets: Vec<Packet> = (1..=3)
        .map(|n| packet(Class::Small, tag, TODAY, n))
        .collect();
    packets.sort_by_key(Packet::id);
    let begin = (tag, PacketId([0; 16]));
    lanes.poll(Time::ZERO, &LIVE, &all, |_| true);
    let mut fetch = |at, packet: &Packet, left| {
        let page = page(Some(packet), left);
        let next = lanes.fetched(carrier, at, Some(&page), Time::ZERO);
        next.map(|task| asked(&task))
    };
    let second = fetch(begin, &packets[0], 1).expect("there is more");
    assert_eq!(second, (tag, packets[0].id()));
    assert_eq!(fetch(second, &packets[1], 0), None);
    assert_eq!(fetch(begin, &packets[0], 1), None);
    assert_eq!(fetch(begin, &packets[0], 2), Some(second));
    // Who has more than it counts is paged through whatever it says, and who goes round in circles is not.
    let many = LEFT_MAX as u16;
    assert_eq!(fetch(begin, &packets[0], many), Some(second));
    assert_eq!(fetch(begin, &packets[0], many), Some(second));
    assert_eq!(fetch((tag, packets[2].id()), &packets[1], 5), None);
    lanes.again(tag, Time::ZERO);
    let page = page(Some(&packets[0]), 1);
    assert!(
        lanes
            .fetched(carrier, begin, Some(&page), Time::ZERO)
            .is_some()
    );
}

#[test]
fn new_carriers_are_asked_for_what_they_may_have() {
    let (mut lanes, few, all) = (lanes(), candidates(3), candidates(12));
    let tasks = lanes.poll(Time::ZERO, &LIVE, &few, |_| true);
    assert_eq!(tasks.len(), 288 * 3);
    answer(&mut lanes, tasks, Time::ZERO);
    lanes.carriers_changed(seconds(1));
    let tasks = lanes.poll(seconds(1), &LIVE, &all, |_| true);
    assert!(tasks.len() >= 288, "{}", tasks.len());
    let old: BTreeSet<PeerId> = few.iter().map(|carrier| carrier.id).collect();
    assert!(tasks.iter().all(|(carrier, _)| !old.contains(carrier)));
}

#[test]
fn around_midnight_both_days_are_live_and_else_one() {
    let hour = 3_600_000;
    let midnight = u64::from(TODAY) * 24 * hour;
    assert_eq!(live_days(midnight), TODAY - 1..=TODAY);
    assert_eq!(live_days(midnight + hour), TODAY..=TODAY);
    assert_eq!(live_days(midnight + 12 * hour), TODAY..=TODAY);
    assert_eq!(live_days(midnight + 23 * hour), TODAY..=TODAY + 1);
    assert_eq!(live_days(0), 0..=0);
}
