//! `udp.bind`, `udp.address`, `udp.close`.

use super::address::{Address, scope, with_port};
use super::own::{OfSocket, Own};
use crate::udp::code::{bind_advice, call_error, code};
use crate::udp::options::Options;
use crate::udp::socket::BatchSocket;
use crate::udp::sockets::{self, OpenSockets};
use bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Params, bevy_ecs};
use dunlin_io::Io;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Type {
    Udp4,
    Udp6,
}

/// What to bind. Without an address: all interfaces. Without a port: one that the system chooses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::udp) struct Bind {
    r#type: Option<Type>,
    address: Option<String>,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    reuse_addr: bool,
    #[serde(default)]
    reuse_port: bool,
    #[serde(default)]
    ipv6_only: bool,
    recv_buffer_size: Option<u32>,
    send_buffer_size: Option<u32>,
}

impl Bind {
    fn is_ipv6(&self) -> bool {
        match self.r#type {
            Some(given) => given == Type::Udp6,
            None => self
                .address
                .as_ref()
                .is_some_and(|address| address.contains(':')),
        }
    }
}

impl Params for Bind {
    fn target(&self) -> Option<String> {
        let all = if self.is_ipv6() { "::" } else { "0.0.0.0" };
        Some(scope(self.address.as_deref().unwrap_or(all), self.port))
    }
}

/// A bound socket: by its handle all other calls know it.
#[derive(Serialize)]
struct BoundSocket {
    socket: u64,
    #[serde(flatten)]
    address: Address,
}

pub(in crate::udp) fn bind(
    In(call): In<Call<Bind>>,
    world: &mut World,
) -> Result<Answer, CallError> {
    let params = &call.params;
    let io = world.get_resource::<Io>().cloned().ok_or_else(|| {
        CallError::new("ENOTSUP", "sockets need IoPlugin, and this runner has none")
    })?;
    world.resource::<OpenSockets>().room_for(call.caller)?;
    let address = address_to_bind(params)?;
    let options = Options {
        links: false,
        reuse_address: params.reuse_addr,
        reuse_port: params.reuse_port,
        ipv6_only: params.ipv6_only,
        receive_buffer: params.recv_buffer_size.map(|bytes| bytes as usize),
        send_buffer: params.send_buffer_size.map(|bytes| bytes as usize),
    };
    let refused = |error: io::Error| CallError::new(code(&error), bind_advice(address, &error));
    let socket = BatchSocket::bind(address, options).map_err(refused)?;
    let bound = Address::of(socket.local_address().map_err(refused)?, &socket);
    let handle = sockets::open_for_caller(world, &io, call.caller, socket);
    Answer::of(BoundSocket {
        socket: handle,
        address: bound,
    })
}

fn address_to_bind(params: &Bind) -> Result<SocketAddr, CallError> {
    let is_ipv6 = params.is_ipv6();
    let Some(address) = &params.address else {
        return Ok(match is_ipv6 {
            true => (Ipv6Addr::UNSPECIFIED, params.port).into(),
            false => (Ipv4Addr::UNSPECIFIED, params.port).into(),
        });
    };
    // Interfaces are asked for by name through some socket, and this one is not there yet.
    let any = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    );
    let any = any.map_err(|error| call_error("udp.bind", &error.into()))?;
    let address = with_port(any, address, params.port, is_ipv6)?;
    if address.is_ipv6() != is_ipv6 {
        return Err(CallError::new(
            "EINVAL",
            format!("{} is not an address of the type given", address.ip()),
        ));
    }
    Ok(address)
}

pub(in crate::udp) fn address(In(call): In<Call<OfSocket>>, own: Own) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let address = socket
        .local_address()
        .map_err(|error| call_error("udp.address", &error))?;
    Answer::of(Address::of(address, &socket.wire.socket))
}

/// Answers once the port is free again.
pub(in crate::udp) fn close(
    In(call): In<Call<OfSocket>>,
    own: Own,
    mut commands: Commands,
) -> Result<Answer, CallError> {
    let handle = call.params.socket;
    let (socket, _) = own.socket(call.caller, handle)?;
    let closed = call.later();
    commands.queue(move |world: &mut World| sockets::close(world, socket, handle, closed));
    Ok(Answer::Later)
}
