//! The rooms that a node listens to: whom it asks, and what becomes of what they bring.

use crate::drops::DropReason;
use crate::gatherer::Gatherer;
use crate::head::Content;
use crate::inbox::Received;
use crate::limits::ROOMS_MAX;
use crate::packet::{DeleteSecret, MessageId, Packet, PacketId, Tag, Token};
use crate::placement::Candidate;
use crate::room::{Room, RoomId, TooManyRooms};
use crate::room_inbox::{Heard, RoomInbox, Said};
use crate::room_lanes::{Lanes, live_days};
use crate::room_links::RoomLinks;
use crate::room_seal::open_in_room;
use crate::seal::Opened;
use crate::seen::Seen;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// After other carriers were heard of, lanes are looked at again once so long has passed: a node that joins hears of many.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The rooms that a node listens to: at most 16. A node that listens to none pays for a pointer.
#[derive(Component, Default)]
pub struct Rooms(Option<Box<Table>>);

#[derive(Default)]
struct Table {
    rooms: BTreeMap<RoomId, Listened>,
    /// Of long messages, from all rooms.
    gatherer: Gatherer,
    links: RoomLinks,
    inbox: RoomInbox,
    candidates: Arc<[Candidate]>,
    live: BTreeSet<Tag>,
    changed: Time,
    look: Option<Time>,
}

struct Listened {
    room: Room,
    lanes: Lanes,
    /// Whether somebody wants to hear own messages too.
    echo: bool,
    /// Not yet looked for in the node's own cache.
    fresh: bool,
}

impl Rooms {
    /// Whether any room was ever listened to.
    pub(crate) fn is_untouched(&self) -> bool {
        self.0.is_none()
    }

    /// How many rooms are listened to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |this| this.rooms.len())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages wait to be confirmed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |this| this.inbox.len())
    }

    /// Begins to listen to a room. `seen` is asked for what the application has had, once.
    pub(crate) fn listen(
        &mut self,
        room: &Room,
        today: u16,
        now: Time,
        seen: impl FnOnce() -> io::Result<Seen>,
    ) -> io::Result<Result<(), TooManyRooms>> {
        let this = self.0.get_or_insert_default();
        this.inbox.remember_with(seen)?;
        if this.rooms.contains_key(&room.id()) {
            return Ok(Ok(()));
        }
        if this.rooms.len() >= ROOMS_MAX {
            return Ok(Err(TooManyRooms));
        }
        let mut lanes = Lanes::default();
        lanes.refresh(room, today, now);
        let listened = Listened {
            room: room.clone(),
            lanes,
            echo: false,
            fresh: true,
        };
        this.rooms.insert(room.id(), listened);
        this.changed = now;
        Ok(Ok(()))
    }

    /// Lets go of rooms that nobody listens to any more, and says of the others whether own messages are wanted there.
    pub(crate) fn keep(&mut self, listening: &BTreeMap<RoomId, bool>) {
        let Some(this) = &mut self.0 else {
            return;
        };
        let before = this.rooms.len();
        this.rooms.retain(|id, listened| {
            let echo = listening.get(id);
            listened.echo = echo == Some(&true);
            echo.is_some()
        });
        if this.rooms.len() < before {
            let rooms = &this.rooms;
            this.inbox.retain(|_, said| rooms.contains_key(&said.room));
        }
        if this.rooms.is_empty() {
            (this.gatherer, this.links) = (Gatherer::default(), RoomLinks::default());
            this.live.clear();
            this.candidates = Arc::default();
        }
    }

    /// Whether a packet of this tag may be said in a room, or be part of what is.
    pub(crate) fn wants(&self, tag: Tag) -> bool {
        let Some(this) = &self.0 else {
            return false;
        };
        this.rooms.values().any(|listened| listened.lanes.has(tag)) || this.gatherer.wants(tag)
    }

    /// The tags that were not yet looked for in the node's own cache.
    pub(crate) fn take_fresh(&mut self) -> Vec<Tag> {
        let Some(this) = &mut self.0 else {
            return Vec::new();
        };
        let mut tags = this.gatherer.fresh();
        for listened in this.rooms.values_mut() {
            if std::mem::take(&mut listened.fresh) {
                tags.extend(listened.lanes.tags());
            }
        }
        tags
    }

    /// A packet on one of our lanes, or of a long message.
    pub(crate) fn hear(
        &mut self,
        me: PeerId,
        packet: &Packet,
        carrier: Option<PeerId>,
        now: Time,
    ) -> Heard {
        let Some(this) = &mut self.0 else {
            return Heard::Dropped(DropReason::AnswerUnasked);
        };
        let this = &mut **this; // Its parts are borrowed one by one.
        match this.gatherer.take(packet, carrier, now) {
            Some(true) => return Heard::New,
            // Whoever knows a tag may put anything under it.
            Some(false) => return Heard::Dropped(DropReason::NotForUs),
            None => {}
        }
        let (id, tag) = (packet.id(), packet.tag());
        let mut rooms = this.rooms.iter_mut();
        let Some((room, listened)) = rooms.find(|(_, listened)| listened.lanes.has(tag)) else {
            return Heard::Dropped(DropReason::AnswerUnasked);
        };
        if let Some(known) = this.inbox.knows(id) {
            return known;
        }
        if this.gatherer.knows(id, carrier) {
            return Heard::Waiting;
        }
        if !this.inbox.has_room() {
            listened.lanes.again(tag, now);
            return Heard::Dropped(DropReason::InboxFull);
        }
        let Ok(opened) = open_in_room(&listened.room, packet) else {
            this.inbox.remember_broken(id);
            return Heard::Dropped(DropReason::NotForUs);
        };
        let from = opened.from;
        if from == me && !listened.echo {
            return Heard::Dropped(DropReason::OwnInRoom);
        }
        let room = *room;
        if !this.inbox.has_room_for(room, from) {
            listened.lanes.again(tag, now);
            return Heard::Dropped(DropReason::AuthorOverShare);
        }
        listened.lanes.news(tag, now);
        match opened.content {
            Content::Whole(head) => this.inbox.add(id, Said { room, from, head }),
            content => {
                let opened = Opened {
                    from,
                    message: MessageId(id.0),
                    // Members have none, and nothing asks a room's message for it.
                    secret: DeleteSecret::new([0; 16]),
                    content,
                    fragments: opened.fragments,
                    parts: Vec::new(),
                };
                if !this.gatherer.begin(packet, opened, carrier, now) {
                    listened.lanes.again(tag, now);
                    return Heard::Dropped(DropReason::InboxFull);
                }
            }
        }
        Heard::New
    }

    /// Long messages of which the last fragment has come wait as others do. Says how many were not what their head says.
    pub(crate) fn put_together(&mut self) -> usize {
        let Some(this) = &mut self.0 else {
            return 0;
        };
        if this.gatherer.is_empty() || !this.inbox.has_room() {
            return 0;
        }
        let mut broken = 0;
        for (id, received) in this.gatherer.take_whole() {
            let Some(Received {
                tag, from, head, ..
            }) = received
            else {
                this.inbox.remember_broken(id);
                broken += 1;
                continue;
            };
            let mut rooms = this.rooms.iter();
            let room = rooms.find(|(_, listened)| listened.lanes.has(tag));
            if let Some((room, _)) = room {
                let room = *room;
                this.inbox.add(id, Said { room, from, head });
            }
        }
        broken
    }

    /// What was said in a room and waits, in the order in which it came.
    pub(crate) fn said(&self, room: RoomId) -> impl Iterator<Item = (PacketId, &Said)> {
        let this = self.0.as_ref();
        this.into_iter().flat_map(move |this| this.inbox.said(room))
    }

    /// The application has a message durably. `None` if none of this id waits.
    pub(crate) fn confirm(&mut self, id: PacketId, today: u16) -> Option<io::Result<()>> {
        self.0.as_mut()?.inbox.confirm(id, today)
    }

    /// What is to be asked of whom now.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        (today, unix_ms): (u16, u64),
        candidates: Arc<[Candidate]>,
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let Some(this) = &mut self.0 else {
            return Vec::new();
        };
        let this = &mut **this;
        let days = live_days(unix_ms);
        if !Arc::ptr_eq(&candidates, &this.candidates) {
            this.candidates = candidates;
            this.changed = now;
            this.look.get_or_insert(now + LOOK_AGAIN);
        }
        let candidates = &this.candidates[..];
        for listened in this.rooms.values_mut() {
            listened.lanes.refresh(&listened.room, today, now);
        }
        let live = this.rooms.values().flat_map(|room| room.lanes.live(&days));
        let live: BTreeSet<Tag> = live.collect();
        let look = this.look.is_some_and(|look| look <= now);
        if look {
            this.look = None;
            let lanes = this.rooms.values_mut().map(|listened| &mut listened.lanes);
            lanes.for_each(|lanes| lanes.carriers_changed(now));
        }
        if look || live != this.live || this.links.kept().is_empty() {
            this.links.choose(&live, candidates, now);
            this.live = live;
        }
        // Subscribed before fetched, so that little can arrive in between unseen.
        let mut tasks = this.links.poll(now, &may_reach);
        for listened in this.rooms.values_mut() {
            tasks.extend(listened.lanes.poll(now, &days, candidates, &may_reach));
        }
        tasks.extend(this.gatherer.poll(now, unix_ms, candidates, &may_reach));
        tasks
    }

    /// Where what is listened for may lie.
    pub(crate) fn sought(&self, unix_ms: u64) -> Vec<(Tag, Topic)> {
        let Some(this) = self.0.as_ref() else {
            return Vec::new();
        };
        let days = live_days(unix_ms);
        let lanes = this.rooms.values().flat_map(|room| room.lanes.live(&days));
        let fragments = this.gatherer.sought().map(|(tag, _)| tag);
        let mut tags: Vec<(Tag, Topic)> = lanes.map(|tag| (tag, Topic::Rooms)).collect();
        tags.extend(fragments.map(|tag| (tag, Topic::under(tag, false))));
        tags
    }

    /// By what a lane is fetched.
    pub(crate) fn token(&self, tag: Tag) -> Option<Token> {
        let mut rooms = self.0.as_ref()?.rooms.values();
        rooms.find_map(|listened| listened.lanes.token(tag))
    }

    /// Carriers whose links stay up.
    pub(crate) fn kept(&self) -> BTreeSet<PeerId> {
        let this = self.0.as_ref();
        this.map_or_else(BTreeSet::new, |this| this.links.kept())
    }

    /// What came of a task of ours, or of one of a gatherer's; says what to ask next.
    pub(crate) fn settle(&mut self, done: &crate::errands::Done, now: Time) -> Option<Task> {
        use crate::frames::Frame;
        let this = self.0.as_mut()?;
        let carrier = done.carrier;
        match &done.task {
            Task::Lane { tag, after } => {
                let mut rooms = this.rooms.values_mut();
                let listened = rooms.find(|listened| listened.lanes.has(*tag))?;
                let answer = done.answer.as_ref();
                listened.lanes.fetched(carrier, (*tag, *after), answer, now)
            }
            Task::Attend { .. } => {
                if !matches!(done.answer, Some(Frame::Subscribed { .. })) {
                    this.links.refused(carrier, now);
                }
                None
            }
            Task::Look { token, topic, .. } => {
                let tag = token.tag();
                this.gatherer.looked(tag, &carrier);
                let (packet, left) = done.answer.as_ref()?.fetched()?;
                let (token, after, topic) = (*token, packet.id(), *topic);
                (left > 0 && this.gatherer.wants(tag)).then_some(Task::look(token, after, topic))
            }
            _ => None,
        }
    }

    /// A link is down, and its subscriptions with it.
    pub(crate) fn link_lost(&mut self, carrier: PeerId, now: Time) {
        if let Some(this) = &mut self.0 {
            for tag in this.links.link_lost(carrier) {
                for listened in this.rooms.values_mut() {
                    listened.lanes.again(tag, now);
                }
            }
        }
    }

    /// Since when no new carrier was heard of.
    pub(crate) fn changed(&self) -> Time {
        self.0.as_ref().map_or(Time::ZERO, |this| this.changed)
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let this = self.0.as_ref()?;
        let lanes = this.rooms.values().filter_map(|room| room.lanes.next_due());
        lanes.chain(this.gatherer.next_due()).chain(this.look).min()
    }

    /// Whether each carrier that may have something of a room was asked, and none was added lately; and how many long messages
    /// are incomplete.
    pub(crate) fn has_asked_all(&self, room: RoomId, now: Time) -> bool {
        let Some(this) = &self.0 else {
            return false;
        };
        let asked = this.rooms.get(&room).map(|room| room.lanes.has_asked_all());
        asked == Some(true)
            && this.look.is_none()
            && now - this.changed >= LOOK_AGAIN * 2
            && this.gatherer.has_asked_all(this.candidates.len())
    }

    /// How many lanes of all rooms somebody tells of, and how many long messages are incomplete.
    pub(crate) fn hears(&self) -> (usize, usize) {
        let this = self.0.as_ref();
        this.map_or((0, 0), |this| (this.links.lanes(), this.gatherer.len()))
    }
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
