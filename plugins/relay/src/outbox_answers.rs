//! What carriers say of own messages: that they keep them, or not, or that they have arrived.

use crate::answers::{Known, Outcome};
use crate::frames::Frame;
use crate::limits::WORK_BITS_MAX;
use crate::outbox::{Outbox, open_mut, standing};
use crate::own_message::{ASK_MIN, End, Piece};
use crate::packet::{MessageId, PacketId};
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::net::SocketAddr;
use std::time::Duration;

/// A carrier that refused is asked again after this.
const REFUSED_WAIT: Duration = Duration::from_mins(1);
/// Questions in a row that did not reach a carrier after which its copy no longer counts.
const MISSES_MAX: u8 = 3;

/// Whether a carrier's word was true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Good,
    Forged,
}

impl Outbox {
    /// What came of the deposit of one of its packets. Says when the carrier is to be asked what it knows: it claims that the packet was
    /// ended.
    pub(crate) fn deposited(
        &mut self,
        id: MessageId,
        packet: PacketId,
        carrier: PeerId,
        address: Option<SocketAddr>,
        answer: Option<Frame>,
        now: Time,
    ) -> Option<Task> {
        let message = open_mut(&mut self.0.messages, id)?;
        let before = standing(message);
        let is_part = message.is_part();
        // A record comes again tomorrow: it is not to take the place of what else this device has left with a carrier.
        let works = message.piece != Piece::Record;
        let part = message.part_mut(packet)?;
        let topic = Topic::under(part.packet.tag(), is_part);
        part.depositing.remove(&carrier);
        match answer {
            Some(Frame::Deposited { id: theirs, .. }) if theirs != packet => {
                part.avoided.insert(carrier, now + REFUSED_WAIT);
            }
            Some(Frame::Deposited {
                outcome: Outcome::Stored | Outcome::WasThere,
                ..
            }) => {
                part.doubtful.remove(&carrier);
                if let Some(address) = address
                    && part.stored.insert(carrier, address).is_none()
                {
                    part.ask = part.ask.min(now + ASK_MIN);
                    self.note_state(id, before);
                }
            }
            Some(Frame::Deposited {
                outcome: Outcome::WasEnded,
                ..
            }) => {
                // If it cannot show the secret, it is passed over for a while.
                part.avoided.insert(carrier, now + REFUSED_WAIT);
                if part.asking.insert(carrier) {
                    let (message, id) = (id, packet);
                    return Some(Task::Ask { message, id, topic });
                }
            }
            Some(Frame::Refused { price, .. })
                if works && price > part.packet.work() && price <= WORK_BITS_MAX =>
            {
                part.packet = part.packet.worked(price);
                part.look = now;
            }
            Some(_) => {
                part.avoided.insert(carrier, now + REFUSED_WAIT);
                part.look = now;
            }
            None => part.look = now,
        }
        None
    }

    /// A deposit was sent and not answered: it may have arrived.
    pub(crate) fn doubt(&mut self, id: MessageId, packet: PacketId, carrier: PeerId) {
        let message = open_mut(&mut self.0.messages, id);
        if let Some(part) = message.and_then(|message| message.part_mut(packet)) {
            part.doubtful.insert(carrier);
        }
    }

    /// What a carrier said that it knows of a packet, if it could be reached.
    // PROTOCOL 4.3
    pub(crate) fn answered(
        &mut self,
        id: MessageId,
        packet: PacketId,
        carrier: PeerId,
        answer: Option<Frame>,
        now: Time,
    ) -> Word {
        let Some(message) = open_mut(&mut self.0.messages, id) else {
            return Word::Good;
        };
        let before = standing(message);
        let is_head = message.packet_id() == packet;
        let Some(part) = message.part_mut(packet) else {
            return Word::Good;
        };
        part.asking.remove(&carrier);
        let known = match answer {
            Some(Frame::Answer {
                id: theirs, known, ..
            }) if theirs == packet => known,
            Some(_) => return Word::Good,
            None => {
                let misses = part.misses.entry(carrier).or_default();
                *misses += 1;
                if *misses >= MISSES_MAX {
                    part.misses.remove(&carrier);
                    part.doubtful.insert(carrier);
                    part.lost(carrier, now);
                }
                self.note_state(id, before);
                return Word::Good;
            }
        };
        part.misses.remove(&carrier);
        let (mut word, mut arrived) = (Word::Good, false);
        match known {
            Known::Kept => {}
            Known::Unknown => part.lost(carrier, now),
            // The recipient shows the head's last.
            Known::Ended(secret) if secret.ends(&part.packet.delete_hash()) => {
                part.ended = true;
                if is_head {
                    message.end = Some(match message.room {
                        None => End::Delivered(secret),
                        Some(_) => End::Expired, // Its author deleted it: nobody else has this secret.
                    });
                    arrived = true;
                }
            }
            Known::Ended(_) => {
                part.avoided.insert(carrier, now + REFUSED_WAIT);
                part.lost(carrier, now);
                word = Word::Forged;
            }
        }
        match arrived {
            true => self.ended(id),
            false => self.note_state(id, before),
        }
        word
    }
}
