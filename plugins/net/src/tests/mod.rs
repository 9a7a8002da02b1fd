//! Nodes on a network of the test's own making: `DatagramOut` of one becomes `DatagramIn` of another, after a delay, or twice, or never.

mod attacks;
mod books;
mod circuits;
mod golden;
mod handshakes;
mod links;
mod peers;

use crate::link_table::Links;
use crate::{
    About, DatagramIn, DatagramOut, Dial, DownReason, DropReason, Drops, FrameIn, FrameKinds,
    FrameOut, HangUp, Identity, LinkPlugin, LinkSettings, NetSystems, Peer, PeerDown, PeerId,
    PeerUp,
};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::{App, BoxError, Node, Random, Time, Timers, Turn, Virtual, bevy_ecs};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The seed of a run: from the environment if it is there. A failing test prints it.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("DUNLIN_SEED").ok();
    let seed = given.map_or(1, |seed| seed.parse().expect("DUNLIN_SEED is a number"));
    eprintln!("DUNLIN_SEED={seed}");
    seed
}

/// The network.
#[derive(Resource)]
pub(crate) struct Wire {
    /// Where datagrams of a node come from, as others see it.
    pub addresses: BTreeMap<Entity, SocketAddr>,
    pub loss_percent: u64,
    pub twice_percent: u64,
    /// Each datagram takes so many milliseconds, and up to as many more.
    pub delay_ms: u64,
    /// What went to addresses of nobody.
    pub outside: Vec<(SocketAddr, Bytes)>,
    /// Bytes sent to each address, and datagrams.
    pub sent: BTreeMap<SocketAddr, (u64, u64)>,
    /// Keep all datagrams here, if set.
    pub tape: Option<Vec<(SocketAddr, SocketAddr, Bytes)>>,
    on_its_way: BTreeMap<(Time, u64), DatagramIn>,
    count: u64,
    random: ChaCha20Rng,
    clock: Entity,
}

struct Arrive;

impl Wire {
    fn chance(&mut self, percent: u64) -> bool {
        self.random.next_u64() % 100 < percent
    }

    /// What is on its way is lost.
    pub(crate) fn forget(&mut self) {
        self.on_its_way.clear();
    }

    /// Puts a datagram on the wire towards whoever has the address `to`.
    pub(crate) fn put(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes, now: Time) {
        let Some(node) = self
            .addresses
            .iter()
            .find(|(_, at)| **at == to)
            .map(|(node, _)| *node)
        else {
            self.outside.push((to, bytes));
            return;
        };
        let jitter = self.random.next_u64() % (self.delay_ms + 1);
        let at = now + Duration::from_millis(self.delay_ms + jitter);
        self.count += 1;
        self.on_its_way
            .insert((at, self.count), DatagramIn { node, from, bytes });
    }
}

fn carry(
    mut out: MessageReader<DatagramOut>,
    mut wire: ResMut<Wire>,
    now: Res<dunlin_engine::Now>,
    mut timers: ResMut<Timers>,
) {
    for datagram in out.read() {
        assert!(
            datagram.bytes.len() <= 1_200,
            "a datagram of {} bytes",
            datagram.bytes.len()
        );
        let from = wire.addresses[&datagram.node];
        if let Some(tape) = &mut wire.tape {
            tape.push((from, datagram.to, datagram.bytes.clone()));
        }
        let sent = wire.sent.entry(datagram.to).or_default();
        *sent = (sent.0 + datagram.bytes.len() as u64, sent.1 + 1);
        let lost = wire.loss_percent;
        if wire.chance(lost) {
            continue;
        }
        let twice = wire.twice_percent;
        for _ in 0..=u32::from(wire.chance(twice)) {
            wire.put(from, datagram.to, datagram.bytes.clone(), now.time);
        }
    }
    if let Some(((at, _), _)) = wire.on_its_way.first_key_value() {
        timers.set::<Arrive>(wire.clock, *at);
    }
}

fn arrive(
    mut incoming: MessageWriter<DatagramIn>,
    mut wire: ResMut<Wire>,
    now: Res<dunlin_engine::Now>,
) {
    while let Some(entry) = wire.on_its_way.first_entry() {
        if entry.key().0 > now.time {
            break;
        }
        incoming.write(entry.remove());
    }
}

/// What happened, in order.
#[derive(Resource, Default)]
pub(crate) struct Log {
    pub ups: Vec<(Entity, Entity, Time)>,
    pub downs: Vec<(Entity, Entity, DownReason, Time)>,
    pub frames: Vec<(Entity, Entity, u8, Bytes)>,
}

fn write_log(
    mut ups: MessageReader<PeerUp>,
    mut downs: MessageReader<PeerDown>,
    mut frames: MessageReader<FrameIn>,
    peers: Query<&Peer>,
    mut log: ResMut<Log>,
    now: Res<dunlin_engine::Now>,
) {
    for up in ups.read() {
        assert!(
            peers.contains(up.peer),
            "a link that is up has its Peer in the same turn"
        );
        log.ups.push((up.node, up.peer, now.time));
    }
    for down in downs.read() {
        log.downs
            .push((down.node, down.peer, down.reason, now.time));
    }
    for frame in frames.read() {
        log.frames
            .push((frame.node, frame.peer, frame.kind, frame.body.clone()));
    }
}

fn test_plugin(app: &mut App) -> Result<(), BoxError> {
    app.world_mut()
        .resource_mut::<FrameKinds>()
        .claim(0x20..=0x2a, "test")?;
    app.world_mut().init_resource::<Log>();
    app.add_timer::<Arrive>();
    app.add_systems(NetSystems::Receive, arrive);
    app.add_systems(NetSystems::Send, carry);
    app.add_systems(Turn::Deliver, write_log);
    Ok(())
}

pub(crate) struct Net {
    pub run: Virtual,
    pub seed: u64,
}

pub(crate) const START_UNIX_MS: u64 = 1_790_000_000_000;

impl Net {
    pub(crate) fn new(seed: u64) -> Net {
        let mut app = App::new();
        let clock = app.world_mut().spawn_empty().id();
        app.world_mut().insert_resource(Wire {
            addresses: BTreeMap::new(),
            loss_percent: 0,
            twice_percent: 0,
            delay_ms: 20,
            outside: Vec::new(),
            sent: BTreeMap::new(),
            tape: None,
            on_its_way: BTreeMap::new(),
            count: 0,
            random: ChaCha20Rng::seed_from_u64(seed),
            clock,
        });
        app.add_plugins((
            LinkPlugin,
            test_plugin as fn(&mut App) -> Result<(), BoxError>,
        ));
        let run = Virtual::start(app, START_UNIX_MS).unwrap();
        Net { run, seed }
    }

    /// A node that makes no links by itself.
    pub(crate) fn node(&mut self, address: &str) -> Entity {
        self.node_with(address, |settings| settings.outbound = 0)
    }

    pub(crate) fn node_with(
        &mut self,
        address: &str,
        edit: impl FnOnce(&mut LinkSettings),
    ) -> Entity {
        let number = self.wire().addresses.len() as u64;
        let mut random = Random::from_seed(self.seed, number);
        let identity = Identity::generate(&mut random.0);
        let mut settings = LinkSettings {
            about: About::TAKES_LINKS.and(About::CARRIES),
            ..LinkSettings::default()
        };
        edit(&mut settings);
        let world = self.run.app.world_mut();
        let node = world.spawn((Node, random, identity, settings)).id();
        self.wire().addresses.insert(node, at(address));
        node
    }

    pub(crate) fn wire(&mut self) -> Mut<'_, Wire> {
        self.run.app.world_mut().resource_mut::<Wire>()
    }

    pub(crate) fn log(&mut self) -> Mut<'_, Log> {
        self.run.app.world_mut().resource_mut::<Log>()
    }

    pub(crate) fn get<C: Component>(&self, entity: Entity) -> &C {
        self.run.app.world().get::<C>(entity).unwrap()
    }

    pub(crate) fn id(&self, node: Entity) -> PeerId {
        self.get::<Identity>(node).id()
    }

    pub(crate) fn address(&mut self, node: Entity) -> SocketAddr {
        self.wire().addresses[&node]
    }

    pub(crate) fn drops(&self, node: Entity, reason: DropReason) -> u64 {
        self.get::<Drops>(node).of(reason)
    }

    pub(crate) fn links(&self, node: Entity) -> &Links {
        self.get::<Links>(node)
    }

    pub(crate) fn write<M: Message>(&mut self, message: M) {
        self.run.app.world_mut().write_message(message);
    }

    /// Asks for a link by id, or with whoever is there.
    pub(crate) fn dial(
        &mut self,
        node: Entity,
        to: SocketAddr,
        id: Option<PeerId>,
        anonymous: bool,
    ) -> Entity {
        let link = self.run.app.world_mut().spawn_empty().id();
        self.write(Dial {
            node,
            link,
            address: to,
            id,
            anonymous,
        });
        link
    }

    /// Dials `to` by its id.
    pub(crate) fn link(&mut self, node: Entity, to: Entity) -> Entity {
        let (address, id) = (self.address(to), self.id(to));
        self.dial(node, address, Some(id), false)
    }

    pub(crate) fn frame(&mut self, peer: Entity, kind: u8, body: &[u8]) {
        self.write(FrameOut {
            peer,
            kind,
            body: Bytes::copy_from_slice(body),
        });
    }

    pub(crate) fn hang_up(&mut self, peer: Entity) {
        self.write(HangUp {
            peer,
            reason: crate::CloseReason::Idle,
        });
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        self.run.run_for(span);
    }

    /// The peers of a node, in order of their entities.
    pub(crate) fn peers(&mut self, node: Entity) -> Vec<(Entity, Peer)> {
        let world = self.run.app.world_mut();
        let mut peers: Vec<_> = world
            .query::<(Entity, &Peer)>()
            .iter(world)
            .filter(|(_, peer)| peer.node == node)
            .map(|(entity, peer)| (entity, peer.clone()))
            .collect();
        peers.sort_by_key(|(entity, _)| *entity);
        peers
    }

    /// The only peer of a node.
    pub(crate) fn peer(&mut self, node: Entity) -> (Entity, Peer) {
        let mut peers = self.peers(node);
        assert_eq!(peers.len(), 1, "{peers:?}");
        peers.remove(0)
    }

    /// Sends from an address that may be nobody's, as a stranger could.
    pub(crate) fn inject(&mut self, from: SocketAddr, node: Entity, bytes: &[u8]) {
        self.write(DatagramIn {
            node,
            from,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    /// Safety: no table is past its bound, whatever happened.
    pub(crate) fn check_bounds(&mut self) {
        let nodes: Vec<Entity> = self.wire().addresses.keys().copied().collect();
        for node in nodes {
            let links = self.links(node);
            assert!(links.half_open.len() <= 256);
            assert!(links.admission.len() <= 1_024);
            assert!(links.up_count() <= 64);
            assert!(links.circuit_ends() <= 2 * 256 + 128);
            assert!(links.iter().count() <= 64 + 2 * 128 + 256);
            assert!(self.get::<crate::AddressBook>(node).len() <= 1_536);
        }
    }
}
