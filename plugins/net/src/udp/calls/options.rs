//! `udp.setBroadcast`, `udp.setTTL`, `udp.setMulticastTTL`, `udp.setMulticastLoopback`.

use super::own::{Own, done};
use bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Params, bevy_ecs};
use serde::Deserialize;

/// A socket, and yes or no.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::udp) struct Switch {
    socket: u64,
    on: bool,
}

impl Params for Switch {}

/// A socket, and how many routers a datagram may cross.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::udp) struct Ttl {
    socket: u64,
    ttl: u32,
}

impl Params for Ttl {}

impl Ttl {
    /// As Node does, and alike for IPv4 and IPv6, which the system would treat differently.
    fn at_least(&self, least: u32, call: &str) -> Result<u32, CallError> {
        if (least..=255).contains(&self.ttl) {
            return Ok(self.ttl);
        }
        let text = format!(
            "{call}: ttl is {}, and must be from {least} to 255",
            self.ttl
        );
        Err(CallError::new("EINVAL", text))
    }
}

pub(in crate::udp) fn set_broadcast(
    In(call): In<Call<Switch>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = socket.wire.socket.options();
    done("udp.setBroadcast", socket.set_broadcast(call.params.on))
}

pub(in crate::udp) fn set_ttl(In(call): In<Call<Ttl>>, own: Own) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let ttl = call.params.at_least(1, "udp.setTTL")?;
    let socket = &socket.wire.socket;
    let outcome = match socket.is_ipv6() {
        true => socket.options().set_unicast_hops_v6(ttl),
        false => socket.options().set_ttl_v4(ttl),
    };
    done("udp.setTTL", outcome)
}

/// 0: not even off this machine.
pub(in crate::udp) fn set_multicast_ttl(
    In(call): In<Call<Ttl>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let ttl = call.params.at_least(0, "udp.setMulticastTTL")?;
    let socket = &socket.wire.socket;
    let outcome = match socket.is_ipv6() {
        true => socket.options().set_multicast_hops_v6(ttl),
        false => socket.options().set_multicast_ttl_v4(ttl),
    };
    done("udp.setMulticastTTL", outcome)
}

/// Whether this machine's own members hear what the socket sends to a group.
pub(in crate::udp) fn set_multicast_loopback(
    In(call): In<Call<Switch>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = &socket.wire.socket;
    let outcome = match socket.is_ipv6() {
        true => socket.options().set_multicast_loop_v6(call.params.on),
        false => socket.options().set_multicast_loop_v4(call.params.on),
    };
    done("udp.setMulticastLoopback", outcome)
}
