//! Datagrams of links leave, straight from the engine's thread: the socket does not block, so there is no hop to another.

use super::drops::{UdpDrop, UdpDrops};
use super::listen::LinkSocket;
use super::socket::Outgoing;
use super::sockets::Socket;
use crate::DatagramOut;
use bevy_ecs::prelude::*;
use dunlin_engine::bevy_ecs;
use std::collections::BTreeMap;

/// What one turn sends, by node. The memory stays for the next turn.
#[derive(Default)]
pub(crate) struct Outbox {
    by_node: BTreeMap<Entity, Vec<Outgoing>>,
    joined: Vec<u8>,
}

pub(crate) fn transmit(
    mut leaving: MessageReader<DatagramOut>,
    nodes: Query<&LinkSocket>,
    sockets: Query<&Socket>,
    drops: Res<UdpDrops>,
    mut outbox: Local<Outbox>,
) {
    let Outbox { by_node, joined } = &mut *outbox;
    for datagram in leaving.read() {
        by_node.entry(datagram.node).or_default().push(Outgoing {
            to: datagram.to,
            bytes: datagram.bytes.clone(),
        });
    }
    by_node.retain(|node, batch| {
        if batch.is_empty() {
            return nodes.contains(*node);
        }
        match nodes.get(*node).and_then(|socket| sockets.get(socket.0)) {
            Ok(socket) => socket.wire.transmit(batch, joined),
            Err(_) => {
                drops.count(UdpDrop::NoSocket, batch.len());
                return false;
            }
        }
        true
    });
}
