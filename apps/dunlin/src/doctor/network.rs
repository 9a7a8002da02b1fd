//! Sockets: UDP in both families, multicast, and the kernel's buffers.

use super::Check;
use socket2::{InterfaceIndexOrAddress, SockRef};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// What links ask for: dunlin-net's `Options::links`.
const BUFFER_BYTES_WANTED: usize = 2 << 20;
/// A datagram to ourselves takes microseconds; one that needs longer is not coming.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// DNS-SD's groups (RFC 6762, 3).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Whether links can listen there, and a datagram comes through.
pub(super) fn udp(listen: SocketAddr) -> Check {
    const NAME: &str = "udp";
    let socket = match UdpSocket::bind(listen) {
        Ok(socket) => socket,
        Err(error) => {
            let advice = match error.kind() {
                ErrorKind::AddrInUse => {
                    "another program has it (`ss -lunp` names it): end it, or choose another port"
                }
                ErrorKind::AddrNotAvailable => {
                    "no interface here has this address (`ip address` lists them)"
                }
                ErrorKind::PermissionDenied => "choose a port from 1024 on",
                _ => "let programs open UDP sockets",
            };
            return Check::fail(NAME, format!("cannot listen on {listen}: {error}"), advice);
        }
    };
    match to_itself(&socket) {
        Ok(()) if listen.port() == 0 => Check::ok(
            NAME,
            format!("links can listen on {}, any free port", listen.ip()),
        ),
        Ok(()) => Check::ok(NAME, format!("links can listen on {listen}")),
        Err(error) => Check::fail(
            NAME,
            format!("a datagram from {listen} to itself does not arrive: {error}"),
            "let the firewall pass UDP on this machine",
        ),
    }
}

/// Sends a datagram to the socket's own address and waits for it.
fn to_itself(socket: &UdpSocket) -> io::Result<()> {
    let mut address = socket.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.send_to(b"dunlin doctor", address)?;
    let mut bytes = [0; 32];
    // A stranger may talk to the port meanwhile; only our own address counts.
    while socket.recv_from(&mut bytes)?.1 != address {}
    Ok(())
}

/// Whether IPv6 is there. Without it everything works, with fewer peers.
pub(super) fn ipv6() -> Check {
    const NAME: &str = "ipv6";
    let loopback = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).and_then(|socket| to_itself(&socket));
    if let Err(error) = loopback {
        let says =
            format!("not here ({error}): peers that have nothing else cannot be reached directly");
        return Check::warn(NAME, says, "enable it if you can");
    }
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    if has_public_ipv6(&addresses) {
        Check::ok(NAME, "with a public address")
    } else {
        Check::ok(NAME, "on this machine, with no public address")
    }
}

/// From /proc/net/if_inet6: address in hex, index, prefix length, scope (00 is global), flags, name.
fn has_public_ipv6(table: &str) -> bool {
    table.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let address = fields.next().unwrap_or_default();
        let scope = fields.nth(2);
        scope == Some("00") && !address.starts_with("fc") && !address.starts_with("fd")
    })
}

/// Whether peers on the same LAN can be looked for.
pub(super) fn multicast() -> Check {
    const NAME: &str = "multicast";
    let interfaces = interfaces(Path::new("/sys/class/net"));
    if interfaces.is_empty() {
        let says = "no interface that is up takes multicast: peers on the LAN will not be found by themselves";
        return Check::warn(
            NAME,
            says,
            "connect to a network, or give peers' addresses by hand",
        );
    }
    let (works, fails): (Vec<_>, Vec<_>) = interfaces
        .into_iter()
        .partition(|(_, index)| join(*index).is_ok());
    let names = |list: &[(String, u32)]| {
        let names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    if fails.is_empty() {
        return Check::ok(NAME, format!("on {}", names(&works)));
    }
    let says = format!("cannot join a group on {}", names(&fails));
    Check::warn(
        NAME,
        says,
        "peers on the LAN may not be found by themselves; give addresses by hand",
    )
}

/// Joins the group of either family.
fn join(index: u32) -> io::Result<()> {
    let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        SockRef::from(&socket)
            .join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))
    });
    v4.or_else(|_| {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v6(&GROUP_V6, index)
    })
}

/// Names and indices of the interfaces that are up and take multicast, without loopback, by name.
fn interfaces(folder: &Path) -> Vec<(String, u32)> {
    const UP: u32 = 0x1;
    const LOOPBACK: u32 = 0x8;
    const MULTICAST: u32 = 0x1000;
    let mut found: Vec<(String, u32)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok();
            let flags =
                u32::from_str_radix(read("flags")?.trim().trim_start_matches("0x"), 16).ok()?;
            let index = read("ifindex")?.trim().parse().ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            (flags & (UP | LOOPBACK | MULTICAST) == UP | MULTICAST).then_some((name, index))
        })
        .collect();
    found.sort();
    found
}

/// Whether the kernel gives links the buffers that they ask for.
pub(super) fn buffers() -> Check {
    const NAME: &str = "buffers";
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| granted(&socket)) {
        Ok((receive, send)) => buffers_check(NAME, receive, send),
        Err(error) => Check::warn(
            NAME,
            format!("cannot ask for any: {error}"),
            "let programs open UDP sockets",
        ),
    }
}

/// Bytes given for receiving and for sending when links' amount is asked for.
fn granted(socket: &UdpSocket) -> io::Result<(usize, usize)> {
    let socket = SockRef::from(socket);
    socket.set_recv_buffer_size(BUFFER_BYTES_WANTED)?;
    socket.set_send_buffer_size(BUFFER_BYTES_WANTED)?;
    // Linux answers with twice what it gives, its own bookkeeping included: socket(7), SO_RCVBUF.
    let halved = if cfg!(target_os = "linux") { 2 } else { 1 };
    Ok((
        socket.recv_buffer_size()? / halved,
        socket.send_buffer_size()? / halved,
    ))
}

fn buffers_check(name: &'static str, receive: usize, send: usize) -> Check {
    let says = format!(
        "{} KiB to receive, {} KiB to send",
        receive >> 10,
        send >> 10
    );
    let mut wanted = Vec::new();
    for (bytes, key) in [(receive, "net.core.rmem_max"), (send, "net.core.wmem_max")] {
        if bytes < BUFFER_BYTES_WANTED {
            wanted.push(format!("{key}={BUFFER_BYTES_WANTED}"));
        }
    }
    if wanted.is_empty() {
        return Check::ok(name, says);
    }
    let says = format!("{says}, less than links ask for; a busy carrier may lose bursts");
    Check::warn(
        name,
        says,
        format!("sudo sysctl --write {}", wanted.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_busy_port_would_stop_it_and_says_who_might_have_it() {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let check = udp(taken.local_addr().expect("an address"));
        assert_eq!(check.state, State::Fail);
        assert!(check.advice.contains("ss -lunp"), "{check:?}");
    }

    #[test]
    fn an_address_of_another_machine_would_stop_it() {
        let check = udp("192.0.2.1:0".parse().expect("an address")); // RFC 5737: nobody's.
        assert_eq!(check.state, State::Fail);
        assert!(check.advice.contains("ip address"), "{check:?}");
    }

    #[test]
    fn only_a_global_address_that_is_not_of_a_private_network_is_public() {
        let loopback = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let private = "fd000000000000000000000000000001 02 40 00 80     eth0\n";
        let public = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
        assert!(!has_public_ipv6(""));
        assert!(!has_public_ipv6(&format!("{loopback}{private}")));
        assert!(has_public_ipv6(&format!("{loopback}{public}")));
    }

    #[test]
    fn interfaces_count_that_are_up_take_multicast_and_leave_the_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, flags) in [
            ("wlan0", "0x1003"),
            ("eth0", "0x1003"),
            ("lo", "0x1009"),
            ("down", "0x1002"),
            ("tun", "0x1"),
        ] {
            let interface = folder.path().join(name);
            std::fs::create_dir(&interface).expect("our own folder");
            std::fs::write(interface.join("flags"), flags).expect("our own folder");
            std::fs::write(interface.join("ifindex"), "7\n").expect("our own folder");
        }
        assert_eq!(
            interfaces(folder.path()),
            [("eth0".to_owned(), 7), ("wlan0".to_owned(), 7)]
        );
    }

    #[test]
    fn buffers_cut_short_name_the_setting_to_raise() {
        assert_eq!(buffers_check("buffers", 2 << 20, 2 << 20).state, State::Ok);
        let check = buffers_check("buffers", 212_992, 2 << 20);
        assert_eq!(check.state, State::Warn);
        assert_eq!(
            check.advice,
            "sudo sysctl --write net.core.rmem_max=2097152"
        );
    }
}
