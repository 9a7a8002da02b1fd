//! Errands: every one ends, none is asked too often, and links are as many as they may be.

use super::*;
use crate::answers::{Known, Reason};
use crate::packet::{MessageId, PacketId};
use dunlin_net::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::BTreeMap;

fn peer(n: u64) -> PeerId {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id()
}

fn any(n: u64) -> Lane {
    (peer(n), Topic::Any)
}

fn link(n: u32) -> Entity {
    Entity::from_raw_u32(n).unwrap()
}

fn ask() -> Task {
    Task::Ask {
        topic: Topic::Packet([1; 16]),
        message: MessageId([1; 16]),
        id: PacketId([2; 16]),
    }
}

fn answer(request: u32) -> Frame {
    Frame::Answer {
        request,
        id: PacketId([2; 16]),
        known: Known::Kept,
    }
}

fn millis(n: u64) -> Time {
    Time::ZERO + Duration::from_millis(n)
}

/// One errand at one carrier whose link is up.
fn up() -> (Errands, Entity) {
    let mut errands = Errands::default();
    errands.add(peer(1), ask(), Time::ZERO);
    assert_eq!(errands.poll(Time::ZERO), [Action::Dial(any(1))]);
    errands.dialling(any(1), link(1), Time::ZERO);
    assert_eq!(errands.poll(Time::ZERO), []);
    errands.link_up(link(1), Time::ZERO);
    (errands, link(1))
}

#[test]
fn a_request_is_repeated_after_300_ms_doubling_to_two_seconds_until_it_is_answered() {
    let (mut errands, link) = up();
    let mut at = Vec::new();
    for ms in 0..6_000 {
        match &errands.poll(millis(ms))[..] {
            [] => {}
            [Action::Send { request: 1, .. }] => at.push(ms),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(at, [0, 300, 900, 2_100, 4_100]);
    assert_eq!(errands.next_due(), Some(millis(6_100)));
    assert!(errands.answer(link, 1, answer(1), millis(6_000)));
    assert!(!errands.answer(link, 1, answer(1), millis(6_000)));
    let done = errands.take_done();
    assert_eq!(done.len(), 1);
    assert!(done[0].answer.is_some() && done[0].carrier == peer(1));
    // Then nothing is due until the link has been idle long enough.
    assert_eq!(errands.next_due(), Some(millis(11_000)));
    assert_eq!(errands.poll(millis(11_000)), [Action::HangUp(link)]);
    assert_eq!((errands.next_due(), errands.links()), (None, 0));
    assert!(errands.table.lanes.is_empty());
}

#[test]
fn an_answer_of_another_kind_or_from_another_carrier_answers_nothing() {
    let (mut errands, link_1) = up();
    errands.add(peer(2), ask(), Time::ZERO);
    errands.poll(Time::ZERO);
    errands.dialling(any(2), link(2), Time::ZERO);
    errands.link_up(link(2), Time::ZERO);
    assert!(!errands.answer(link(2), 1, answer(1), Time::ZERO));
    assert!(!errands.answer(link(9), 1, answer(1), Time::ZERO));
    assert!(!errands.answer(link_1, 1, Frame::Subscribed { request: 1 }, Time::ZERO));
    let refused = |kind| Frame::Refused {
        kind,
        reason: Reason::Full,
        price: 0,
        request: 1,
    };
    assert!(!errands.answer(link_1, 1, refused(crate::frames::DEPOSIT), Time::ZERO));
    assert!(errands.answer(link_1, 1, refused(crate::frames::ASK), Time::ZERO));
}

#[test]
fn a_lost_link_is_dialled_again_and_a_failed_dial_ends_the_errands() {
    let (mut errands, link_1) = up();
    errands.poll(Time::ZERO);
    errands.link_down(link_1, DownReason::Lost, millis(10));
    assert!(errands.take_done().is_empty());
    assert_eq!(errands.poll(millis(10)), [Action::Dial(any(1))]);
    errands.dialling(any(1), link(2), millis(10));
    assert!(errands.may_reach(&peer(1), millis(5_009)));
    assert!(!errands.may_reach(&peer(1), millis(5_010)));
    errands.link_down(link(2), DownReason::Unreachable, millis(6_000));
    let done = errands.take_done();
    assert!(done.len() == 1 && done[0].answer.is_none());
    assert!(!errands.may_reach(&peer(1), millis(6_000)));
    assert!(errands.may_reach(&peer(1), millis(10_000)));
    assert!(errands.is_empty());
}

#[test]
fn a_carrier_that_answers_nothing_is_given_up_though_its_link_stays_up() {
    let (mut errands, link) = up();
    let mut now = Time::ZERO;
    let mut sent = 0;
    let hung_up = loop {
        let actions = errands.poll(now);
        sent += actions
            .iter()
            .filter(|action| matches!(action, Action::Send { .. }))
            .count();
        if let Some(Action::HangUp(link)) = actions.first() {
            break *link;
        }
        now = errands.next_due().unwrap();
    };
    assert_eq!((sent, hung_up), (usize::from(TRIES_MAX), link));
    assert!(errands.take_done()[0].answer.is_none());
}

#[test]
fn sixteen_links_at_once_and_whose_errand_waits_longest_comes_next() {
    let mut errands = Errands::default();
    for n in 0..20 {
        errands.add(peer(n), ask(), Time::ZERO);
    }
    let dialled: Vec<Action> = (0..16).map(|n| Action::Dial(any(n))).collect();
    assert_eq!(errands.poll(Time::ZERO), dialled);
    for n in 0..16 {
        errands.dialling(any(n), link(n as u32 + 1), Time::ZERO);
        errands.link_up(link(n as u32 + 1), Time::ZERO);
    }
    errands.keep([peer(3)].into());
    assert_eq!(errands.poll(Time::ZERO).len(), 16);
    // The one that stays for its subscription makes no room, the one that is done does so at once.
    for n in [3, 5] {
        assert!(errands.answer(link(n + 1), n + 1, answer(n + 1), millis(1)));
    }
    assert_eq!(
        errands.poll(millis(1)),
        [Action::HangUp(link(6)), Action::Dial(any(16))]
    );
}

#[test]
fn a_long_outbox_leaves_in_a_stream_and_not_in_a_burst() {
    let (mut errands, link) = up();
    for _ in 0..99 {
        errands.add(peer(1), ask(), Time::ZERO);
    }
    let sent = errands.poll(Time::ZERO);
    assert_eq!(sent.len(), LINK_REQUESTS_MAX);
    assert!(errands.answer(link, 7, answer(7), millis(1)));
    assert_eq!(
        errands.poll(millis(1)),
        [Action::Send { link, request: 33 }]
    );
}

#[test]
fn what_is_cancelled_is_not_asked_again() {
    let (mut errands, link) = up();
    errands.cancel(|task| matches!(task, Task::Ask { .. }));
    assert!(errands.is_empty());
    assert!(!errands.answer(link, 1, answer(1), Time::ZERO));
    assert_eq!(errands.poll(millis(5_000)), [Action::HangUp(link)]);
    assert!(errands.take_done().is_empty());
}

#[test]
fn a_carrier_that_has_long_been_silent_is_not_counted_on_until_it_answers() {
    let (mut errands, link) = up();
    assert!(
        errands.may_reach(&peer(1), millis(60_000)),
        "it was asked nothing yet"
    );
    errands.poll(millis(100));
    errands.add(peer(1), ask(), millis(2_000));
    assert!(errands.may_reach(&peer(1), millis(5_099)));
    assert!(!errands.may_reach(&peer(1), millis(5_100)));
    assert!(errands.answer(link, 1, answer(1), millis(5_200)));
    assert!(errands.may_reach(&peer(1), millis(10_199)));
    assert!(!errands.may_reach(&peer(1), millis(10_200)));
    errands.cancel(|_| true);
    assert!(errands.may_reach(&peer(1), millis(20_000)));
}

fn about(n: u8) -> Task {
    Task::Ask {
        topic: Topic::Packet([n; 16]),
        message: MessageId([n; 16]),
        id: PacketId([n; 16]),
    }
}

// PROTOCOL 4.7
#[test]
fn what_must_not_be_seen_to_belong_together_goes_over_different_links() {
    let mut errands = Errands::new(true);
    for n in [1, 2, 1] {
        errands.add(peer(1), about(n), Time::ZERO);
    }
    errands.add(
        peer(1),
        Task::Subscribe {
            day: 9,
            topic: Topic::Mailbox,
        },
        Time::ZERO,
    );
    let lane = |topic| (peer(1), topic);
    let lanes = [
        lane(Topic::Packet([1; 16])),
        lane(Topic::Packet([2; 16])),
        lane(Topic::Mailbox),
    ];
    assert_eq!(errands.poll(Time::ZERO), lanes.map(Action::Dial));
    for (n, lane) in (1..).zip(lanes) {
        errands.dialling(lane, link(n), Time::ZERO);
        errands.link_up(link(n), Time::ZERO);
    }
    let mut sent = errands.poll(Time::ZERO);
    sent.sort_by_key(|action| match action {
        Action::Send { request, .. } => *request,
        _ => panic!("{action:?}"),
    });
    let sent: Vec<Entity> = sent
        .iter()
        .filter_map(|action| match action {
            Action::Send { link, .. } => Some(*link),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [link(1), link(2), link(1), link(3)]);
    // An answer counts only over the link on which it was asked for.
    assert!(!errands.answer(link(2), 1, answer(1), Time::ZERO));
    assert!(errands.answer(link(1), 1, answer(1), Time::ZERO));
    assert_eq!(errands.asked_of(&peer(1)), 3);
}

#[test]
fn a_carrier_that_is_not_there_is_dialled_once_and_all_its_errands_end() {
    let mut errands = Errands::new(true);
    errands.add(peer(1), about(1), Time::ZERO);
    let first = (peer(1), Topic::Packet([1; 16]));
    assert_eq!(errands.poll(Time::ZERO), [Action::Dial(first)]);
    errands.dialling(first, link(1), Time::ZERO);
    for n in 2..60 {
        errands.add(peer(1), about(n), millis(1_500));
    }
    assert_eq!(errands.poll(millis(1_500)), []);
    errands.link_down(link(1), DownReason::Lost, millis(6_000));
    assert_eq!(errands.take_done().len(), 59);
    assert!(errands.is_empty() && !errands.may_reach(&peer(1), millis(6_000)));
    // Where another link with it is up, only what the failed dial was for ends.
    let mut errands = Errands::new(true);
    errands.add(peer(1), about(1), Time::ZERO);
    errands.add(peer(1), about(2), Time::ZERO);
    let second = (peer(1), Topic::Packet([2; 16]));
    errands.poll(Time::ZERO);
    errands.dialling(first, link(1), Time::ZERO);
    errands.dialling(second, link(2), Time::ZERO);
    errands.link_up(link(1), millis(100));
    errands.link_down(link(2), DownReason::Unreachable, millis(200));
    assert_eq!(errands.take_done().len(), 1);
    assert!(errands.may_reach(&peer(1), millis(200)) && errands.len() == 1);
}

/// A network that has too much to do is not asked for more and more.
#[test]
fn the_more_dials_fail_the_fewer_are_made_at_once_and_who_is_refused_does_not_come_back_at_once() {
    let mut errands = Errands::new(true);
    let mut link_number = 0;
    let mut at_once = Vec::new();
    let mut last: BTreeMap<PeerId, Time> = BTreeMap::new();
    for n in 0..40 {
        let now = millis(500 * n);
        for k in 0..100 {
            errands.add(peer(1_000 * n + k), ask(), now);
        }
        let mut dialled = Vec::new();
        for action in errands.poll(now) {
            if let Action::Dial(lane) = action {
                let before = last.insert(lane.0, now);
                assert!(before.is_none_or(|before| now - before >= Duration::from_secs(2)));
                link_number += 1;
                errands.dialling(lane, link(link_number), now);
                dialled.push(link(link_number));
            }
        }
        at_once.push(dialled.len());
        // The first twenty times all are up, and at once told that there are too many; later they stay for what is asked, and go.
        for one in dialled {
            errands.link_up(one, now);
            let why = match n < 20 {
                true => DownReason::Closed(CloseReason::TooMany),
                false => DownReason::Closed(CloseReason::Idle),
            };
            errands.cancel(|_| n >= 20);
            errands.link_down(one, why, now);
        }
    }
    assert_eq!(at_once[0], 96);
    assert_eq!(at_once[1..20], [4; 19]);
    assert!(
        at_once[20..].is_sorted() && at_once[39] >= 90,
        "{at_once:?}"
    );
}
