//! Who carries nearest to a tag, where there are more carriers than one node knows: asked of carriers, nearer and nearer ones. PROTOCOL 3.13
//!
//! Pure state: time, answers and what is known come in, questions go out.

use crate::limits::{
    FOUND_KEPT_MAX, FOUND_LIFE, LOOK_UP_ASKED_MAX, LOOK_UP_AT_ONCE, LOOK_UP_FAILURES_MAX,
    LOOK_UP_ROWS_MAX, LOOK_UPS_MAX, PLACES, SEEN_UP,
};
use crate::packet::Tag;
use crate::placement::{Candidate, distance, nearest};
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_net::{PeerId, PeerRow, Prefix};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Who takes longer to answer is waited for no longer before the next is asked.
const PROMPT: Duration = Duration::from_millis(1_500);

/// The first four bytes of a tag: all that is shown of it.
pub(crate) type Target = [u8; 4];

/// What of a tag is looked up.
pub(crate) fn target(tag: Tag) -> Target {
    let [a, b, c, d, ..] = tag.0;
    [a, b, c, d]
}

/// The first tag that begins so.
pub(crate) fn nearly(target: Target) -> [u8; 16] {
    let mut tag = [0; 16];
    tag[..4].copy_from_slice(&target);
    tag
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Fresh,
    Asked(Time),
    Answered,
    Failed,
}

struct Row {
    id: PeerId,
    prefix: Prefix,
    step: Step,
    /// Who told of it.
    source: Option<PeerId>,
}

struct Search {
    topic: Topic,
    /// How long what comes of it holds.
    life: Duration,
    rows: BTreeMap<u128, Row>,
    /// How many of those that somebody told of were not there.
    failures: BTreeMap<PeerId, usize>,
    asked: usize,
    /// When there is something to do next, apart from answers.
    due: Option<Time>,
}

impl Search {
    /// The nearest that count: those that did not fail, one of each prefix; where these are too few the nearest of the others.
    // PROTOCOL 3.6
    fn nearest(&self) -> Vec<u128> {
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(PLACES);
        let (mut first, mut others) = (Vec::with_capacity(PLACES), Vec::new());
        for (distance, row) in &self.rows {
            if row.step == Step::Failed {
                continue;
            }
            if prefixes.contains(&row.prefix) {
                others.push(*distance);
                continue;
            }
            prefixes.push(row.prefix);
            first.push(*distance);
            if first.len() == PLACES {
                return first;
            }
        }
        others.truncate(PLACES - first.len());
        first.extend(others);
        first
    }

    /// Whom to ask now. `None` once the look-up is over.
    fn poll(&mut self, now: Time, may_reach: impl Fn(&PeerId) -> bool) -> Option<Vec<PeerId>> {
        let mut asked = Vec::new();
        let mut nearest = self.nearest();
        let waits = |row: &Row| matches!(row.step, Step::Asked(at) if now - at < PROMPT);
        let waiting = nearest.iter().filter(|key| waits(&self.rows[key])).count();
        let mut free = LOOK_UP_AT_ONCE.saturating_sub(waiting);
        while free > 0 && self.asked < LOOK_UP_ASKED_MAX {
            let mut fresh = nearest.iter().filter_map(|key| {
                let row = self.rows.get(key)?;
                (row.step == Step::Fresh).then_some((*key, row.id))
            });
            let Some((key, id)) = fresh.next() else {
                break;
            };
            let there = may_reach(&id);
            if let Some(row) = self.rows.get_mut(&key) {
                row.step = if there {
                    Step::Asked(now)
                } else {
                    Step::Failed
                };
            }
            if there {
                asked.push(id);
                self.asked += 1;
                free -= 1;
            } else {
                nearest = self.nearest();
            }
        }
        let spent = self.asked >= LOOK_UP_ASKED_MAX;
        let over = nearest.iter().all(|key| match self.rows[key].step {
            Step::Fresh => spent,
            Step::Asked(_) => false,
            Step::Answered | Step::Failed => true,
        });
        let prompt = self.rows.values().filter_map(|row| match row.step {
            Step::Asked(at) => Some(at + PROMPT),
            _ => None,
        });
        self.due = prompt.filter(|due| *due > now).min();
        (!over).then_some(asked)
    }
}

/// A node's look-ups, and whom they found. At most 64 at once, and 512 carriers found.
#[derive(Default)]
pub(crate) struct LookUps {
    searches: BTreeMap<Target, Search>,
    /// What was looked up, and until when that holds.
    over: BTreeMap<Target, Time>,
    found: BTreeMap<PeerId, (Candidate, Time)>,
    /// Whether others were found since that was last asked.
    news: bool,
}

impl LookUps {
    /// Begins to look for those of these tags that were not looked up lately: what comes of it holds for as long as is said with each.
    // PROTOCOL 3.13
    pub(crate) fn want(
        &mut self,
        tags: impl IntoIterator<Item = (Tag, Topic, Duration)>,
        known: &[Candidate],
        now: Time,
    ) {
        self.over.retain(|_, until| now < *until);
        for (tag, topic, life) in tags {
            let target = target(tag);
            if self.searches.len() >= LOOK_UPS_MAX {
                return;
            }
            if self.over.contains_key(&target) || self.searches.contains_key(&target) {
                continue;
            }
            let mut search = Search {
                topic,
                life,
                rows: BTreeMap::new(),
                failures: BTreeMap::new(),
                asked: 0,
                due: Some(now),
            };
            for candidate in nearest(Tag(nearly(target)), known, LOOK_UP_ROWS_MAX) {
                add(&mut search, target, candidate, None);
            }
            self.searches.insert(target, search);
        }
    }

    /// Whom to ask now.
    // PROTOCOL 3.13
    pub(crate) fn poll(
        &mut self,
        now: Time,
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Task)> {
        let mut tasks = Vec::new();
        let over = |target: &Target, search: &mut Search| {
            if search.due.is_none_or(|due| now < due) {
                return false;
            }
            let (target, topic) = (*target, search.topic);
            let Some(asked) = search.poll(now, &may_reach) else {
                return true;
            };
            tasks.extend(
                asked
                    .into_iter()
                    .map(|id| (id, Task::Find { target, topic })),
            );
            false
        };
        let over = self.searches.extract_if(.., over);
        self.over
            .extend(over.map(|(target, search)| (target, now + search.life)));
        tasks
    }

    /// What a carrier answered, if it could be reached; without its address it is not believed. `position` is where each is in the key space, `checked` an id that is one.
    // PROTOCOL 3.13
    pub(crate) fn ended(
        &mut self,
        (carrier, address): (PeerId, Option<SocketAddr>),
        target: Target,
        rows: Option<&[PeerRow]>,
        checked: impl Fn(&[u8; 32]) -> Option<PeerId>,
        now: Time,
    ) {
        if rows.is_none() {
            self.news |= self.found.remove(&carrier).is_some();
        }
        let Some(search) = self.searches.get_mut(&target) else {
            return;
        };
        let mut all = search.rows.values_mut();
        let Some(row) = all.find(|row| row.id == carrier) else {
            return;
        };
        search.due = Some(now);
        row.step = if rows.is_some() {
            Step::Answered
        } else {
            Step::Failed
        };
        if let (None, Some(source)) = (rows, row.source) {
            let failures = search.failures.entry(source).or_default();
            *failures += 1;
            if *failures == LOOK_UP_FAILURES_MAX {
                // Whoever tells of so many that are not there makes them up.
                search
                    .rows
                    .retain(|_, row| row.source != Some(source) || row.step != Step::Fresh);
            }
        }
        let believed = search
            .failures
            .get(&carrier)
            .is_none_or(|n| *n < LOOK_UP_FAILURES_MAX);
        let told = rows
            .unwrap_or_default()
            .iter()
            .filter(|row| believed && address.is_some_and(|from| is_useful(row, from)));
        for row in told {
            let Some(id) = checked(&row.id) else {
                continue;
            };
            let candidate = Candidate {
                id,
                position: id.position(),
                address: row.address,
                eligible: u64::from(row.minutes_up) * 60 >= SEEN_UP.as_secs(),
            };
            let fresh = add(search, target, &candidate, Some(carrier));
            match self.found.get_mut(&id).filter(|(_, until)| now < *until) {
                // Hearsay moves nobody who was not seen to be gone.
                Some((known, _)) if known.address != candidate.address => {}
                Some((known, until)) => {
                    *until = now + FOUND_LIFE;
                    self.news |= fresh && *known != candidate;
                    if fresh {
                        *known = candidate;
                    }
                }
                None if fresh => {
                    self.news = true;
                    self.found.insert(id, (candidate, now + FOUND_LIFE));
                }
                None => {}
            }
        }
        while self.found.len() > FOUND_KEPT_MAX {
            let first = self
                .found
                .iter()
                .min_by_key(|(id, (_, until))| (*until, **id));
            let Some(id) = first.map(|(id, _)| *id) else {
                break;
            };
            self.found.remove(&id);
        }
    }

    /// Those that were found, and are not too long ago to count.
    pub(crate) fn found(&self, now: Time) -> impl Iterator<Item = &Candidate> {
        let lately = self.found.values().filter(move |(_, until)| now < *until);
        lately.map(|(candidate, _)| candidate)
    }

    /// Where one of them is.
    pub(crate) fn address(&self, id: &PeerId) -> Option<SocketAddr> {
        self.found.get(id).map(|(candidate, _)| candidate.address)
    }

    /// Whether that changed since this was last asked.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// When [`poll`](Self::poll) has something to do next, apart from answers.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.searches.values().filter_map(|search| search.due).min()
    }
}

/// A row that can be one of those where a packet belongs, and that its teller can have meant for us.
fn is_useful(row: &PeerRow, teller: SocketAddr) -> bool {
    row.about.carries() && !row.about.metered() && row.is_meant(teller)
}

/// Notes one for a search; the farthest make room, of whichever prefix has most. `false` if it is one of those, or known already.
fn add(search: &mut Search, target: Target, candidate: &Candidate, source: Option<PeerId>) -> bool {
    let distance = distance(&nearly(target), &candidate.position);
    if search.rows.contains_key(&distance) {
        return false;
    }
    let row = Row {
        id: candidate.id,
        prefix: Prefix::of(candidate.address),
        step: Step::Fresh,
        source,
    };
    search.rows.insert(distance, row);
    if search.rows.len() <= LOOK_UP_ROWS_MAX {
        return true;
    }
    let mut crowds: BTreeMap<Prefix, usize> = BTreeMap::new();
    for row in search.rows.values() {
        *crowds.entry(row.prefix).or_default() += 1;
    }
    let rows = search.rows.iter();
    let last = rows.max_by_key(|(distance, row)| (crowds[&row.prefix], **distance));
    let Some(last) = last.map(|(distance, _)| *distance) else {
        return true;
    };
    search.rows.remove(&last);
    last != distance
}

#[cfg(test)]
#[path = "look_up_tests.rs"]
mod tests;
