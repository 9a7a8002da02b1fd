//! Links between peers over UDP, and plain UDP for apps.
//!
//! [`LinkPlugin`] turns datagrams into frames of authenticated peers and back; [`PeerId`] names a peer by its key. What goes over the
//! wire is PROTOCOL.md's, sections 1 and 2. [`UdpPlugin`] owns the sockets. The two meet only in [`DatagramIn`] and
//! [`DatagramOut`], so a simulated network can stand in for sockets.
//!
//! A datagram's way through links, file by file:
//!
//! | file | |
//! |---|---|
//! | `open` | takes each datagram; `datagram` reads its header |
//! | `respond` | handshakes of others, and answers to ours: `cookie`, `admission`, `half_open`, `handshake` over `noise` |
//! | `data` | opens data (`session`, `replay`), lets links come up and roam (`roam`) |
//! | `control` | the frames that links handle themselves (`frame`); the rest becomes [`FrameIn`] |
//! | `keep` | what is due: `retry`, `pulse`, new sessions, losses |
//! | `nested`, `pass`, `circuit`, `circuit_end` | links through a neighbour, and those of others through us |
//! | `exchange` | peers told of, and links made by the node itself, from `book` |
//! | `dial`, `seal` | links that begin and end; [`FrameOut`] packed, sealed, sent |
//! | `save`, `book_file`, `keyfile` | what is on disk |
//! | `link_table`, `link_state` | all that a node keeps of its links; `limits` bounds it, `drops` counts what is refused |
//!
//! Not here yet, and where it will go: finding peers on the LAN (a system in [`NetSystems::Keep`] that writes [`Dial`], beside
//! `exchange.rs`), and NAT traversal (frames 0x10 to 0x1f, handled in `control.rs`, with its own state machine in
//! `traverse.rs`).

mod address;
mod admission;
mod bandwidth;
mod book;
mod book_file;
mod book_row;
mod circuit;
mod circuit_end;
mod control;
mod cookie;
mod data;
mod datagram;
mod desk;
mod dial;
mod drops;
mod exchange;
mod feel;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
mod half_open;
mod handshake;
mod identity;
mod keep;
mod keyfile;
pub mod limits;
mod link;
mod link_state;
mod link_table;
mod moment;
mod nested;
pub mod noise;
mod open;
mod pass;
mod peer_row;
mod plugin;
mod primitives;
mod pulse;
mod replay;
mod respond;
mod retry;
mod roam;
mod save;
mod seal;
mod session;
mod sets;
#[cfg(test)]
mod tests;
mod traffic;
mod udp;

pub use address::{ADDRESS_BYTES, Prefix, decode_address, encode_address, is_reachable};
pub use bandwidth::Bandwidth;
pub use book::AddressBook;
pub use book_row::KnownPeer;
pub use drops::{DropReason, Drops};
pub use identity::{IdError, Identity, PeerId};
pub use keyfile::{KeyFile, KeyFileError};
pub use link::{
    About, Bound, CircuitUse, CloseReason, DatagramIn, DatagramOut, Dial, DownReason, FrameIn,
    FrameKinds, FrameOut, HangUp, LinkSettings, Listen, Peer, PeerDown, PeerSilent, PeerUp,
};
pub use link_table::Links;
pub use peer_row::PeerRow;
pub use plugin::LinkPlugin;
pub use primitives::{Curve25519, Primitives};
pub use sets::NetSystems;
pub use traffic::Traffic;
pub use udp::{
    BatchSocket, Buffers, NodeSocketsPlugin, Outgoing, Socket, SocketOptions, UdpDrop, UdpDrops,
    UdpPlugin,
};
