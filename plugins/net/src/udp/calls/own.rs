//! Who may touch a socket: the caller that bound it, and nobody else.

use crate::udp::code::call_error;
use crate::udp::sockets::{OpenSocket, OpenSockets, Socket};
use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use dunlin_engine::{Answer, CallError, Params, Reply, bevy_ecs};
use serde::Deserialize;
use std::io;

/// The sockets of callers.
#[derive(SystemParam)]
pub(super) struct Own<'w, 's> {
    open: Res<'w, OpenSockets>,
    sockets: Query<'w, 's, &'static Socket>,
}

impl Own<'_, '_> {
    /// The caller's socket of this handle.
    ///
    /// # Errors
    /// `EBADF`, the same whether it is another caller's, closed, or never was.
    pub(super) fn socket(
        &self,
        caller: Entity,
        handle: u64,
    ) -> Result<(OpenSocket, &Socket), CallError> {
        let open = self.open.by_handle.get(&handle);
        open.filter(|open| open.caller == caller)
            .and_then(|open| Some((*open, self.sockets.get(open.entity).ok()?)))
            .ok_or_else(|| {
                CallError::new(
                    "EBADF",
                    format!("there is no socket {handle} of yours: it was closed, or never bound"),
                )
            })
    }
}

/// Parameters of calls that want no more than a socket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfSocket {
    pub(super) socket: u64,
}

impl Params for OfSocket {}

/// An empty answer, or why `call` failed.
pub(super) fn done(call: &str, outcome: io::Result<()>) -> Result<Answer, CallError> {
    outcome.map_err(|error| call_error(call, &error))?;
    Ok(Answer::Now(Reply::default()))
}
