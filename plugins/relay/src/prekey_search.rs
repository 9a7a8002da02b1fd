//! Whose prekeys a node knows, and those that it looks for before it seals. PROTOCOL 4.5

use crate::limits::PREKEY_OWNERS_MAX;
use crate::mailbox::MailboxPublic;
use crate::packet::{Packet, PacketId, Tag, Token};
use crate::placement::{Candidate, nearest};
use crate::prekey_record::{PrekeyRecord, prekey_tokens};
use crate::seldom::{Empty, Seldom};
use crate::task::Task;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// No message waits longer for prekeys.
const SEARCH: Duration = Duration::from_secs(3);
/// A record serves for so long before a later one is looked for; that there is none, for so long.
const FRESH: Duration = Duration::from_hours(12);
const NONE_FRESH: Duration = Duration::from_mins(5);
/// Carriers asked for each tag: a record lies on 8.
const ASKED: usize = 4;
/// Packets read of one carrier: whoever has the card may put others in front. // guess
const PAGES_MAX: u8 = 32;

/// The prekeys of others, and searches for them: of at most 256.
#[derive(Component, Default)]
pub struct PrekeyBook(Seldom<BTreeMap<PeerId, Owner>>);

impl Empty for BTreeMap<PeerId, Owner> {
    const EMPTY: &'static BTreeMap<PeerId, Owner> = &BTreeMap::new();
}

struct Owner {
    mailbox: MailboxPublic,
    record: Option<PrekeyRecord>,
    /// When the last search ended.
    as_of: Option<Time>,
    search: Option<Search>,
}

struct Search {
    tokens: Vec<Token>,
    asked: BTreeSet<(Token, PeerId)>,
    open: usize,
    /// Packets read of each carrier.
    pages: BTreeMap<PeerId, u8>,
    until: Time,
}

impl PrekeyBook {
    /// The prekey of somebody's day: `Some(None)` if there is none to be found, `None` while that is not known.
    pub(crate) fn of(&self, id: &PeerId, day: u16, now: Time) -> Option<Option<[u8; 32]>> {
        let owner = self.0.get(id)?;
        let key = owner.record.as_ref().and_then(|record| record.key(day));
        let fresh = if key.is_some() { FRESH } else { NONE_FRESH };
        let is_fresh = owner.as_of.is_some_and(|as_of| now - as_of < fresh);
        (is_fresh && owner.search.is_none()).then_some(key.copied())
    }

    /// Looks for somebody's record, unless that is being done.
    pub(crate) fn search(&mut self, id: PeerId, mailbox: &MailboxPublic, day: u16, now: Time) {
        if self.0.len() >= PREKEY_OWNERS_MAX && !self.0.contains_key(&id) {
            let idle = self.0.iter().filter(|(_, owner)| owner.search.is_none());
            let oldest = idle.min_by_key(|(id, owner)| (owner.as_of, **id));
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.0.remove(&oldest);
        }
        let owner = self.0.entry(id).or_insert_with(|| Owner {
            mailbox: *mailbox,
            record: None,
            as_of: None,
            search: None,
        });
        if owner.mailbox != *mailbox {
            // A card that replaces another.
            (owner.mailbox, owner.record) = (*mailbox, None);
        }
        owner.search.get_or_insert_with(|| Search {
            tokens: prekey_tokens(mailbox, day),
            asked: BTreeSet::new(),
            open: 0,
            pages: BTreeMap::new(),
            until: now + SEARCH,
        });
    }

    /// Whether anything is looked for.
    pub(crate) fn is_searching(&self) -> bool {
        self.0.values().any(|owner| owner.search.is_some())
    }

    /// The tags under which records are looked for.
    pub(crate) fn sought(&self) -> impl Iterator<Item = Tag> {
        let searches = self.0.values().filter_map(|owner| owner.search.as_ref());
        searches.flat_map(|search| search.tokens.iter().map(Token::tag))
    }

    /// Whom to ask now; ends what has taken too long.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        if self.0.is_untouched() {
            return tasks;
        }
        for (id, owner) in self.0.iter_mut() {
            let Some(search) = &mut owner.search else {
                continue;
            };
            if now >= search.until {
                owner.end(now);
                continue;
            }
            for token in search.tokens.clone() {
                let reached = candidates.iter().filter(|carrier| may_reach(&carrier.id));
                for carrier in nearest(token.tag(), reached, ASKED) {
                    if search.asked.insert((token, carrier.id)) {
                        search.open += 1;
                        let after = PacketId([0; 16]);
                        tasks.push((
                            carrier.id,
                            Task::Prekeys {
                                of: *id,
                                token,
                                after,
                            },
                        ));
                    }
                }
            }
        }
        tasks
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let searches = self.0.values().filter_map(|owner| owner.search.as_ref());
        searches.map(|search| search.until).min()
    }

    /// What a carrier had under a tag, and how much more it has. Says after what it is to be asked again.
    pub(crate) fn found(
        &mut self,
        (of, carrier): (&PeerId, PeerId),
        found: Option<(&Packet, u16)>,
        day: u16,
        now: Time,
    ) -> Option<PacketId> {
        if self.0.is_untouched() {
            return None;
        }
        let owner = self.0.get_mut(of)?;
        let record = found.and_then(|(packet, _)| PrekeyRecord::open(packet, of, &owner.mailbox));
        if let Some(record) = record
            && owner
                .record
                .as_ref()
                .is_none_or(|known| known.made_ms < record.made_ms)
        {
            owner.record = Some(record);
        }
        let search = owner.search.as_mut()?;
        let pages = search.pages.entry(carrier).or_default();
        if let Some((packet, left)) = found
            && left > 0
            && *pages < PAGES_MAX
        {
            *pages += 1;
            return Some(packet.id());
        }
        search.open = search.open.saturating_sub(1);
        let has_key = owner
            .record
            .as_ref()
            .is_some_and(|record| record.key(day).is_some());
        if search.open == 0 || has_key {
            owner.end(now);
        }
        None
    }
}

impl Owner {
    fn end(&mut self, now: Time) {
        (self.search, self.as_of) = (None, Some(now));
    }
}
