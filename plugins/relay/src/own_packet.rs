//! One packet of an own message, and all that is known of its copies.

use crate::packet::{DeleteSecret, Packet};
use crate::placement::{Candidate, place};
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// While copies are missing, a message is looked at after an eighth of the time that it has been missing them, at least this;
const LOOK: Duration = Duration::from_millis(500);
/// and at most this, as when all are placed: carriers come and go.
const LOOK_PLACED: Duration = Duration::from_secs(30);

/// How many of those who have a copy are asked at a time.
const ASKED_AT_ONCE: usize = 2;

/// One of an own message's packets.
#[derive(Debug)]
pub(crate) struct OwnPacket {
    pub(crate) packet: Packet,
    /// Of a fragment, what ends it: once the head is proved to have arrived, nobody needs the copies.
    pub(crate) secret: Option<DeleteSecret>,
    /// The recipient has it.
    pub(crate) ended: bool,
    pub(crate) stored: BTreeMap<PeerId, SocketAddr>,
    pub(crate) depositing: BTreeSet<PeerId>,
    pub(crate) asking: BTreeSet<PeerId>,
    pub(crate) misses: BTreeMap<PeerId, u8>,
    /// May have a copy: they were given one and have not answered, or have not lately.
    pub(crate) doubtful: BTreeSet<PeerId>,
    pub(crate) avoided: BTreeMap<PeerId, Time>,
    pub(crate) look: Time,
    pub(crate) ask: Time,
    /// Of those who have a copy, whose turn it is to be asked; none: all are.
    pub(crate) turn: Option<usize>,
}

impl OwnPacket {
    pub(crate) fn new(packet: Packet, now: Time) -> Self {
        Self {
            packet,
            secret: None,
            ended: false,
            stored: BTreeMap::new(),
            depositing: BTreeSet::new(),
            asking: BTreeSet::new(),
            misses: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            avoided: BTreeMap::new(),
            look: now,
            ask: now,
            turn: Some(0),
        }
    }

    /// Who is asked now. Each of them hears of its end, so that a few are enough, by turns.
    pub(crate) fn in_turn(&mut self) -> Vec<PeerId> {
        let all = self.stored.len();
        let (from, count) = match self.turn {
            Some(turn) => (turn % all.max(1), ASKED_AT_ONCE.min(all)),
            None => (0, all),
        };
        self.turn = Some(from + count);
        let holders = self.stored.keys().cycle().skip(from);
        holders.take(count).copied().collect()
    }

    /// Who is to be given a copy now.
    pub(crate) fn place(
        &mut self,
        now: Time,
        asked_since: Time,
        places: usize,
        candidates: &[Candidate],
        may_reach: impl Fn(&PeerId) -> bool,
    ) -> Vec<PeerId> {
        self.avoided.retain(|_, until| now < *until);
        let usable = |candidate: &&Candidate| {
            may_reach(&candidate.id) && !self.avoided.contains_key(&candidate.id)
        };
        let placed = place(self.packet.tag(), candidates.iter().filter(usable), places);
        let mut missing = placed.len() < places;
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

    /// Who has a copy, or may have one.
    pub(crate) fn holders(&self) -> impl Iterator<Item = PeerId> {
        let sure = self.stored.keys().chain(&self.depositing);
        sure.chain(&self.doubtful).copied()
    }

    pub(crate) fn lost(&mut self, carrier: PeerId, now: Time) {
        if self.stored.remove(&carrier).is_some() {
            self.look = now;
        }
    }
}
