//! One thing that lies under a one-time tag somewhere: of whom it was asked, by turns. PROTOCOL 3.5, 4.8

use crate::limits::{ASKED, SENDER_FIRST};
use crate::packet::{PacketId, Tag, Token};
use crate::placement::{Candidate, nearest};
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::collections::BTreeSet;

/// Carriers asked at a time.
const AT_ONCE: usize = 2;

/// What is looked for under a tag.
pub(crate) struct Sought {
    token: Token,
    tag: Tag,
    asking: BTreeSet<PeerId>,
    /// How many carriers were asked.
    asked: usize,
    sender_asked: bool,
    /// When the next are.
    pub(crate) next: Time,
}

impl Sought {
    pub(crate) fn new(token: Token, next: Time) -> Sought {
        Sought {
            token,
            tag: token.tag(),
            asking: BTreeSet::new(),
            asked: 0,
            sender_asked: false,
            next,
        }
    }

    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    /// What to ask of the sender, once, with whom there is a link of our own; carriers are asked only a little later.
    // PROTOCOL 4.8
    pub(crate) fn ask_sender(&mut self, now: Time) -> Option<Task> {
        if self.sender_asked {
            return None;
        }
        self.sender_asked = true;
        self.next = self.next.max(now + SENDER_FIRST);
        Some(Task::look(self.token, PacketId([0; 16]), Topic::Direct))
    }

    /// Whom to ask now: the next two of the nearest that can be reached.
    // PROTOCOL 3.5
    pub(crate) fn ask_carriers(
        &mut self,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
        is_part: bool,
    ) -> Vec<(PeerId, Task)> {
        let reached = candidates.iter().filter(|carrier| may_reach(&carrier.id));
        let nearest = nearest(self.tag, reached, ASKED);
        let from = self.asked % nearest.len().max(1);
        let at_once = AT_ONCE.min(nearest.len());
        let mut tasks = Vec::new();
        for carrier in nearest.iter().cycle().skip(from).take(at_once) {
            self.asked += 1;
            if self.asking.insert(carrier.id) {
                let topic = Topic::under(self.tag, is_part);
                let task = Task::look(self.token, PacketId([0; 16]), topic);
                tasks.push((carrier.id, task));
            }
        }
        tasks
    }

    /// Somebody answered, or could not be reached.
    pub(crate) fn looked(&mut self, carrier: &PeerId) {
        self.asking.remove(carrier);
    }

    /// How many carriers were asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// Whether all were asked where it may be, and have answered.
    pub(crate) fn has_asked_all(&self, candidates: usize) -> bool {
        self.asked >= candidates.min(ASKED) && self.asking.is_empty()
    }
}
