//! Addresses on the wire, and which of them count as one place.

use crate::circuit::{LINK_BYTES, nowhere};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of an address in a frame or card.
pub const ADDRESS_BYTES: usize = 19;

/// Writes an address: family, 16 bytes, port. IPv4 in IPv6's clothes is written as IPv4.
// PROTOCOL 2.4
#[must_use]
pub fn encode_address(address: SocketAddr) -> [u8; ADDRESS_BYTES] {
    let mut bytes = [0; ADDRESS_BYTES];
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            bytes[0] = 4;
            bytes[1..5].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes[0] = 6;
            bytes[1..17].copy_from_slice(&ip.octets());
        }
    }
    bytes[17..].copy_from_slice(&address.port().to_le_bytes());
    bytes
}

/// Reads an address. `None` for what nobody can be reached at: port 0, unspecified, multicast, broadcast; and for a second
/// encoding of another address: nonzero filling, IPv4 in IPv6's clothes.
// PROTOCOL 2.4
#[must_use]
pub fn decode_address(bytes: &[u8; ADDRESS_BYTES]) -> Option<SocketAddr> {
    let ip: IpAddr = match bytes[0] {
        4 if bytes[5..17] == [0; 12] => Ipv4Addr::from(*bytes[1..].first_chunk::<4>()?).into(),
        6 => Ipv6Addr::from(*bytes[1..].first_chunk::<16>()?).into(),
        _ => return None,
    };
    let address = SocketAddr::new(ip, u16::from_le_bytes([bytes[17], bytes[18]]));
    let mapped = ip.to_canonical() != ip;
    (!mapped && is_reachable(&address)).then_some(address)
}

/// An address as a link keeps it: 22 bytes instead of 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// IPv4 in IPv6's clothes.
    ip: [u8; 16],
    port: [u8; 2],
    /// Of a link-local one: the interface.
    scope: [u8; 4],
}

impl Packed {
    pub(crate) fn new(address: SocketAddr) -> Packed {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Packed {
            ip: ip.octets(),
            port: address.port().to_ne_bytes(),
            scope: scope.to_ne_bytes(),
        }
    }

    pub(crate) fn get(self) -> SocketAddr {
        let (ip, port) = (Ipv6Addr::from(self.ip), u16::from_ne_bytes(self.port));
        match ip.to_ipv4_mapped() {
            Some(v4) => SocketAddrV4::new(v4, port).into(),
            None => SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(self.scope)).into(),
        }
    }
}

/// Whether something can be sent to this address and reach one host.
#[must_use]
pub fn is_reachable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let circuit = nowhere(ip).is_some();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast && !circuit
}

/// How far an address reaches. One of a narrower scope is of no use to a stranger, and none of their business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Loopback,
    Local,
    Global,
}

impl Scope {
    pub(crate) fn of(ip: IpAddr) -> Scope {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Scope::Loopback,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Scope::Local,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Scope::Local,
            _ => Scope::Global,
        }
    }
}

/// Addresses that one party can be expected to hold together: the unit in which strangers are counted.
///
/// IPv4 /24, IPv6 /48; every private, loopback and link-local address is one of its own, since a LAN is not one attacker. All circuits over
/// one link are one as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix([u8; 17]);

impl Prefix {
    /// The prefix in which carriers, sessions and shares are counted.
    // PROTOCOL 3.6
    #[must_use]
    pub fn of(address: SocketAddr) -> Prefix {
        Prefix::cut(address.ip(), 3, 6)
    }

    /// The wider one over which outbound links are spread, and by which the address book has its buckets: /16 or /32.
    pub(crate) fn wide(address: SocketAddr) -> Prefix {
        Prefix::cut(address.ip(), 2, 4)
    }

    fn cut(ip: IpAddr, v4_bytes: usize, v6_bytes: usize) -> Prefix {
        let ip = ip.to_canonical();
        let whole = Scope::of(ip) != Scope::Global;
        let mut prefix = [0; 17];
        match ip {
            IpAddr::V4(ip) => {
                let kept = if whole { 4 } else { v4_bytes };
                prefix[0] = 4;
                prefix[1..=kept].copy_from_slice(&ip.octets()[..kept]);
            }
            IpAddr::V6(ip) => {
                let kept = match nowhere(ip.into()) {
                    Some(_) => LINK_BYTES,
                    None if whole => 16,
                    None => v6_bytes,
                };
                prefix[0] = 6;
                prefix[1..=kept].copy_from_slice(&ip.octets()[..kept]);
            }
        }
        Prefix(prefix)
    }

    /// Whether these are circuits over one link.
    pub(crate) fn is_circuits(&self) -> bool {
        self.0[0] == 6
            && self.0[1..]
                .first_chunk::<16>()
                .is_some_and(|ip| nowhere(Ipv6Addr::from(*ip).into()).is_some())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 17] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_packed_address_is_the_same_again() {
        for text in [
            "1.2.3.4:5",
            "[2001:db8::1]:65535",
            "[fe80::1%3]:9",
            "0.0.0.0:0",
        ] {
            assert_eq!(Packed::new(at(text)).get(), at(text));
        }
        assert_eq!(Packed::new(at("[::ffff:1.2.3.4]:5")).get(), at("1.2.3.4:5"));
    }

    proptest! {
        // PROTOCOL 2.4
        #[test]
        fn an_address_that_decodes_is_the_only_one_with_its_bytes(bytes: [u8; ADDRESS_BYTES], family in 3..8_u8) {
            let mut bytes = bytes;
            bytes[0] = family;
            if family == 4 {
                bytes[5..17].fill(0);
            }
            if let Some(address) = decode_address(&bytes) {
                prop_assert_eq!(encode_address(address), bytes);
            }
        }
    }

    // PROTOCOL 2.4
    #[test]
    fn addresses_at_which_nobody_can_be_are_refused() {
        for good in [
            "127.0.0.1:1",
            "[::1]:65535",
            "203.0.113.9:4000",
            "[2001:db8::1]:7",
        ] {
            assert_eq!(decode_address(&encode_address(at(good))), Some(at(good)));
        }
        for bad in [
            "1.2.3.4:0",
            "0.0.0.0:9",
            "[::]:9",
            "224.0.0.1:9",
            "[ff02::fb]:9",
            "255.255.255.255:9",
        ] {
            assert_eq!(decode_address(&encode_address(at(bad))), None, "{bad}");
        }
        let mut filled = encode_address(at("1.2.3.4:9"));
        filled[16] = 1;
        assert_eq!(decode_address(&filled), None);
        let mut mapped = encode_address(at("[2001:db8::1]:7"));
        mapped[1..13].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        assert_eq!(decode_address(&mapped), None);
        assert_eq!(
            encode_address(at("[::ffff:1.2.3.4]:9")),
            encode_address(at("1.2.3.4:9"))
        );
    }

    // PROTOCOL 3.6
    #[test]
    fn public_neighbours_are_one_prefix_and_private_ones_are_not() {
        let one = |a, b| Prefix::of(at(a)) == Prefix::of(at(b));
        assert!(one("203.0.113.1:1", "203.0.113.254:2"));
        assert!(!one("203.0.113.1:1", "203.0.112.1:1"));
        assert!(one("[2001:db8:1:2::1]:1", "[2001:db8:1:3::9]:1"));
        assert!(!one("[2001:db8:1::1]:1", "[2001:db8:2::1]:1"));
        assert!(one("[::ffff:203.0.113.1]:1", "203.0.113.1:1"));
        for (a, b) in [
            ("10.0.0.1:1", "10.0.0.2:1"),
            ("192.168.1.1:1", "192.168.1.2:1"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("169.254.0.1:1", "169.254.0.2:1"),
            ("[fe80::1]:1", "[fe80::2]:1"),
            ("[fd00::1]:1", "[fd00::2]:1"),
        ] {
            assert!(!one(a, b), "{a} {b}");
            assert!(one(a, a));
        }
        let wide = |a, b| Prefix::wide(at(a)) == Prefix::wide(at(b));
        assert!(wide("203.0.113.1:1", "203.0.1.1:1"));
        assert!(!wide("203.0.113.1:1", "203.1.113.1:1"));
    }
}
