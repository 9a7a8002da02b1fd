//! What was said in rooms and waits for the application to have it durably.

use crate::drops::DropReason;
use crate::head::Head;
use crate::limits::{BROKEN_MAX, ROOM_AUTHOR_SHARE, ROOM_INBOX_BYTES_MAX, ROOM_INBOX_MAX};
use crate::packet::PacketId;
use crate::room::RoomId;
use crate::seen::Seen;
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

/// What somebody said in a room.
pub(crate) struct Said {
    pub(crate) room: RoomId,
    pub(crate) from: PeerId,
    pub(crate) head: Head,
}

/// What became of a packet on a lane of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A message that was not known, or a part of one.
    New,
    /// It waits already.
    Waiting,
    Dropped(DropReason),
}

/// Of all rooms together: at most 1,000 messages, an eighth of them one author's in one room.
#[derive(Default)]
pub(crate) struct RoomInbox {
    waiting: BTreeMap<PacketId, Said>,
    order: VecDeque<PacketId>,
    /// Of the messages that wait.
    bytes: usize,
    broken: BTreeSet<PacketId>,
    broken_order: VecDeque<PacketId>,
    /// Which packets the application has had; there once a room is listened to.
    seen: Option<Seen>,
}

fn bytes_of(said: &Said) -> usize {
    said.head.message.len()
}

impl RoomInbox {
    /// Takes in which packets the application has had, the first time.
    pub(crate) fn remember_with(
        &mut self,
        seen: impl FnOnce() -> io::Result<Seen>,
    ) -> io::Result<()> {
        if self.seen.is_none() {
            self.seen = Some(seen()?);
        }
        Ok(())
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What is known of a packet without opening it.
    pub(crate) fn knows(&self, id: PacketId) -> Option<Heard> {
        if self.seen.as_ref().is_some_and(|seen| seen.contains(id)) {
            Some(Heard::Dropped(DropReason::Repeated))
        } else if self.waiting.contains_key(&id) {
            Some(Heard::Waiting)
        } else if self.broken.contains(&id) {
            Some(Heard::Dropped(DropReason::NotForUs))
        } else {
            None
        }
    }

    /// Whether another message may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < ROOM_INBOX_MAX && self.bytes < ROOM_INBOX_BYTES_MAX
    }

    /// Whether another of this author may wait.
    pub(crate) fn has_room_for(&self, room: RoomId, from: PeerId) -> bool {
        let theirs = |said: &&Said| said.room == room && said.from == from;
        let (mut count, mut bytes) = (0, 0);
        for said in self.waiting.values().filter(theirs) {
            (count, bytes) = (count + 1, bytes + bytes_of(said));
        }
        count < ROOM_INBOX_MAX / ROOM_AUTHOR_SHARE
            && bytes < ROOM_INBOX_BYTES_MAX / ROOM_AUTHOR_SHARE
    }

    /// A message is whole, and waits for the application.
    pub(crate) fn add(&mut self, id: PacketId, said: Said) {
        self.bytes += bytes_of(&said);
        self.waiting.insert(id, said);
        self.order.push_back(id);
    }

    /// What was said in a room and waits, in the order in which it came.
    pub(crate) fn said(&self, room: RoomId) -> impl Iterator<Item = (PacketId, &Said)> {
        let all = self.order.iter();
        let all = all.filter_map(|id| Some((*id, self.waiting.get(id)?)));
        all.filter(move |(_, said)| said.room == room)
    }

    /// The application has a message durably. `None` if none of this id waits.
    pub(crate) fn confirm(&mut self, id: PacketId, today: u16) -> Option<io::Result<()>> {
        if !self.waiting.contains_key(&id) {
            return None;
        }
        if let Some(seen) = &mut self.seen
            && let Err(error) = seen.insert(id, today)
        {
            return Some(Err(error));
        }
        self.retain(|theirs, _| theirs != id);
        Some(Ok(()))
    }

    /// Lets go of all but those that `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(PacketId, &Said) -> bool) {
        let bytes = &mut self.bytes;
        self.waiting.retain(|id, said| {
            let kept = keep(*id, said);
            *bytes -= if kept { 0 } else { bytes_of(said) };
            kept
        });
        let waiting = &self.waiting;
        self.order.retain(|id| waiting.contains_key(id));
    }

    /// Of this packet nothing will ever come.
    pub(crate) fn remember_broken(&mut self, id: PacketId) {
        if self.broken.insert(id) {
            self.broken_order.push_back(id);
        }
        if self.broken_order.len() > BROKEN_MAX
            && let Some(oldest) = self.broken_order.pop_front()
        {
            self.broken.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(crate) fn broken(&self) -> (usize, usize) {
        (self.broken.len(), self.broken_order.len())
    }
}
