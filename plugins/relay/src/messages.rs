//! What happens at a relay within one turn, each happening a message of its own.

use crate::answers::Reason;
use crate::frames::Frame;
use crate::mailbox::Claim;
use crate::packet::{DeleteSecret, Packet, PacketId, Tag};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::PeerId;

/// Somebody asks a node to keep a packet. Written in `Decode`, read in `Route`: in between a plugin may look at it with a
/// `MessageMutator`, and refuse it.
#[derive(Message, Debug, Clone)]
pub struct PacketArrived {
    /// Whom.
    pub node: Entity,
    /// The link that it came over.
    pub peer: Entity,
    /// The number by which they know the answer.
    pub request: u32,
    /// The packet; its header was checked.
    pub packet: Packet,
    /// It was not deposited: a neighbour gave this copy because we asked, and hears no answer. PROTOCOL 3.12
    pub pulled: bool,
    /// Set it, and the packet is refused for this reason.
    pub refused: Option<Reason>,
}

/// A node keeps a packet from now on. Written in `Route`; its entity is spawned in `Settle`.
#[derive(Message, Debug, Clone, Copy)]
pub struct PacketKept {
    /// Which node.
    pub node: Entity,
    /// Which packet.
    pub id: PacketId,
    /// Where it belongs.
    pub tag: Tag,
}

/// A node does not keep a packet any more. Written in `Serve`, `Maintain`, `Route` and `Deliver`; its entity is despawned in `Settle`.
#[derive(Message, Debug, Clone, Copy)]
pub struct PacketGone {
    /// Which node.
    pub node: Entity,
    /// Which packet.
    pub id: PacketId,
}

/// Somebody asks what is there for a claim; `after` is none for a subscription.
#[derive(Message, Debug, Clone)]
pub(crate) struct ClaimShown {
    pub(crate) node: Entity,
    pub(crate) peer: Entity,
    pub(crate) request: u32,
    pub(crate) claim: Claim,
    pub(crate) after: Option<PacketId>,
}

/// Somebody shows the secret that ends a packet.
#[derive(Message, Debug, Clone)]
pub(crate) struct ReceiptShown {
    pub(crate) node: Entity,
    pub(crate) peer: Entity,
    pub(crate) request: u32,
    pub(crate) id: PacketId,
    pub(crate) secret: DeleteSecret,
}

/// Somebody asks what a node knows of a packet.
#[derive(Message, Debug, Clone, Copy)]
pub(crate) struct KnowledgeAsked {
    pub(crate) node: Entity,
    pub(crate) peer: Entity,
    pub(crate) request: u32,
    pub(crate) id: PacketId,
}

/// Somebody asks who carries near a tag. PROTOCOL 3.13
#[derive(Message, Debug, Clone, Copy)]
pub(crate) struct CarriersAsked {
    pub(crate) node: Entity,
    pub(crate) peer: Entity,
    pub(crate) request: u32,
    pub(crate) target: [u8; 4],
    pub(crate) count: u8,
}

/// A neighbour asks which packets we keep that belong with it, or for a copy of one. PROTOCOL 3.12
#[derive(Message, Debug, Clone, Copy)]
pub(crate) struct NeighbourAsked {
    pub(crate) node: Entity,
    pub(crate) peer: Entity,
    pub(crate) request: u32,
    pub(crate) what: Wanted,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// Of ids after `after` up to `until`, in their circle.
    List { after: PacketId, until: PacketId },
    /// This one.
    Copy { id: PacketId },
}

/// A carrier answers, or pushes a packet.
#[derive(Message, Debug, Clone)]
pub(crate) struct AnswerCame {
    pub(crate) node: Entity,
    pub(crate) peer: Entity,
    pub(crate) frame: Frame,
}

/// A node's own side has something to do in this turn.
#[derive(Message, Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) node: Entity,
}

/// An errand ended.
#[derive(Message, Debug)]
pub(crate) struct ErrandDone {
    pub(crate) node: Entity,
    pub(crate) done: crate::errands::Done,
}

/// A carrier, or none if it was the node's own cache, has a packet that may be for the node. Not yet opened, and the same may come
/// again. Written in `Deliver`.
#[derive(Message, Debug, Clone)]
pub struct PacketBrought {
    /// For whom.
    pub node: Entity,
    /// By whom.
    pub carrier: Option<PeerId>,
    /// What.
    pub packet: Packet,
}
