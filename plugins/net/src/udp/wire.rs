//! What a socket's task on tokio and the World share: the socket itself, and the few datagrams that the kernel had no room for.

use super::drops::{SocketDrops, UdpDrop, UdpDrops};
use super::socket::{BatchSocket, Outgoing};
use super::train::gather;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Datagrams, and their bytes, that may wait for room in the kernel. Who makes us answer faster than a slow interface sends would
/// otherwise fill our memory; what waits behind this much is too late for anyone anyway. // guess
const BACKLOG_MAX: usize = 1_024;
const BACKLOG_BYTES_MAX: usize = 1 << 20;

/// Datagrams that one flush sends before it lets go of the lock, for which the World's own sends may be waiting.
const FLUSH_MAX: usize = 64;

/// A socket between the World, which sends on it directly, and its task, which reads and flushes.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: BatchSocket,
    pub(crate) drops: SocketDrops,
    backlog: Mutex<Backlog>,
    blocked: Notify,
    reads: AtomicBool,
    reading: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Backlog {
    datagrams: VecDeque<Outgoing>,
    bytes: usize,
}

impl Backlog {
    /// Takes the datagram, or says that there is no room.
    #[must_use]
    fn push(&mut self, datagram: Outgoing) -> bool {
        let bytes = self.bytes + datagram.bytes.len();
        if self.datagrams.len() >= BACKLOG_MAX || bytes > BACKLOG_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.datagrams.push_back(datagram);
        true
    }
}

impl Wire {
    /// A socket that is read from the start, or not before [`read`](Self::read) says so.
    pub(crate) fn new(socket: BatchSocket, reads: bool, all: &UdpDrops) -> Wire {
        Wire {
            socket,
            drops: SocketDrops::within(all),
            backlog: Mutex::default(),
            blocked: Notify::new(),
            reads: AtomicBool::new(reads),
            reading: Notify::new(),
            closed: Notify::new(),
        }
    }

    /// Sends all of `batch`, in trains where it can. What the kernel has no room for waits; the rest is dropped and counted.
    pub(crate) fn transmit(&self, batch: &mut Vec<Outgoing>, joined: &mut Vec<u8>) {
        let mut backlog = self.backlog();
        let dealt_with = if backlog.datagrams.is_empty() {
            gather(batch);
            self.send(batch, joined)
        } else {
            0 // Those before it go first.
        };
        let mut dropped = 0;
        for datagram in batch.drain(..).skip(dealt_with) {
            dropped += usize::from(!backlog.push(datagram));
        }
        self.drops.count(UdpDrop::BacklogFull, dropped);
        if !backlog.datagrams.is_empty() {
            self.blocked.notify_one();
        }
    }

    /// Sends one datagram: to `to`, or to whom the socket is connected to. Answers its length; it may have to wait for room.
    ///
    /// # Errors
    /// Why it cannot be sent; `ENOBUFS` if too much waits already.
    pub(crate) fn send_one(&self, to: Option<SocketAddr>, bytes: Bytes) -> io::Result<usize> {
        let mut backlog = self.backlog();
        if backlog.datagrams.is_empty() {
            let outcome = match to {
                Some(to) => self.socket.send_one(to, &bytes),
                None => self.socket.send_connected(&bytes),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
        let to = match to {
            Some(to) => to,
            None => self.socket.remote_address()?,
        };
        let length = bytes.len();
        if !backlog.push(Outgoing { to, bytes }) {
            self.drops.count(UdpDrop::BacklogFull, 1);
            return Err(rustix::io::Errno::NOBUFS.into());
        }
        self.blocked.notify_one();
        Ok(length)
    }

    /// Sends some of what waits.
    ///
    /// # Errors
    /// `WouldBlock`: the kernel has no room yet.
    pub(crate) fn flush(&self, joined: &mut Vec<u8>) -> io::Result<()> {
        let mut backlog = self.backlog();
        let waiting = backlog.datagrams.len().min(FLUSH_MAX);
        let some = &backlog.datagrams.make_contiguous()[..waiting];
        let dealt_with = self.send(some, joined);
        let left: usize = backlog
            .datagrams
            .drain(..dealt_with)
            .map(|datagram| datagram.bytes.len())
            .sum();
        backlog.bytes -= left;
        if dealt_with < waiting {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    /// Whether datagrams wait for room in the kernel.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.backlog().datagrams.is_empty()
    }

    /// Returns once datagrams may wait for room in the kernel.
    pub(crate) async fn blocked(&self) {
        self.blocked.notified().await;
    }

    /// Starts or stops reading; what comes while nobody reads waits in the kernel, as far as its buffer goes.
    pub(crate) fn read(&self, reads: bool) {
        self.reads.store(reads, Ordering::Release);
        self.reading.notify_one();
    }

    /// Whether it is to be read.
    pub(crate) fn reads(&self) -> bool {
        self.reads.load(Ordering::Acquire)
    }

    /// Returns once it is to be read.
    pub(crate) async fn reading(&self) {
        while !self.reads() {
            self.reading.notified().await;
        }
    }

    /// Ends the task, and with it the socket.
    pub(crate) fn close(&self) {
        self.closed.notify_one();
    }

    /// Returns once [`close`](Self::close) was called.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    fn send(&self, batch: &[Outgoing], joined: &mut Vec<u8>) -> usize {
        self.socket.send(batch, joined, |datagram, error| {
            tracing::debug!(to = %datagram.to, %error, "a datagram was not sent");
            self.drops.count(UdpDrop::of(&error), 1);
        })
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
