//! How much a node sends and receives, counted where its links hand out datagrams and take them.

use dunlin_engine::bevy_ecs::{self, prelude::*};
use serde::{Deserialize, Serialize};

/// Datagrams of a [`Node`](dunlin_engine::Node)'s links and their bytes of UDP payload, since the node began.
///
/// What comes in counts whatever becomes of it; what goes out counts even if the network or the socket loses it. Apps' own
/// sockets are not in it.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
}

impl Traffic {
    pub(crate) fn count_out(&mut self, bytes: usize) {
        self.datagrams_out += 1;
        self.bytes_out += bytes as u64;
    }

    pub(crate) fn count_in(&mut self, bytes: usize) {
        self.datagrams_in += 1;
        self.bytes_in += bytes as u64;
    }
}
