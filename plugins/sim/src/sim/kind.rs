//! What differs between the nodes of a simulation.

use crate::nat_kind::NatKind;

/// How a node is made. The default carries nothing and has no mailbox: it only has links.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// It keeps packets for others.
    pub carry: bool,
    /// It has a mailbox, and an app that reads and confirms what comes.
    pub mailbox: bool,
    /// What it does not lose when it goes: its outbox and the ids it has seen. The address book is kept always.
    pub disk: bool,
    /// Links that it makes by itself, 0 to 8.
    pub links: usize,
    /// What it keeps for others, in bytes, index included.
    pub cache_bytes: u64,
    /// It is behind a NAT of its own, of this kind.
    pub nat: Option<NatKind>,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind {
            carry: false,
            mailbox: false,
            disk: false,
            links: dunlin_net::limits::LINKS_OUTBOUND,
            cache_bytes: dunlin_relay::limits::CACHE_BYTES,
            nat: None,
        }
    }
}

impl Kind {
    /// Keeps packets for others, and nothing else.
    #[must_use]
    pub fn carrier() -> Kind {
        Kind {
            carry: true,
            ..Kind::default()
        }
    }

    /// Writes and reads messages, keeps its own on disk, and carries nothing.
    #[must_use]
    pub fn person() -> Kind {
        Kind {
            mailbox: true,
            disk: true,
            ..Kind::default()
        }
    }
}
