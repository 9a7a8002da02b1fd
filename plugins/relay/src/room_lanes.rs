//! A room's lanes: which carriers are asked for what lies on them, and when again. PROTOCOL 4.6
//!
//! A room has 16 lanes on each of 18 days, so 288 tags, each asked of 4 carriers when a member comes: 1,152 questions of 49 bytes
//! with their answers, 56 KB, and the first packet of each that has any. Those of today are asked again after 10 s, and ever more
//! seldom up to 4 minutes: 4.5 MB a day if nothing lies there, and 64 packets a round if there is something on each. The rest
//! is asked for every 6 hours. What is on a lane stays there until it expires, so it is paged through only if a carrier names
//! another first packet, or another number, than it did before.

use crate::frames::Frame;
use crate::life::DAY_MS;
use crate::limits::{DAYS_BACK, LEFT_MAX, ROOM_ASKED};
use crate::packet::{PacketId, Tag, Token};
use crate::placement::{Candidate, nearest};
use crate::room::Room;
use crate::task::Task;
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Today's lanes are asked for again after this, doubling while nothing new is there, up to `LIVE_MAX`.
const LIVE_FIRST: Duration = Duration::from_secs(10);
const LIVE_MAX: Duration = Duration::from_mins(4);
/// And those of other days after this: somebody's clock was wrong, or a carrier that was away came back.
const SWEEP: Duration = Duration::from_hours(6);
/// Whoever could not be reached is replaced after this.
const AGAIN: Duration = Duration::from_secs(1);
/// Around midnight, for so long, messages of both days are expected.
const MIDNIGHT_MS: u64 = 3_600_000;
const NEVER: Time = Time(u64::MAX);

/// All lanes of a room that may hold messages.
#[derive(Default)]
pub(crate) struct Lanes(BTreeMap<Tag, Lane>);

struct Lane {
    token: Token,
    day: u16,
    live: bool,
    /// Carriers that have told all that they have, since it was last asked for.
    told: BTreeSet<PeerId>,
    open: BTreeSet<PeerId>,
    /// What each carrier last named first, and how many packets after it.
    held: BTreeMap<PeerId, (PacketId, u16)>,
    asked_once: bool,
    wait: Duration,
    /// When all are asked anew,
    renew: Time,
    /// and when those who are missing are.
    look: Time,
}

/// The days on which messages are expected.
pub(crate) fn live_days(unix_ms: u64) -> RangeInclusive<u16> {
    let day = |ms: u64| u16::try_from(ms / DAY_MS as u64).unwrap_or(u16::MAX);
    day(unix_ms.saturating_sub(MIDNIGHT_MS))..=day(unix_ms + MIDNIGHT_MS)
}

impl Lanes {
    /// Days −16 to +1. Does nothing if they are there.
    // PROTOCOL 4.6
    pub(crate) fn refresh(&mut self, room: &Room, today: u16, now: Time) {
        let days = today.saturating_sub(DAYS_BACK)..=today.saturating_add(1);
        self.0.retain(|_, lane| days.contains(&lane.day));
        let there: BTreeSet<u16> = self.0.values().map(|lane| lane.day).collect();
        for day in days.filter(|day| !there.contains(day)) {
            let lane = |token: Token| Lane {
                token,
                day,
                live: false,
                told: BTreeSet::new(),
                open: BTreeSet::new(),
                held: BTreeMap::new(),
                asked_once: false,
                wait: LIVE_FIRST,
                renew: now,
                look: now,
            };
            let lanes = room.tokens(day).map(|token| (token.tag(), lane(token)));
            self.0.extend(lanes);
        }
    }

    /// By what a lane is fetched.
    pub(crate) fn token(&self, tag: Tag) -> Option<Token> {
        self.0.get(&tag).map(|lane| lane.token)
    }

    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.0.contains_key(&tag)
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = Tag> {
        self.0.keys().copied()
    }

    /// The tags on which messages are expected now.
    pub(crate) fn live(&self, days: &RangeInclusive<u16>) -> impl Iterator<Item = Tag> {
        let live = self.0.iter().filter(|(_, lane)| days.contains(&lane.day));
        live.map(|(tag, _)| *tag)
    }

    /// Other carriers are known than before: who is missing among the nearest is asked.
    pub(crate) fn carriers_changed(&mut self, now: Time) {
        for lane in self.0.values_mut() {
            lane.look = lane.look.min(now);
        }
    }

    /// Whom to ask for what now; messages are expected on `live` days.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        live: &RangeInclusive<u16>,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        for (tag, lane) in &mut self.0 {
            let was_live = std::mem::replace(&mut lane.live, live.contains(&lane.day));
            if lane.live && !was_live {
                (lane.wait, lane.renew) = (LIVE_FIRST, now);
            }
            if lane.renew <= now && lane.open.is_empty() {
                lane.told.clear();
                lane.renew = now + if lane.live { lane.wait } else { SWEEP };
                lane.wait = (lane.wait * 2).min(LIVE_MAX);
                lane.look = now;
            }
            if lane.look > now {
                continue;
            }
            let reached = candidates.iter().filter(|carrier| may_reach(&carrier.id));
            let nearest = nearest(*tag, reached, ROOM_ASKED);
            let usable: Vec<PeerId> = nearest.iter().map(|carrier| carrier.id).collect();
            let wanted = ROOM_ASKED.min(candidates.len()).max(1);
            lane.look = if usable.len() < wanted {
                now + AGAIN
            } else {
                NEVER
            };
            lane.asked_once |= !usable.is_empty();
            for carrier in usable {
                if !lane.told.contains(&carrier) && lane.open.insert(carrier) {
                    let (tag, after) = (*tag, PacketId([0; 16]));
                    tasks.push((carrier, Task::Lane { tag, after }));
                }
            }
        }
        tasks
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let due = |lane: &Lane| match lane.open.is_empty() {
            true => lane.look.min(lane.renew),
            false => lane.look,
        };
        self.0.values().map(due).min()
    }

    /// What a carrier answered; says what to ask it next.
    pub(crate) fn fetched(
        &mut self,
        carrier: PeerId,
        (tag, after): (Tag, PacketId),
        answer: Option<&Frame>,
        now: Time,
    ) -> Option<Task> {
        let lane = self.0.get_mut(&tag)?;
        match answer {
            Some(Frame::Fetched {
                packet: Some(packet),
                left,
                ..
            }) => {
                let first = (packet.id(), *left);
                let begins = after == PacketId([0; 16]);
                let same = begins && lane.held.insert(carrier, first) == Some(first);
                let all = usize::from(*left) < LEFT_MAX;
                // Ids only go up, or a carrier could send us round for ever.
                if *left > 0 && !(same && all) && packet.id() > after {
                    let after = packet.id();
                    return Some(Task::Lane { tag, after });
                }
                lane.told.insert(carrier);
            }
            Some(_) => {
                if after == PacketId([0; 16]) {
                    lane.held.remove(&carrier);
                }
                lane.told.insert(carrier);
            }
            None => {
                // It may have lost what it had; it is paged through when it is back.
                lane.held.remove(&carrier);
                lane.look = lane.look.min(now + AGAIN);
            }
        }
        lane.open.remove(&carrier);
        None
    }

    /// Something new came on this lane: more may follow.
    pub(crate) fn news(&mut self, tag: Tag, now: Time) {
        if let Some(lane) = self.0.get_mut(&tag)
            && lane.live
        {
            lane.wait = LIVE_FIRST;
            lane.renew = lane.renew.min(now + LIVE_MAX);
        }
    }

    /// Something on this lane was left with its carriers, or nobody tells of it any more: all of it is looked at again soon.
    pub(crate) fn again(&mut self, tag: Tag, now: Time) {
        if let Some(lane) = self.0.get_mut(&tag) {
            lane.held.clear();
            lane.renew = lane.renew.min(now + LIVE_FIRST);
        }
    }

    /// Whether each lane was asked for, and all who were asked have told, or could not be reached.
    pub(crate) fn has_asked_all(&self) -> bool {
        self.0
            .values()
            .all(|lane| lane.asked_once && lane.open.is_empty())
    }
}

#[cfg(test)]
#[path = "room_lanes_tests.rs"]
mod tests;
