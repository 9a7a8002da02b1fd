//! Why a datagram was dropped, and how often: every drop of this plugin is counted, by socket and over all.

use bevy_ecs::prelude::*;
use dunlin_engine::bevy_ecs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a datagram went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum UdpDrop {
    /// Came in faster than the turns take it: the inbox was full.
    InboxFull,
    /// Came in for a `udp.receive` whose reader has not kept up.
    ReaderFull,
    /// Came in for a socket that nobody reads any more.
    NoReader,
    /// Was to leave while the kernel's buffer and our backlog were full.
    BacklogFull,
    /// Was to leave while the kernel had no memory for it (`ENOBUFS`, `ENOMEM`).
    NoBuffers,
    /// Was longer than its path takes, and datagrams of links are never fragmented (`EMSGSIZE`).
    TooLong,
    /// Had no way to its destination, which said so or is not routed (`ECONNREFUSED`, `ENETUNREACH`, `EHOSTUNREACH`, …).
    Unreachable,
    /// Was refused by this machine's own rules (`EPERM`, `EACCES`: a firewall, or broadcast not enabled).
    Forbidden,
    /// Was addressed in a way that its socket cannot serve (`EINVAL`, `EAFNOSUPPORT`), or the kernel refused it for a rarer reason.
    Refused,
    /// Was to leave from a node that has no socket.
    NoSocket,
}

impl UdpDrop {
    /// All reasons, in the order of their declaration.
    pub const ALL: [UdpDrop; 10] = [
        UdpDrop::InboxFull,
        UdpDrop::ReaderFull,
        UdpDrop::NoReader,
        UdpDrop::BacklogFull,
        UdpDrop::NoBuffers,
        UdpDrop::TooLong,
        UdpDrop::Unreachable,
        UdpDrop::Forbidden,
        UdpDrop::Refused,
        UdpDrop::NoSocket,
    ];

    /// The reason that an error of a send stands for.
    pub(crate) fn of(error: &io::Error) -> UdpDrop {
        match super::code::code(error) {
            "ENOBUFS" | "ENOMEM" => UdpDrop::NoBuffers,
            "EMSGSIZE" => UdpDrop::TooLong,
            "EPERM" | "EACCES" => UdpDrop::Forbidden,
            "ECONNREFUSED" | "ECONNRESET" | "EHOSTUNREACH" | "ENETUNREACH" | "ENETDOWN" => {
                UdpDrop::Unreachable
            }
            _ => UdpDrop::Refused,
        }
    }
}

type Counters = Arc<[AtomicU64; UdpDrop::ALL.len()]>;

/// Drops of all sockets of the process, and of datagrams that never had one. It only grows.
#[derive(Resource, Clone, Debug, Default)]
pub struct UdpDrops(Counters);

impl UdpDrops {
    /// How many datagrams were dropped for this reason.
    #[must_use]
    pub fn of(&self, reason: UdpDrop) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, reason: UdpDrop, datagrams: usize) {
        self.0[reason as usize].fetch_add(datagrams as u64, Ordering::Relaxed);
    }
}

/// Drops of one socket, which its task and the World both count.
#[derive(Clone, Debug)]
pub(crate) struct SocketDrops {
    own: UdpDrops,
    all: UdpDrops,
}

impl SocketDrops {
    pub(crate) fn within(all: &UdpDrops) -> SocketDrops {
        SocketDrops {
            own: UdpDrops::default(),
            all: all.clone(),
        }
    }

    pub(crate) fn count(&self, reason: UdpDrop, datagrams: usize) {
        self.own.count(reason, datagrams);
        self.all.count(reason, datagrams);
    }

    pub(crate) fn of(&self, reason: UdpDrop) -> u64 {
        self.own.of(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn each_error_of_a_send_counts_as_what_it_means() {
        for (errno, reason) in [
            (Errno::NOBUFS, UdpDrop::NoBuffers),
            (Errno::NOMEM, UdpDrop::NoBuffers),
            (Errno::MSGSIZE, UdpDrop::TooLong),
            (Errno::CONNREFUSED, UdpDrop::Unreachable),
            (Errno::HOSTUNREACH, UdpDrop::Unreachable),
            (Errno::NETUNREACH, UdpDrop::Unreachable),
            (Errno::NETDOWN, UdpDrop::Unreachable),
            (Errno::PERM, UdpDrop::Forbidden),
            (Errno::ACCESS, UdpDrop::Forbidden),
            (Errno::INVAL, UdpDrop::Refused),
        ] {
            assert_eq!(UdpDrop::of(&io::Error::from(errno)), reason, "{errno:?}");
        }
        for (place, reason) in UdpDrop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
