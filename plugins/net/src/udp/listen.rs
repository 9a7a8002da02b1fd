//! A node that has [`Listen`] gets a socket and [`Bound`], or its owner an error that says what to do.

use super::code::bind_advice;
use super::options::Options;
use super::socket::BatchSocket;
use super::sockets::open_for_node;
use crate::{Bound, Identity, Listen};
use bevy_ecs::prelude::*;
use dunlin_engine::bevy_ecs;
use dunlin_io::Io;

/// The entity of a node's socket.
#[derive(Component, Clone, Copy)]
pub(crate) struct LinkSocket(pub(crate) Entity);

/// For nodes that were there before this plugin.
pub(crate) fn listen_at_start(
    nodes: Query<Entity, (With<Listen>, Without<LinkSocket>)>,
    mut commands: Commands,
) {
    for node in &nodes {
        commands.queue(move |world: &mut World| bind(world, node));
    }
}

/// For nodes that come, or ask for another address, later.
pub(crate) fn listen(asked: On<Insert<Listen>>, mut commands: Commands) {
    let node = asked.entity;
    commands.queue(move |world: &mut World| bind(world, node));
}

/// A node that no longer asks for a socket has none.
pub(crate) fn stop_listening(
    stopped: On<Remove<Listen>>,
    nodes: Query<&LinkSocket>,
    mut commands: Commands,
) {
    if let Ok(socket) = nodes.get(stopped.entity) {
        commands.entity(socket.0).try_despawn();
        commands
            .entity(stopped.entity)
            .try_remove::<(LinkSocket, Bound)>();
    }
}

/// A node whose new address cannot be had keeps the one that it has.
fn bind(world: &mut World, node: Entity) -> Result {
    let Some(Listen(address)) = world.get::<Listen>(node).copied() else {
        return Ok(()); // The node has gone, or changed its mind, since it asked.
    };
    if world.get::<Bound>(node) == Some(&Bound(address)) {
        return Ok(());
    }
    if world
        .get::<Identity>(node)
        .is_some_and(|identity| !identity.primitives().is_real())
    {
        let refused =
            "a node whose links have stand-in cryptography gets no socket: that is for simulations";
        return Err(format!("cannot listen on UDP {address}: {refused}").into());
    }
    let io = world.get_resource::<Io>().cloned().ok_or_else(|| {
        format!("cannot listen on UDP {address}: sockets need IoPlugin, and this runner has none")
    })?;
    let opened = BatchSocket::bind(address, Options::links())
        .and_then(|socket| socket.local_address().map(|bound| (socket, bound)));
    let (socket, bound) = opened.map_err(|error| bind_advice(address, &error))?;
    if socket.may_fragment() {
        tracing::warn!(%bound, "this system may cut datagrams into fragments, which then get lost more often");
    }
    if let Some(LinkSocket(old)) = world.get::<LinkSocket>(node).copied() {
        world.despawn(old);
    }
    let socket = open_for_node(world, &io, node, socket);
    world
        .entity_mut(node)
        .insert((LinkSocket(socket), Bound(bound)));
    tracing::info!(%bound, "listening");
    Ok(())
}
