//! Two nodes, and whoever is between them: the input is what that one does to their datagrams, and what one of the two does
//! to the other. Nothing may panic, nothing may arrive altered or twice; and once left in peace, the two must link again.

use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::prelude::*;
use dunlin_net::{
    DatagramIn, DatagramOut, Dial, FrameIn, FrameKinds, FrameOut, Identity, LinkPlugin,
    LinkSettings, NetSystems, PeerUp,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// The frame that A sends to B with a number in it; whatever else A sends is hostile.
const NUMBERED: u8 = 0x20;
/// A script may be this long: longer ones find nothing that two shorter ones would not.
const STEPS_MAX: usize = 256;
/// How long peace lasts before a new link is asked for: sessions half open and shares of handshakes are over by then.
const PEACE: Duration = Duration::from_secs(60);
/// How long that may take: PROTOCOL 2.2 has a dial fail after 24 s.
const LINK_MAX: Duration = Duration::from_secs(24);

/// Delays: the quick one a long way over land, the slow one as much as links live with, so that peace takes few turns.
const QUICK: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_secs(2);

/// What is under way, and what came of it.
#[derive(Resource, Default)]
struct Wire {
    addresses: BTreeMap<Entity, SocketAddr>,
    sent: VecDeque<(SocketAddr, SocketAddr, bytes::Bytes)>,
    arriving: Vec<DatagramIn>,
    ups: BTreeSet<Entity>,
    numbers_under_way: BTreeSet<[u8; 4]>,
}

fn arrive(mut wire: ResMut<Wire>, mut incoming: MessageWriter<DatagramIn>) {
    incoming.write_batch(wire.arriving.drain(..));
}

fn leave(mut wire: ResMut<Wire>, mut outgoing: MessageReader<DatagramOut>) {
    for DatagramOut { node, to, bytes } in outgoing.read() {
        let from = wire.addresses[node];
        wire.sent.push_back((from, *to, bytes.clone()));
    }
}

fn note(
    mut wire: ResMut<Wire>,
    mut ups: MessageReader<PeerUp>,
    mut frames: MessageReader<FrameIn>,
) {
    wire.ups.extend(ups.read().map(|up| up.peer));
    for frame in frames.read().filter(|frame| frame.kind == NUMBERED) {
        let number: [u8; 4] = frame.body[..].try_into().expect("a frame arrives whole");
        assert!(
            wire.numbers_under_way.remove(&number),
            "a frame arrived twice, or was never sent"
        );
    }
}

fn between(app: &mut App) -> Result<(), BoxError> {
    app.world_mut()
        .resource_mut::<FrameKinds>()
        .claim([NUMBERED], "fuzz")?;
    app.world_mut().init_resource::<Wire>();
    app.add_systems(NetSystems::Receive, arrive);
    app.add_systems(NetSystems::Send, leave);
    app.add_systems(Turn::Deliver, note);
    Ok(())
}

/// One run.
pub fn link(bytes: &[u8]) {
    let mut run = Run::new();
    let mut script = bytes.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(what) = script.next() else { break };
        run.step(what, &mut script);
    }
    run.leave_in_peace();
}

struct Run {
    run: Virtual,
    a: Entity,
    b: Entity,
    /// A's link to B that was asked for last.
    link: Entity,
    number: u32,
}

impl Run {
    fn new() -> Run {
        let mut app = App::new();
        app.add_plugins((LinkPlugin, between as fn(&mut App) -> Result<(), BoxError>));
        let run = Virtual::start(app, 1_790_000_000_000).expect("nothing is missing");
        let mut run = Run {
            run,
            a: Entity::PLACEHOLDER,
            b: Entity::PLACEHOLDER,
            link: Entity::PLACEHOLDER,
            number: 0,
        };
        run.a = run.node(1);
        run.b = run.node(2);
        run.dial();
        run
    }

    fn node(&mut self, number: u8) -> Entity {
        let mut random = Random::from_seed(1, number.into());
        let identity = Identity::generate(&mut random.0);
        let settings = LinkSettings {
            outbound: 0, // Links only where the run asks for them.
            ..LinkSettings::default()
        };
        let node = self.world().spawn((Node, random, identity, settings)).id();
        self.wire().addresses.insert(node, address(number));
        node
    }

    fn world(&mut self) -> &mut World {
        self.run.app.world_mut()
    }

    fn wire(&mut self) -> Mut<'_, Wire> {
        self.world().resource_mut::<Wire>()
    }

    fn dial(&mut self) {
        let b = self.b;
        let id = self
            .world()
            .get::<Identity>(b)
            .expect("spawned with it")
            .id();
        self.link = self.world().spawn_empty().id();
        let dial = Dial {
            node: self.a,
            link: self.link,
            address: address(2),
            id: Some(id),
            anonymous: false,
        };
        self.world().write_message(dial);
        self.run.turn();
    }

    fn arrives(&mut self, from: SocketAddr, to: SocketAddr, bytes: bytes::Bytes) {
        let mut wire = self.wire();
        let node = wire.addresses.iter().find(|(_, address)| **address == to);
        // Whoever is between may send from any address; what goes to nobody's is lost.
        if let Some((&node, _)) = node {
            wire.arriving.push(DatagramIn { node, from, bytes });
            self.run.turn();
        }
    }

    fn step(&mut self, what: u8, script: &mut impl Iterator<Item = u8>) {
        let mut byte = || script.next().unwrap_or(0);
        let more = usize::from(what >> 4);
        let next = match what & 0x0f {
            0..8 => self.wire().sent.pop_front(),
            _ => None,
        };
        match (what & 0x0f, next) {
            (0 | 1, Some((from, to, bytes))) => self.arrives(from, to, bytes),
            (2, Some((from, to, bytes))) => {
                self.arrives(from, to, bytes.clone());
                self.arrives(from, to, bytes);
            }
            (3, Some(_)) => {} // Lost.
            (4, Some((from, to, bytes))) => {
                let mut altered = bytes.to_vec();
                let place =
                    usize::from(u16::from_le_bytes([byte(), byte()])) % altered.len().max(1);
                if let Some(value) = altered.get_mut(place) {
                    *value ^= byte().max(1);
                }
                self.arrives(from, to, altered.into());
            }
            (5, Some((_, to, bytes))) => self.arrives(address(10 + byte() % 4), to, bytes),
            (6, Some(datagram)) => self.wire().sent.push_back(datagram), // Late.
            (7, Some((from, to, bytes))) => {
                let length = bytes.len().saturating_sub(more + 1);
                self.arrives(from, to, bytes.slice(..length));
            }
            (8, _) => {
                let bytes: Vec<u8> = (0..usize::from(byte())).map(|_| byte()).collect();
                self.arrives(
                    address(1 + byte() % 4),
                    address(1 + (what >> 7)),
                    bytes.into(),
                );
            }
            (9, _) => self.run.run_for(Duration::from_millis(50 << more.min(13))),
            (10, _) => {
                self.number += 1;
                let number = self.number.to_le_bytes();
                self.wire().numbers_under_way.insert(number);
                self.send(NUMBERED, number.to_vec());
            }
            (11, _) => {
                let kind = byte();
                let body: Vec<u8> = (0..byte()).map(|_| byte()).collect();
                if kind != NUMBERED {
                    self.send(kind, body);
                }
            }
            (12, _) => self.dial(),
            _ => {}
        }
    }

    fn send(&mut self, kind: u8, body: Vec<u8>) {
        let frame = FrameOut {
            peer: self.link,
            kind,
            body: body.into(),
        };
        self.world().write_message(frame);
        self.run.turn();
    }

    /// Carries every datagram, each up to `delay` later, for so long or until `done`.
    fn carry(&mut self, limit: Duration, delay: Duration, done: impl Fn(&Wire) -> bool) -> bool {
        let end = self.run.now().time + limit;
        while self.run.now().time < end {
            while let Some((from, to, bytes)) = self.wire().sent.pop_front() {
                self.arrives(from, to, bytes);
            }
            if done(&self.wire()) {
                return true;
            }
            self.run.run_for(delay);
        }
        false
    }

    fn leave_in_peace(&mut self) {
        self.carry(PEACE, SLOW, |_| false);
        self.dial();
        let link = self.link;
        assert!(
            self.carry(LINK_MAX, QUICK, |wire| wire.ups.contains(&link)),
            "they do not link again"
        );
        self.wire().numbers_under_way.clear();
        let last = u32::MAX.to_le_bytes();
        self.wire().numbers_under_way.insert(last);
        self.send(NUMBERED, last.to_vec());
        let arrived = self.carry(LINK_MAX, QUICK, |wire| wire.numbers_under_way.is_empty());
        assert!(arrived, "a link that is up carries nothing");
    }
}

/// Addresses of documentation (RFC 5737), one prefix each, so that no share of another's prefix is used up.
fn address(number: u8) -> SocketAddr {
    let prefixes = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
    let [a, b, c] = prefixes[usize::from(number) % prefixes.len()];
    SocketAddr::from(([a, b, c, number], 4242))
}
