//! `udp.getBufferSizes`, `udp.setBufferSizes`: the kernel's buffers of a socket.

use super::own::{OfSocket, Own, done};
use crate::udp::code::call_error;
use bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Params, bevy_ecs};
use serde::{Deserialize, Serialize};

/// Bytes as the system counts them: Linux answers twice what was set, since it counts its own bookkeeping too.
#[derive(Serialize)]
struct Sizes {
    recv: usize,
    send: usize,
}

/// Bytes wanted; the system may cap them (`net.core.rmem_max`, `wmem_max`), which `udp.getBufferSizes` then shows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::udp) struct SetSizes {
    socket: u64,
    recv: Option<u32>,
    send: Option<u32>,
}

impl Params for SetSizes {}

pub(in crate::udp) fn get_buffer_sizes(
    In(call): In<Call<OfSocket>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = socket.wire.socket.options();
    let sizes = socket
        .recv_buffer_size()
        .and_then(|recv| socket.send_buffer_size().map(|send| Sizes { recv, send }));
    Answer::of(sizes.map_err(|error| call_error("udp.getBufferSizes", &error))?)
}

pub(in crate::udp) fn set_buffer_sizes(
    In(call): In<Call<SetSizes>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = socket.wire.socket.options();
    let recv = call
        .params
        .recv
        .map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes as usize));
    let both = recv.and_then(|()| {
        let send = call.params.send;
        send.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes as usize))
    });
    done("udp.setBufferSizes", both)
}
