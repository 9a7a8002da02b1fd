//! What a node asks of carriers, over links that it makes for that alone and hangs up when there is nothing more to ask.
//!
//! Each errand ends in exactly one [`Done`]: an answer, or that the carrier could not be reached. Requests are repeated, since
//! links may lose what they carry.

use crate::errand_table::{Carrier, Lane, Pending, State, Table, lanes_of};
use crate::frames::Frame;
use crate::limits::{
    ERRAND_DIALS_MIN, ERRAND_LINKS_APART_MAX, ERRAND_LINKS_MAX, LINK_IDLE, LINK_REQUESTS_MAX,
    REDIAL_FIRST, REDIAL_MAX, RETRY_FIRST, RETRY_MAX,
};
use crate::seldom::Seldom;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::{CloseReason, DownReason, PeerId};
use std::collections::BTreeSet;
use std::time::Duration;

/// A dial, or a silence, that takes longer than this counts as hopeless for placement, though it goes on.
const PATIENCE: Duration = Duration::from_secs(5);
/// Repetitions of one request on a link that is up: a minute and a half. Whoever answers nothing so long is as good as away.
const TRIES_MAX: u8 = 48;
/// Links lost in a row, or dials failed, after which a carrier's errands end unreached.
const FAILURES_MAX: u8 = 3;

pub(crate) use crate::errand_table::Done;

/// What is to be done about links now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make a link, and say so with [`Errands::dialling`], or that it cannot be with [`Errands::unreachable`].
    Dial(Lane),
    /// Send this request over this link.
    Send { link: Entity, request: u32 },
    /// This link is not needed any more, and already forgotten here.
    HangUp(Entity),
}

/// A node's errands. Bounded by what makes them: the outbox, the fetcher and the receipts; and repair, which has its own.
#[derive(Component, Default)]
pub struct Errands {
    pub(crate) table: Seldom<Table>,
    /// Errands of different topics go over different links.
    apart: bool,
}

impl Errands {
    /// None, of nobody.
    pub(crate) const EMPTY: Errands = Errands {
        table: Seldom::UNTOUCHED,
        apart: false,
    };

    /// None yet; of a node that hides where it is, `apart` by topic.
    pub(crate) fn new(apart: bool) -> Errands {
        Errands {
            apart,
            ..Errands::default()
        }
    }

    fn lane(&self, carrier: PeerId, task: &Task) -> Lane {
        match task.topic() {
            Topic::Direct => (carrier, Topic::Direct),
            topic if self.apart => (carrier, topic),
            _ => (carrier, Topic::Any),
        }
    }

    /// How many links there may be at once.
    fn links_max(&self) -> usize {
        match self.apart {
            true => ERRAND_LINKS_APART_MAX,
            false => ERRAND_LINKS_MAX,
        }
    }

    /// What waits for an answer, in the order in which it was asked.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (PeerId, &Task)> {
        let pending = self.table.pending.values();
        pending.map(|pending| (pending.lane.0, &pending.task))
    }

    /// How many errands at this carrier wait for an answer.
    pub(crate) fn asked_of(&self, carrier: &PeerId) -> usize {
        let lanes = self.table.lanes.range(lanes_of(*carrier));
        lanes.map(|(_, lane)| lane.requests.len()).sum()
    }

    /// Asks something of a carrier.
    pub(crate) fn add(&mut self, carrier: PeerId, task: Task, now: Time) {
        let lane = self.lane(carrier, &task);
        let this = &mut *self.table;
        // Zero means "no request" in a REFUSED.
        this.last_request = this.last_request.wrapping_add(1).max(1);
        let request = this.last_request;
        let state = State::Down { until: now };
        let fresh = Carrier {
            state,
            silent_since: None,
            failures: 0,
            requests: BTreeSet::new(),
        };
        let at = this.lanes.entry(lane).or_insert(fresh);
        at.requests.insert(request);
        let pending = Pending {
            lane,
            task,
            due: now,
            wait: RETRY_FIRST,
            tries: 0,
        };
        this.pending.insert(request, pending);
    }

    /// Forgets the errands that `pick` picks; they end without a [`Done`].
    pub(crate) fn cancel(&mut self, pick: impl Fn(&Task) -> bool) {
        let table = &mut *self.table;
        let lanes = &mut table.lanes;
        table.pending.retain(|request, pending| {
            let keep = !pick(&pending.task);
            if !keep && let Some(carrier) = lanes.get_mut(&pending.lane) {
                carrier.requests.remove(request);
                carrier
                    .silent_since
                    .take_if(|_| carrier.requests.is_empty());
            }
            keep
        });
    }

    /// Whether a carrier is worth counting on: not one that was just dialled in vain, is being dialled for long, or has long been silent. Of several
    /// links with it one that works is enough.
    pub(crate) fn may_reach(&self, carrier: &PeerId, now: Time) -> bool {
        let mut lanes = self.table.lanes.range(lanes_of(*carrier)).peekable();
        let works = |at: &Carrier| match (&at.state, at.silent_since) {
            (State::Down { until }, _) => at.failures == 0 || *until <= now,
            (State::Dialling { since }, _) => now - *since < PATIENCE,
            (State::Up { .. }, since) => since.is_none_or(|since| now - since < PATIENCE),
        };
        lanes.peek().is_none() || lanes.any(|(_, at)| works(at))
    }

    /// What a request asks.
    pub(crate) fn task(&self, request: u32) -> Option<&Task> {
        self.table
            .pending
            .get(&request)
            .map(|pending| &pending.task)
    }

    /// How many errands wait for an answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.pending.len()
    }

    /// Whether nothing is asked, no link is kept for it, and no answer waits to be taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.table.pending.is_empty() && self.table.links.is_empty() && self.table.done.is_empty()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.pending.is_empty()
    }

    pub(crate) fn dialling(&mut self, lane: Lane, link: Entity, now: Time) {
        let this = &mut *self.table;
        if let Some(at) = this.lanes.get_mut(&lane) {
            at.state = State::Dialling { since: now };
            this.links.insert(link, lane);
        }
    }

    /// The link is up: all its errands are asked at once.
    pub(crate) fn link_up(&mut self, link: Entity, now: Time) {
        let this = &mut *self.table;
        let Some(carrier) = this
            .links
            .get(&link)
            .and_then(|lane| this.lanes.get_mut(lane))
        else {
            return;
        };
        carrier.state = State::Up { link, busy: now };
        carrier.silent_since = None;
        this.vain = this.vain.saturating_sub(1);
        for request in &carrier.requests {
            if let Some(pending) = this.pending.get_mut(request) {
                (pending.due, pending.wait) = (now, RETRY_FIRST);
            }
        }
    }

    /// The link is down, or never came up. Says whose it was.
    pub(crate) fn link_down(&mut self, link: Entity, why: DownReason, now: Time) -> Option<Lane> {
        if self.table.is_untouched() {
            return None; // As at who only carries, each time a link goes.
        }
        let links_max = self.links_max();
        let this = &mut *self.table;
        let lane = this.links.remove(&link)?;
        let carrier = this.lanes.get_mut(&lane)?;
        // Who has links enough says so once the link is up on this side.
        let refused = why == DownReason::Closed(CloseReason::TooMany);
        let was_up = matches!(carrier.state, State::Up { .. });
        carrier.failures = carrier.failures.saturating_add(1);
        if was_up && carrier.failures < FAILURES_MAX {
            // The first loss is likely the link's, not the carrier's.
            let until = if carrier.failures == 1 && !refused {
                now
            } else {
                now + REDIAL_FIRST
            };
            carrier.state = State::Down { until };
        } else {
            carrier.state = State::Down { until: now };
            this.unreachable(lane, now);
        }
        let vain = match (refused, was_up) {
            (true, true) => 2, // It counted as one that did not fail.
            (_, false) => 1,
            (false, true) => 0,
        };
        this.vain = (this.vain + vain).min(links_max - ERRAND_DIALS_MIN);
        Some(lane)
    }

    /// The carrier cannot be reached: its errands end, and it is left alone for a while.
    pub(crate) fn unreachable(&mut self, lane: Lane, now: Time) {
        self.table.unreachable(lane, now);
    }

    /// An answer came in. `false` if nobody waits for it on this link.
    #[must_use]
    pub(crate) fn answer(&mut self, link: Entity, request: u32, frame: Frame, now: Time) -> bool {
        let this = &mut *self.table;
        let Some(lane) = this.links.get(&link) else {
            return false;
        };
        let asked =
            |pending: &&Pending| pending.lane == *lane && pending.task.is_answered_by(&frame);
        if this.pending.get(&request).filter(asked).is_none() {
            return false;
        }
        if let Some(carrier) = this.lanes.get_mut(lane) {
            carrier.requests.remove(&request);
            carrier.failures = 0;
            carrier.silent_since = (!carrier.requests.is_empty()).then_some(now);
            if let State::Up { busy, .. } = &mut carrier.state {
                *busy = now;
            }
        }
        if let Some(Pending { lane, task, .. }) = this.pending.remove(&request) {
            this.done.push(Done {
                carrier: lane.0,
                task,
                asked: true,
                answer: Some(frame),
            });
        }
        true
    }

    /// Errands that ended since the last call, in the order in which they did.
    pub(crate) fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.table.done)
    }

    /// Whether errands ended since the last [`take_done`](Self::take_done).
    pub(crate) fn has_ended(&self) -> bool {
        !self.table.done.is_empty()
    }

    /// What is due now.
    pub(crate) fn poll(&mut self, now: Time) -> Vec<Action> {
        let links_max = self.links_max();
        let this = &mut *self.table;
        let mut actions = Vec::new();
        let mut silent = Vec::new();
        for (lane, carrier) in &mut this.lanes {
            let State::Up { link, busy } = &mut carrier.state else {
                continue;
            };
            for request in carrier.requests.iter().take(LINK_REQUESTS_MAX) {
                let Some(pending) = this.pending.get_mut(request) else {
                    continue;
                };
                if pending.due > now {
                    continue;
                }
                if pending.tries == TRIES_MAX {
                    silent.push((*lane, *link));
                    break;
                }
                pending.due = now + pending.wait;
                pending.wait = (pending.wait * 2).min(RETRY_MAX);
                pending.tries += 1;
                *busy = now;
                carrier.silent_since.get_or_insert(now);
                actions.push(Action::Send {
                    link: *link,
                    request: *request,
                });
            }
        }
        for (lane, link) in silent {
            this.links.remove(&link);
            this.end(lane, now);
            actions.push(Action::HangUp(link));
        }
        let mut waiting: Vec<(u32, Lane)> = this
            .lanes
            .iter()
            .filter(|(_, at)| matches!(at.state, State::Down { until } if until <= now))
            .filter(|(lane, _)| !this.is_dialled_in_vain(lane.0, now))
            .filter_map(|(lane, at)| Some((*at.requests.first()?, *lane)))
            .collect();
        waiting.sort_unstable(); // Whose errand waits longest comes first.
        let mut missing = (this.links.len() + waiting.len()).saturating_sub(links_max);
        let kept = &this.kept;
        for (lane, at) in &mut this.lanes {
            let State::Up { link, busy } = at.state else {
                continue;
            };
            let idle = at.requests.is_empty() && !kept.has(lane);
            if idle && (missing > 0 || now - busy >= LINK_IDLE) {
                missing = missing.saturating_sub(1);
                at.state = State::Down { until: now };
                this.links.remove(&link);
                actions.push(Action::HangUp(link));
            }
        }
        let dialling = |at: &&Carrier| matches!(at.state, State::Dialling { .. });
        let dialling = this.lanes.values().filter(dialling).count();
        let free = links_max.saturating_sub(this.links.len());
        let free = free.min((links_max - this.vain).saturating_sub(dialling));
        let dials = waiting.into_iter().take(free);
        actions.extend(dials.map(|(_, lane)| Action::Dial(lane)));
        // Nothing to remember of who is idle and has not failed lately.
        this.lanes.retain(|_, carrier| {
            let State::Down { until } = carrier.state else {
                return true;
            };
            !carrier.requests.is_empty() || carrier.failures > 0 && now < until + REDIAL_MAX
        });
        actions
    }

    /// When [`poll`](Self::poll) has something to do next, apart from what comes in.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let free = self.table.links.len() < self.links_max();
        let due = |(lane, at): (&Lane, &Carrier)| match at.state {
            State::Up { busy, .. } => {
                let requests = at.requests.iter().take(LINK_REQUESTS_MAX);
                let first = requests
                    .filter_map(|request| Some(self.table.pending.get(request)?.due))
                    .min();
                let stays = self.table.kept.has(lane);
                first.or_else(|| (!stays).then_some(busy + LINK_IDLE))
            }
            State::Down { until } => {
                let waits = free && !at.requests.is_empty();
                waits.then_some(until)
            }
            State::Dialling { .. } => None,
        };
        self.table.lanes.iter().filter_map(due).min()
    }
}

#[cfg(test)]
#[path = "errands_tests.rs"]
mod tests;
