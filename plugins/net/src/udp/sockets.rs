//! Sockets as entities: children of whom they serve, so that they close with it.

use super::drops::{UdpDrop, UdpDrops};
use super::socket::BatchSocket;
use super::task::{Inlet, Owner, SharedBuffers, serve};
use super::wire::Wire;
use bevy_ecs::lifecycle::HookContext;
use bevy_ecs::prelude::*;
use bevy_ecs::world::DeferredWorld;
use dunlin_engine::{CallError, Reply, Responder, bevy_ecs};
use dunlin_io::Io;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// An open UDP socket: a node's, for its links, or an app's. It closes when its entity goes, and that goes with its parent.
#[derive(Component, Debug)]
#[component(on_remove = forget)]
pub struct Socket {
    pub(crate) wire: Arc<Wire>,
    /// By which its caller knows it; 0 for a node's.
    pub(crate) handle: u64,
}

impl Socket {
    /// The address that it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.wire.socket.local_address()
    }

    /// How many of its datagrams were dropped for this reason.
    #[must_use]
    pub fn drops(&self, reason: UdpDrop) -> u64 {
        self.wire.drops.of(reason)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.wire.close();
    }
}

fn forget(mut world: DeferredWorld, context: HookContext) {
    let handle = world
        .get::<Socket>(context.entity)
        .map_or(0, |socket| socket.handle);
    if let Some(mut open) = world.get_resource_mut::<OpenSockets>() {
        open.by_handle.remove(&handle);
    }
}

/// The sockets of callers, by handle.
#[derive(Resource)]
pub(crate) struct OpenSockets {
    last: u64,
    per_caller_max: usize,
    max: usize,
    pub(crate) by_handle: BTreeMap<u64, OpenSocket>,
    /// Who waits until a socket's port is free again. Each was in `by_handle` before, and its task ends at once, so this is as small.
    closing: BTreeMap<u64, Responder>,
}

impl OpenSockets {
    pub(crate) fn limited_to(per_caller_max: usize, max: usize) -> OpenSockets {
        OpenSockets {
            last: 0,
            per_caller_max,
            max,
            by_handle: BTreeMap::new(),
            closing: BTreeMap::new(),
        }
    }

    /// Whether `caller` may open one more.
    ///
    /// # Errors
    /// `EMFILE`, with the numbers.
    pub(crate) fn room_for(&self, caller: Entity) -> Result<(), CallError> {
        let open = self.by_handle.values();
        let own = open.filter(|open| open.caller == caller).count();
        if own < self.per_caller_max && self.by_handle.len() < self.max {
            return Ok(());
        }
        let text = format!(
            "{own} sockets of yours are open, {} in all; the limits are {} and {}: close some",
            self.by_handle.len(),
            self.per_caller_max,
            self.max
        );
        Err(CallError::new("EMFILE", text))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct OpenSocket {
    pub(crate) entity: Entity,
    pub(crate) caller: Entity,
}

/// Gives a caller's socket an entity and a task. Answers its handle.
pub(crate) fn open_for_caller(
    world: &mut World,
    io: &Io,
    caller: Entity,
    socket: BatchSocket,
) -> u64 {
    let mut open = world.resource_mut::<OpenSockets>();
    open.last += 1;
    let handle = open.last;
    let wire = Arc::new(Wire::new(socket, false, world.resource::<UdpDrops>()));
    let socket = Socket {
        wire: wire.clone(),
        handle,
    };
    let entity = world.spawn((socket, ChildOf(caller))).id();
    world
        .resource_mut::<OpenSockets>()
        .by_handle
        .insert(handle, OpenSocket { entity, caller });
    start(world, io, wire, entity, Owner::App(entity), handle);
    handle
}

/// Gives a node's socket an entity and a task. Answers the entity.
pub(crate) fn open_for_node(
    world: &mut World,
    io: &Io,
    node: Entity,
    socket: BatchSocket,
) -> Entity {
    let wire = Arc::new(Wire::new(socket, true, world.resource::<UdpDrops>()));
    let socket = Socket {
        wire: wire.clone(),
        handle: 0,
    };
    let entity = world.spawn((socket, ChildOf(node))).id();
    start(world, io, wire, entity, Owner::Node(node), 0);
    entity
}

fn start(world: &World, io: &Io, wire: Arc<Wire>, entity: Entity, owner: Owner, handle: u64) {
    let inlet = Inlet {
        owner,
        inbox: io.inbox().clone(),
        buffers: world.resource::<SharedBuffers>().clone(),
    };
    io.spawn(serve(wire, inlet), move |world, end| {
        ended(world, entity, handle, end);
    });
}

/// Closes a caller's socket. `closed` is answered once its port is free.
pub(crate) fn close(world: &mut World, socket: OpenSocket, handle: u64, closed: Responder) {
    world
        .resource_mut::<OpenSockets>()
        .closing
        .insert(handle, closed);
    world.despawn(socket.entity);
}

fn ended(world: &mut World, entity: Entity, handle: u64, end: io::Result<()>) {
    if let Err(error) = end {
        tracing::error!(%error, "a UDP socket's task failed; the socket is closed");
    }
    if let Ok(entity) = world.get_entity_mut(entity) {
        entity.despawn();
    }
    let mut open = world.resource_mut::<OpenSockets>();
    if let Some(closed) = open.closing.remove(&handle) {
        closed.answer(Ok(Reply::default()));
    }
}
