//! One carrier's rounds of repair: whom it asks, what it lacks, and from whom it takes it. PROTOCOL 3.12
//!
//! A round has two parts. First the nearest carriers that can be reached list what they keep that belongs here. Once they have, so that it is known who is
//! there, each packet that belongs here by what is known then is pulled from one of those that listed it.

use crate::answers::Reason;
use crate::cache::Cache;
use crate::errands::{Done, Errands};
use crate::frames::Frame;
use crate::limits::{
    ABSENT_FIRST, ABSENT_MAX, ASK_BACK_AFTER, LISTED_MAX, LISTING_MAX, NEIGHBOURS, NEIGHBOURS_MAX,
    PULLS_MAX, REPAIR_DIAL_MAX, REPAIR_DIALS_MAX, REPAIR_EVERY, REPAIR_PAGES_MAX,
    REPAIR_RECEIPTS_MAX,
};
use crate::neighbours::Neighbours;
use crate::packet::{PacketId, Tag};
use crate::placement::{Candidate, distance};
use crate::rows::{ListedRow, is_within};
use crate::task::Task;
use crate::tombstones::Tombstones;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::prelude::Entity;
use dunlin_net::{DownReason, PeerId};
use rand_core::Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Of a packet, so many of those that listed it are remembered.
const LISTERS_MAX: usize = 3;

/// What a carrier knows of its neighbours, and the round that is under way.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) neighbours: Neighbours,
    pub(crate) errands: Errands,
    /// Links that were made for this alone; and since when they are dialled, until they are up.
    pub(crate) dialled: BTreeMap<Entity, Option<Time>>,
    /// Who was not there, how often in a row, and until when it is left alone.
    absent: BTreeMap<PeerId, (u8, Time)>,
    /// Who asked us, and is to be asked in turn; and when.
    back: BTreeSet<PeerId>,
    back_at: Option<Time>,
    next: Option<Time>,
    round: Option<Round>,
}

struct Round {
    /// Lists end.
    until: Time,
    candidates: BTreeMap<PeerId, Candidate>,
    /// Whom to ask instead of those that do not answer.
    queue: VecDeque<PeerId>,
    answered: usize,
    listing: BTreeSet<PeerId>,
    pages: usize,
    receipts: usize,
    listed: BTreeMap<PacketId, (Tag, Vec<PeerId>)>,
    /// What is asked for, and who else has it.
    pulling: Option<BTreeMap<PacketId, Vec<PeerId>>>,
}

fn with_chance(time: std::time::Duration, random: &mut impl Rng) -> std::time::Duration {
    let micros = time.as_micros() as u64;
    std::time::Duration::from_micros(micros * 3 / 4 + random.next_u64() % (micros / 2))
}

impl State {
    /// For `Seldom`.
    pub(crate) const fn empty() -> State {
        State {
            neighbours: Neighbours::EMPTY,
            errands: Errands::EMPTY,
            dialled: BTreeMap::new(),
            absent: BTreeMap::new(),
            back: BTreeSet::new(),
            back_at: None,
            next: None,
            round: None,
        }
    }

    /// Something is kept now: there are to be rounds.
    pub(crate) fn keeps(&mut self, now: Time, random: &mut impl Rng) {
        if self.next.is_none() {
            self.next = Some(now + with_chance(REPAIR_EVERY, random));
        }
    }

    /// A carrier asks us. `false` if it is too far to be a neighbour; else it is asked in turn, unless it was lately.
    pub(crate) fn asked_by(
        &mut self,
        candidate: Candidate,
        me: &Candidate,
        now: Time,
        random: &mut impl Rng,
    ) -> bool {
        let id = candidate.id;
        if !self.neighbours.hear(candidate, me, now) {
            return false;
        }
        self.absent.remove(&id);
        let room = self.back.len() < NEIGHBOURS_MAX;
        if room && !self.asked_lately(&id, now) && self.back.insert(id) {
            let wait = ASK_BACK_AFTER + with_chance(ASK_BACK_AFTER, random) / 2;
            self.back_at.get_or_insert(now + wait);
        }
        true
    }

    fn asked_lately(&self, id: &PeerId, now: Time) -> bool {
        let listed = self
            .neighbours
            .get(id)
            .and_then(|neighbour| neighbour.listed);
        listed.is_some_and(|listed| now - listed < REPAIR_EVERY / 2)
    }

    /// Whether a round is due.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        [self.next, self.back_at]
            .into_iter()
            .flatten()
            .any(|at| at <= now)
    }

    /// A round begins: of all neighbours if anything is kept, else of those that asked.
    pub(crate) fn begin(
        &mut self,
        me: &Candidate,
        known: &[Candidate],
        keeps: bool,
        now: Time,
        random: &mut impl Rng,
    ) {
        self.errands.cancel(|_| true);
        self.neighbours.forget_silent(now);
        let all = keeps && self.next.is_some_and(|at| at <= now);
        if self.next.is_some_and(|at| at <= now) {
            self.next = keeps.then(|| now + with_chance(REPAIR_EVERY, random));
        }
        self.back_at = None;
        let back = std::mem::take(&mut self.back);
        let back = back.iter().filter_map(|id| self.neighbours.get(id));
        let mut near: Vec<Candidate> = back.map(|who| who.candidate.clone()).collect();
        let asked = near.len();
        let mut round = Round::new(now + LISTING_MAX);
        if all {
            let there = |who: &&Candidate| self.absent.get(&who.id).is_none_or(|at| at.1 <= now);
            let mut others: Vec<&Candidate> = known.iter().filter(there).collect();
            others.sort_by_key(|who| (distance(&me.position, &who.position), who.id));
            others.retain(|who| !near.iter().any(|asked| asked.id == who.id));
            near.extend(others.into_iter().take(REPAIR_DIALS_MAX).cloned());
        }
        for (n, who) in near.into_iter().enumerate() {
            if n < asked {
                self.ask(&mut round, who.id, now, random);
            } else {
                round.queue.push_back(who.id);
            }
            round.candidates.insert(who.id, who);
        }
        self.ask_more(&mut round, now, random);
        self.round = Some(round);
    }

    fn ask_more(&mut self, round: &mut Round, now: Time, random: &mut impl Rng) {
        while round.answered + round.listing.len() < NEIGHBOURS
            && let Some(id) = round.queue.pop_front()
        {
            if self.asked_lately(&id, now) {
                round.answered += 1;
            } else {
                self.ask(round, id, now, random);
            }
        }
    }

    fn ask(&mut self, round: &mut Round, id: PeerId, now: Time, random: &mut impl Rng) {
        // The first time anywhere in the circle, so that of long lists each neighbour gives another part.
        let cursor = match self.neighbours.get(&id) {
            Some(neighbour) if neighbour.listed.is_some() => neighbour.cursor,
            _ => {
                let mut anywhere = [0; 16];
                random.fill_bytes(&mut anywhere);
                PacketId(anywhere)
            }
        };
        let (after, until) = (cursor, cursor);
        self.errands.add(id, Task::List { after, until }, now);
        round.listing.insert(id);
    }

    /// Links on which nobody has answered for so long that there is nobody: they are to be hung up, and forgotten here.
    pub(crate) fn give_up(&mut self, now: Time) -> Vec<Entity> {
        let is_vain =
            |since: &Option<Time>| since.is_some_and(|since| now - since >= REPAIR_DIAL_MAX);
        let vain = self.dialled.iter().filter(|(_, since)| is_vain(since));
        let vain: Vec<Entity> = vain.map(|(link, _)| *link).collect();
        for link in &vain {
            self.dialled.remove(link);
            self.errands.link_down(*link, DownReason::Unreachable, now);
        }
        vain
    }

    /// Where a carrier is that the round asks.
    pub(crate) fn candidate(&self, id: &PeerId) -> Option<&Candidate> {
        self.round.as_ref()?.candidates.get(id)
    }

    /// It gave what nobody asked for, or was not there.
    pub(crate) fn shun(&mut self, id: PeerId, now: Time) {
        self.neighbours.lose(&id);
        if self.absent.len() >= ABSENT_MAX && !self.absent.contains_key(&id) {
            let first = self
                .absent
                .iter()
                .min_by_key(|(id, (_, until))| (*until, **id));
            let first = first.map(|(id, _)| *id);
            first.map(|id| self.absent.remove(&id));
        }
        let (times, until) = self.absent.entry(id).or_insert((0, now));
        *until = now + ABSENT_FIRST * (1 << (*times).min(4));
        *times = times.saturating_add(1);
    }

    /// An errand of the round ended.
    pub(crate) fn ended(
        &mut self,
        Done {
            carrier,
            task,
            answer,
            ..
        }: Done,
        me: &Candidate,
        (cache, tombstones): (&Cache, &mut Tombstones),
        now: Time,
        random: &mut impl Rng,
    ) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        match (task, answer) {
            (Task::List { after, until }, Some(Frame::Listed { next, rows, .. })) => {
                if let Some(candidate) = round.candidates.get(&carrier) {
                    self.neighbours.hear(candidate.clone(), me, now);
                    self.absent.remove(&carrier);
                }
                self.take_rows(&mut round, carrier, &rows, (cache, tombstones), now);
                if let Some(neighbour) = self.neighbours.get_mut(&carrier) {
                    (neighbour.listed, neighbour.cursor) = (Some(now), next);
                }
                let more = next != until && is_within(next, after, until);
                if more && round.pages > 0 && round.listing.contains(&carrier) {
                    round.pages -= 1;
                    let after = next;
                    self.errands.add(carrier, Task::List { after, until }, now);
                } else if round.listing.remove(&carrier) {
                    round.answered += 1;
                }
            }
            (Task::List { .. }, answer) => {
                round.listing.remove(&carrier);
                let busy = Some(Reason::OverShare);
                match answer {
                    Some(Frame::Refused { reason, .. }) if Some(reason) == busy => {
                        round.answered += 1;
                    }
                    _ => self.shun(carrier, now),
                }
                self.ask_more(&mut round, now, random);
            }
            (Task::Pull { id }, answer) => {
                if answer.is_none() {
                    self.shun(carrier, now);
                }
                let pulling = round.pulling.get_or_insert_default();
                let others = pulling.remove(&id).unwrap_or_default();
                let came = matches!(answer, Some(Frame::Pulled { packet: Some(packet), .. }) if packet.id() == id);
                if !came && !cache.contains(id) {
                    self.pull(pulling, id, others, now);
                }
            }
            _ => {}
        }
        self.round = Some(round);
    }

    fn take_rows(
        &mut self,
        round: &mut Round,
        carrier: PeerId,
        rows: &[ListedRow],
        (cache, tombstones): (&Cache, &mut Tombstones),
        now: Time,
    ) {
        for row in rows {
            let id = row.id;
            if cache.contains(id) {
                continue;
            }
            // Its recipient has had it: it ends there, and does not come back here.
            // PROTOCOL 4.3
            if let Some(secret) = tombstones.get(id, now) {
                if round.receipts < REPAIR_RECEIPTS_MAX {
                    round.receipts += 1;
                    let secret = secret.clone();
                    let topic = Topic::Carried;
                    self.errands
                        .add(carrier, Task::Receipt { id, secret, topic }, now);
                }
                continue;
            }
            if round.listed.len() < LISTED_MAX || round.listed.contains_key(&id) {
                let listed = round.listed.entry(id);
                let (_, by) = listed.or_insert_with(|| (row.nearly(), Vec::new()));
                if by.len() < LISTERS_MAX && !by.contains(&carrier) {
                    by.push(carrier);
                }
            }
        }
    }

    /// Asks one of those that listed it, the others if that one fails; those of whom least was asked come first.
    fn pull(
        &mut self,
        pulling: &mut BTreeMap<PacketId, Vec<PeerId>>,
        id: PacketId,
        mut by: Vec<PeerId>,
        now: Time,
    ) {
        let errands = &self.errands;
        let least = by.iter().enumerate();
        let least = least.min_by_key(|(n, carrier)| (errands.asked_of(carrier), *n));
        if let Some((n, _)) = least {
            let carrier = by.remove(n);
            pulling.insert(id, by);
            self.errands.add(carrier, Task::Pull { id }, now);
        }
    }

    /// Once the lists have come, or have had their time, what belongs here is pulled; nothing by who is not up for long, and may soon go again.
    pub(crate) fn advance(&mut self, me: &Candidate, is_old: bool, now: Time) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        if round.pulling.is_none() && (round.listing.is_empty() || now >= round.until) {
            self.errands
                .cancel(|task| matches!(task, Task::List { .. }));
            round.listing.clear();
            let mut pulling = BTreeMap::new();
            let listed = std::mem::take(&mut round.listed).into_iter();
            let mine =
                listed.filter(|(_, (tag, _))| is_old && self.neighbours.belongs_here(*tag, me));
            let mine: Vec<(PacketId, Vec<PeerId>)> =
                mine.take(PULLS_MAX).map(|(id, (_, by))| (id, by)).collect();
            for (id, by) in mine {
                self.pull(&mut pulling, id, by, now);
            }
            round.pulling = Some(pulling);
        }
        if round.pulling.is_none() || !self.errands.is_idle() {
            self.round = Some(round);
        } else {
            self.errands = Errands::default();
        }
    }

    /// When there is something to do.
    pub(crate) fn next_due(&self, now: Time) -> Option<Time> {
        let listing = self.round.as_ref().filter(|round| round.pulling.is_none());
        let listing = listing.map(|round| round.until);
        let later = |at: &Time| *at > now;
        let errands = self.errands.next_due().filter(later);
        let dials = self.dialled.values().flatten().min();
        let dials = dials.map(|since| *since + REPAIR_DIAL_MAX);
        let all = [errands, listing, dials, self.next, self.back_at];
        all.into_iter().flatten().min()
    }
}

impl Round {
    fn new(until: Time) -> Round {
        Round {
            until,
            candidates: BTreeMap::new(),
            queue: VecDeque::new(),
            answered: 0,
            listing: BTreeSet::new(),
            pages: REPAIR_PAGES_MAX,
            receipts: 0,
            listed: BTreeMap::new(),
            pulling: None,
        }
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
