//! Addresses as apps write and read them.

use super::interface::index_of;
use crate::udp::socket::BatchSocket;
use dunlin_engine::CallError;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

/// An address in an answer or an item.
#[derive(Serialize)]
pub(super) struct Address {
    address: String,
    /// `IPv4` or `IPv6`.
    family: &'static str,
    port: u16,
}

impl Address {
    /// A link-local address is written with its interface, as in `fe80::1%eth0`: without, it could not be answered.
    pub(super) fn of(address: SocketAddr, socket: impl AsFd) -> Address {
        let mut text = address.ip().to_string();
        if let SocketAddr::V6(v6) = address
            && v6.scope_id() != 0
        {
            let name = rustix::net::netdevice::index_to_name(socket, v6.scope_id());
            text += &format!("%{}", name.unwrap_or_else(|_| v6.scope_id().to_string()));
        }
        Address {
            address: text,
            family: if address.is_ipv4() { "IPv4" } else { "IPv6" },
            port: address.port(),
        }
    }
}

/// An address that `socket` can send to.
///
/// # Errors
/// `EINVAL`: not an address, or not of the socket's family.
pub(super) fn peer(
    socket: &BatchSocket,
    address: &str,
    port: u16,
) -> Result<SocketAddr, CallError> {
    if port == 0 {
        return Err(CallError::new(
            "EINVAL",
            "port 0 is nobody's: give the other side's port, from 1 to 65535",
        ));
    }
    let is_ipv6 = socket.is_ipv6();
    let address = with_port(socket, address, port, is_ipv6)?;
    if address.is_ipv6() != is_ipv6 {
        return Err(CallError::new(
            "EINVAL",
            format!(
                "{address} is not of this socket's family: bind one with type \"{}\"",
                if is_ipv6 { "udp4" } else { "udp6" }
            ),
        ));
    }
    Ok(address)
}

/// Reads an address; `localhost` is the loopback address of the family wanted.
pub(super) fn with_port(
    any_socket: impl AsFd,
    address: &str,
    port: u16,
    want_ipv6: bool,
) -> Result<SocketAddr, CallError> {
    if address == "localhost" {
        let loopback: IpAddr = match want_ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        return Ok((loopback, port).into());
    }
    if let Some((ip, scope)) = address.split_once('%')
        && let Ok(ip) = ip.parse::<Ipv6Addr>()
    {
        return Ok(SocketAddrV6::new(ip, port, 0, index_of(any_socket, scope)?).into());
    }
    match address.parse::<IpAddr>() {
        Ok(ip) => Ok((ip, port).into()),
        Err(_) => Err(CallError::new(
            "EINVAL",
            format!(
                "\"{address}\" is not an IP address, and names are not looked up here: give the address"
            ),
        )),
    }
}

/// The form in which permissions name an address: `127.0.0.1:53`, `[::1]:53`. One address has one form, or a scope could be talked
/// around; what is no address stays as it is, and the call then refuses it.
pub(super) fn scope(address: &str, port: impl std::fmt::Display) -> String {
    match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => format!("{ip}:{port}"),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Err(_) if address.contains(':') => format!("[{address}]:{port}"),
        Err(_) => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_form_in_permissions() {
        assert_eq!(scope("127.0.0.1", 53), "127.0.0.1:53");
        assert_eq!(scope("::ffff:127.0.0.1", 53), "127.0.0.1:53");
        assert_eq!(scope("0:0:0:0:0:0:0:1", 53), "[::1]:53");
        assert_eq!(scope("localhost", 53), "localhost:53");
        assert_eq!(scope("239.1.2.3", "*"), "239.1.2.3:*");
        // No pattern for another host fits this, and the call refuses it.
        assert_eq!(scope("127.0.0.1:9", 53), "[127.0.0.1:9]:53");
    }
}
