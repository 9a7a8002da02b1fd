//! One message of our own, and all that is known of its copies.

use crate::life::expiry_ms;
use crate::own_packet::OwnPacket;
use crate::packet::{DeleteSecret, MessageId, PacketId, Tag};
use crate::room::RoomId;
use crate::seal::Sealed;
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// So long after a restart carriers tell what they know before new copies are made.
const ASK_FIRST: Duration = Duration::from_secs(10);
/// How often a sender asks for news: an eighth of how long it has been asking, between these.
pub(crate) const ASK_MIN: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_mins(15);
/// Within this all fragments of a message leave.
const SPREAD: Duration = Duration::from_secs(3);
/// A message of 64 fragments would else ask 512 questions a second.
const ASK_FRAGMENT_MIN: Duration = Duration::from_mins(2);

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

/// What a message is to larger content. PROTOCOL 3.9
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Nothing: it is a message by itself.
    None,
    /// The manifest of so many parts.
    Manifest { parts: u16 },
    /// Part `number` of the content with this manifest.
    Part { of: MessageId, number: u16 },
    /// No message at all: a record of prekeys.
    Record,
}

/// A message of our own.
#[derive(Debug)]
pub struct OwnMessage {
    pub(crate) piece: Piece,
    /// A part that does not leave yet: others of its content do.
    pub(crate) waits: bool,
    pub(crate) to: PeerId,
    /// If it is to a room. It is never delivered, and its author has what ends each of its packets.
    pub(crate) room: Option<RoomId>,
    pub(crate) created_ms: u64,
    pub(crate) end: Option<End>,
    pub(crate) left: bool,
    pub(crate) asked_since: Time,
    /// The head, and its fragments if there are any.
    pub(crate) parts: Vec<OwnPacket>,
}

impl OwnMessage {
    /// `parts`: the head, then the fragments.
    pub(crate) fn new(to: PeerId, parts: Vec<OwnPacket>, created_ms: u64, now: Time) -> Self {
        Self {
            piece: Piece::None,
            waits: false,
            to,
            room: None,
            created_ms,
            end: None,
            left: false,
            asked_since: now,
            parts,
        }
    }

    /// What was sealed just now.
    pub(crate) fn of(to: PeerId, sealed: Sealed, created_ms: u64, now: Time) -> Self {
        let head = OwnPacket::new(sealed.packet, now);
        let fragments = sealed.fragments.into_iter();
        let fragments = fragments.map(|(packet, secret)| OwnPacket {
            secret: Some(secret),
            ..OwnPacket::new(packet, now)
        });
        let parts = std::iter::once(head).chain(fragments).collect();
        let mut message = Self::new(to, parts, created_ms, now);
        message.spread(sealed.message, now);
        message
    }

    /// Fragments leave at random within a few seconds: a carrier that gets two of them is not to know them by the time. Its chance comes from what only
    /// sender and recipient know.
    // PROTOCOL 4.7
    fn spread(&mut self, secret: MessageId, now: Time) {
        for part in &mut self.parts[1..] {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&secret.0).update(&part.packet.id().0);
            let drawn = u16::from_le_bytes(
                *hasher
                    .finalize()
                    .as_bytes()
                    .first_chunk()
                    .unwrap_or(&[0; 2]),
            );
            part.look = now + SPREAD * u32::from(drawn) / (1 << 16);
        }
    }

    /// The same, to a room; its author stands for whom it is to.
    pub(crate) fn to_room(
        author: PeerId,
        room: RoomId,
        parts: Vec<OwnPacket>,
        created_ms: u64,
        now: Time,
    ) -> Self {
        Self {
            room: Some(room),
            ..Self::new(author, parts, created_ms, now)
        }
    }

    /// There is always one.
    pub(crate) fn head(&self) -> &OwnPacket {
        &self.parts[0]
    }

    /// Its packets together, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.packet.bytes().len())
            .sum()
    }

    pub(crate) fn part_mut(&mut self, packet: PacketId) -> Option<&mut OwnPacket> {
        self.parts
            .iter_mut()
            .find(|part| part.packet.id() == packet)
    }

    /// How many packets it is: its head, and its fragments if it has any.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.parts.len()
    }

    /// How many of them lie with somebody, or have arrived.
    #[must_use]
    pub fn packets_stored(&self) -> usize {
        let kept = |part: &&OwnPacket| part.ended || !part.stored.is_empty();
        self.parts.iter().filter(kept).count()
    }

    /// The room that it was written to, if it was one.
    #[must_use]
    pub fn room(&self) -> Option<RoomId> {
        self.room
    }

    /// For whom it is; of a message to a room, who wrote it.
    #[must_use]
    pub fn to(&self) -> PeerId {
        self.to
    }

    /// What the carriers know it by.
    #[must_use]
    pub fn packet_id(&self) -> PacketId {
        self.head().packet.id()
    }

    /// When it was sealed, in Unix milliseconds by our clock.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// On how many carriers each of its packets is at least: of what is in pieces the weakest counts.
    pub(crate) fn copies(&self) -> usize {
        let open = self.parts.iter().filter(|part| !part.ended);
        open.map(|part| part.stored.len()).min().unwrap_or(0)
    }

    /// Where it stands; of larger content, its manifest alone.
    #[must_use]
    pub fn state(&self) -> State {
        self.state_with(self.copies())
    }

    /// Where it stands with so many copies.
    pub(crate) fn state_with(&self, copies: usize) -> State {
        match (&self.end, copies) {
            (Some(End::Delivered(_)), _) => State::Delivered,
            (Some(End::Expired), _) => State::Expired,
            (None, 0) if self.left => State::Sent,
            (None, 0) => State::Queued,
            (None, copies) => State::Stored(copies),
        }
    }

    /// Whether somebody wrote it, and it is told of.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self.piece, Piece::None | Piece::Manifest { .. })
    }

    /// Whether it is part of larger content.
    #[must_use]
    pub fn is_part(&self) -> bool {
        matches!(self.piece, Piece::Part { .. })
    }

    /// The carriers that said they keep it (of a message in fragments: its head), and where they are.
    #[must_use]
    pub fn stored(&self) -> &BTreeMap<PeerId, SocketAddr> {
        &self.head().stored
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
        self.head().packet.delete_hash()
    }

    /// When it expires, in Unix milliseconds by our clock.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        let packet = &self.head().packet;
        expiry_ms(packet.day(), packet.expiry_hours())
    }

    /// Whether it was delivered or has expired.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// When something is next due for it, if it is under way.
    pub(crate) fn next_due(&self) -> Time {
        let open = self.parts.iter().filter(|part| !part.ended && !self.waits);
        let due = open.map(|part| part.look.min(part.ask));
        due.min().unwrap_or(Time(u64::MAX))
    }

    /// It is the turn of this part.
    pub(crate) fn leave(&mut self, now: Time) {
        (self.waits, self.asked_since) = (false, now);
        for part in &mut self.parts {
            (part.look, part.ask) = (now, now);
        }
    }

    /// After a restart: what became of the copies is asked before new ones are made.
    pub(crate) fn ask_first(&mut self, now: Time) {
        for part in &mut self.parts {
            if !part.stored.is_empty() {
                part.look = now + ASK_FIRST;
                part.turn = None;
            }
        }
    }

    /// What ends each of its packets once the recipient has shown `proof`, and who may have copies.
    pub(crate) fn ends(
        &self,
        proof: &DeleteSecret,
    ) -> impl Iterator<Item = (PacketId, Tag, DeleteSecret, impl Iterator<Item = PeerId>)> {
        self.parts.iter().map(move |part| {
            let secret = part.secret.as_ref().unwrap_or(proof).clone();
            (part.packet.id(), part.packet.tag(), secret, part.holders())
        })
    }

    /// How long until it asks for news again: of the head, which tells whether the message arrived, or of a fragment, of which only
    /// carriers that lost it are of interest.
    pub(crate) fn ask_wait(&self, of_head: bool, now: Time) -> Duration {
        let least = if of_head { ASK_MIN } else { ASK_FRAGMENT_MIN };
        ((now - self.asked_since) / 8).clamp(least, ASK_MAX)
    }
}
