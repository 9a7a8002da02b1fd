//! How a socket is opened, for links and for apps.

use quinn_udp::UdpSocketState;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Kernel buffers of a link's socket: a burst of about 1,700 full datagrams survives a turn that is late. The kernel caps them at
/// `net.core.rmem_max`, and uses memory only while datagrams wait. // guess
const LINK_BUFFER_BYTES: usize = 2 << 20;

/// How a socket is opened. [`Options::default`] is a plain one, for apps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Datagrams are never fragmented, here or on their way, and trains are used where the kernel has them.
    pub links: bool,
    /// Another socket may bind the same address, and each gets what the system sees fit (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Others may bind the same address and port, and the system shares the load out (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// An IPv6 socket takes no IPv4.
    pub ipv6_only: bool,
    /// The kernel's receive buffer in bytes; none: the system's default.
    pub receive_buffer: Option<usize>,
    /// The kernel's send buffer in bytes; none: the system's default.
    pub send_buffer: Option<usize>,
}

impl Options {
    /// The socket of a node's links.
    #[must_use]
    pub fn links() -> Options {
        Options {
            links: true,
            receive_buffer: Some(LINK_BUFFER_BYTES),
            send_buffer: Some(LINK_BUFFER_BYTES),
            ..Options::default()
        }
    }

    /// Opens a socket so; for links, also what moves its trains.
    pub(super) fn open(&self, address: SocketAddr) -> io::Result<(Socket, Option<UdpSocketState>)> {
        let is_ipv6 = address.is_ipv6();
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if is_ipv6 {
            socket.set_only_v6(self.ipv6_only)?;
        }
        if self.reuse_address {
            socket.set_reuse_address(true)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        // Linux would else hand this socket whatever group any program on the machine has joined; elsewhere this is how it is anyway.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if is_ipv6 {
            socket.set_multicast_all_v6(false)?;
        } else {
            socket.set_multicast_all_v4(false)?;
        }
        socket.bind(&address.into())?;
        let offload = match self.links {
            true => Some(offload(&socket, is_ipv6)?),
            false => None,
        };
        Ok((socket, offload))
    }
}

/// Forbids fragmentation and turns on GRO. quinn-udp also asks the kernel to tell, beside each datagram, the address and interface that it
/// came to, when it came and how congested its path was. Nobody here wants to know.
// Measured (examples/udp_bench.rs): with all that, single datagrams come in at 0.83 times the pace of `recv_from`, without it at 1.08.
fn offload(socket: &Socket, is_ipv6: bool) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(socket.into())?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        setsockopt(socket, sockopt::ReceiveTimestampns, &false)?;
        socket.set_recv_tos_v4(false)?;
        if is_ipv6 {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false)?;
            socket.set_recv_tclass_v6(false)?;
        } else {
            setsockopt(socket, sockopt::Ipv4PacketInfo, &false)?;
        }
    }
    Ok(state)
}
