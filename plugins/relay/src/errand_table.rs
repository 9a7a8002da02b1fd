//! What is known of a node's errands: which wait for an answer, and how it stands with each carrier.

use crate::frames::Frame;
use crate::limits::{REDIAL_FIRST, REDIAL_MAX};
use crate::seldom::Empty;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::prelude::Entity;
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How an errand ended: with this answer, or with none because the carrier cannot be reached. What was `asked` may have been heard all the same.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) carrier: PeerId,
    pub(crate) task: Task,
    pub(crate) asked: bool,
    pub(crate) answer: Option<Frame>,
}

/// One of our links with a carrier: whose, and what for.
pub(crate) type Lane = (PeerId, Topic);

pub(crate) struct Pending {
    pub(crate) lane: Lane,
    pub(crate) task: Task,
    pub(crate) due: Time,
    pub(crate) wait: Duration,
    pub(crate) tries: u8,
}

pub(crate) enum State {
    Down { until: Time },
    Dialling { since: Time },
    Up { link: Entity, busy: Time },
}

pub(crate) struct Carrier {
    pub(crate) state: State,
    /// Since when something that was asked over the link has no answer, nor anything else.
    pub(crate) silent_since: Option<Time>,
    pub(crate) failures: u8,
    pub(crate) requests: BTreeSet<u32>,
}

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) pending: BTreeMap<u32, Pending>,
    pub(crate) lanes: BTreeMap<Lane, Carrier>,
    pub(crate) links: BTreeMap<Entity, Lane>,
    pub(crate) kept: Kept,
    pub(crate) done: Vec<Done>,
    pub(crate) last_request: u32,
    /// Dials that failed, less those that did not: by so many fewer are made at once.
    pub(crate) vain: usize,
}

impl Empty for Table {
    const EMPTY: &'static Table = &Table {
        pending: BTreeMap::new(),
        lanes: BTreeMap::new(),
        links: BTreeMap::new(),
        kept: Kept {
            for_mail: BTreeSet::new(),
            for_rooms: BTreeSet::new(),
            direct: BTreeSet::new(),
        },
        done: Vec::new(),
        last_request: 0,
        vain: 0,
    };
}

/// All links with a carrier.
pub(crate) fn lanes_of(carrier: PeerId) -> std::ops::RangeInclusive<Lane> {
    (carrier, Topic::FIRST)..=(carrier, Topic::LAST)
}

/// With whom links stay up without errands.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) for_mail: BTreeSet<PeerId>,
    pub(crate) for_rooms: BTreeSet<PeerId>,
    pub(crate) direct: BTreeSet<PeerId>,
}

impl Kept {
    pub(crate) fn has(&self, (carrier, topic): &Lane) -> bool {
        match topic {
            Topic::Any => self.for_mail.contains(carrier) || self.for_rooms.contains(carrier),
            Topic::Mailbox => self.for_mail.contains(carrier),
            Topic::Rooms => self.for_rooms.contains(carrier),
            Topic::Direct => self.direct.contains(carrier),
            _ => false,
        }
    }
}

/// A dial that takes longer than this is waited for, before others to the same carrier begin.
const PROMPT: Duration = Duration::from_secs(1);

impl Table {
    /// Whether a carrier is being dialled, and seems not to be there.
    pub(crate) fn is_dialled_in_vain(&self, carrier: PeerId, now: Time) -> bool {
        let mut lanes = self.lanes.range(lanes_of(carrier)).map(|(_, at)| &at.state);
        let up = lanes.clone().any(|state| matches!(state, State::Up { .. }));
        let late =
            |state: &State| matches!(state, State::Dialling { since } if now - *since >= PROMPT);
        !up && lanes.any(late)
    }

    /// A dial failed. Unless another link with the same carrier is up, none of its errands has a chance now.
    pub(crate) fn unreachable(&mut self, lane: Lane, now: Time) {
        let up = |at: &Carrier| matches!(at.state, State::Up { .. });
        let lanes = || self.lanes.range(lanes_of(lane.0));
        let over: Vec<Lane> = match lanes().any(|(_, at)| up(at)) {
            true => vec![lane],
            false => lanes().map(|(lane, _)| *lane).collect(),
        };
        for lane in over {
            self.end(lane, now);
        }
    }

    /// This link's errands end, and it is left alone for a while. A dial that is under way stays so.
    pub(crate) fn end(&mut self, lane: Lane, now: Time) {
        let Some(at) = self.lanes.get_mut(&lane) else {
            return;
        };
        at.failures = at.failures.max(1);
        let wait = REDIAL_FIRST * (1 << u32::from(at.failures - 1).min(5));
        if !matches!(at.state, State::Dialling { .. }) {
            at.state = State::Down {
                until: now + wait.min(REDIAL_MAX),
            };
        }
        for request in std::mem::take(&mut at.requests) {
            if let Some(pending) = self.pending.remove(&request) {
                self.done.push(Done {
                    carrier: pending.lane.0,
                    task: pending.task,
                    asked: pending.tries > 0,
                    answer: None,
                });
            }
        }
    }
}
