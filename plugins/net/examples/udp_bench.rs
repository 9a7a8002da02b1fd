//! What our batched socket saves over plain `send_to` and `recv_from`, on loopback, in one run.
//!
//! `cargo run --release -p dunlin-net --example udp_bench`
//!
//! Each round fills receive queues and drains them on one thread; the figures are that thread's CPU time, so that neither the scheduler
//! nor other programs are in them. The ways take turns round by round, so that what slows the machine slows all of them alike.

use bytes::Bytes;
use dunlin_net::{BatchSocket, Buffers, Outgoing, SocketOptions};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const DATAGRAM_BYTES: usize = 1_200;
const DATAGRAMS: usize = 192;
const ROUNDS: usize = 500;

fn main() {
    let mut sends: Vec<(&str, Send)> = vec![
        ("send_to, one call a datagram", Send::plain()),
        ("batched, 64 destinations (sendmmsg)", Send::batched(64, 1)),
        ("batched, trains of 2 (GSO)", Send::batched(96, 2)),
        ("batched, trains of 4", Send::batched(48, 4)),
        ("batched, trains of 16", Send::batched(12, 16)),
        ("batched, trains of 54", Send::batched(1, DATAGRAMS)),
    ];
    let mut receives: Vec<(&str, Receive)> = vec![
        ("recv_from, one call a datagram", Receive::new(false, 1)),
        (
            "batched, single datagrams (recvmmsg)",
            Receive::new(true, 1),
        ),
        ("batched, trains of 2 (GRO)", Receive::new(true, 2)),
        ("batched, trains of 4", Receive::new(true, 4)),
        ("batched, trains of 16", Receive::new(true, 16)),
        ("batched, trains of 54", Receive::new(true, 54)),
    ];
    let mut costs = vec![Vec::new(); sends.len() + receives.len()];
    for _ in 0..ROUNDS {
        let sent = sends.iter_mut().map(|(_, way)| way.round());
        let received = receives.iter_mut().map(|(_, way)| way.round());
        for (cost, round) in costs.iter_mut().zip(sent.chain(received)) {
            cost.push(round);
        }
    }
    let (of_sends, of_receives) = costs.split_at_mut(sends.len());
    print("sending 1,200 bytes", &sends, of_sends);
    print("receiving 1,200 bytes", &receives, of_receives);
}

fn print<W>(title: &str, ways: &[(&str, W)], costs: &mut [Vec<f64>]) {
    let medians: Vec<f64> = costs.iter_mut().map(|cost| median(cost)).collect();
    println!(
        "{title:<38} {:>6} {:>16} {:>11}",
        "CPU ns", "datagrams/s CPU", "times plain"
    );
    for ((name, _), ns) in ways.iter().zip(&medians) {
        let ratio = medians[0] / ns;
        println!("{name:<38} {ns:>6.0} {:>16.0} {ratio:>11.2}", 1e9 / ns);
    }
}

fn here() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn batched() -> BatchSocket {
    BatchSocket::bind(here(), SocketOptions::links()).expect("a socket")
}

/// A plain socket with buffers as large as ours.
fn plain() -> UdpSocket {
    let socket = UdpSocket::bind(here()).expect("a socket");
    socket.set_nonblocking(true).expect("non-blocking");
    let buffer = socket2::SockRef::from(&socket).set_recv_buffer_size(2 << 20);
    buffer.expect("a large buffer");
    socket
}

/// Runs of `run` datagrams to each of `to` in turn.
fn batch(to: &[SocketAddr], run: usize) -> Vec<Outgoing> {
    let bytes = Bytes::from(vec![7; DATAGRAM_BYTES]);
    (0..DATAGRAMS)
        .map(|n| Outgoing {
            to: to[n / run % to.len()],
            bytes: bytes.clone(),
        })
        .collect()
}

fn drain(sinks: &[UdpSocket]) {
    let mut bytes = [0; 2_048];
    let drained = |sink: &UdpSocket| std::iter::from_fn(|| sink.recv_from(&mut bytes).ok()).count();
    assert_eq!(sinks.iter().map(drained).sum::<usize>(), DATAGRAMS);
}

enum Send {
    Plain(UdpSocket, Vec<UdpSocket>, Vec<Outgoing>),
    Batched(BatchSocket, Vec<UdpSocket>, Vec<Outgoing>, Vec<u8>),
}

impl Send {
    fn plain() -> Send {
        let sinks = vec![plain()];
        let at = sinks[0].local_addr().expect("an address");
        Send::Plain(plain(), sinks, batch(&[at], 1))
    }

    fn batched(sinks: usize, run: usize) -> Send {
        let sinks: Vec<_> = (0..sinks).map(|_| plain()).collect();
        let at: Vec<_> = sinks
            .iter()
            .map(|sink| sink.local_addr().expect("an address"))
            .collect();
        Send::Batched(batched(), sinks, batch(&at, run), Vec::new())
    }

    /// CPU nanoseconds a datagram sent.
    fn round(&mut self) -> f64 {
        let begin = cpu();
        match self {
            Send::Plain(socket, _, batch) => {
                for datagram in batch {
                    socket.send_to(&datagram.bytes, datagram.to).expect("sent");
                }
            }
            Send::Batched(socket, _, batch, joined) => send(socket, batch, joined),
        }
        let end = cpu();
        let (Send::Plain(_, sinks, _) | Send::Batched(_, sinks, ..)) = self;
        drain(sinks);
        each(end - begin)
    }
}

fn send(socket: &BatchSocket, batch: &[Outgoing], joined: &mut Vec<u8>) {
    let sent = socket.send(batch, joined, |_, error| panic!("{error}"));
    assert_eq!(sent, batch.len(), "loopback is never full");
}

struct Receive {
    sender: BatchSocket,
    plain: Option<UdpSocket>,
    sink: BatchSocket,
    batch: Vec<Outgoing>,
    run: usize,
    buffers: Buffers,
    joined: Vec<u8>,
}

impl Receive {
    fn new(ours: bool, run: usize) -> Receive {
        let (plain, sink) = (plain(), batched());
        let at = match ours {
            true => sink.local_address(),
            false => plain.local_addr(),
        };
        Receive {
            sender: batched(),
            plain: (!ours).then_some(plain),
            sink,
            batch: batch(&[at.expect("an address")], 1),
            run,
            buffers: Buffers::default(),
            joined: Vec::new(),
        }
    }

    /// CPU nanoseconds a datagram received, into bytes of its own.
    fn round(&mut self) -> f64 {
        for train in self.batch.chunks(self.run) {
            send(&self.sender, train, &mut self.joined);
        }
        let begin = cpu();
        let mut came = 0;
        if let Some(plain) = &self.plain {
            let mut bytes = [0; 2_048];
            while let Ok((length, _)) = plain.recv_from(&mut bytes) {
                black_box(Bytes::copy_from_slice(&bytes[..length]));
                came += 1;
            }
        } else {
            while let Ok(datagrams) = self.sink.receive(&mut self.buffers, |_, bytes| {
                black_box(bytes);
            }) {
                came += datagrams;
            }
        }
        let end = cpu();
        assert_eq!(came, DATAGRAMS);
        each(end - begin)
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn each(span: Duration) -> f64 {
    span.as_nanos() as f64 / DATAGRAMS as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
