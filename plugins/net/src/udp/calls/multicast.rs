//! `udp.addMembership`, `udp.addSourceSpecificMembership`, their opposites, and `udp.setMulticastInterface`.
//!
//! In a network without a default route the system cannot choose the interface of an IPv4 group, and says `ENODEV`: name one.

use super::address::scope;
use super::interface::Interface;
use super::own::{Own, done};
use crate::udp::socket::BatchSocket;
use bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Params, bevy_ecs};
use mcrx_core::{Context, McrxError, SourceFilter, SubscriptionConfig};
use rustix::net::sockopt;
use serde::Deserialize;
use socket2::InterfaceIndexOrAddress;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A group, and on which interface.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::udp) struct Membership {
    socket: u64,
    multicast_address: String,
    multicast_interface: Option<String>,
}

impl Params for Membership {
    fn target(&self) -> Option<String> {
        Some(scope(&self.multicast_address, "*"))
    }
}

/// A group, from one source only, and on which interface.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::udp) struct SourceMembership {
    socket: u64,
    source_address: String,
    group_address: String,
    multicast_interface: Option<String>,
}

impl Params for SourceMembership {
    fn target(&self) -> Option<String> {
        Some(scope(&self.group_address, "*"))
    }
}

/// By which interface multicast leaves.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::udp) struct OutgoingInterface {
    socket: u64,
    multicast_interface: String,
}

impl Params for OutgoingInterface {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Join,
    Leave,
}

pub(in crate::udp) fn add_membership(
    In(call): In<Call<Membership>>,
    own: Own,
) -> Result<Answer, CallError> {
    membership("udp.addMembership", &call, &own, Change::Join)
}

pub(in crate::udp) fn drop_membership(
    In(call): In<Call<Membership>>,
    own: Own,
) -> Result<Answer, CallError> {
    membership("udp.dropMembership", &call, &own, Change::Leave)
}

pub(in crate::udp) fn add_source_specific_membership(
    In(call): In<Call<SourceMembership>>,
    own: Own,
) -> Result<Answer, CallError> {
    source_membership("udp.addSourceSpecificMembership", &call, &own, Change::Join)
}

pub(in crate::udp) fn drop_source_specific_membership(
    In(call): In<Call<SourceMembership>>,
    own: Own,
) -> Result<Answer, CallError> {
    source_membership(
        "udp.dropSourceSpecificMembership",
        &call,
        &own,
        Change::Leave,
    )
}

pub(in crate::udp) fn set_multicast_interface(
    In(call): In<Call<OutgoingInterface>>,
    own: Own,
) -> Result<Answer, CallError> {
    let (_, socket) = own.socket(call.caller, call.params.socket)?;
    let socket = &socket.wire.socket;
    let any = &Ipv4Addr::UNSPECIFIED;
    let options = socket.options();
    let outcome = match interface(socket, Some(&call.params.multicast_interface))? {
        Interface::Any if socket.is_ipv6() => options.set_multicast_if_v6(0),
        Interface::Any => options.set_multicast_if_v4(any),
        Interface::Address(address) => options.set_multicast_if_v4(&address),
        Interface::Index(index) if socket.is_ipv6() => options.set_multicast_if_v6(index),
        Interface::Index(index) => {
            sockopt::set_ip_multicast_if_with_ifindex(options, any, any, index)
                .map_err(io::Error::from)
        }
    };
    done("udp.setMulticastInterface", outcome)
}

fn membership(
    name: &str,
    call: &Call<Membership>,
    own: &Own,
    change: Change,
) -> Result<Answer, CallError> {
    let params = &call.params;
    let (_, socket) = own.socket(call.caller, params.socket)?;
    let socket = &socket.wire.socket;
    let interface = interface(socket, params.multicast_interface.as_deref())?;
    let options = socket.options();
    let outcome = match group(socket, &params.multicast_address)? {
        IpAddr::V4(group) => {
            let interface = match interface {
                Interface::Any => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                Interface::Address(address) => InterfaceIndexOrAddress::Address(address),
                Interface::Index(index) => InterfaceIndexOrAddress::Index(index),
            };
            match change {
                Change::Join => options.join_multicast_v4_n(&group, &interface),
                Change::Leave => options.leave_multicast_v4_n(&group, &interface),
            }
        }
        IpAddr::V6(group) => match change {
            Change::Join => options.join_multicast_v6(&group, index(interface)),
            Change::Leave => options.leave_multicast_v6(&group, index(interface)),
        },
    };
    done(name, outcome)
}

fn source_membership(
    name: &str,
    call: &Call<SourceMembership>,
    own: &Own,
    change: Change,
) -> Result<Answer, CallError> {
    let params = &call.params;
    let (_, socket) = own.socket(call.caller, params.socket)?;
    let socket = &socket.wire.socket;
    let interface = interface(socket, params.multicast_interface.as_deref())?;
    let source = params.source_address.parse::<IpAddr>();
    let outcome = match (group(socket, &params.group_address)?, source) {
        (IpAddr::V4(group), Ok(IpAddr::V4(source))) => {
            let interface = match interface {
                Interface::Any => Ipv4Addr::UNSPECIFIED,
                Interface::Address(address) => address,
                Interface::Index(_) => {
                    return Err(invalid(format!(
                        "{name}: for IPv4 the interface is given by its address, as in 192.168.1.5"
                    )));
                }
            };
            match change {
                Change::Join => socket.options().join_ssm_v4(&source, &group, &interface),
                Change::Leave => socket.options().leave_ssm_v4(&source, &group, &interface),
            }
        }
        (IpAddr::V6(group), Ok(IpAddr::V6(source))) => {
            source_membership_v6(socket, group, source, index(interface), change)?
        }
        _ => {
            return Err(invalid(format!(
                "{name}: sourceAddress \"{}\" is not an address of the group's family",
                params.source_address
            )));
        }
    };
    done(name, outcome)
}

/// socket2 has no source-specific groups of IPv6. The crate that has them wants to own the socket, so it gets a second handle to it,
/// for as long as this takes: memberships belong to the socket, not to the handle.
fn source_membership_v6(
    socket: &BatchSocket,
    group: Ipv6Addr,
    source: Ipv6Addr,
    interface: u32,
    change: Change,
) -> Result<io::Result<()>, CallError> {
    let handle_and_port = socket
        .local_address()
        .and_then(|local| Ok((socket.options().try_clone()?, local.port())));
    let (handle, dst_port) = match handle_and_port {
        Ok(both) => both,
        Err(error) => return Ok(Err(error)),
    };
    let config = SubscriptionConfig {
        group: group.into(),
        source: SourceFilter::Source(source.into()),
        dst_port,
        interface: None,
        interface_index: (interface != 0).then_some(interface),
    };
    let mut context = Context::new();
    let outcome = context
        .add_subscription_with_socket(config, handle)
        .and_then(|id| match change {
            Change::Join => context.join_subscription(id),
            Change::Leave => {
                if let Some(subscription) = context.get_subscription_mut(id) {
                    subscription.mark_joined()?;
                }
                context.leave_subscription(id)
            }
        });
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(
            McrxError::MulticastJoinFailed(error)
            | McrxError::MulticastLeaveFailed(error)
            | McrxError::SocketOptionFailed(error),
        ) => Ok(Err(error)),
        Err(McrxError::InvalidIpv6SsmGroup) => Err(invalid(format!(
            "{group} is no group for one source: those of IPv6 are ff3x::/32 (RFC 4607, 1)"
        ))),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// A group that the socket can join.
fn group(socket: &BatchSocket, text: &str) -> Result<IpAddr, CallError> {
    let family = if socket.is_ipv6() { "IPv6" } else { "IPv4" };
    match text.parse::<IpAddr>() {
        Ok(group) if group.is_multicast() && group.is_ipv6() == socket.is_ipv6() => Ok(group),
        _ => Err(invalid(format!(
            "\"{text}\" is not a multicast address of {family}, the socket's family"
        ))),
    }
}

fn interface(socket: &BatchSocket, text: Option<&str>) -> Result<Interface, CallError> {
    match Interface::read(socket, text)? {
        Interface::Address(address) if socket.is_ipv6() => Err(invalid(format!(
            "{address} does not name an interface for IPv6: write ::%NAME, as in ::%eth0"
        ))),
        interface => Ok(interface),
    }
}

fn index(interface: Interface) -> u32 {
    match interface {
        Interface::Index(index) => index,
        Interface::Any | Interface::Address(_) => 0,
    }
}

fn invalid(text: String) -> CallError {
    CallError::new("EINVAL", text)
}
