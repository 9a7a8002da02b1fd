//! The carriers that a node knows, as placement sees them: those of its address book, and those that look-ups found.

use crate::limits::{ASKED, LOOK_UP_KNOWN_MIN, SEEN_UP};
use crate::look_up::{LookUps, Target};
use crate::packet::Tag;
use crate::placement::Candidate;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::change_detection::Tick;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::{AddressBook, PeerId, PeerRow};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The address book notes every word of a peer, and is not read again for each.
const READ_AGAIN: Duration = Duration::from_millis(250);
/// How often it is seen what there is to look up.
const WANT_AGAIN: Duration = Duration::from_millis(200);
/// Who knows few carriers looks this often for others, twice as long after each time that found nobody.
const PROBE_WAIT_FIRST: Duration = Duration::from_secs(15);
const PROBE_WAIT_MAX: Duration = Duration::from_hours(2);

/// On a node: the carriers that it knows. Empty unless the node has work of its own.
#[derive(Component, Default)]
pub struct Carriers(Option<Box<Known>>);

#[derive(Default)]
struct Known {
    list: Arc<[Candidate]>,
    as_of: Time,
    book: Option<Tick>,
    look_ups: LookUps,
    /// When it is next seen what there is to look up.
    want: Time,
    /// Look-ups found carriers that the address book does not have.
    beyond: bool,
    /// How often one thing was looked up to see whether there are such; when again, and how long after that.
    probes: usize,
    probe: Time,
    probe_wait: Duration,
}

impl Known {
    /// Whether there are, or may be, more carriers than the address book has.
    fn may_be_more(&self) -> bool {
        self.beyond || self.list.len() >= LOOK_UP_KNOWN_MIN
    }

    /// What to look up of what is wanted: all, or one after another to see whether that finds anybody.
    // PROTOCOL 3.13
    fn choose<T>(&mut self, wanted: impl IntoIterator<Item = T>, now: Time) -> Vec<T> {
        let mut wanted: Vec<T> = wanted.into_iter().collect();
        if self.may_be_more() {
            self.probe_wait = Duration::ZERO;
            return wanted;
        }
        if wanted.is_empty() {
            return wanted;
        }
        self.probe_wait = (self.probe_wait * 2).clamp(PROBE_WAIT_FIRST, PROBE_WAIT_MAX);
        self.probe = now + self.probe_wait;
        self.probes += 1;
        vec![wanted.swap_remove(self.probes % wanted.len())]
    }
}

impl Carriers {
    /// All of them, by id.
    #[must_use]
    pub fn list(&self) -> &[Candidate] {
        self.0.as_ref().map_or(&[], |known| &known.list)
    }

    /// The same, to keep: it is another one only if other carriers are known.
    pub(crate) fn shared(&self) -> Arc<[Candidate]> {
        let known = self.0.as_ref();
        known.map_or_else(Arc::default, |known| known.list.clone())
    }

    /// Where a carrier is.
    #[must_use]
    pub fn address(&self, id: &PeerId) -> Option<SocketAddr> {
        let known = self.0.as_ref()?;
        let listed = known
            .list
            .binary_search_by_key(id, |candidate| candidate.id);
        match listed {
            Ok(at) => Some(known.list[at].address),
            // Who was found in this turn is asked in this turn, before there is a list with it.
            Err(_) => known.look_ups.address(id),
        }
    }

    /// Reads the address book again if it changed, or others were found. Says whether there are other carriers than before.
    pub(crate) fn look(&mut self, me: PeerId, book: &Ref<AddressBook>, now: Time) -> bool {
        let known = self.0.get_or_insert_default();
        if now - known.as_of < READ_AGAIN && !known.list.is_empty() {
            return false; // News waits too.
        }
        if !known.look_ups.take_news() && known.book == Some(book.last_changed()) {
            return false;
        }
        let carriers = || {
            let all = book.entries();
            all.filter(|peer| peer.about.carries() && peer.id != me)
        };
        // PROTOCOL 3.6
        let unmetered = carriers().filter(|peer| !peer.about.metered());
        let enough = unmetered.take(ASKED).count() == ASKED;
        let carriers = carriers().filter(|peer| !enough || !peer.about.metered());
        let position = |id: &PeerId| {
            let before = known
                .list
                .binary_search_by_key(id, |candidate| candidate.id);
            before.map_or_else(|_| id.position(), |at| known.list[at].position)
        };
        let candidate = |peer: dunlin_net::KnownPeer| Candidate {
            id: peer.id,
            position: position(&peer.id),
            address: peer.address,
            eligible: !peer.about.metered() && u128::from(peer.seen_up_ms()) >= SEEN_UP.as_millis(),
        };
        let mut list: Vec<Candidate> = carriers.map(candidate).collect();
        list.sort_by_key(|candidate| candidate.id);
        // Where it is we know ourselves; that it was up, whoever saw it.
        // PROTOCOL 3.13
        let mut others = Vec::new();
        for found in known.look_ups.found(now) {
            match list.binary_search_by_key(&found.id, |candidate| candidate.id) {
                Ok(at) => list[at].eligible |= found.eligible,
                Err(_) => others.push(found.clone()),
            }
        }
        known.beyond = !others.is_empty();
        list.extend(others);
        list.sort_by_key(|candidate| candidate.id);
        (known.as_of, known.book) = (now, Some(book.last_changed()));
        let changed = list[..] != known.list[..];
        if changed {
            known.list = list.into();
        }
        changed
    }

    /// Whom to ask for nearer carriers, for the tags that `wanted` gives when it is time to see to that.
    pub(crate) fn look_up<T: IntoIterator<Item = (Tag, Topic, Duration)>>(
        &mut self,
        wanted: impl FnOnce() -> T,
        may_reach: impl Fn(&PeerId) -> bool,
        now: Time,
    ) -> Vec<(PeerId, Task)> {
        let Some(known) = &mut self.0 else {
            return Vec::new();
        };
        let looks = known.may_be_more() || now >= known.probe;
        if looks && now >= known.want && !known.list.is_empty() {
            known.want = now + WANT_AGAIN;
            let chosen = known.choose(wanted(), now);
            known.look_ups.want(chosen, &known.list, now);
        }
        known.look_ups.poll(now, may_reach)
    }

    /// What came of a question for nearer carriers.
    pub(crate) fn looked_up(
        &mut self,
        me: PeerId,
        carrier: &PeerId,
        target: Target,
        rows: Option<&[PeerRow]>,
        now: Time,
    ) {
        let teller = (*carrier, self.address(carrier));
        if let Some(known) = &mut self.0 {
            let list = &known.list;
            // To check an id takes a scalar multiplication; those that we know were checked.
            let checked = |id: &[u8; 32]| {
                let here = list.binary_search_by(|candidate| candidate.id.as_bytes().cmp(id));
                let id = match here {
                    Ok(at) => list[at].id,
                    Err(_) => PeerId::from_bytes(*id).ok()?,
                };
                (id != me).then_some(id)
            };
            known.look_ups.ended(teller, target, rows, checked, now);
        }
    }

    /// When [`look_up`](Self::look_up) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.0.as_ref()?.look_ups.next_due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOOK_UP_LIFE;
    use crate::neighbours::tests::carrier;
    use dunlin_net::About;

    const ME: u64 = 9_999;

    fn known(count: u64) -> Carriers {
        let mut list: Vec<Candidate> = (0..count).map(carrier).collect();
        list.sort_by_key(|candidate| candidate.id);
        let known = Known {
            list: list.into(),
            ..Known::default()
        };
        Carriers(Some(Box::new(known)))
    }

    fn row(candidate: &Candidate) -> PeerRow {
        PeerRow {
            id: *candidate.id.as_bytes(),
            address: candidate.address,
            about: About::CARRIES,
            minutes_silent: 0,
            minutes_up: 60,
        }
    }

    /// Else all who know one small network would ask all of it about everything, for ever.
    // PROTOCOL 3.13
    #[test]
    fn who_knows_few_carriers_looks_less_and_less_often_whether_there_are_others() {
        let mut carriers = known(20);
        let tags: Vec<Tag> = (0..30).map(|n| Tag(carrier(700 + n).position)).collect();
        let me = carrier(ME).id;
        let mut tried = Vec::new();
        for n in 0..20_000 {
            let now = Time::ZERO + Duration::from_secs(n);
            let wanted = || tags.iter().map(|tag| (*tag, Topic::Mailbox, LOOK_UP_LIFE));
            for (id, task) in carriers.look_up(wanted, |_| true, now) {
                let Task::Find { target, .. } = task else {
                    panic!("{task:?}");
                };
                if tried.last().is_none_or(|(last, _)| *last != target) {
                    tried.push((target, n));
                }
                carriers.looked_up(me, &id, target, Some(&[]), now);
            }
        }
        let at: Vec<u64> = tried.iter().map(|(_, n)| *n).collect();
        assert_eq!(
            at,
            [0, 15, 45, 105, 225, 465, 945, 1_905, 3_825, 7_665, 14_865]
        );
    }

    /// One look-up, of which the first who is asked tells of one nearer; gives that one, and the target.
    fn told_of_one(carriers: &mut Carriers) -> (Candidate, Target) {
        let found = carrier(500);
        let tag = Tag(found.position);
        let target = crate::look_up::target(tag);
        let asked = carriers.look_up(
            || [(tag, Topic::Mailbox, LOOK_UP_LIFE)],
            |_| true,
            Time::ZERO,
        );
        let rows = [row(&found)];
        let me = carrier(ME).id;
        for (n, (id, _)) in asked.iter().enumerate() {
            let told = if n == 0 { &rows[..] } else { &[] };
            carriers.looked_up(me, id, target, Some(told), Time::ZERO);
        }
        (found, target)
    }

    /// In the turn in which it is told of, before the address book is read again.
    // PROTOCOL 3.13
    #[test]
    fn who_was_found_can_be_dialled_at_once() {
        let mut carriers = known(100);
        let (found, _) = told_of_one(&mut carriers);
        let asked = carriers.look_up(Vec::new, |_| true, Time::ZERO);
        assert!(asked.iter().any(|(id, _)| *id == found.id));
        for (id, _) in asked {
            assert!(
                carriers.address(&id).is_some(),
                "{id} is asked, and nobody knows where it is"
            );
        }
    }

    /// Whatever became of it meanwhile: else its look-up would never end, and keep its place and its tag for ever.
    // PROTOCOL 3.13
    #[test]
    fn a_look_up_ends_whoever_of_those_it_found_is_not_there() {
        let mut carriers = known(100);
        let (found, target) = told_of_one(&mut carriers);
        let me = carrier(ME).id;
        let mut open: Vec<PeerId> = Vec::new();
        for n in 0..400 {
            let now = Time::ZERO + Duration::from_secs(n);
            open.extend(
                carriers
                    .look_up(Vec::new, |_| true, now)
                    .into_iter()
                    .map(|asked| asked.0),
            );
            for id in std::mem::take(&mut open) {
                let rows = (id != found.id).then_some(&[][..]);
                carriers.looked_up(me, &id, target, rows, now);
            }
        }
        let again = || [(Tag(found.position), Topic::Mailbox, LOOK_UP_LIFE)];
        let later = Time::ZERO + Duration::from_secs(400) + LOOK_UP_LIFE;
        assert!(
            !carriers.look_up(again, |_| true, later).is_empty(),
            "the first never ended"
        );
    }
}
