//! A socket's task on tokio: waits until the kernel has datagrams, or room for ours, and moves them.

use super::drops::{SocketDrops, UdpDrop};
use super::socket::Buffers;
use super::wire::Wire;
use crate::DatagramIn;
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::{Inbox, Input, Source, bevy_ecs};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Most datagrams, and bytes of them, in one input; no datagram is longer. The inbox bounds inputs, so together they bound what a flood
/// can make us hold: 512 of these are 39 MB.
const INPUT_DATAGRAMS_MAX: usize = 64;
const INPUT_BYTES_MAX: usize = 64 * 1_200;

/// Errors in a row after which a socket is left alone until something new comes. A lasting error must not keep a core busy.
const ERRORS_MAX: u32 = 8;

/// Whose socket it is, and so what becomes of its datagrams.
#[derive(Clone, Copy)]
pub(crate) enum Owner {
    /// A node's links: they become [`DatagramIn`].
    Node(Entity),
    /// An app's socket, this entity: they become [`Arrived`].
    App(Entity),
}

/// Something came in on an app's socket: a datagram and who sent it, or what became of one sent earlier.
#[derive(Message)]
pub(crate) struct Arrived {
    pub(crate) socket: Entity,
    pub(crate) what: io::Result<(SocketAddr, Bytes)>,
}

/// Datagrams on their way to the World. Dropped before they get there, they are counted.
struct Arriving {
    datagrams: Vec<(SocketAddr, Bytes)>,
    bytes: usize,
    drops: SocketDrops,
}

impl Arriving {
    fn take(mut self) -> Vec<(SocketAddr, Bytes)> {
        std::mem::take(&mut self.datagrams)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.drops.count(UdpDrop::InboxFull, self.datagrams.len());
    }
}

/// The way from a socket to the World.
pub(crate) struct Inlet {
    pub(crate) owner: Owner,
    pub(crate) inbox: Inbox,
    pub(crate) buffers: SharedBuffers,
}

/// One for all tasks, which run on one thread and hold it only while they read.
#[derive(Resource, Clone, Default)]
pub(crate) struct SharedBuffers(Arc<Mutex<Buffers>>);

impl Inlet {
    /// Offers one input; where the runtime has ended, the task ends too.
    fn offer(&self, apply: impl FnOnce(&mut World) + Send + 'static) -> io::Result<()> {
        self.inbox
            .offer(Source::Socket, Input::new(apply))
            .map_err(|_| ErrorKind::BrokenPipe.into())
    }

    fn datagrams(&self, arriving: Arriving) -> io::Result<()> {
        match self.owner {
            Owner::Node(node) => self.offer(move |world| {
                let datagrams = arriving.take().into_iter();
                world.write_message_batch(datagrams.map(|(from, bytes)| DatagramIn {
                    node,
                    from,
                    bytes,
                }));
            }),
            Owner::App(socket) => self.offer(move |world| {
                let datagrams = arriving.take().into_iter();
                world.write_message_batch(datagrams.map(|datagram| Arrived {
                    socket,
                    what: Ok(datagram),
                }));
            }),
        }
    }

    /// Links hear of an unreachable peer by its silence; an app is told, as in Node.
    fn error(&self, error: io::Error) -> io::Result<()> {
        match self.owner {
            Owner::Node(_) => Ok(()),
            Owner::App(socket) => self.offer(move |world| {
                world.write_message(Arrived {
                    socket,
                    what: Err(error),
                });
            }),
        }
    }
}

/// Serves the socket until it is closed.
pub(crate) async fn serve(wire: Arc<Wire>, inlet: Inlet) -> io::Result<()> {
    // tokio wants to own what it watches, so it gets a second handle to the same socket.
    let watched = UdpSocket::from_std(wire.socket.options().try_clone()?.into())?;
    let mut closed = pin!(wire.closed());
    let mut read = pin!(read(&watched, &wire, &inlet));
    let mut flush = pin!(flush(&watched, &wire));
    poll_fn(|context| {
        if closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(end) = flush.as_mut().poll(context) {
            return Poll::Ready(end);
        }
        read.as_mut().poll(context)
    })
    .await
}

async fn read(watched: &UdpSocket, wire: &Wire, inlet: &Inlet) -> io::Result<()> {
    let mut errors = 0;
    loop {
        wire.reading().await;
        // Where a datagram sent earlier has failed, the socket is not readable but in error; the next read says how.
        let ready = watched.ready(Interest::READABLE | Interest::ERROR).await?;
        let what = match ready.is_error() {
            true => Interest::ERROR,
            false => Interest::READABLE,
        };
        if !wire.reads() {
            continue; // Still ready, for whoever reads next.
        }
        let mut batches = Batches::new(&wire.drops);
        let mut failed = None;
        let outcome = watched.try_io(what, || {
            let mut buffers = inlet
                .buffers
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let outcome = wire
                .socket
                .receive(&mut buffers, |from, bytes| batches.push(from, bytes));
            match outcome {
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    failed = Some(error);
                    errors += 1;
                    if errors < ERRORS_MAX {
                        Ok(0)
                    } else {
                        Err(ErrorKind::WouldBlock.into())
                    }
                }
                outcome => outcome,
            }
        });
        if outcome.as_ref().is_ok_and(|datagrams| *datagrams > 0) {
            errors = 0;
        }
        if let Some(error) = failed {
            inlet.error(error)?;
        }
        for arriving in batches.full {
            inlet.datagrams(arriving)?;
        }
        if outcome.is_ok() {
            // Under the Inline runner the World's turns run on this very thread.
            tokio::task::yield_now().await;
        }
    }
}

async fn flush(watched: &UdpSocket, wire: &Wire) -> io::Result<()> {
    let mut joined = Vec::new();
    loop {
        wire.blocked().await;
        while wire.is_blocked() {
            watched.writable().await?;
            // Would it block after all, the loop waits for the next time it is writable.
            let _ = watched.try_io(Interest::WRITABLE, || wire.flush(&mut joined));
        }
    }
}

/// Datagrams of one read, cut to inputs of bounded size.
struct Batches<'a> {
    full: Vec<Arriving>,
    drops: &'a SocketDrops,
}

impl Batches<'_> {
    fn new(drops: &SocketDrops) -> Batches<'_> {
        Batches {
            full: Vec::new(),
            drops,
        }
    }

    fn push(&mut self, from: SocketAddr, bytes: Bytes) {
        let room = self.full.last().is_some_and(|last| {
            last.datagrams.len() < INPUT_DATAGRAMS_MAX
                && last.bytes + bytes.len() <= INPUT_BYTES_MAX
        });
        if !room {
            self.full.push(Arriving {
                datagrams: Vec::new(),
                bytes: 0,
                drops: self.drops.clone(),
            });
        }
        if let Some(last) = self.full.last_mut() {
            last.bytes += bytes.len();
            last.datagrams.push((from, bytes));
        }
    }
}
