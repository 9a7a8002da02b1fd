//! The sender's own messages, placed and placed again until they are delivered or expired:
//! `queued → sent → stored (n) → delivered | expired`.

use crate::answers::{Known, Outcome};
use crate::errands::Task;
use crate::frames::Frame;
use crate::life;
use crate::limits::{OUTBOX_MAX, PLACES, WORK_BITS_MAX};
use crate::own_message::{ASK_MIN, End, OwnMessage};
use crate::packet::MessageId;
use crate::placement::{Candidate, place};
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// While copies are missing, a message is looked at after an eighth of the time that it has been missing them, at least this;
const LOOK: Duration = Duration::from_millis(500);
/// and at most this, as when all are placed: carriers come and go.
const LOOK_PLACED: Duration = Duration::from_secs(30);
/// A carrier that refused is asked again after this.
const REFUSED_WAIT: Duration = Duration::from_mins(1);
/// Questions in a row that did not reach a carrier after which its copy no longer counts.
const MISSES_MAX: u8 = 3;

/// Said of a message too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{OUTBOX_MAX} messages are under way already: wait until some are delivered")]
pub struct OutboxFull;

/// Whether a carrier's word was true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Good,
    Forged,
}

/// All messages of a node: at most 1,000 under way, and as many that ended.
#[derive(Component, Default)]
pub struct Outbox {
    messages: BTreeMap<MessageId, OwnMessage>,
    changed: BTreeSet<MessageId>,
}

impl Outbox {
    /// All messages, by id.
    pub fn messages(&self) -> impl Iterator<Item = (&MessageId, &OwnMessage)> {
        self.messages.iter()
    }

    /// How many those are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: MessageId) -> Option<&OwnMessage> {
        self.messages.get(&id)
    }

    /// Whether a message waits to be delivered.
    pub(crate) fn is_under_way(&self) -> bool {
        self.messages.values().any(|message| message.end.is_none())
    }

    pub(crate) fn has_room(&self) -> Result<(), OutboxFull> {
        let open = self
            .messages
            .values()
            .filter(|message| message.end.is_none());
        if open.count() < OUTBOX_MAX {
            Ok(())
        } else {
            Err(OutboxFull)
        }
    }

    /// Takes a message over. Gives back the id of an ended one that made room, whose file is to go.
    pub(crate) fn add(&mut self, id: MessageId, message: OwnMessage) -> Option<MessageId> {
        self.changed.insert(id);
        self.messages.insert(id, message);
        if self.messages.len() <= 2 * OUTBOX_MAX {
            return None;
        }
        let ended = self
            .messages
            .iter()
            .filter(|(_, message)| message.end.is_some());
        let oldest = ended
            .min_by_key(|(id, message)| (message.created_ms, **id))
            .map(|(id, _)| *id)?;
        self.messages.remove(&oldest);
        self.changed.remove(&oldest);
        Some(oldest)
    }

    /// Messages whose state changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<MessageId> {
        std::mem::take(&mut self.changed)
    }

    /// A copy is on its way.
    pub(crate) fn left(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id)
            && !message.left
        {
            message.left = true;
            self.changed.insert(id);
        }
    }

    /// Other carriers are known than before: every message is looked at.
    pub(crate) fn carriers_changed(&mut self, now: Time) {
        for message in self.messages.values_mut() {
            message.look = message.look.min(now);
        }
    }

    /// What is to be asked of whom now.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        unix_ms: u64,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        for (id, message) in &mut self.messages {
            if message.end.is_some() || now < message.look.min(message.ask) {
                continue;
            }
            let packet = &message.packet;
            if unix_ms >= life::expiry_ms(packet.day(), packet.expiry_hours()) {
                message.end = Some(End::Expired);
                self.changed.insert(*id);
                continue;
            }
            if now >= message.look {
                message.avoided.retain(|_, until| now < *until);
                let usable = |candidate: &&Candidate| {
                    may_reach(&candidate.id) && !message.avoided.contains_key(&candidate.id)
                };
                let placed = place(packet.tag(), candidates.iter().filter(usable), PLACES);
                let mut missing = placed.len() < PLACES;
                for candidate in placed {
                    let stored = message.stored.contains_key(&candidate.id);
                    missing |= !stored;
                    if !stored && message.depositing.insert(candidate.id) {
                        let packet = packet.clone();
                        tasks.push((
                            candidate.id,
                            Task::Deposit {
                                message: *id,
                                packet,
                            },
                        ));
                    }
                }
                let missing_for = (now - message.asked_since) / 8;
                message.look = now
                    + if missing {
                        missing_for.clamp(LOOK, LOOK_PLACED)
                    } else {
                        LOOK_PLACED
                    };
            }
            if now >= message.ask {
                for carrier in message.stored.keys() {
                    if may_reach(carrier) && message.asking.insert(*carrier) {
                        let id = Task::Ask {
                            message: *id,
                            id: packet.id(),
                        };
                        tasks.push((*carrier, id));
                    }
                }
                message.ask = now + message.ask_wait(now);
            }
        }
        tasks
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let open = self
            .messages
            .values()
            .filter(|message| message.end.is_none());
        open.map(|message| message.look.min(message.ask)).min()
    }

    /// What came of a deposit. Says when the carrier is to be asked what it knows: it claims that the packet was ended.
    pub(crate) fn deposited(
        &mut self,
        id: MessageId,
        carrier: PeerId,
        address: Option<SocketAddr>,
        answer: Option<Frame>,
        now: Time,
    ) -> Option<Task> {
        let message = self
            .messages
            .get_mut(&id)
            .filter(|message| message.end.is_none())?;
        message.depositing.remove(&carrier);
        match answer {
            Some(Frame::Deposited { id: packet, .. }) if packet != message.packet.id() => {
                message.avoided.insert(carrier, now + REFUSED_WAIT);
            }
            Some(Frame::Deposited {
                outcome: Outcome::Stored | Outcome::WasThere,
                ..
            }) => {
                if let Some(address) = address
                    && message.stored.insert(carrier, address).is_none()
                {
                    message.ask = message.ask.min(now + ASK_MIN);
                    self.changed.insert(id);
                }
            }
            Some(Frame::Deposited {
                outcome: Outcome::WasEnded,
                ..
            }) => {
                // If it cannot show the secret, it is passed over for a while.
                message.avoided.insert(carrier, now + REFUSED_WAIT);
                if message.asking.insert(carrier) {
                    return Some(Task::Ask {
                        message: id,
                        id: message.packet.id(),
                    });
                }
            }
            Some(Frame::Refused { price, .. })
                if price > message.packet.work() && price <= WORK_BITS_MAX =>
            {
                message.packet = message.packet.worked(price);
                message.look = now;
            }
            Some(_) => {
                message.avoided.insert(carrier, now + REFUSED_WAIT);
                message.look = now;
            }
            None => message.look = now,
        }
        None
    }

    /// What a carrier said that it knows of a message, if it could be reached.
    // PROTOCOL 4.3
    pub(crate) fn answered(
        &mut self,
        id: MessageId,
        carrier: PeerId,
        answer: Option<Frame>,
        now: Time,
    ) -> Word {
        let Some(message) = self
            .messages
            .get_mut(&id)
            .filter(|message| message.end.is_none())
        else {
            return Word::Good;
        };
        message.asking.remove(&carrier);
        let known = match answer {
            Some(Frame::Answer {
                id: packet, known, ..
            }) if packet == message.packet.id() => known,
            Some(_) => return Word::Good,
            None => {
                let misses = message.misses.entry(carrier).or_default();
                *misses += 1;
                if *misses >= MISSES_MAX {
                    message.misses.remove(&carrier);
                    self.lost(id, carrier, now);
                }
                return Word::Good;
            }
        };
        message.misses.remove(&carrier);
        match known {
            Known::Kept => {}
            Known::Unknown => self.lost(id, carrier, now),
            Known::Ended(secret) if secret.ends(&message.packet.delete_hash()) => {
                message.end = Some(End::Delivered(secret));
                self.changed.insert(id);
            }
            Known::Ended(_) => {
                message.avoided.insert(carrier, now + REFUSED_WAIT);
                self.lost(id, carrier, now);
                return Word::Forged;
            }
        }
        Word::Good
    }

    fn lost(&mut self, id: MessageId, carrier: PeerId, now: Time) {
        if let Some(message) = self.messages.get_mut(&id)
            && message.stored.remove(&carrier).is_some()
        {
            message.look = now;
            self.changed.insert(id);
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
