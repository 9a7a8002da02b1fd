//! A UDP socket that moves many datagrams a system call: `recvmmsg` in; GSO trains and `sendmmsg` out.
//!
//! No tokio and no World in here, so it is tested, and measured (`examples/udp_bench.rs`), alone.

use super::options::Options;
use super::train::train_length;
use bytes::Bytes;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};
use socket2::Socket;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

/// A UDP payload is never longer: 65,535 less the UDP header. Also what one GRO read can bring.
const PAYLOAD_BYTES_MAX: usize = 65_527;

/// Datagrams (or, with GRO, trains) that one read takes. // measured: 8 to 64 cost the same
const READS_MAX: usize = quinn_udp::BATCH_SIZE;

/// Datagrams that one `sendmmsg` takes. // measured: 8 to 64 cost the same
const WRITES_MAX: usize = 32;

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to. On a connected socket: whom it is connected to.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: Bytes,
}

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub struct BatchSocket {
    socket: Socket,
    /// For links only: it forbids fragmentation, which apps may want.
    offload: Option<UdpSocketState>,
    bound: SocketAddr,
}

/// Memory that reads go to; one serves any number of sockets in turn.
///
/// 2 MiB of address space, of which the system gives pages only as datagrams reach them.
pub struct Buffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; READS_MAX],
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers {
            bytes: vec![0; READS_MAX * PAYLOAD_BYTES_MAX],
            metas: [RecvMeta::default(); READS_MAX],
        }
    }
}

impl BatchSocket {
    /// Opens a socket on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// What the system says: the address is busy, forbidden, or not of this machine.
    pub fn bind(address: SocketAddr, options: Options) -> io::Result<BatchSocket> {
        let (socket, offload) = options.open(address)?;
        let bound = address_of(socket.local_addr()?)?;
        Ok(BatchSocket {
            socket,
            offload,
            bound,
        })
    }

    /// The address that it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        address_of(self.socket.local_addr()?)
    }

    /// Whether an IPv6 socket (which may take IPv4 as well).
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.bound.is_ipv6()
    }

    /// Whether the system may cut its datagrams into fragments.
    #[must_use]
    pub fn may_fragment(&self) -> bool {
        self.offload
            .as_ref()
            .is_none_or(UdpSocketState::may_fragment)
    }

    /// Most datagrams that leave with one system call as one train; 1 where the kernel has no GSO.
    #[must_use]
    pub fn train_max(&self) -> usize {
        self.offload
            .as_ref()
            .map_or(1, UdpSocketState::max_gso_segments)
    }

    /// The socket, for its options.
    pub(crate) fn options(&self) -> &Socket {
        &self.socket
    }

    /// Reads what waits, at most one batch (a few dozen system-call entries), and hands out each datagram. Answers how many.
    ///
    /// A link's socket that also takes IPv4 gives IPv4 addresses as such.
    ///
    /// # Errors
    /// `WouldBlock` if nothing waits. On a connected socket also what became of an earlier datagram (`ECONNREFUSED`): read again.
    pub fn receive(
        &self,
        buffers: &mut Buffers,
        mut each: impl FnMut(SocketAddr, Bytes),
    ) -> io::Result<usize> {
        let Some(offload) = &self.offload else {
            return self.receive_each(buffers, each);
        };
        let mut slices = buffers.bytes.chunks_exact_mut(PAYLOAD_BYTES_MAX);
        let mut slices: [IoSliceMut<'_>; READS_MAX] =
            std::array::from_fn(|_| IoSliceMut::new(slices.next().unwrap_or_default()));
        let reads = offload.recv((&self.socket).into(), &mut slices, &mut buffers.metas)?;
        let mut datagrams = 0;
        for (meta, bytes) in buffers.metas[..reads].iter().zip(&slices) {
            let from = canonical(meta.addr);
            let bytes = &bytes[..meta.len.min(bytes.len())];
            if bytes.is_empty() {
                each(from, Bytes::new()); // An empty datagram is one, and has no segments to cut.
                datagrams += 1;
            }
            for datagram in bytes.chunks(meta.stride.max(1)) {
                // Copied, so that who keeps one datagram does not keep its whole batch.
                each(from, Bytes::copy_from_slice(datagram));
                datagrams += 1;
            }
        }
        Ok(datagrams)
    }

    /// The same for a plain socket, one call each. // measured: recvmmsg saves nothing here, 271 to 283 against 279 to 286 ns
    fn receive_each(
        &self,
        buffers: &mut Buffers,
        mut each: impl FnMut(SocketAddr, Bytes),
    ) -> io::Result<usize> {
        let bytes = &mut buffers.bytes[..PAYLOAD_BYTES_MAX];
        for taken in 0..READS_MAX {
            match rustix::net::recvfrom(&self.socket, &mut *bytes, rustix::net::RecvFlags::empty())
            {
                Ok((length, _, Some(from))) => {
                    let from = SocketAddr::try_from(from).map_err(io::Error::from)?;
                    each(
                        from,
                        Bytes::copy_from_slice(&bytes[..length.min(bytes.len())]),
                    );
                }
                Ok((_, _, None)) => return Err(ErrorKind::InvalidData.into()),
                // What was read is told first; the error, if it lasts, comes with the next read.
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(READS_MAX)
    }

    /// Sends `batch` in its order, until the kernel's buffer is full. Answers how many were dealt with: sent, or refused and told to
    /// `refused`. Fewer than all means: wait until the socket is writable, then go on with the rest. Trains are put together in `joined`.
    pub fn send(
        &self,
        batch: &[Outgoing],
        joined: &mut Vec<u8>,
        mut refused: impl FnMut(&Outgoing, io::Error),
    ) -> usize {
        let mut at = 0;
        while at < batch.len() {
            let train = train_length(&batch[at..], self.train_max());
            let outcome = if train > 1 {
                self.send_train(&batch[at..at + train], joined)
                    .map(|()| train)
            } else {
                let singles = (at..batch.len().min(at + WRITES_MAX))
                    .take_while(|next| train_length(&batch[*next..], self.train_max()) == 1)
                    .count();
                self.send_singles(&batch[at..at + singles])
            };
            match outcome {
                Ok(sent) => at += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The card or its driver has no GSO; quinn-udp has noticed, and from now on each goes by itself.
                Err(_) if train > 1 && self.train_max() == 1 => {}
                Err(error) => {
                    let code = error.raw_os_error();
                    for datagram in &batch[at..at + train] {
                        let error = code
                            .map_or_else(|| ErrorKind::Other.into(), io::Error::from_raw_os_error);
                        refused(datagram, error);
                    }
                    at += train;
                }
            }
        }
        at
    }

    fn send_train(&self, train: &[Outgoing], joined: &mut Vec<u8>) -> io::Result<()> {
        let (Some(first), Some(offload)) = (train.first(), &self.offload) else {
            return Ok(());
        };
        joined.clear();
        for datagram in train {
            joined.extend_from_slice(&datagram.bytes);
        }
        let transmit = Transmit {
            destination: self.reachable(first.to),
            ecn: None,
            contents: joined,
            segment_size: Some(first.bytes.len()),
            src_ip: None,
        };
        once_more(|| offload.try_send((&self.socket).into(), &transmit))
    }

    /// Sends some of the first of `batch`, each to its own destination.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_singles(&self, batch: &[Outgoing]) -> io::Result<usize> {
        if let [one] = batch {
            return self.send_one(one.to, &one.bytes).map(|_| 1);
        }
        let to: Vec<SocketAddrAny> = batch
            .iter()
            .map(|datagram| self.reachable(datagram.to).into())
            .collect();
        let bytes: Vec<[IoSlice<'_>; 1]> = batch
            .iter()
            .map(|datagram| [IoSlice::new(&datagram.bytes)])
            .collect();
        let mut controls: Vec<_> = batch
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let mut messages: Vec<_> = controls
            .iter_mut()
            .zip(to.iter().zip(&bytes))
            .map(|(control, (to, bytes))| MMsgHdr::new_with_addr(to, bytes, control))
            .collect();
        once_more(|| {
            rustix::net::sendmmsg(&self.socket, &mut messages, SendFlags::empty())
                .map_err(io::Error::from)
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn send_singles(&self, batch: &[Outgoing]) -> io::Result<usize> {
        let Some(one) = batch.first() else {
            return Ok(0);
        };
        self.send_one(one.to, &one.bytes).map(|_| 1)
    }

    /// Sends one datagram now. Answers the bytes sent.
    ///
    /// # Errors
    /// `WouldBlock` if the kernel's buffer is full; else why it cannot be sent.
    pub fn send_one(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<usize> {
        let to = self.reachable(to);
        once_more(|| {
            rustix::net::sendto(&self.socket, bytes, SendFlags::empty(), &to)
                .map_err(io::Error::from)
        })
    }

    /// Sends one datagram to whom the socket is connected to. Answers the bytes sent.
    ///
    /// # Errors
    /// As [`send_one`](Self::send_one), and `EDESTADDRREQ` if it is not connected.
    pub fn send_connected(&self, bytes: &[u8]) -> io::Result<usize> {
        once_more(|| {
            rustix::net::send(&self.socket, bytes, SendFlags::empty()).map_err(io::Error::from)
        })
    }

    /// Sends to, and takes from, `peer` alone from now on.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(&peer.into())
    }

    /// Ends [`connect`](Self::connect). The socket keeps its address.
    ///
    /// # Errors
    /// `ENOTCONN` if it is not connected; `EADDRINUSE` if somebody was quick to take its port.
    pub fn disconnect(&self) -> io::Result<()> {
        self.remote_address()?;
        rustix::net::connect_unspec(&self.socket)?;
        // Linux takes back a port that it had chosen itself.
        if self.local_address()?.port() == 0 {
            self.socket.bind(&self.bound.into())?;
        }
        Ok(())
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN` if it is not.
    pub fn remote_address(&self) -> io::Result<SocketAddr> {
        address_of(self.socket.peer_addr()?)
    }

    /// The form in which this socket reaches `to`: an IPv6 socket writes IPv4 addresses as mapped ones (RFC 4291, 2.5.5.2).
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.bound.is_ipv6() => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            as_is => as_is,
        }
    }
}

/// Linux tells of an earlier datagram's fate in place of sending the next: that next one still deserves its try.
fn once_more<T>(mut send: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match send() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => send(),
        outcome => outcome,
    }
}

/// The IPv4 address that a mapped one stands for, so that one peer has one address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None if v6.ip().is_unicast_link_local() => address,
            // A scope means nothing beyond link-local, and would make two addresses of one.
            None => SocketAddrV6::new(Ipv6Addr::from(v6.ip().octets()), v6.port(), 0, 0).into(),
        },
        SocketAddr::V4(_) => address,
    }
}

fn address_of(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

impl AsFd for BatchSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
