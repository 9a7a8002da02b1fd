//! The sender's own messages, placed and placed again until they are delivered or expired:
//! `queued → sent → stored (n) → delivered | expired`.

use crate::life;
use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_MAX, PART_PLACES, PLACES, ROOM_OUTBOX_MAX};
use crate::outbox_contents::Contents;
use crate::own_message::{End, OwnMessage, Piece, State};
use crate::packet::{MessageId, Tag};
use crate::placement::Candidate;
use crate::seldom::{Empty, Seldom};
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};

/// Said of a message too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{OUTBOX_MAX} messages, or {OUTBOX_BYTES_MAX} bytes of them, are under way already: wait until some are delivered"
)]
pub struct OutboxFull;

/// All messages of a node: at most 1,000 under way, and as many that ended, besides the parts of larger content.
#[derive(Component, Default)]
pub struct Outbox(pub(crate) Seldom<Table>);

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) messages: BTreeMap<MessageId, OwnMessage>,
    contents: Contents,
    /// Of which something new is to be told, and of those what is to be written down.
    changed: BTreeSet<MessageId>,
    unsaved: BTreeSet<MessageId>,
    /// Parts that nobody needs any more.
    gone: BTreeSet<MessageId>,
}

impl Empty for Table {
    const EMPTY: &'static Table = &Table {
        messages: BTreeMap::new(),
        contents: Contents::EMPTY,
        changed: BTreeSet::new(),
        unsaved: BTreeSet::new(),
        gone: BTreeSet::new(),
    };
}

impl Outbox {
    /// All messages, by id; larger content is one.
    pub fn messages(&self) -> impl Iterator<Item = (&MessageId, &OwnMessage)> {
        self.0
            .messages
            .iter()
            .filter(|(_, message)| message.is_message())
    }

    /// How many those are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.messages().count()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: MessageId) -> Option<&OwnMessage> {
        self.0.messages.get(&id)
    }

    /// What is under way to somebody, parts of larger content too.
    pub(crate) fn open_to(&self, to: &PeerId) -> impl Iterator<Item = (&MessageId, &OwnMessage)> {
        let all = self.0.messages.iter();
        all.filter(move |(_, own)| own.to == *to && own.end.is_none() && own.room.is_none())
    }

    /// Whether a message waits to be delivered.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0
            .messages
            .values()
            .any(|message| message.end.is_none())
    }

    /// Whether so many bytes more may be under way.
    pub(crate) fn has_room(&self, more: usize) -> Result<(), OutboxFull> {
        let open = || {
            let messages = self.0.messages.values();
            messages.filter(|message| message.end.is_none())
        };
        let bytes: usize = open().map(OwnMessage::bytes).sum();
        let count = open().filter(|message| message.is_message()).count();
        if count < OUTBOX_MAX && bytes + more < OUTBOX_BYTES_MAX {
            Ok(())
        } else {
            Err(OutboxFull)
        }
    }

    /// Takes a message over. Gives back the id of an ended one that made room, whose file is to go.
    pub(crate) fn add(&mut self, id: MessageId, message: OwnMessage) -> Option<MessageId> {
        if let Piece::Part { of, number } = message.piece {
            self.0.contents.note(of, number, id);
            let waits = true;
            self.0.messages.insert(id, OwnMessage { waits, ..message });
            return None;
        }
        self.0.changed.insert(id);
        self.0.messages.insert(id, message);
        if self.count() <= 2 * OUTBOX_MAX {
            return None;
        }
        let ended = self.messages().filter(|(_, message)| message.end.is_some());
        let oldest = ended
            .min_by_key(|(id, message)| (message.created_ms, **id))
            .map(|(id, _)| *id)?;
        self.0.messages.remove(&oldest);
        self.0.changed.remove(&oldest);
        Some(oldest)
    }

    /// Takes over the record of today's prekeys, in place of the last.
    pub(crate) fn replace_record(&mut self, id: MessageId, record: OwnMessage) {
        let others = |message: &OwnMessage| message.piece != Piece::Record;
        self.0.messages.retain(|_, message| others(message));
        self.0.messages.insert(id, record);
    }

    /// On how many carriers the record of prekeys is, if there is one.
    #[must_use]
    pub fn record_copies(&self) -> Option<usize> {
        let mut messages = self.0.messages.values();
        let record = messages.find(|message| message.piece == Piece::Record)?;
        Some(record.copies())
    }

    /// The same for one more to a room: past so many the oldest that lies with carriers leaves, and its copies stay there.
    pub(crate) fn make_room(&mut self) -> Result<Option<MessageId>, OutboxFull> {
        self.has_room(0)?;
        let open = || {
            let all = self.messages();
            all.filter(|(_, message)| message.room.is_some() && message.end.is_none())
        };
        if open().count() < ROOM_OUTBOX_MAX {
            return Ok(None);
        }
        let stored = open().filter(|(_, message)| matches!(message.state(), State::Stored(_)));
        let oldest = stored.min_by_key(|(id, message)| (message.created_ms, **id));
        let oldest = oldest.map(|(id, _)| *id).ok_or(OutboxFull)?;
        self.cancel(oldest);
        Ok(Some(oldest))
    }

    /// Drops a message, whatever its state. Whoever watches hears that it is gone.
    pub(crate) fn cancel(&mut self, id: MessageId) {
        if self.0.messages.remove(&id).is_some() {
            self.0.changed.insert(id);
        }
        let parts = self.0.contents.end(id);
        self.0.gone.extend(parts);
    }

    /// Messages whose state changed since the last call, parts told of as their content.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<MessageId> {
        if self.0.is_untouched() {
            return BTreeSet::new();
        }
        std::mem::take(&mut self.0.changed)
    }

    /// Messages whose state is to be written down.
    pub(crate) fn take_unsaved(&mut self) -> BTreeSet<MessageId> {
        if self.0.is_untouched() {
            return BTreeSet::new();
        }
        std::mem::take(&mut self.0.unsaved)
    }

    /// Drops the parts that nobody needs any more, and says which.
    pub(crate) fn take_gone(&mut self) -> BTreeSet<MessageId> {
        if self.0.gone.is_empty() {
            return BTreeSet::new();
        }
        let gone = std::mem::take(&mut self.0.gone);
        self.0.messages.retain(|id, _| !gone.contains(id));
        gone
    }

    /// Parts without their manifest, as a crash between the two leaves them. PROTOCOL 3.9
    pub(crate) fn take_orphans(&mut self) -> BTreeSet<MessageId> {
        let this = &mut *self.0;
        let alive = |of: &MessageId| this.messages.get(of).is_some_and(|own| own.end.is_none());
        this.gone.extend(this.contents.end_without(alive));
        self.take_gone()
    }

    /// Where a message stands; of larger content, with all of its parts: the weakest counts.
    #[must_use]
    pub fn state(&self, id: MessageId) -> Option<State> {
        let message = self.0.messages.get(&id)?;
        let parts = self.parts_of(id).map(OwnMessage::copies).min();
        let copies = parts.unwrap_or(usize::MAX).min(message.copies());
        Some(message.state_with(copies))
    }

    /// Of larger content: how many parts there are, how many of them lie with somebody or have arrived, and how many have arrived.
    #[must_use]
    pub fn progress(&self, id: MessageId) -> Option<[usize; 3]> {
        let Piece::Manifest { parts } = self.0.messages.get(&id)?.piece else {
            return None;
        };
        let (all, open) = (usize::from(parts), self.parts_of(id).count());
        let lie = self.parts_of(id).filter(|part| part.copies() > 0).count();
        let arrived = all.saturating_sub(open);
        Some([all, arrived + lie, arrived])
    }

    /// The parts of a content that have not arrived yet.
    pub(crate) fn parts_of(&self, id: MessageId) -> impl Iterator<Item = &OwnMessage> {
        let parts = self.0.contents.open(id);
        parts.filter_map(|part| self.0.messages.get(&part))
    }

    /// A copy is on its way.
    pub(crate) fn left(&mut self, id: MessageId) {
        if let Some(message) = self.0.messages.get_mut(&id)
            && !message.left
        {
            message.left = true;
            self.note(id);
        }
    }

    /// There is something new to tell of a message, and to write down unless it is of a part: what is lost of that is asked again.
    fn note(&mut self, id: MessageId) {
        match self.0.messages.get(&id).map(|message| message.piece) {
            Some(Piece::Part { of, .. }) => {
                self.0.changed.insert(of);
            }
            Some(Piece::Record) => {}
            _ => {
                self.0.changed.insert(id);
                self.0.unsaved.insert(id);
            }
        }
    }

    /// A message arrived, or expired.
    pub(crate) fn ended(&mut self, id: MessageId) {
        self.note(id);
        if let Some(Piece::Part { of, number }) = self.0.messages.get(&id).map(|own| own.piece) {
            self.0.contents.arrived(of, number);
            self.0.gone.insert(id);
        }
        let parts = self.0.contents.end(id);
        self.0.gone.extend(parts);
    }

    /// Other carriers are known than before: every message is looked at.
    pub(crate) fn carriers_changed(&mut self, now: Time) {
        if self.0.is_untouched() {
            return;
        }
        for part in self
            .0
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
        if self.0.is_untouched() {
            return tasks;
        }
        for id in self.0.contents.turn(candidates.len()) {
            if let Some(part) = self.0.messages.get_mut(&id).filter(|part| part.waits) {
                part.leave(now);
            }
        }
        let mut expired = Vec::new();
        for (id, message) in &mut self.0.messages {
            if message.end.is_some() || now < message.next_due() {
                continue;
            }
            let packet = &message.head().packet;
            if unix_ms >= life::expiry_ms(packet.day(), packet.expiry_hours()) {
                message.end = Some(End::Expired);
                expired.push(*id);
                continue;
            }
            let is_part = message.is_part();
            let asked_since = message.asked_since;
            let waits = [true, false].map(|of_head| message.ask_wait(of_head, now));
            for (place, part) in message.parts.iter_mut().enumerate() {
                if part.ended {
                    continue;
                }
                let topic = Topic::under(part.packet.tag(), is_part);
                if now >= part.look {
                    let places = if is_part && place > 0 {
                        PART_PLACES
                    } else {
                        PLACES
                    };
                    let asked = part.place(now, asked_since, places, candidates, &may_reach);
                    tasks.extend(asked.into_iter().map(|carrier| {
                        let (message, packet) = (*id, part.packet.clone());
                        let task = Task::Deposit {
                            message,
                            packet,
                            topic,
                        };
                        (carrier, task)
                    }));
                }
                if now >= part.ask {
                    for carrier in part.in_turn() {
                        if may_reach(&carrier) && part.asking.insert(carrier) {
                            let (message, id) = (*id, part.packet.id());
                            tasks.push((carrier, Task::Ask { message, id, topic }));
                        }
                    }
                    part.ask = now + waits[usize::from(place > 0 || message.room.is_some())];
                }
            }
        }
        for id in expired {
            self.ended(id);
        }
        tasks
    }

    /// Where what is under way belongs, and whether it is part of larger content.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (Tag, bool)> {
        let open = self
            .0
            .messages
            .values()
            .filter(|message| message.end.is_none() && !message.waits);
        open.flat_map(|message| {
            let parts = message.parts.iter().filter(|part| !part.ended);
            parts.map(|part| (part.packet.tag(), message.is_part()))
        })
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let open = self
            .0
            .messages
            .values()
            .filter(|message| message.end.is_none());
        open.map(OwnMessage::next_due).min()
    }

    /// Notes a message that stands elsewhere than before; one in many fragments would else be written down at each of 500 copies.
    pub(crate) fn note_state(&mut self, id: MessageId, before: (State, usize)) {
        let message = self.0.messages.get(&id);
        if message.is_some_and(|message| standing(message) != before) {
            self.note(id);
        }
    }
}

/// What is told of it. Of a part not each packet: content may have 16,000.
pub(crate) fn standing(message: &OwnMessage) -> (State, usize) {
    let packets = if message.is_part() {
        0
    } else {
        message.packets_stored()
    };
    (message.state(), packets)
}

pub(crate) fn open_mut(
    messages: &mut BTreeMap<MessageId, OwnMessage>,
    id: MessageId,
) -> Option<&mut OwnMessage> {
    messages
        .get_mut(&id)
        .filter(|message| message.end.is_none())
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
