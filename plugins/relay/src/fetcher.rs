//! The recipient's rounds: which carriers are asked for which days, and when again.

use crate::day_keys::DayKeys;
use crate::frames::Frame;
use crate::limits::{ASKED, KEPT_LINKS_MAX};
use crate::packet::{Packet, PacketId, Tag};
use crate::placement::{Candidate, nearest};
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Between two rounds at one carrier: this after one that brought something, doubling after each that did not.
const ROUND_FIRST: Duration = Duration::from_secs(1);
const ROUND_MAX: Duration = Duration::from_mins(5);
/// The same where nothing is asked for but days that are past, to whose tags only repair brings more.
const ROUND_PAST_FIRST: Duration = Duration::from_mins(8);
const ROUND_PAST_MAX: Duration = Duration::from_hours(4);
/// Who cannot be reached is passed over for so long.
const AWAY: Duration = Duration::from_secs(5);
/// If nobody has answered for so long, it is we who are away, and others would not answer either.
const OFFLINE: Duration = Duration::from_mins(1);
/// For each day so many of the nearest are known, to ask the nearest 16 of those who can be reached.
const NEAR_MAX: usize = 4 * ASKED;

struct Round {
    ended: bool,
    next: Time,
    wait: Duration,
    /// Days that were asked for at least once, and those whose answer is waited for.
    asked: BTreeSet<u16>,
    open: BTreeSet<u16>,
    news: bool,
    /// Something that was asked has no answer: there was nobody.
    missed: bool,
    subscribed: BTreeSet<u16>,
}

impl Round {
    fn is_due(&self, days: &[u16], now: Time) -> bool {
        let fresh = || days.iter().any(|day| !self.asked.contains(day));
        self.open.is_empty() && (self.next <= now || fresh())
    }
}

/// A recipient's rounds: 16 carriers at a time for each of 18 days, of at most 64. A node that fetches nothing has none, and pays for a pointer.
#[derive(Component, Default)]
pub struct Fetcher(Option<Box<Rounds>>);

#[derive(Default)]
struct Rounds {
    tags: Vec<(u16, Tag)>,
    candidates: Arc<[Candidate]>,
    /// Of each day.
    nearest: Vec<(u16, Vec<PeerId>)>,
    away: BTreeMap<PeerId, Time>,
    today: u16,
    targets: BTreeMap<PeerId, Vec<u16>>,
    rounds: BTreeMap<PeerId, Round>,
    kept: BTreeSet<PeerId>,
    changed: Time,
    /// When there is something to do next, apart from answers.
    due: Option<Time>,
    /// When anybody answered last.
    heard: Option<Time>,
}

impl Rounds {
    /// Whom to ask: of those who can be reached.
    fn choose(&mut self) {
        self.targets.clear();
        self.kept.clear();
        for (day, nearest) in &self.nearest {
            let there = nearest.iter().filter(|id| !self.away.contains_key(id));
            for (place, carrier) in there.take(ASKED).enumerate() {
                self.targets.entry(*carrier).or_default().push(*day);
                if *day == self.today && place < KEPT_LINKS_MAX {
                    self.kept.insert(*carrier);
                }
            }
        }
    }

    /// The first and the longest wait between rounds at a carrier that is asked for these days: mail comes under the tag of the day on
    /// which it leaves, by a clock that may be a day wrong.
    // PROTOCOL 4.1
    fn waits(&self, days: &[u16]) -> (Duration, Duration) {
        match days.iter().any(|day| day.abs_diff(self.today) <= 1) {
            true => (ROUND_FIRST, ROUND_MAX),
            false => (ROUND_PAST_FIRST, ROUND_PAST_MAX),
        }
    }

    /// Others are asked in place of those who cannot be reached.
    fn pass_over(&mut self, now: Time, may_reach: impl Fn(&PeerId) -> bool) {
        let before = self.away.len();
        self.away.retain(|_, until| now < *until);
        let mut changed = self.away.len() < before;
        loop {
            if changed {
                self.choose();
            }
            let is_due = |(carrier, days): &(&PeerId, &Vec<u16>)| {
                let round = self.rounds.get(*carrier);
                round.is_none_or(|round| round.is_due(days, now))
            };
            let due = self.targets.iter().filter(is_due).map(|(id, _)| *id);
            let away: Vec<PeerId> = due.filter(|id| !may_reach(id)).collect();
            if away.is_empty() {
                return;
            }
            let until = now + AWAY;
            self.away.extend(away.into_iter().map(|id| (id, until)));
            changed = true;
        }
    }
}

/// A node hears of carriers within a few round trips of its first link; once none was added for so long, it has the most of them.
const SETTLED: Duration = Duration::from_secs(10);

impl Fetcher {
    /// Takes in which days and carriers there are. Does nothing if neither changed.
    pub(crate) fn look(
        &mut self,
        keys: &DayKeys,
        candidates: Arc<[Candidate]>,
        today: u16,
        now: Time,
    ) {
        let this = self.0.get_or_insert_default();
        let tags = keys.tags();
        if tags == this.tags && Arc::ptr_eq(&candidates, &this.candidates) {
            return;
        }
        let near = |(day, tag): &(u16, Tag)| {
            let nearest = nearest(*tag, &candidates[..], NEAR_MAX);
            (*day, nearest.iter().map(|carrier| carrier.id).collect())
        };
        this.nearest = tags.iter().map(near).collect();
        this.today = today;
        let before: BTreeSet<PeerId> = this.rounds.keys().copied().collect();
        this.choose();
        // Who is asked in place of another who is back is not asked from the beginning when that one goes again.
        let near = this.nearest.iter().flat_map(|(_, nearest)| nearest);
        let near: BTreeSet<&PeerId> = near.collect();
        this.rounds.retain(|carrier, _| near.contains(carrier));
        if !this.targets.keys().all(|carrier| before.contains(carrier)) {
            this.changed = now;
        }
        (this.tags, this.candidates) = (tags, candidates);
        this.due = Some(now);
    }

    /// Carriers whose links stay up for subscriptions: the 8 nearest to today's tag.
    pub(crate) fn kept(&self) -> BTreeSet<PeerId> {
        let this = self.0.as_ref();
        this.map_or_else(BTreeSet::new, |this| this.kept.clone())
    }

    /// Since when no new carrier was heard of.
    pub(crate) fn changed(&self) -> Time {
        self.0.as_ref().map_or(Time::ZERO, |this| this.changed)
    }

    /// What is to be asked of whom now.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        let Some(this) = &mut self.0 else {
            return tasks;
        };
        if this.due.is_none_or(|due| now < due) {
            return tasks;
        }
        this.pass_over(now, may_reach);
        let this = &mut **this; // Its parts are borrowed one by one.
        for (carrier, days) in &this.targets {
            let round = this.rounds.entry(*carrier).or_insert_with(|| Round {
                ended: false,
                next: now,
                wait: Duration::ZERO,
                asked: BTreeSet::new(),
                open: BTreeSet::new(),
                news: false,
                missed: false,
                subscribed: BTreeSet::new(),
            });
            if !round.is_due(days, now) {
                continue;
            }
            if this.kept.contains(carrier) {
                // Subscribed before fetched, so that nothing can arrive in between unseen.
                for day in days {
                    if round.subscribed.insert(*day) {
                        tasks.push((
                            *carrier,
                            Task::Subscribe {
                                day: *day,
                                topic: Topic::Mailbox,
                            },
                        ));
                    }
                }
            }
            for day in days {
                round.asked.insert(*day);
                round.open.insert(*day);
                let after = PacketId([0; 16]);
                tasks.push((*carrier, Task::Fetch { day: *day, after }));
            }
        }
        let rounds = this.targets.keys().filter_map(|id| this.rounds.get(id));
        let idle = rounds.filter(|round| round.open.is_empty());
        let next = idle.map(|round| round.next);
        this.due = next.chain(this.away.values().copied()).min();
        tasks
    }

    /// Whether carriers are known, each that can be reached has answered at least once, and none was added for a while.
    #[must_use]
    pub fn has_asked_all(&self, now: Time) -> bool {
        let Some(this) = &self.0 else {
            return false;
        };
        !this.candidates.is_empty()
            && now - this.changed >= SETTLED
            && this.targets.keys().all(|carrier| {
                let round = this.rounds.get(carrier);
                round.is_some_and(|round| round.ended && round.open.is_empty())
            })
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.0.as_ref()?.due
    }

    fn round_mut(&mut self, carrier: PeerId) -> Option<&mut Round> {
        self.0.as_mut()?.rounds.get_mut(&carrier)
    }

    /// What came of a FETCH: a packet, and the next thing to ask if there is more.
    pub(crate) fn fetched(
        &mut self,
        carrier: PeerId,
        day: u16,
        answer: Option<Frame>,
        now: Time,
    ) -> (Option<Packet>, Option<Task>) {
        let missed = answer.is_none();
        let (packet, left) = match answer {
            Some(Frame::Fetched { packet, left, .. }) => (packet, left),
            _ => (None, 0),
        };
        if let Some(packet) = &packet
            && left > 0
        {
            let after = packet.id();
            return (Some(packet.clone()), Some(Task::Fetch { day, after }));
        }
        let Some(this) = &mut self.0 else {
            return (packet, None);
        };
        if !missed {
            this.heard = Some(now);
        }
        let days = this.targets.get(&carrier);
        let (first, longest) = this.waits(days.map_or(&[], |days| days));
        let Some(round) = this.rounds.get_mut(&carrier) else {
            return (packet, None);
        };
        round.open.remove(&day);
        round.missed |= missed;
        if !round.open.is_empty() {
            return (packet, None);
        }
        let missed = std::mem::take(&mut round.missed);
        let (first, longest) = match missed {
            true => (ROUND_FIRST, ROUND_MAX),
            false => (first, longest),
        };
        let before = if round.ended { round.wait } else { first };
        round.wait = match std::mem::take(&mut round.news) {
            true => first,
            false => (before * 2).clamp(first, longest),
        };
        round.ended = true;
        round.next = now + round.wait;
        let next = round.next;
        this.due = this.due.into_iter().chain([next]).min();
        if missed && this.heard.is_some_and(|heard| now - heard < OFFLINE) {
            // The next nearest is asked at once.
            this.away.insert(carrier, next);
            this.choose();
            this.due = Some(now);
        }
        (packet, None)
    }

    /// The carrier brought something that was not known.
    pub(crate) fn news(&mut self, carrier: PeerId) {
        if let Some(round) = self.round_mut(carrier) {
            round.news = true;
        }
    }

    /// A subscription was refused, or its carrier not reached.
    pub(crate) fn not_subscribed(&mut self, carrier: PeerId, day: u16) {
        if let Some(round) = self.round_mut(carrier) {
            round.subscribed.remove(&day);
        }
    }

    /// A link is down, and its subscriptions with it.
    pub(crate) fn link_lost(&mut self, carrier: PeerId, now: Time) {
        let Some(this) = &mut self.0 else {
            return;
        };
        if let Some(round) = this.rounds.get_mut(&carrier)
            && !round.subscribed.is_empty()
        {
            round.subscribed.clear();
            round.wait = ROUND_FIRST;
            round.next = round.next.min(now + ROUND_FIRST);
            this.due = this.due.into_iter().chain([round.next]).min();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;
    use crate::packet::Class;
    use dunlin_net::Identity;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

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

    fn fetcher(carriers: u64) -> Fetcher {
        let mut keys = DayKeys::default();
        keys.refresh(&Mailbox::from_seed(&[1; 32]), 20_000);
        let mut fetcher = Fetcher::default();
        fetcher.look(&keys, candidates(carriers).into(), 20_000, Time::ZERO);
        fetcher
    }

    fn empty() -> Option<Frame> {
        Some(Frame::Fetched {
            request: 1,
            left: 0,
            packet: None,
        })
    }

    fn seconds(n: u64) -> Time {
        Time::ZERO + Duration::from_secs(n)
    }

    // PROTOCOL 4.1
    #[test]
    fn the_recipient_asks_for_sixteen_days_back_today_and_tomorrow() {
        let mut fetcher = fetcher(1);
        let tasks = fetcher.poll(Time::ZERO, |_| true);
        let days = |fetch: bool| -> Vec<u16> {
            let day = |task: &Task| match task {
                Task::Fetch { day, .. } if fetch => Some(*day),
                Task::Subscribe { day, .. } if !fetch => Some(*day),
                _ => None,
            };
            tasks.iter().filter_map(|(_, task)| day(task)).collect()
        };
        assert_eq!(days(true), (19_984..=20_001).collect::<Vec<_>>());
        assert_eq!(days(false), days(true));
        assert!(matches!(tasks[0].1, Task::Subscribe { .. }));
    }

    #[test]
    fn each_tag_is_asked_of_its_sixteen_nearest_and_eight_links_are_kept() {
        let mut fetcher = fetcher(40);
        let tasks = fetcher.poll(Time::ZERO, |_| true);
        for day in 19_984..=20_001 {
            let asked = tasks.iter().filter(
                |(_, task)| matches!(task, Task::Fetch { day: theirs, .. } if *theirs == day),
            );
            assert_eq!(asked.count(), 16);
        }
        assert_eq!(fetcher.kept().len(), 8);
    }

    #[test]
    fn rounds_without_news_come_less_often_and_news_brings_them_back() {
        let mut fetcher = fetcher(1);
        let carrier = candidates(1)[0].id;
        let mut waits = Vec::new();
        let mut now = Time::ZERO;
        for round in 0..9 {
            for (_, task) in fetcher.poll(now, |_| true) {
                if let Task::Fetch { day, .. } = task {
                    if round == 7 {
                        fetcher.news(carrier);
                    }
                    assert!(fetcher.fetched(carrier, day, empty(), now).1.is_none());
                }
            }
            let next = fetcher.next_due().unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 1, 2]);
    }

    /// Nothing comes under the tag of a day that is past but what repair brings.
    // PROTOCOL 4.1
    #[test]
    fn who_keeps_only_mail_of_past_days_is_asked_every_few_minutes_and_later_every_few_hours() {
        let mut fetcher = fetcher(200);
        let near =
            |task: &Task| matches!(task, Task::Fetch { day, .. } if day.abs_diff(20_000) <= 1);
        let tasks = fetcher.poll(Time::ZERO, |_| true);
        let brisk: BTreeSet<PeerId> = tasks
            .iter()
            .filter_map(|(carrier, task)| near(task).then_some(*carrier))
            .collect();
        let past = tasks.iter().find(|(carrier, _)| !brisk.contains(carrier));
        let past = past.unwrap().0;
        let mut asked = Vec::new();
        let mut open: Vec<(PeerId, Task)> = tasks;
        let mut now = Time::ZERO;
        while now < seconds(60_000) {
            if open.iter().any(|(carrier, _)| *carrier == past) {
                asked.push((now - Time::ZERO).as_secs());
            }
            for (carrier, task) in std::mem::take(&mut open) {
                if let Task::Fetch { day, .. } = task {
                    fetcher.fetched(carrier, day, empty(), now);
                }
            }
            now = fetcher.next_due().unwrap();
            open = fetcher.poll(now, |_| true);
        }
        let minutes: Vec<u64> = asked.iter().map(|asked| asked / 60).collect();
        assert_eq!(minutes, [0, 16, 48, 112, 240, 480, 720, 960]);
    }

    /// Else each one that is away for good would have its place taken, and asked for everything, every few seconds.
    #[test]
    fn who_stands_in_for_another_is_not_asked_again_whenever_that_one_is_tried() {
        let mut fetcher = fetcher(64);
        let away = candidates(64)[0].id;
        let mut asked: BTreeMap<(PeerId, u16), usize> = BTreeMap::new();
        for n in 0..60 {
            for (carrier, task) in fetcher.poll(seconds(n), |id| *id != away) {
                if let Task::Fetch { day, .. } = task {
                    *asked.entry((carrier, day)).or_default() += 1;
                    fetcher.fetched(carrier, day, empty(), seconds(n));
                }
            }
        }
        // 0, 2, 6, 14 and 30 s.
        assert_eq!(asked.values().max(), Some(&5));
    }

    /// Whatever days it is asked for: senders placed on the nearest that were there.
    // PROTOCOL 3.6
    #[test]
    fn in_place_of_who_was_asked_and_does_not_answer_the_next_nearest_is_asked_at_once() {
        let mut fetcher = fetcher(64);
        let there = |id: &PeerId| !id.as_bytes()[0].is_multiple_of(3);
        let mut answered: BTreeMap<u16, BTreeSet<PeerId>> = BTreeMap::new();
        let mut dialled: BTreeMap<PeerId, usize> = BTreeMap::new();
        for ms in 0..1_900 {
            let now = Time::ZERO + Duration::from_millis(ms);
            let mut asked = fetcher.poll(now, |_| true);
            asked.sort_by_key(|(carrier, _)| !there(carrier));
            let mut away = BTreeSet::new();
            for (carrier, task) in asked {
                if let Task::Fetch { day, .. } = task {
                    let answer = empty().filter(|_| there(&carrier));
                    match answer {
                        Some(_) => answered.entry(day).or_default().insert(carrier),
                        None => away.insert(carrier),
                    };
                    fetcher.fetched(carrier, day, answer, now);
                }
            }
            for carrier in away {
                *dialled.entry(carrier).or_default() += 1;
            }
        }
        assert_eq!(answered.len(), 18);
        assert!(answered.values().all(|carriers| carriers.len() >= 16));
        assert!(dialled.len() > 10 && dialled.values().all(|times| *times == 1));
    }

    #[test]
    fn who_is_offline_does_not_try_one_after_another_of_all_whom_it_knows() {
        let mut fetcher = fetcher(200);
        let mut dialled = BTreeSet::new();
        let mut first = 0;
        for n in 0..600 {
            for (carrier, task) in fetcher.poll(seconds(n), |_| true) {
                if let Task::Fetch { day, .. } = task {
                    dialled.insert(carrier);
                    fetcher.fetched(carrier, day, None, seconds(n));
                }
            }
            first = if n == 0 { dialled.len() } else { first };
        }
        assert_eq!(dialled.len(), first);
    }

    // PROTOCOL 4.1
    #[test]
    fn a_day_that_begins_is_asked_for_at_once() {
        let mut keys = DayKeys::default();
        keys.refresh(&Mailbox::from_seed(&[1; 32]), 20_000);
        let carriers: Arc<[Candidate]> = candidates(3).into();
        let mut fetcher = Fetcher::default();
        fetcher.look(&keys, carriers.clone(), 20_000, Time::ZERO);
        let end = |fetcher: &mut Fetcher, now| {
            let days: Vec<(PeerId, u16)> = fetcher
                .poll(now, |_| true)
                .into_iter()
                .filter_map(|(carrier, task)| match task {
                    Task::Fetch { day, .. } => Some((carrier, day)),
                    _ => None,
                })
                .collect();
            for (carrier, day) in &days {
                fetcher.fetched(*carrier, *day, empty(), now);
            }
            days
        };
        end(&mut fetcher, Time::ZERO);
        keys.refresh(&Mailbox::from_seed(&[1; 32]), 20_001);
        fetcher.look(&keys, carriers, 20_001, seconds(1));
        let asked = end(&mut fetcher, seconds(1));
        let tomorrow = asked.iter().filter(|(_, day)| *day == 20_002);
        assert_eq!(tomorrow.count(), 3);
    }

    #[test]
    fn all_were_asked_once_each_has_answered_for_every_day_and_nobody_new_is_heard_of() {
        let mut fetcher = fetcher(2);
        let tasks = fetcher.poll(Time::ZERO, |_| true);
        for (carrier, task) in tasks {
            if let Task::Fetch { day, .. } = task {
                assert!(!fetcher.has_asked_all(seconds(60)));
                // One of them cannot be reached, which holds up nobody.
                let reached = carrier != candidates(1)[0].id;
                let answer = empty().filter(|_| reached);
                fetcher.fetched(carrier, day, answer, Time::ZERO);
            }
        }
        assert!(fetcher.has_asked_all(seconds(10)));
        assert!(!fetcher.has_asked_all(seconds(9)));
        assert!(!Fetcher::default().has_asked_all(seconds(60)));
    }

    #[test]
    fn a_page_leads_to_the_next_until_nothing_is_left() {
        let mut fetcher = fetcher(1);
        let carrier = candidates(1)[0].id;
        fetcher.poll(Time::ZERO, |_| true);
        let packet = crate::packet::tests::packet(Class::Small, Tag([1; 16]), 20_000, 1);
        let page = |left| {
            let packet = Some(packet.clone());
            Some(Frame::Fetched {
                request: 1,
                left,
                packet,
            })
        };
        let (got, next) = fetcher.fetched(carrier, 20_000, page(3), Time::ZERO);
        assert_eq!(got, Some(packet.clone()));
        assert!(matches!(next, Some(Task::Fetch { day: 20_000, after }) if after == packet.id()));
        let (got, next) = fetcher.fetched(carrier, 20_000, page(0), Time::ZERO);
        assert!(got.is_some() && next.is_none());
    }

    #[test]
    fn a_lost_link_is_subscribed_to_again() {
        let mut fetcher = fetcher(1);
        let carrier = candidates(1)[0].id;
        for (_, task) in fetcher.poll(Time::ZERO, |_| true) {
            if let Task::Fetch { day, .. } = task {
                fetcher.fetched(carrier, day, empty(), Time::ZERO);
            }
        }
        let subscriptions = |fetcher: &mut Fetcher, now| {
            let tasks = fetcher.poll(now, |_| true);
            tasks
                .iter()
                .filter(|(_, task)| matches!(task, Task::Subscribe { .. }))
                .count()
        };
        assert_eq!(subscriptions(&mut fetcher, seconds(1)), 0);
        fetcher.link_lost(carrier, seconds(1));
        assert_eq!(subscriptions(&mut fetcher, seconds(2)), 18);
    }

    #[test]
    fn a_carrier_out_of_reach_is_tried_again_and_holds_up_nobody() {
        let mut fetcher = fetcher(2);
        let away = candidates(1)[0].id;
        let asked = fetcher.poll(Time::ZERO, |id| *id != away);
        assert!(!asked.is_empty() && asked.iter().all(|(carrier, _)| *carrier != away));
        assert_eq!(fetcher.next_due(), Some(seconds(5)));
        let asked = fetcher.poll(seconds(5), |_| true);
        assert!(asked.iter().all(|(carrier, _)| *carrier == away));
    }

    /// Senders pass over those who are away as well.
    // PROTOCOL 3.6
    #[test]
    fn in_place_of_who_is_away_the_next_nearest_is_asked() {
        let mut fetcher = fetcher(64);
        let there = |id: &PeerId| !id.as_bytes()[0].is_multiple_of(2);
        let known = candidates(64);
        let reached = known.iter().filter(|candidate| there(&candidate.id));
        let reached: Vec<Candidate> = reached.cloned().collect();
        let mut keys = DayKeys::default();
        keys.refresh(&Mailbox::from_seed(&[1; 32]), 20_000);
        let mut right = BTreeSet::new();
        for (day, tag) in keys.tags() {
            right.extend(nearest(tag, &reached, 16).iter().map(|to| (to.id, day)));
        }
        let fetch = |(carrier, task): &(PeerId, Task)| match task {
            Task::Fetch { day, .. } => Some((*carrier, *day)),
            _ => None,
        };
        let asked = fetcher.poll(Time::ZERO, there);
        assert_eq!(
            asked.iter().filter_map(fetch).collect::<BTreeSet<_>>(),
            right
        );
        let kept = fetcher.kept();
        assert!(kept.len() == 8 && kept.iter().all(there));
    }
}
