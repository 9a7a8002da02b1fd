//! What must not be seen to belong together goes over different links. PROTOCOL 4.7

use crate::packet::{PacketId, Tag};

/// What a link to a carrier is for. Errands of different topics go over different links, through different neighbours where there are some, so that the
/// carrier does not learn that they are one node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Anything: of a node that shows its address all the same.
    Any,
    /// What passes between two who write to each other, by identity. PROTOCOL 4.8
    Direct,
    /// What lies in its mailbox: the tags of all days.
    Mailbox,
    /// What is said in its rooms.
    Rooms,
    /// A quarter of larger content, by tag or id: its packets are too many for a link each, and one link for all would be slow.
    Content(u8),
    /// What it keeps for others.
    Carried,
    /// What lies under one tag; or one packet, by its id.
    Packet([u8; 16]),
}

/// Links with one carrier for larger content. // guess
const CONTENT_LINKS: u8 = 4;

impl Topic {
    /// The least and the greatest, in their order.
    pub(crate) const FIRST: Topic = Topic::Any;
    pub(crate) const LAST: Topic = Topic::Packet([0xff; 16]);

    /// Of a receipt, by the packet's id; or of all parts of larger content.
    pub(crate) fn of(id: PacketId, is_part: bool) -> Topic {
        match is_part {
            true => Topic::Content(id.0[15] % CONTENT_LINKS),
            false => Topic::Packet(id.0),
        }
    }

    /// The same, by the tag under which the packet is placed or looked for.
    pub(crate) fn under(tag: Tag, is_part: bool) -> Topic {
        match is_part {
            true => Topic::Content(tag.0[15] % CONTENT_LINKS),
            false => Topic::Packet(tag.0),
        }
    }
}
