//! The sender's own messages, placed and placed again until they are delivered or expired:
//! `queued → sent → stored (n) → delivered | expired`.

use crate::answers::{Known, Outcome};
use crate::frames::Frame;
use crate::life;
use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_MAX, PLACES, ROOM_OUTBOX_MAX, WORK_BITS_MAX};
use crate::own_message::{ASK_MIN, End, OwnMessage, OwnPacket, State};
use crate::packet::{MessageId, PacketId};
use crate::placement::{Candidate, place};
use crate::task::Task;
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
#[error(
    "{OUTBOX_MAX} messages, or {OUTBOX_BYTES_MAX} bytes of them, are under way already: wait until some are delivered"
)]
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
        let open = || {
            let messages = self.messages.values();
            messages.filter(|message| message.end.is_none())
        };
        let bytes: usize = open().map(OwnMessage::bytes).sum();
        if open().count() < OUTBOX_MAX && bytes < OUTBOX_BYTES_MAX {
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

    /// The same for one more to a room: past so many the oldest that lies with carriers leaves, and its copies stay there.
    pub(crate) fn make_room(&mut self) -> Result<Option<MessageId>, OutboxFull> {
        self.has_room()?;
        let open = self.messages.iter();
        let open = open.filter(|(_, message)| message.room.is_some() && message.end.is_none());
        if open.clone().count() < ROOM_OUTBOX_MAX {
            return Ok(None);
        }
        let stored = open.filter(|(_, message)| matches!(message.state(), State::Stored(_)));
        let oldest = stored.min_by_key(|(id, message)| (message.created_ms, **id));
        let oldest = oldest.map(|(id, _)| *id).ok_or(OutboxFull)?;
        self.cancel(oldest);
        Ok(Some(oldest))
    }

    /// Drops a message, whatever its state. Whoever watches hears that it is gone.
    pub(crate) fn cancel(&mut self, id: MessageId) {
        if self.messages.remove(&id).is_some() {
            self.changed.insert(id);
        }
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
        for part in self
            .messages
            .values_mut()
            .flat_map(|message| &mut message.parts)
        {
            part.look = part.look.min(now);
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
            if message.end.is_some() || now < next_of(message) {
                continue;
            }
            let packet = &message.head().packet;
            if unix_ms >= life::expiry_ms(packet.day(), packet.expiry_hours()) {
                message.end = Some(End::Expired);
                self.changed.insert(*id);
                continue;
            }
            let asked_since = message.asked_since;
            let waits = [true, false].map(|of_head| message.ask_wait(of_head, now));
            for (place, part) in message.parts.iter_mut().enumerate() {
                if part.ended {
                    continue;
                }
                if now >= part.look {
                    let asked = part.place(now, asked_since, candidates, &may_reach);
                    tasks.extend(asked.into_iter().map(|carrier| {
                        let (message, packet) = (*id, part.packet.clone());
                        (carrier, Task::Deposit { message, packet })
                    }));
                }
                if now >= part.ask {
                    for carrier in part.stored.keys() {
                        if may_reach(carrier) && part.asking.insert(*carrier) {
                            let (message, id) = (*id, part.packet.id());
                            tasks.push((*carrier, Task::Ask { message, id }));
                        }
                    }
                    part.ask = now + waits[usize::from(place > 0 || message.room.is_some())];
                }
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
        open.map(next_of).min()
    }

    /// What came of the deposit of one of its packets. Says when the carrier is to be asked what it knows: it claims that the packet was
    /// ended.
    pub(crate) fn deposited(
        &mut self,
        id: MessageId,
        packet: PacketId,
        carrier: PeerId,
        address: Option<SocketAddr>,
        answer: Option<Frame>,
        now: Time,
    ) -> Option<Task> {
        let message = open_mut(&mut self.messages, id)?;
        let before = standing(message);
        let part = message.part_mut(packet)?;
        part.depositing.remove(&carrier);
        match answer {
            Some(Frame::Deposited { id: theirs, .. }) if theirs != packet => {
                part.avoided.insert(carrier, now + REFUSED_WAIT);
            }
            Some(Frame::Deposited {
                outcome: Outcome::Stored | Outcome::WasThere,
                ..
            }) => {
                if let Some(address) = address
                    && part.stored.insert(carrier, address).is_none()
                {
                    part.ask = part.ask.min(now + ASK_MIN);
                    self.note_state(id, before);
                }
            }
            Some(Frame::Deposited {
                outcome: Outcome::WasEnded,
                ..
            }) => {
                // If it cannot show the secret, it is passed over for a while.
                part.avoided.insert(carrier, now + REFUSED_WAIT);
                if part.asking.insert(carrier) {
                    let (message, id) = (id, packet);
                    return Some(Task::Ask { message, id });
                }
            }
            Some(Frame::Refused { price, .. })
                if price > part.packet.work() && price <= WORK_BITS_MAX =>
            {
                part.packet = part.packet.worked(price);
                part.look = now;
            }
            Some(_) => {
                part.avoided.insert(carrier, now + REFUSED_WAIT);
                part.look = now;
            }
            None => part.look = now,
        }
        None
    }

    /// What a carrier said that it knows of a packet, if it could be reached.
    // PROTOCOL 4.3
    pub(crate) fn answered(
        &mut self,
        id: MessageId,
        packet: PacketId,
        carrier: PeerId,
        answer: Option<Frame>,
        now: Time,
    ) -> Word {
        let Some(message) = open_mut(&mut self.messages, id) else {
            return Word::Good;
        };
        let before = standing(message);
        let is_head = message.packet_id() == packet;
        let Some(part) = message.part_mut(packet) else {
            return Word::Good;
        };
        part.asking.remove(&carrier);
        let known = match answer {
            Some(Frame::Answer {
                id: theirs, known, ..
            }) if theirs == packet => known,
            Some(_) => return Word::Good,
            None => {
                let misses = part.misses.entry(carrier).or_default();
                *misses += 1;
                if *misses >= MISSES_MAX {
                    part.misses.remove(&carrier);
                    part.lost(carrier, now);
                }
                self.note_state(id, before);
                return Word::Good;
            }
        };
        part.misses.remove(&carrier);
        let mut word = Word::Good;
        match known {
            Known::Kept => {}
            Known::Unknown => part.lost(carrier, now),
            // The recipient shows the head's last.
            Known::Ended(secret) if secret.ends(&part.packet.delete_hash()) => {
                part.ended = true;
                if is_head {
                    message.end = Some(match message.room {
                        None => End::Delivered(secret),
                        Some(_) => End::Expired, // Its author deleted it: nobody else has this secret.
                    });
                }
            }
            Known::Ended(_) => {
                part.avoided.insert(carrier, now + REFUSED_WAIT);
                part.lost(carrier, now);
                word = Word::Forged;
            }
        }
        self.note_state(id, before);
        word
    }

    /// Notes a message that stands elsewhere than before; one in many fragments would else be written down at each of 500 copies.
    fn note_state(&mut self, id: MessageId, before: (State, usize)) {
        let message = self.messages.get(&id);
        if message.is_some_and(|message| standing(message) != before) {
            self.changed.insert(id);
        }
    }
}

/// What is told of it.
fn standing(message: &OwnMessage) -> (State, usize) {
    (message.state(), message.packets_stored())
}

fn open_mut(
    messages: &mut BTreeMap<MessageId, OwnMessage>,
    id: MessageId,
) -> Option<&mut OwnMessage> {
    messages
        .get_mut(&id)
        .filter(|message| message.end.is_none())
}

/// When something is next due for a message under way.
fn next_of(message: &OwnMessage) -> Time {
    let open = message.parts.iter().filter(|part| !part.ended);
    let due = open.map(|part| part.look.min(part.ask));
    due.min().unwrap_or(Time(u64::MAX))
}

impl OwnPacket {
    /// Who is to be given a copy now.
    fn place(
        &mut self,
        now: Time,
        asked_since: Time,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<PeerId> {
        self.avoided.retain(|_, until| now < *until);
        let usable = |candidate: &&Candidate| {
            may_reach(&candidate.id) && !self.avoided.contains_key(&candidate.id)
        };
        let placed = place(self.packet.tag(), candidates.iter().filter(usable), PLACES);
        let mut missing = placed.len() < PLACES;
        let mut asked = Vec::new();
        for candidate in placed {
            let stored = self.stored.contains_key(&candidate.id);
            missing |= !stored;
            if !stored && self.depositing.insert(candidate.id) {
                asked.push(candidate.id);
            }
        }
        let missing_for = (now - asked_since) / 8;
        self.look = now
            + if missing {
                missing_for.clamp(LOOK, LOOK_PLACED)
            } else {
                LOOK_PLACED
            };
        asked
    }

    fn lost(&mut self, carrier: PeerId, now: Time) {
        if self.stored.remove(&carrier).is_some() {
            self.look = now;
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
