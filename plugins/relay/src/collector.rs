//! Larger content of which parts are missing: which are looked for, which are being gathered, which the application has. PROTOCOL 3.9
//!
//! The application gets each part as it comes, and the content is whole once it has confirmed them all. So what is kept in memory is a
//! few parts, and what is had stays had whatever is killed.

use crate::head::{Content, Head, Kind};
use crate::inbox::Received;
use crate::life;
use crate::limits::{COLLECTIONS_MAX, PARTS_ASKED};
use crate::manifest::Manifest;
use crate::packet::{DeleteSecret, MessageId, Packet, PacketId, Tag, Token};
use crate::placement::Candidate;
use crate::seal::Opened;
use crate::seldom::{Empty, Seldom};
use crate::sought::Sought;
use crate::task::Task;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A part is asked for again after an eighth of the time for which nothing of its content has come, between these.
const WAIT_MIN: Duration = Duration::from_millis(300);
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Before that no content gives its place to another.
const PATIENCE: Duration = Duration::from_mins(5);

/// The larger contents that a node collects, by their manifests' packets: at most 8.
#[derive(Component, Default)]
pub struct Collector(Seldom<BTreeMap<PacketId, Collection>>);

impl Empty for BTreeMap<PacketId, Collection> {
    const EMPTY: &'static BTreeMap<PacketId, Collection> = &BTreeMap::new();
}

/// One of them.
pub(crate) struct Collection {
    pub(crate) from: PeerId,
    pub(crate) message: MessageId,
    pub(crate) manifest: Manifest,
    secret: DeleteSecret,
    tag: Tag,
    carriers: BTreeSet<PeerId>,
    parts: Vec<Part>,
    expires_ms: u64,
    /// When it began, or something of it last came.
    progress: Time,
    /// The application has all parts, and is to be told.
    whole: bool,
}

struct Part {
    state: Standing,
    sought: Sought,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing of it is here.
    Missing,
    /// Its head is; or all of it, and the application is to confirm it.
    Here,
    /// The application has it.
    Had,
}

impl Collector {
    /// How many contents are incomplete.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each part that is looked for was asked for wherever it may be.
    pub(crate) fn has_asked_all(&self, candidates: usize) -> bool {
        let asked = |part: &Part| part.sought.has_asked_all(candidates);
        let mut sought = self.0.values().flat_map(Collection::sought);
        sought.all(asked)
    }

    /// Whether this manifest's parts are collected; notes who else has the manifest.
    pub(crate) fn knows(&mut self, manifest: PacketId, carrier: Option<PeerId>) -> bool {
        if self.0.is_untouched() {
            return false;
        }
        let known = self.0.get_mut(&manifest);
        known.map(|known| known.carriers.extend(carrier)).is_some()
    }

    /// Begins with a manifest that was opened; `had` says which parts the application has. `false` if there is no room now: it stays with
    /// its carriers.
    pub(crate) fn begin(
        &mut self,
        packet: &Packet,
        opened: Opened,
        carrier: Option<PeerId>,
        had: impl Fn(Tag) -> bool,
        now: Time,
    ) -> bool {
        let Content::Manifest(manifest) = opened.content else {
            return false;
        };
        if self.0.len() >= COLLECTIONS_MAX {
            let idle = self
                .0
                .iter()
                .min_by_key(|(id, known)| (known.progress, **id));
            let idle = idle.filter(|(_, known)| now - known.progress >= PATIENCE);
            let Some(id) = idle.map(|(id, _)| *id) else {
                return false;
            };
            self.0.remove(&id);
        }
        let part = |token: Token| Part {
            state: if had(token.tag()) {
                Standing::Had
            } else {
                Standing::Missing
            },
            sought: Sought::new(token, now),
        };
        let collection = Collection {
            from: opened.from,
            message: opened.message,
            manifest,
            secret: opened.secret,
            tag: packet.tag(),
            carriers: carrier.into_iter().collect(),
            parts: opened.parts.into_iter().map(part).collect(),
            expires_ms: life::expiry_ms(packet.day(), packet.expiry_hours()),
            progress: now,
            whole: false,
        };
        self.0.insert(packet.id(), collection);
        true
    }

    /// What to ask of those senders with whom there is a link of our own; carriers are asked for it only a little later.
    // PROTOCOL 4.8
    pub(crate) fn ask_senders(
        &mut self,
        now: Time,
        is_direct: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        if self.0.is_empty() {
            return tasks;
        }
        for collection in self.0.values_mut() {
            let from = collection.from;
            if !is_direct(&from) {
                continue;
            }
            let asked = collection.sought_mut();
            let asked = asked.filter_map(|part| part.sought.ask_sender(now));
            tasks.extend(asked.map(|task| (from, task)));
        }
        tasks
    }

    /// Whom to ask for which parts now. Gives up what has expired everywhere by now.
    // PROTOCOL 3.9
    pub(crate) fn poll(
        &mut self,
        now: Time,
        unix_ms: u64,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        if self.0.is_empty() {
            return tasks;
        }
        self.0
            .retain(|_, known| unix_ms < known.expires_ms + 2 * life::DAY_MS as u64);
        for collection in self.0.values_mut() {
            let waited = (now - collection.progress) / 8;
            let wait = waited.clamp(WAIT_MIN, WAIT_MAX);
            let due = collection.sought_mut();
            for part in due.filter(|part| part.sought.next <= now) {
                tasks.extend(part.sought.ask_carriers(candidates, &may_reach, true));
                part.sought.next = now + wait;
            }
        }
        tasks
    }

    /// The tags of the parts that are looked for.
    pub(crate) fn tags_sought(&self) -> impl Iterator<Item = Tag> {
        self.0
            .values()
            .flat_map(Collection::sought)
            .map(|part| part.sought.tag())
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let sought = self.0.values().flat_map(Collection::sought);
        sought.map(|part| part.sought.next).min()
    }

    /// A carrier answered, or could not be reached.
    pub(crate) fn looked(&mut self, tag: Tag, carrier: &PeerId) {
        if let Some((_, _, part)) = self.part_mut(tag) {
            part.sought.looked(carrier);
        }
    }

    fn part_mut(&mut self, tag: Tag) -> Option<(PacketId, &mut Time, &mut Part)> {
        if self.0.is_untouched() {
            return None;
        }
        self.0.iter_mut().find_map(|(id, known)| {
            let part = known
                .parts
                .iter_mut()
                .find(|part| part.sought.tag() == tag)?;
            Some((*id, &mut known.progress, part))
        })
    }

    /// The content that this tag is of a part of, and which.
    pub(crate) fn find(&self, tag: Tag) -> Option<(&Collection, usize)> {
        self.0.values().find_map(|known| {
            let number = known
                .parts
                .iter()
                .position(|part| part.sought.tag() == tag)?;
            Some((known, number))
        })
    }

    /// Whether a tag is that of a part which is missing.
    pub(crate) fn wants(&self, tag: Tag) -> bool {
        let found = self.find(tag);
        found.is_some_and(|(known, number)| known.parts[number].state == Standing::Missing)
    }

    /// Whether what was opened under the tag of a missing part is that part; if so it is not looked for any more. Whoever knows a tag may
    /// put anything under it, but only the manifest's sender seals in its own name.
    // PROTOCOL 3.9
    pub(crate) fn take(&mut self, tag: Tag, opened: &Opened, now: Time) -> bool {
        let right = self.find(tag).is_some_and(|(known, number)| {
            let bytes = match &opened.content {
                Content::Whole(Head {
                    kind: Kind::Part,
                    message,
                    ..
                }) => message.len(),
                Content::Outline(outline) if outline.is_part() => outline.length(),
                _ => return false,
            };
            known.from == opened.from && known.manifest.part_bytes(number) == bytes
        });
        if right && let Some((_, progress, part)) = self.part_mut(tag) {
            (*progress, part.state) = (now, Standing::Here);
        }
        right
    }

    /// Looks again for parts that were here and are not: `here` says which are being gathered, or wait for the application.
    pub(crate) fn look_again(&mut self, here: impl Fn(Tag) -> bool) {
        if self.0.is_untouched() {
            return;
        }
        let parts = self.0.values_mut().flat_map(|known| &mut known.parts);
        for part in parts.filter(|part| part.state == Standing::Here && !here(part.sought.tag())) {
            part.state = Standing::Missing;
        }
    }

    /// The application has a part.
    pub(crate) fn had(&mut self, tag: Tag, now: Time) {
        if let Some((_, progress, part)) = self.part_mut(tag) {
            (*progress, part.state) = (now, Standing::Had);
        }
    }

    /// The contents of which the application has all parts and was not told so, as what waits for it.
    pub(crate) fn take_whole(&mut self) -> Vec<(PacketId, Received)> {
        if self.0.is_untouched() {
            return Vec::new();
        }
        let had = |part: &Part| part.state == Standing::Had;
        let whole = self
            .0
            .iter_mut()
            .filter(|(_, known)| !known.whole && known.parts.iter().all(had));
        let received = whole.map(|(id, known)| {
            known.whole = true;
            (*id, known.received())
        });
        received.collect()
    }

    /// The application has the whole content.
    pub(crate) fn end(&mut self, manifest: PacketId) {
        if !self.0.is_untouched() {
            self.0.remove(&manifest);
        }
    }

    /// The tags of parts for which nobody was asked yet.
    pub(crate) fn fresh(&self) -> Vec<Tag> {
        let sought = self.0.values().flat_map(Collection::sought);
        let fresh = sought.filter(|part| part.sought.asked() == 0);
        fresh.map(|part| part.sought.tag()).collect()
    }
}

impl Collection {
    fn sought(&self) -> impl Iterator<Item = &Part> {
        let open = self.parts.iter().filter(|part| part.state != Standing::Had);
        let first = open.take(PARTS_ASKED);
        first.filter(|part| part.state == Standing::Missing)
    }

    fn sought_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        let open = self.parts.iter_mut();
        let open = open.filter(|part| part.state != Standing::Had);
        let first = open.take(PARTS_ASKED);
        first.filter(|part| part.state == Standing::Missing)
    }

    fn received(&self) -> Received {
        let manifest = &self.manifest;
        let kind = manifest.name.clone().map_or(Kind::Text, Kind::File);
        Received {
            message: self.message,
            from: self.from,
            tag: self.tag,
            head: Head {
                kind,
                sent_at_ms: manifest.sent_at_ms,
                message: Vec::new(),
            },
            manifest: Some(manifest.clone()),
            secret: self.secret.clone(),
            carriers: self.carriers.clone(),
            fragments: Vec::new(),
        }
    }

    /// How many parts the application has.
    pub(crate) fn parts_had(&self) -> usize {
        let had = self.parts.iter();
        had.filter(|part| part.state == Standing::Had).count()
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
