//! `udp.send`.

use super::address::{peer, scope};
use super::own::Own;
use crate::udp::code::call_error;
use bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Params, bevy_ecs};
use serde::{Deserialize, Serialize};

/// Where the body goes: address and port both, or neither on a connected socket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::udp) struct Send {
    socket: u64,
    address: Option<String>,
    port: Option<u16>,
}

impl Params for Send {
    /// None on a connected socket: whom it is connected to was asked for then.
    fn target(&self) -> Option<String> {
        (self.address.is_some() || self.port.is_some()).then(|| {
            let address = self.address.as_deref().unwrap_or("localhost");
            scope(address, self.port.unwrap_or_default())
        })
    }
}

#[derive(Serialize)]
struct Sent {
    bytes: usize,
}

pub(in crate::udp) fn send(In(call): In<Call<Send>>, own: Own) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let wire = &socket.wire;
    let connected = wire.socket.remote_address().ok();
    let to = match (&call.params.address, call.params.port, connected) {
        (None, None, Some(_)) => None,
        (None, None, None) => {
            return Err(CallError::new(
                "EDESTADDRREQ",
                "udp.send: the socket is not connected: give address and port, or udp.connect first",
            ));
        }
        (_, _, Some(connected)) => {
            return Err(CallError::new(
                "EISCONN",
                format!(
                    "udp.send: the socket is connected to {connected}: give neither address nor port"
                ),
            ));
        }
        // As in Node, a port alone is one on this machine.
        (address, port, None) => Some(peer(
            &wire.socket,
            address.as_deref().unwrap_or("localhost"),
            port.unwrap_or_default(),
        )?),
    };
    let bytes = wire
        .send_one(to, call.body)
        .map_err(|error| call_error("udp.send", &error))?;
    Answer::of(Sent { bytes })
}
