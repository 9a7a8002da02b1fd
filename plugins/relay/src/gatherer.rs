//! Messages of which fragments are missing: who is asked for which, and when again. PROTOCOL 3.5
//!
//! Each fragment has a timer of its own, as RFC 6206 (Trickle) has it: it asks two carriers of those nearest to its tag, the next two
//! after twice the time, and never a network at large.

use crate::fragment::FragmentKey;
use crate::head::{Content, Outline};
use crate::inbox::{Fragment, Received};
use crate::life;
use crate::limits::{FRAGMENT_BYTES, GATHERINGS_MAX};
use crate::packet::{DeleteSecret, MessageId, Packet, PacketId, Tag};
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
use zeroize::Zeroizing;

/// Trickle's shortest and longest interval.
const WAIT_MIN: Duration = Duration::from_millis(300);
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Where a fragment is, others of its message are on the way: what was asked for ever more seldom is asked for again this soon.
const WAIT_NEWS: Duration = Duration::from_millis(600);
/// Within this all fragments are first asked for.
const SPREAD: Duration = Duration::from_secs(3);
/// Before that no message gives its place to another: what exists is there by then.
const PATIENCE: Duration = Duration::from_mins(1);

/// The messages that a node gathers: at most 64.
#[derive(Component, Default)]
pub struct Gatherer(Seldom<BTreeMap<PacketId, Gathering>>);

impl Empty for BTreeMap<PacketId, Gathering> {
    const EMPTY: &'static BTreeMap<PacketId, Gathering> = &BTreeMap::new();
}

pub(crate) struct Gathering {
    from: PeerId,
    message: MessageId,
    secret: DeleteSecret,
    outline: Outline,
    tag: Tag,
    carriers: BTreeSet<PeerId>,
    rows: Vec<Row>,
    expires_ms: u64,
    /// When it began, or a fragment last came.
    progress: Time,
}

struct Row {
    key: FragmentKey,
    found: Option<Found>,
    sought: Sought,
    wait: Duration,
}

struct Found {
    id: PacketId,
    part: Zeroizing<Vec<u8>>,
    carriers: BTreeSet<PeerId>,
}

/// When a fragment is first asked for: not all at once, or a carrier that has two of them would know them by the time. What the chance comes from no
/// carrier knows.
// PROTOCOL 4.7
fn spread(message: MessageId, n: usize) -> Duration {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&message.0).update(&n.to_le_bytes());
    SPREAD * u32::from(hasher.finalize().as_bytes()[0]) / 256
}

impl Gatherer {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages are incomplete.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Of each: who sent it, and how many of its fragments are here of how many.
    pub fn progress(&self) -> impl Iterator<Item = (MessageId, PeerId, usize, usize)> {
        self.0.values().map(|gathering| {
            let here = gathering.rows.iter().filter(|row| row.found.is_some());
            let (message, from) = (gathering.message, gathering.from);
            (message, from, here.count(), gathering.rows.len())
        })
    }

    /// Whether each missing fragment was asked for wherever it may be.
    pub(crate) fn has_asked_all(&self, candidates: usize) -> bool {
        let missing = |gathering: &Gathering| {
            let mut rows = gathering.rows.iter().filter(|row| row.found.is_none());
            rows.all(|row| row.sought.has_asked_all(candidates))
        };
        self.0.values().all(missing)
    }

    /// Whether the fragments of this head are gathered; notes who else has the head.
    pub(crate) fn knows(&mut self, head: PacketId, carrier: Option<PeerId>) -> bool {
        if self.0.is_untouched() {
            return false;
        }
        let gathering = self.0.get_mut(&head);
        gathering
            .map(|known| known.carriers.extend(carrier))
            .is_some()
    }

    /// Whether a message is gathered whose head lay under this tag.
    pub(crate) fn has_head_under(&self, tag: Tag) -> bool {
        self.0.values().any(|gathering| gathering.tag == tag)
    }

    /// Whether a tag is that of a fragment which is missing.
    pub(crate) fn wants(&self, tag: Tag) -> bool {
        let mut rows = self.0.values().flat_map(|gathering| &gathering.rows);
        rows.any(|row| row.key.tag() == tag && row.found.is_none())
    }

    /// Begins with a head that was opened. `false` if there is no room now: it stays with its carriers.
    pub(crate) fn begin(
        &mut self,
        head: &Packet,
        opened: Opened,
        carrier: Option<PeerId>,
        now: Time,
    ) -> bool {
        let Content::Outline(outline) = opened.content else {
            return false;
        };
        if self.0.len() >= GATHERINGS_MAX {
            let idle = self
                .0
                .iter()
                .min_by_key(|(id, gathering)| (gathering.progress, **id));
            let idle = idle.filter(|(_, gathering)| now - gathering.progress >= PATIENCE);
            let Some(id) = idle.map(|(id, _)| *id) else {
                return false;
            };
            self.0.remove(&id);
        }
        let message = opened.message;
        let row = |(n, key): (usize, FragmentKey)| Row {
            sought: Sought::new(key.token(), now + spread(message, n)),
            key,
            found: None,
            wait: WAIT_MIN,
        };
        let gathering = Gathering {
            from: opened.from,
            message: opened.message,
            secret: opened.secret,
            outline,
            tag: head.tag(),
            carriers: carrier.into_iter().collect(),
            rows: opened.fragments.into_iter().enumerate().map(row).collect(),
            expires_ms: life::expiry_ms(head.day(), head.expiry_hours()),
            progress: now,
        };
        self.0.insert(head.id(), gathering);
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
        for gathering in self.0.values_mut() {
            if !is_direct(&gathering.from) {
                continue;
            }
            let rows = gathering.rows.iter_mut();
            let missing = rows.filter(|row| row.found.is_none());
            let asked = missing.filter_map(|row| row.sought.ask_sender(now));
            tasks.extend(asked.map(|task| (gathering.from, task)));
        }
        tasks
    }

    /// Whom to ask for what now. Gives up what has expired everywhere by now.
    // PROTOCOL 3.5
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
            .retain(|_, gathering| unix_ms < gathering.expires_ms + 2 * life::DAY_MS as u64);
        let rows = self.0.values_mut().flat_map(|gathering| {
            let is_part = gathering.outline.is_part();
            gathering.rows.iter_mut().map(move |row| (is_part, row))
        });
        let due = |row: &Row| row.found.is_none() && row.sought.next <= now;
        for (is_part, row) in rows.filter(|(_, row)| due(row)) {
            let asked = row.sought.ask_carriers(candidates, &may_reach, is_part);
            tasks.extend(asked);
            // Somewhere in the second half of the interval, or all fragments would be asked for at once. The tag is as good as chance.
            let share = u32::from(row.key.tag().0[0] ^ row.sought.asked() as u8);
            row.sought.next = now + row.wait / 2 + row.wait * share / 512;
            row.wait = (row.wait * 2).min(WAIT_MAX);
        }
        tasks
    }

    /// The tags of what is missing, and whether it is part of larger content.
    pub(crate) fn sought(&self) -> impl Iterator<Item = (Tag, bool)> {
        self.0.values().flat_map(|gathering| {
            let missing = gathering.rows.iter().filter(|row| row.found.is_none());
            missing.map(|row| (row.key.tag(), gathering.outline.is_part()))
        })
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let rows = self.0.values().flat_map(|gathering| &gathering.rows);
        let missing = rows.filter(|row| row.found.is_none());
        missing.map(|row| row.sought.next).min()
    }

    /// A carrier answered, or could not be reached.
    pub(crate) fn looked(&mut self, tag: Tag, carrier: &PeerId) {
        if let Some((_, row)) = self.row_mut(tag) {
            row.sought.looked(carrier);
        }
    }

    fn row_mut(&mut self, tag: Tag) -> Option<(&mut Time, &mut Row)> {
        if self.0.is_untouched() {
            return None;
        }
        self.0.values_mut().find_map(|gathering| {
            let row = gathering.rows.iter_mut().find(|row| row.key.tag() == tag)?;
            Some((&mut gathering.progress, row))
        })
    }

    /// A packet came under the tag of a fragment. `None` if no fragment has this tag, `false` if it is something else: whoever knows a tag may
    /// put anything under it.
    pub(crate) fn take(
        &mut self,
        packet: &Packet,
        carrier: Option<PeerId>,
        now: Time,
    ) -> Option<bool> {
        let (progress, row) = self.row_mut(packet.tag())?;
        if let Some(found) = &mut row.found {
            let same = found.id == packet.id();
            if same {
                found.carriers.extend(carrier);
            }
            return Some(same);
        }
        let Some(part) = row.key.open(packet) else {
            return Some(false);
        };
        *progress = now;
        row.found = Some(Found {
            id: packet.id(),
            part,
            carriers: carrier.into_iter().collect(),
        });
        let tag = packet.tag();
        let gathering = self.0.values_mut();
        let mut of_it = gathering.filter(|known| known.rows.iter().any(|row| row.key.tag() == tag));
        for row in of_it.next().into_iter().flat_map(|known| &mut known.rows) {
            // Trickle's reset.
            if row.found.is_none() && row.sought.next > now + WAIT_NEWS {
                (row.wait, row.sought.next) = (WAIT_NEWS, now + WAIT_NEWS);
            }
        }
        Some(true)
    }

    /// Messages of which all fragments are here now; `None` for one whose fragments are not what its head says.
    pub(crate) fn take_whole(&mut self) -> Vec<(PacketId, Option<Received>)> {
        let whole = |(id, gathering): (&PacketId, &Gathering)| {
            let whole = gathering.rows.iter().all(|row| row.found.is_some());
            whole.then_some(*id)
        };
        let ids: Vec<PacketId> = self.0.iter().filter_map(whole).collect();
        let mut messages = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(gathering) = self.0.remove(&id) {
                messages.push((id, gathering.put_together()));
            }
        }
        messages
    }

    /// The tags of fragments for which nobody was asked yet.
    pub(crate) fn fresh(&self) -> Vec<Tag> {
        let rows = self.0.values().flat_map(|gathering| &gathering.rows);
        let fresh = rows.filter(|row| row.found.is_none() && row.sought.asked() == 0);
        fresh.map(|row| row.key.tag()).collect()
    }
}

impl Gathering {
    fn put_together(self) -> Option<Received> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.rows.len() * FRAGMENT_BYTES));
        let mut fragments = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let found = row.found?;
            bytes.extend_from_slice(&found.part);
            fragments.push(Fragment {
                id: found.id,
                tag: row.key.tag(),
                secret: row.key.secret().clone(),
                carriers: found.carriers,
            });
        }
        Some(Received {
            message: self.message,
            from: self.from,
            tag: self.tag,
            head: self.outline.fill(&bytes).ok()?,
            manifest: None,
            secret: self.secret,
            carriers: self.carriers,
            fragments,
        })
    }
}

#[cfg(test)]
#[path = "gatherer_tests.rs"]
mod tests;
