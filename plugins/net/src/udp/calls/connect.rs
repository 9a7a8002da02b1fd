//! `udp.connect`, `udp.disconnect`, `udp.remoteAddress`.

use super::address::{Address, peer, scope};
use super::own::{OfSocket, Own, done};
use crate::udp::code::call_error;
use bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Params, bevy_ecs};
use serde::Deserialize;

/// With whom alone the socket is to exchange datagrams.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::udp) struct Connect {
    socket: u64,
    address: String,
    port: u16,
}

impl Params for Connect {
    fn target(&self) -> Option<String> {
        Some(scope(&self.address, self.port))
    }
}

pub(in crate::udp) fn connect(In(call): In<Call<Connect>>, own: Own) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = &socket.wire.socket;
    if let Ok(already) = socket.remote_address() {
        return Err(CallError::new(
            "EISCONN",
            format!("the socket is connected to {already}: udp.disconnect first"),
        ));
    }
    let peer = peer(socket, &call.params.address, call.params.port)?;
    done("udp.connect", socket.connect(peer))
}

pub(in crate::udp) fn disconnect(
    In(call): In<Call<OfSocket>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    done("udp.disconnect", socket.wire.socket.disconnect())
}

pub(in crate::udp) fn remote_address(
    In(call): In<Call<OfSocket>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = &socket.wire.socket;
    let address = socket
        .remote_address()
        .map_err(|error| call_error("udp.remoteAddress", &error))?;
    Answer::of(Address::of(address, socket))
}
