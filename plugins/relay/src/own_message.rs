//! One message of our own, and all that is known of its copies.

use crate::packet::{DeleteSecret, Packet, PacketId};
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// So long after a restart carriers tell what they know before new copies are made.
const ASK_FIRST: Duration = Duration::from_secs(10);
/// How often a sender asks for news: an eighth of how long it has been asking, between these.
pub(crate) const ASK_MIN: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_mins(15);

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No carrier could be reached yet.
    Queued,
    /// It left for a carrier.
    Sent,
    /// So many carriers said that they keep it.
    Stored(usize),
    /// The recipient has it, and the proof is here.
    Delivered,
    /// It was kept as long as its sender asked, and nobody came.
    Expired,
}

/// How a message ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Delivered(DeleteSecret),
    Expired,
}

/// A message of our own.
#[derive(Debug)]
pub struct OwnMessage {
    pub(crate) to: PeerId,
    pub(crate) packet: Packet,
    pub(crate) created_ms: u64,
    pub(crate) end: Option<End>,
    pub(crate) stored: BTreeMap<PeerId, SocketAddr>,
    pub(crate) left: bool,
    pub(crate) depositing: BTreeSet<PeerId>,
    pub(crate) asking: BTreeSet<PeerId>,
    pub(crate) misses: BTreeMap<PeerId, u8>,
    pub(crate) avoided: BTreeMap<PeerId, Time>,
    pub(crate) asked_since: Time,
    pub(crate) look: Time,
    pub(crate) ask: Time,
}

impl OwnMessage {
    pub(crate) fn new(to: PeerId, packet: Packet, created_ms: u64, now: Time) -> Self {
        Self {
            to,
            packet,
            created_ms,
            end: None,
            stored: BTreeMap::new(),
            left: false,
            depositing: BTreeSet::new(),
            asking: BTreeSet::new(),
            misses: BTreeMap::new(),
            avoided: BTreeMap::new(),
            asked_since: now,
            look: now,
            ask: now,
        }
    }

    /// For whom it is.
    #[must_use]
    pub fn to(&self) -> PeerId {
        self.to
    }

    /// What the carriers know it by.
    #[must_use]
    pub fn packet_id(&self) -> PacketId {
        self.packet.id()
    }

    /// When it was sealed, in Unix milliseconds by our clock.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.end, self.stored.len()) {
            (Some(End::Delivered(_)), _) => State::Delivered,
            (Some(End::Expired), _) => State::Expired,
            (None, 0) if self.left => State::Sent,
            (None, 0) => State::Queued,
            (None, copies) => State::Stored(copies),
        }
    }

    /// The carriers that said they keep it, and where they are.
    #[must_use]
    pub fn stored(&self) -> &BTreeMap<PeerId, SocketAddr> {
        &self.stored
    }

    /// What the recipient showed: whoever has it has opened the packet.
    #[must_use]
    pub fn proof(&self) -> Option<&DeleteSecret> {
        match &self.end {
            Some(End::Delivered(secret)) => Some(secret),
            _ => None,
        }
    }

    /// The hash that the proof is the secret of.
    #[must_use]
    pub fn delete_hash(&self) -> [u8; 16] {
        self.packet.delete_hash()
    }

    /// Whether it was delivered or has expired.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// After a restart: what became of the copies is asked before new ones are made.
    pub(crate) fn ask_first(&mut self, now: Time) {
        if !self.stored.is_empty() {
            self.look = now + ASK_FIRST;
        }
    }

    /// Every carrier that may have a copy.
    pub(crate) fn holders(&self) -> impl Iterator<Item = PeerId> {
        self.stored.keys().chain(&self.depositing).copied()
    }

    /// How long until it asks for news again.
    pub(crate) fn ask_wait(&self, now: Time) -> Duration {
        ((now - self.asked_since) / 8).clamp(ASK_MIN, ASK_MAX)
    }
}
