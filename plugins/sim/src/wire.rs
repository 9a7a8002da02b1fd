//! Datagrams leave nodes, travel, and arrive: what `UdpPlugin` and the Internet do otherwise.

use crate::forged::Forged;
use crate::loss::{Loss, Losses};
use crate::path::{Fate, Uplink, Way};
use crate::places::{Place, Places};
use crate::split::Split;
use crate::stand_in::digest;
use crate::trace::Trace;
use crate::wheel::Wheel;
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Time, Timers};
use dunlin_net::{Bound, DatagramIn, DatagramOut};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Timer of the network: something arrives.
pub(crate) struct Arrive;

/// On a [`Node`](dunlin_engine::Node): its place on the virtual network. Its address inside is its [`Bound`].
#[derive(Component)]
pub(crate) struct Host {
    /// Who it is in traces; the same after a restart.
    pub number: u32,
    /// Behind which NAT.
    pub nat: Option<u32>,
    pub uplink: Uplink,
    /// Data messages that came to it a second time, for the network had doubled them.
    pub twice: u64,
}

/// A datagram between two nodes.
struct Flying {
    from: Place,
    to: Place,
    /// Whose it is.
    number: u32,
    bytes: Bytes,
    /// Of a doubled one, shared by both: whether the other has arrived.
    doubled: Option<Arc<AtomicBool>>,
}

/// The /16s of a network, unless said otherwise. // guess
pub(crate) const PREFIXES: u32 = 1_000;
/// First byte of a data message. PROTOCOL 2.1
const DATA: u8 = 7;
/// Of those that begin a handshake.
const BEGIN: [u8; 2] = [1, 3];

/// The virtual network.
#[derive(Resource)]
pub(crate) struct Network {
    pub way: Way,
    pub places: Places,
    /// The /16s that nodes are spread over.
    pub prefixes: u32,
    pub random: ChaCha8Rng,
    pub losses: Losses,
    pub trace: Trace,
    pub split: Split,
    pub datagrams: u64,
    pub bytes: u64,
    pub delivered: u64,
    /// What went to addresses that nobody has.
    pub forged: Forged,
    /// The last handshake that anybody began, for attackers to copy.
    pub handshake: Option<Bytes>,
    under_way: Wheel<Flying>,
    /// Bears the timer.
    clock: Entity,
    armed: Option<Time>,
}

impl Network {
    pub(crate) fn new(way: Way, random: ChaCha8Rng, clock: Entity) -> Network {
        Network {
            way,
            places: Places::default(),
            prefixes: PREFIXES,
            random,
            losses: Losses::default(),
            trace: Trace::default(),
            split: Split::None,
            datagrams: 0,
            bytes: 0,
            delivered: 0,
            forged: Forged::default(),
            handshake: None,
            under_way: Wheel::default(),
            clock,
            armed: None,
        }
    }

    /// Sends from an address that nobody has, so that it is there in the next tick.
    pub(crate) fn forge(
        &mut self,
        number: u32,
        to: SocketAddr,
        bytes: Bytes,
        now: Time,
        random: &mut impl Rng,
    ) {
        if let (Some(from), Some(to)) = (Forged::draw(random), Place::of(to)) {
            self.throw(number, from, to, bytes, now);
        }
    }

    /// Sends from somebody else's address.
    pub(crate) fn repeat(
        &mut self,
        number: u32,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
        at: Time,
    ) {
        if let (Some(from), Some(to)) = (Place::of(from), Place::of(to)) {
            self.throw(number, from, to, bytes, at);
        }
    }

    fn throw(&mut self, number: u32, from: Place, to: Place, bytes: Bytes, at: Time) {
        let doubled = None;
        self.under_way.put(
            at,
            Flying {
                from,
                to,
                number,
                bytes,
                doubled,
            },
        );
    }

    pub(crate) fn arm(&mut self, timers: &mut Timers) {
        let first = self.under_way.first();
        if first != self.armed {
            self.armed = first;
            match first {
                Some(at) => timers.set::<Arrive>(self.clock, at),
                None => timers.cancel::<Arrive>(self.clock),
            }
        }
    }
}

/// Takes what leaves in this turn. In `Transmit`, set `NetSystems::Send`.
pub(crate) fn carry(
    mut leaving: ResMut<Messages<DatagramOut>>,
    mut hosts: Query<(&Bound, &mut Host)>,
    mut network: ResMut<Network>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    if leaving.is_empty() {
        return;
    }
    let network = &mut *network;
    // Taken, not copied: nobody reads them after this.
    for DatagramOut { node, to, bytes } in leaving.drain() {
        // A node that left in this turn says nothing any more.
        let Ok((Bound(from), mut host)) = hosts.get_mut(node) else {
            continue;
        };
        network.datagrams += 1;
        network.bytes += bytes.len() as u64;
        if bytes.first().is_some_and(|first| BEGIN.contains(first)) {
            network.handshake = Some(bytes.clone());
        }
        let sent = send(network, *from, &mut host, to, bytes, now.time);
        if let Err(loss) = sent {
            network.losses.count(loss);
        }
    }
    network.arm(&mut timers);
}

fn send(
    network: &mut Network,
    from: SocketAddr,
    host: &mut Host,
    to: SocketAddr,
    bytes: Bytes,
    now: Time,
) -> Result<(), Loss> {
    let random = &mut network.random;
    let from = network.places.source(from, host.nat, to, now, random)?;
    let to = Place::of(to).ok_or(Loss::NoRoute)?;
    network.forged.went(to, &bytes);
    match network.way.fate(&mut host.uplink, bytes.len(), now, random) {
        Fate::Lost(loss) => Err(loss),
        Fate::Arrives { at, again } => {
            let number = host.number;
            let mut flying = Flying {
                from,
                to,
                number,
                bytes,
                doubled: None,
            };
            if let Some(again) = again {
                let doubled = Some(Arc::new(AtomicBool::new(false)));
                flying.doubled.clone_from(&doubled);
                let bytes = flying.bytes.clone();
                let twin = Flying {
                    bytes,
                    doubled,
                    ..flying
                };
                network.under_way.put(again, twin);
            }
            network.under_way.put(at, flying);
            Ok(())
        }
    }
}

/// Hands out what arrives in this turn. In `Ingest`, set `NetSystems::Receive`.
pub(crate) fn arrive(
    mut due: MessageReader<Due<Arrive>>,
    mut hosts: Query<&mut Host>,
    mut network: ResMut<Network>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut incoming: MessageWriter<DatagramIn>,
) {
    if due.read().count() == 0 {
        return;
    }
    let Network {
        places,
        losses,
        trace,
        split,
        delivered,
        under_way,
        armed,
        forged,
        ..
    } = &mut *network;
    *armed = None;
    under_way.take(now.time, |flying| {
        let Flying {
            from,
            to,
            number,
            bytes,
            doubled,
        } = flying;
        let target = places.target(from, to, now.time).and_then(|node| {
            let mut host = hosts.get_mut(node).map_err(|_| Loss::Offline)?;
            if split.parts(number, host.number) {
                return Err(Loss::Partition);
            }
            let again = |other: &AtomicBool| other.swap(true, Ordering::Relaxed);
            let second = doubled.as_deref().is_some_and(again);
            host.twice += u64::from(second && bytes.first() == Some(&DATA));
            Ok((node, host.number))
        });
        match target {
            Ok((node, number)) => {
                *delivered += 1;
                forged.came(from, bytes.len());
                trace.note(now.time, number, bytes.len(), digest(0, &bytes));
                let from = from.address();
                incoming.write(DatagramIn { node, from, bytes });
            }
            Err(loss) => losses.count(loss),
        }
    });
    network.arm(&mut timers);
}
