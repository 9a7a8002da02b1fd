//! What is known of a node's errands: which wait for an answer, and how it stands with each carrier.

use crate::frames::Frame;
use crate::limits::{REDIAL_FIRST, REDIAL_MAX};
use crate::seldom::Empty;
use crate::task::Task;
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

pub(crate) struct Pending {
    pub(crate) carrier: PeerId,
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
    pub(crate) carriers: BTreeMap<PeerId, Carrier>,
    pub(crate) links: BTreeMap<Entity, PeerId>,
    pub(crate) kept: BTreeSet<PeerId>,
    pub(crate) kept_for_rooms: BTreeSet<PeerId>,
    pub(crate) done: Vec<Done>,
    pub(crate) last_request: u32,
}

impl Empty for Table {
    const EMPTY: &'static Table = &Table {
        pending: BTreeMap::new(),
        carriers: BTreeMap::new(),
        links: BTreeMap::new(),
        kept: BTreeSet::new(),
        kept_for_rooms: BTreeSet::new(),
        done: Vec::new(),
        last_request: 0,
    };
}

impl Table {
    pub(crate) fn is_kept(&self, carrier: &PeerId) -> bool {
        self.kept.contains(carrier) || self.kept_for_rooms.contains(carrier)
    }

    pub(crate) fn unreachable(&mut self, id: PeerId, now: Time) {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return;
        };
        carrier.failures = carrier.failures.max(1);
        let wait = REDIAL_FIRST * (1 << u32::from(carrier.failures - 1).min(5));
        carrier.state = State::Down {
            until: now + wait.min(REDIAL_MAX),
        };
        for request in std::mem::take(&mut carrier.requests) {
            if let Some(pending) = self.pending.remove(&request) {
                self.done.push(Done {
                    carrier: pending.carrier,
                    task: pending.task,
                    asked: pending.tries > 0,
                    answer: None,
                });
            }
        }
    }
}
