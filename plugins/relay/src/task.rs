//! What a node may ask of a carrier, and which frame answers it.

use crate::frames::Frame;
use crate::packet::{DeleteSecret, MessageId, Packet, PacketId, Tag, Token};
use crate::topic::Topic;
use dunlin_net::PeerId;

/// What is asked of one carrier.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    Deposit {
        message: MessageId,
        packet: Packet,
        topic: Topic,
    },
    /// Whether it has what we keep for others, since we leave;
    Count {
        id: PacketId,
    },
    /// and a copy for who has not.
    HandOver {
        packet: Packet,
    },
    Ask {
        message: MessageId,
        id: PacketId,
        topic: Topic,
    },
    Fetch {
        day: u16,
        after: PacketId,
    },
    Look {
        token: Token,
        after: PacketId,
        topic: Topic,
    },
    /// The record of somebody's prekeys.
    Prekeys {
        of: PeerId,
        token: Token,
        after: PacketId,
    },
    Subscribe {
        day: u16,
        topic: Topic,
    },
    /// Who carries near tags that begin so.
    Find {
        target: [u8; 4],
        topic: Topic,
    },
    /// What it keeps that belongs with us,
    List {
        after: PacketId,
        until: PacketId,
    },
    /// and a copy.
    Pull {
        id: PacketId,
    },
    /// What lies on a room's lane,
    Lane {
        tag: Tag,
        after: PacketId,
    },
    /// and what comes there.
    Attend {
        tag: Tag,
    },
    Receipt {
        id: PacketId,
        secret: DeleteSecret,
        topic: Topic,
    },
}

impl Task {
    /// What lies under a one-time tag, after an id.
    pub(crate) fn look(token: Token, after: PacketId, topic: Topic) -> Task {
        Task::Look {
            token,
            after,
            topic,
        }
    }

    /// Over which of our links with the carrier it goes.
    pub(crate) fn topic(&self) -> Topic {
        match self {
            Task::Deposit { topic, .. }
            | Task::Ask { topic, .. }
            | Task::Look { topic, .. }
            | Task::Find { topic, .. }
            | Task::Subscribe { topic, .. }
            | Task::Receipt { topic, .. } => *topic,
            Task::Prekeys { token, .. } => Topic::Packet(token.tag().0),
            Task::Fetch { .. } => Topic::Mailbox,
            Task::Lane { .. } | Task::Attend { .. } => Topic::Rooms,
            Task::Count { .. } | Task::HandOver { .. } => Topic::Carried,
            Task::List { .. } | Task::Pull { .. } => Topic::Carried,
        }
    }

    pub(crate) fn is_answered_by(&self, frame: &Frame) -> bool {
        use crate::frames as f;
        matches!(
            (self, frame),
            (
                Task::Deposit { .. } | Task::HandOver { .. },
                Frame::Deposited { .. }
                    | Frame::Refused {
                        kind: f::DEPOSIT,
                        ..
                    }
            ) | (
                Task::Ask { .. } | Task::Count { .. },
                Frame::Answer { .. } | Frame::Refused { kind: f::ASK, .. }
            ) | (
                Task::Fetch { .. } | Task::Look { .. } | Task::Prekeys { .. } | Task::Lane { .. },
                Frame::Fetched { .. } | Frame::Refused { kind: f::FETCH, .. }
            ) | (
                Task::Subscribe { .. } | Task::Attend { .. },
                Frame::Subscribed { .. }
                    | Frame::Refused {
                        kind: f::SUBSCRIBE,
                        ..
                    }
            ) | (
                Task::Find { .. },
                Frame::Found { .. } | Frame::Refused { kind: f::FIND, .. }
            ) | (
                Task::List { .. },
                Frame::Listed { .. } | Frame::Refused { kind: f::LIST, .. }
            ) | (
                Task::Pull { .. },
                Frame::Pulled { .. } | Frame::Refused { kind: f::PULL, .. }
            ) | (
                Task::Receipt { .. },
                Frame::Ended { .. }
                    | Frame::Refused {
                        kind: f::RECEIPT,
                        ..
                    }
            )
        )
    }
}
