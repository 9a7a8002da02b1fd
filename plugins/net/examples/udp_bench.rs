//! What our batched socket saves over plain `send_to` and `recv_from`, on loopback, in one run.
//!
//! `cargo run --release -p dunlin-net --example udp_bench`
//!
//! Each round fills a socket's receive queue and drains it on one thread; the figures are that thread's CPU time, so that neither the
//! scheduler nor other programs are in them. The ways take turns round by round, so that what slows the machine slows all of them.

use bytes::Bytes;
use dunlin_net::{BatchSocket, Buffers, Outgoing, SocketOptions};
use rustix::time::{ClockId, clock_gettime};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const DATAGRAM_BYTES: usize = 1_200;
const DATAGRAMS: usize = 192;
const ROUNDS: usize = 400;

fn main() {
    let ways: [(&str, Way); 6] = [
        ("plain send_to, plain recv_from", Way::Plain),
        (
            "batched, to 64 destinations in turn (sendmmsg)",
            Way::Batched { sinks: 64, run: 1 },
        ),
        (
            "batched, to 1 destination (GSO, GRO)",
            Way::Batched {
                sinks: 1,
                run: DATAGRAMS,
            },
        ),
        (
            "batched, to 8 destinations, 8 each a turn",
            Way::Batched { sinks: 8, run: 8 },
        ),
        (
            "batched, to 3 destinations, 3 each a turn",
            Way::Batched { sinks: 3, run: 3 },
        ),
        ("batched, 2 each a turn", Way::Batched { sinks: 16, run: 2 }),
    ];
    let mut rigs: Vec<Rig> = ways.iter().map(|(_, way)| Rig::new(*way)).collect();
    println!("train of at most {} segments", rigs[2].sender.train_max());
    let mut cost = vec![(Vec::new(), Vec::new()); ways.len()];
    for _ in 0..ROUNDS {
        for (rig, (send, receive)) in rigs.iter_mut().zip(&mut cost) {
            let (sent, received) = rig.round();
            send.push(sent);
            receive.push(received);
        }
    }
    println!(
        "{:<48} {:>9} {:>9} {:>12} {:>7} {:>7}",
        "1,200 bytes on loopback, CPU", "send ns", "recv ns", "datagrams/s", "send x", "recv x"
    );
    let medians: Vec<(f64, f64)> = cost
        .iter_mut()
        .map(|(s, r)| (median(s), median(r)))
        .collect();
    for ((name, _), (send, receive)) in ways.iter().zip(&medians) {
        println!(
            "{name:<48} {send:>9.0} {receive:>9.0} {:>12.0} {:>7.2} {:>7.2}",
            1e9 / (send + receive),
            medians[0].0 / send,
            medians[0].1 / receive
        );
    }
}

#[derive(Clone, Copy)]
enum Way {
    Plain,
    /// `run` datagrams to each of `sinks` in turn, all in one batch.
    Batched {
        sinks: usize,
        run: usize,
    },
}

struct Rig {
    way: Way,
    sender: BatchSocket,
    sinks: Vec<BatchSocket>,
    plain_sender: UdpSocket,
    plain_sink: UdpSocket,
    batch: Vec<Outgoing>,
    buffers: Buffers,
    joined: Vec<u8>,
}

impl Rig {
    fn new(way: Way) -> Rig {
        let here: SocketAddr = ([127, 0, 0, 1], 0).into();
        let bind = || BatchSocket::bind(here, SocketOptions::links()).expect("a socket");
        let (count, run) = match way {
            Way::Plain => (0, 1),
            Way::Batched { sinks, run } => (sinks, run),
        };
        let sinks: Vec<_> = (0..count).map(|_| bind()).collect();
        let at: Vec<_> = sinks
            .iter()
            .map(|sink| sink.local_address().expect("an address"))
            .collect();
        let bytes = Bytes::from(vec![7; DATAGRAM_BYTES]);
        let to = |n: usize| at[n / run % count.max(1)];
        let batch = (0..DATAGRAMS).filter(|_| count > 0).map(|n| Outgoing {
            to: to(n),
            bytes: bytes.clone(),
        });
        let plain_sink = UdpSocket::bind(here).expect("a socket");
        let sized = socket2::SockRef::from(&plain_sink).set_recv_buffer_size(2 << 20);
        sized.expect("a buffer as large as ours");
        Rig {
            way,
            sender: bind(),
            batch: batch.collect(),
            sinks,
            plain_sender: UdpSocket::bind(here).expect("a socket"),
            plain_sink,
            buffers: Buffers::default(),
            joined: Vec::new(),
        }
    }

    /// CPU nanoseconds a datagram: to send, to receive.
    fn round(&mut self) -> (f64, f64) {
        let begin = cpu();
        match self.way {
            Way::Plain => {
                let bytes = [7; DATAGRAM_BYTES];
                let to = self.plain_sink.local_addr().expect("an address");
                for _ in 0..DATAGRAMS {
                    self.plain_sender.send_to(&bytes, to).expect("sent");
                }
            }
            Way::Batched { .. } => {
                let sent = self
                    .sender
                    .send(&self.batch, &mut self.joined, |_, error| panic!("{error}"));
                assert_eq!(sent, DATAGRAMS, "loopback is never full");
            }
        }
        let sent = cpu();
        let mut came = 0;
        match self.way {
            Way::Plain => {
                let mut bytes = [0; 2_048];
                while came < DATAGRAMS {
                    let (length, _) = self.plain_sink.recv_from(&mut bytes).expect("received");
                    // As ours does: each datagram becomes bytes of its own.
                    std::hint::black_box(Bytes::copy_from_slice(&bytes[..length]));
                    came += 1;
                }
            }
            Way::Batched { .. } => {
                for sink in &self.sinks {
                    while let Ok(datagrams) = sink.receive(&mut self.buffers, |_, bytes| {
                        std::hint::black_box(bytes);
                    }) {
                        came += datagrams;
                    }
                }
                assert_eq!(came, DATAGRAMS);
            }
        }
        let received = cpu();
        let each = |span: Duration| span.as_nanos() as f64 / DATAGRAMS as f64;
        (each(sent - begin), each(received - sent))
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
