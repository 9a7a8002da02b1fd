//! What links are to everyone else: the components and messages between sockets, links and the plugins that use them.

use crate::PeerId;
use bytes::Bytes;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A datagram that came in on a node's socket. Written by `UdpPlugin` (or a simulated network) in `Ingest`, read in `Decode`.
#[derive(Message, Clone, Debug)]
pub struct DatagramIn {
    /// Whose socket it came to.
    pub node: Entity,
    /// The address it bears; nothing is proved by it.
    pub from: SocketAddr,
    /// UDP payload.
    pub bytes: Bytes,
}

/// A datagram to send from a node's socket; at most 1,200 bytes. Written in `Decode`, `Maintain` and `Transmit`, read by
/// `UdpPlugin` (or a simulated network) at the end of `Transmit`.
#[derive(Message, Clone, Debug)]
pub struct DatagramOut {
    /// From whose socket.
    pub node: Entity,
    /// Where to.
    pub to: SocketAddr,
    /// UDP payload.
    pub bytes: Bytes,
}

/// On a [`Node`](dunlin_engine::Node): asks `UdpPlugin` for the socket of its links. Port 0: any free one.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

/// On a [`Node`](dunlin_engine::Node): the address of the socket that it has for its links.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub SocketAddr);

/// What a peer says of itself, as in the frame ABOUT: one byte of flags.
// PROTOCOL 2.3
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About(u8);

impl About {
    /// Keeps other people's packets.
    pub const CARRIES: About = About(1);
    /// Pays for its bytes.
    pub const METERED: About = About(2);
    /// Can be dialled at the address it sends from.
    pub const TAKES_LINKS: About = About(4);

    /// Both sets of flags.
    #[must_use]
    pub const fn and(self, other: About) -> About {
        About(self.0 | other.0)
    }

    /// The flags' byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Reads the byte; `None` if a reserved flag is set.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<About> {
        match byte {
            0..8 => Some(About(byte)),
            _ => None,
        }
    }

    /// Keeps other people's packets.
    #[must_use]
    pub const fn carries(self) -> bool {
        self.0 & About::CARRIES.0 != 0
    }

    /// Pays for its bytes.
    #[must_use]
    pub const fn metered(self) -> bool {
        self.0 & About::METERED.0 != 0
    }

    /// Can be dialled.
    #[must_use]
    pub const fn takes_links(self) -> bool {
        self.0 & About::TAKES_LINKS.0 != 0
    }
}

/// Whether links on which a node hides go through a neighbour, so that their peers do not see where it is.
// PROTOCOL 2.5
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitUse {
    /// They go straight to the peer, which sees the node's address.
    Off,
    /// Through a neighbour wherever one leads there within some seconds; else straight.
    #[default]
    Prefer,
    /// Through a neighbour, or not at all.
    Require,
}

impl FromStr for CircuitUse {
    type Err = String;

    fn from_str(text: &str) -> Result<CircuitUse, String> {
        match text {
            "off" => Ok(CircuitUse::Off),
            "prefer" => Ok(CircuitUse::Prefer),
            "require" => Ok(CircuitUse::Require),
            _ => Err(String::from("expected off, prefer or require")),
        }
    }
}

/// On a [`Node`](dunlin_engine::Node) with an [`Identity`](crate::Identity): how it behaves as one end of links. Read when a
/// link is made, so set it before the first turn.
#[derive(Component, Clone, Debug)]
pub struct LinkSettings {
    /// What peers are told of this node; not on links on which it hides.
    pub about: About,
    /// Links that the node makes by itself, from its address book; 8 unless a test needs another number.
    pub outbound: usize,
    /// Addresses to begin with, when the book knows nobody; with the id if it is known.
    pub entry: Vec<(Option<PeerId>, SocketAddr)>,
    /// Where the address book is kept; nowhere if absent.
    pub book: Option<PathBuf>,
    /// Send PINGs on idle links, and give up those that fall silent. A simulation may go without, and tell of each lost link by
    /// [`PeerSilent`] instead.
    pub keep_alive: bool,
    /// Whether links on which this node hides go through a neighbour.
    pub circuits: CircuitUse,
    /// Now and then dial somebody whom the book was only told of, to know whether they are there. A simulation of a million may go without.
    pub feelers: bool,
}

impl Default for LinkSettings {
    fn default() -> LinkSettings {
        LinkSettings {
            about: About::TAKES_LINKS,
            outbound: crate::limits::LINKS_OUTBOUND,
            entry: Vec::new(),
            book: None,
            keep_alive: true,
            circuits: CircuitUse::default(),
            feelers: true,
        }
    }
}

/// On a link's entity while the link is up: both sides have proved themselves and said what they are.
///
/// Replaced as a whole when something in it changes (`Changed<Peer>` sees it).
#[derive(Component, Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whose link it is.
    pub node: Entity,
    /// Who is at the other end; on an anonymous link a key made for this link alone.
    pub id: PeerId,
    /// Where they are at present; of one who comes, or is reached, through a neighbour, where that neighbour is.
    pub address: SocketAddr,
    /// They hide: do not tell others of this id, nor note it.
    pub anonymous: bool,
    /// We hide: they see a key made for this link alone, and are told nothing of this node.
    pub hidden: bool,
    /// This node began the link.
    pub outbound: bool,
    /// Noise's handshake hash of the present session; another after each rekeying, on both sides within a round trip.
    pub handshake_hash: [u8; 32],
    /// What they say of themselves.
    pub about: About,
    /// Since when the link is up.
    pub since: Time,
}

/// Asks for a link. May be written in any set up to `Route` or `Deliver`; it is read in `Transmit`. [`PeerUp`] or [`PeerDown`] follows
/// in a later turn.
#[derive(Message, Clone, Debug)]
pub struct Dial {
    /// Who dials.
    pub node: Entity,
    /// An entity spawned for this link; becomes the [`Peer`].
    pub link: Entity,
    /// Where.
    pub address: SocketAddr,
    /// Whom; if absent, whoever is there. An anonymous link needs it.
    pub id: Option<PeerId>,
    /// Hide: use a key made for this link alone.
    pub anonymous: bool,
}

/// A link came up; its entity bears a [`Peer`]. Written in `Decode`.
#[derive(Message, Clone, Copy, Debug)]
pub struct PeerUp {
    /// Whose link.
    pub node: Entity,
    /// The link's entity.
    pub peer: Entity,
}

/// The other side of a link has gone: what PINGs without an answer say otherwise. Read in `Maintain`; [`PeerDown`] follows.
#[derive(Message, Clone, Copy, Debug)]
pub struct PeerSilent {
    /// The link's entity.
    pub peer: Entity,
}

/// A link ended, or never came up. Its entity is despawned at the end of this turn. Written in `Decode` and `Maintain`.
#[derive(Message, Clone, Copy, Debug)]
pub struct PeerDown {
    /// Whose link.
    pub node: Entity,
    /// The link's entity.
    pub peer: Entity,
    /// Why.
    pub reason: DownReason,
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// Nobody answered the dial, or not the one who was dialled.
    Unreachable,
    /// They fell silent.
    Lost,
    /// They closed it.
    Closed(CloseReason),
    /// We closed it.
    HungUp(CloseReason),
    /// A newer link to the same peer took its place.
    Replaced,
    /// This node has too many links or dials already.
    TooMany,
    /// The address is our own.
    Oneself,
    /// What was asked for cannot be: an address nobody can be at, or hiding from whoever answers.
    Impossible,
}

/// Why a side closes a link.
// PROTOCOL 2.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The app ends.
    GoingAway = 0,
    /// A newer session takes its place.
    Replaced = 1,
    /// Too many links.
    TooMany = 2,
    /// No longer needed.
    Idle = 3,
}

impl CloseReason {
    /// Reads the byte; one that a later version may add counts as [`Idle`](CloseReason::Idle).
    #[must_use]
    pub const fn from_byte(byte: u8) -> CloseReason {
        match byte {
            0 => CloseReason::GoingAway,
            1 => CloseReason::Replaced,
            2 => CloseReason::TooMany,
            _ => CloseReason::Idle,
        }
    }
}

/// Ends a link; the other side is told. Read in `Transmit`; [`PeerDown`] follows in the next turn.
#[derive(Message, Clone, Copy, Debug)]
pub struct HangUp {
    /// The link's entity.
    pub peer: Entity,
    /// What the other side is told.
    pub reason: CloseReason,
}

/// A frame that a plugin handles: of a type claimed in [`FrameKinds`], or REFUSED of such a one. Written in `Decode`.
#[derive(Message, Clone, Debug)]
pub struct FrameIn {
    /// Whose link.
    pub node: Entity,
    /// The link's entity.
    pub peer: Entity,
    /// The frame's type.
    pub kind: u8,
    /// Its body; only its length against the datagram is checked.
    pub body: Bytes,
}

/// A frame to send, at most [`FRAME_BODY_BYTES_MAX`](crate::limits::FRAME_BODY_BYTES_MAX) of body. Frames of a turn to one peer leave in
/// as few datagrams as hold them, in order. Dropped and counted if the link is not up.
#[derive(Message, Clone, Debug)]
pub struct FrameOut {
    /// The link's entity.
    pub peer: Entity,
    /// The frame's type.
    pub kind: u8,
    /// Its body.
    pub body: Bytes,
}

/// Which frame types the app's plugins handle. Links answer others with REFUSED.
///
/// A resource: it says how the app is put together, and is the same for all its nodes.
#[derive(Resource, Default, Debug)]
pub struct FrameKinds(BTreeMap<u8, &'static str>);

impl FrameKinds {
    /// Says that the plugin `by` reads [`FrameIn`] of these types.
    ///
    /// # Errors
    /// If a type is links' own (below 0x20), or another plugin's.
    pub fn claim(
        &mut self,
        kinds: impl IntoIterator<Item = u8>,
        by: &'static str,
    ) -> Result<(), String> {
        for kind in kinds {
            if kind < 0x20 {
                return Err(format!("frame type {kind:#04x} is the links' own"));
            }
            let holder = *self.0.entry(kind).or_insert(by);
            if holder != by {
                return Err(format!("frame type {kind:#04x} is {holder}'s already"));
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, kind: u8) -> bool {
        self.0.contains_key(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_type_has_one_plugin() {
        let mut kinds = FrameKinds::default();
        assert_eq!(kinds.claim(0x20..=0x2a, "relay"), Ok(()));
        assert_eq!(kinds.claim([0x20], "relay"), Ok(()));
        assert!(kinds.claim([0x20], "chat").unwrap_err().contains("relay"));
        assert!(kinds.claim([0x01], "chat").unwrap_err().contains("links"));
        assert!(kinds.has(0x2a) && !kinds.has(0x2b));
    }

    // PROTOCOL 2.3
    #[test]
    fn reserved_flags_are_refused() {
        assert_eq!(
            About::from_byte(5),
            Some(About::CARRIES.and(About::TAKES_LINKS))
        );
        for byte in 8..=255 {
            assert_eq!(About::from_byte(byte), None);
        }
    }
}
