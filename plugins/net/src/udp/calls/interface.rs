//! Network interfaces as apps name them: `192.168.1.5`, `eth0`, `::%eth0`, `2`.

use dunlin_engine::CallError;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// The one that the system chooses.
    Any,
    /// The one that has this address.
    Address(Ipv4Addr),
    /// The one with this index.
    Index(u32),
}

impl Interface {
    /// Reads what an app wrote; nothing, or an unspecified address, is [`Any`](Interface::Any).
    ///
    /// # Errors
    /// `ENODEV`: there is no such interface. `EINVAL`: an IPv6 address without one.
    pub(super) fn read(socket: impl AsFd, text: Option<&str>) -> Result<Interface, CallError> {
        let text = text.unwrap_or_default();
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(match address.is_unspecified() {
                true => Interface::Any,
                false => Interface::Address(address),
            });
        }
        match text.split_once('%') {
            Some((address, name)) if address.is_empty() || address.parse::<Ipv6Addr>().is_ok() => {
                Ok(Interface::Index(index_of(socket, name)?))
            }
            None if matches!(text, "" | "::" | "0") => Ok(Interface::Any),
            None if text.parse::<Ipv6Addr>().is_ok() => Err(CallError::new(
                "EINVAL",
                format!("\"{text}\" does not say which interface: write ::%NAME, as in ::%eth0"),
            )),
            _ => Ok(Interface::Index(index_of(socket, text)?)),
        }
    }
}

/// The index of an interface given by name or index; any socket will do to ask with.
pub(super) fn index_of(socket: impl AsFd, name: &str) -> Result<u32, CallError> {
    let index = match name.parse() {
        Ok(index) => Ok(index),
        Err(_) => rustix::net::netdevice::name_to_index(socket, name),
    };
    index.map_err(|_| {
        CallError::new(
            "ENODEV",
            format!(
                "this machine has no network interface \"{name}\"; `ip link` lists those it has"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_may_be_given_as_node_does_or_by_name_or_index() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let read = |text| Interface::read(&socket, text).map_err(|error| error.code);
        for any in [None, Some(""), Some("0.0.0.0"), Some("::"), Some("0")] {
            assert_eq!(read(any), Ok(Interface::Any), "{any:?}");
        }
        assert_eq!(
            read(Some("127.0.0.1")),
            Ok(Interface::Address(Ipv4Addr::LOCALHOST))
        );
        for loopback in ["lo", "1", "::%lo", "%lo", "fe80::1%1"] {
            assert_eq!(read(Some(loopback)), Ok(Interface::Index(1)), "{loopback}");
        }
        assert_eq!(read(Some("eth-none")), Err("ENODEV".to_owned()));
        assert_eq!(read(Some("::%none")), Err("ENODEV".to_owned()));
        assert_eq!(read(Some("fe80::1")), Err("EINVAL".to_owned()));
    }
}
