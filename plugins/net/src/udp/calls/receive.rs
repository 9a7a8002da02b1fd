//! `udp.receive`: a stream of what comes in.
//!
//! A socket is read while somebody receives. Before that, datagrams wait in the kernel, as far as its buffer goes.

use super::address::Address;
use super::own::{OfSocket, Own};
use crate::udp::code::call_error;
use crate::udp::drops::{UdpDrop, UdpDrops};
use crate::udp::sockets::Socket;
use crate::udp::task::Arrived;
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::{CallError, Open, Reply, Sink, bevy_ecs};
use serde::Serialize;
use std::os::fd::AsFd;

/// A subscription's socket.
#[derive(Component)]
#[relationship(relationship_target = Readers)]
pub(in crate::udp) struct ReadsFrom(Entity);

/// A socket's subscriptions, which end with it. A caller's open streams are bounded, so these are.
#[derive(Component)]
#[relationship_target(relationship = ReadsFrom, linked_spawn)]
pub(in crate::udp) struct Readers(Vec<Entity>);

/// Where a subscription's items go.
#[derive(Component)]
pub(in crate::udp) struct Reader {
    sink: Sink,
    /// Items that it did not take since the last one that it took.
    dropped: u64,
}

/// One item: from whom, with the datagram as body; or, on a connected socket, what became of one sent earlier.
#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    from: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallError>,
    /// Items before this one that were dropped because the reader had not kept up.
    dropped: u64,
}

pub(in crate::udp) fn receive(
    In(open): In<Open<OfSocket>>,
    own: Own,
    mut commands: Commands,
) -> Result<(), CallError> {
    let (socket, _) = own.socket(open.caller, open.params.socket)?;
    let reader = Reader {
        sink: open.sink,
        dropped: 0,
    };
    commands
        .entity(open.subscription)
        .insert((reader, ReadsFrom(socket.entity)));
    Ok(())
}

pub(in crate::udp) fn start_reading(has_readers: On<Add<Readers>>, sockets: Query<&Socket>) {
    if let Ok(socket) = sockets.get(has_readers.entity) {
        socket.wire.read(true);
    }
}

pub(in crate::udp) fn stop_reading(has_none: On<Remove<Readers>>, sockets: Query<&Socket>) {
    if let Ok(socket) = sockets.get(has_none.entity) {
        socket.wire.read(false);
    }
}

pub(in crate::udp) fn deliver(
    mut arrived: MessageReader<Arrived>,
    sockets: Query<(&Socket, &Readers)>,
    mut readers: Query<&mut Reader>,
    drops: Res<UdpDrops>,
) {
    for arrived in arrived.read() {
        let Ok((socket, subscriptions)) = sockets.get(arrived.socket) else {
            // Closed, or its last reader left, while this was on its way.
            drops.count(UdpDrop::NoReader, usize::from(arrived.what.is_ok()));
            continue;
        };
        for subscription in subscriptions.iter() {
            let Ok(mut reader) = readers.get_mut(subscription) else {
                continue;
            };
            let Ok(item) = item(arrived, reader.dropped, &socket.wire.socket) else {
                continue; // Strings and numbers always have a JSON form.
            };
            if reader.sink.send(item).is_ok() {
                reader.dropped = 0;
            } else {
                reader.dropped += 1;
                socket.wire.drops.count(UdpDrop::ReaderFull, 1);
            }
        }
    }
}

fn item(arrived: &Arrived, dropped: u64, socket: impl AsFd) -> Result<Reply, CallError> {
    let (item, body) = match &arrived.what {
        Ok((from, bytes)) => {
            let item = Item {
                from: Some(Address::of(*from, socket)),
                error: None,
                dropped,
            };
            (item, bytes.clone())
        }
        Err(error) => {
            let item = Item {
                from: None,
                error: Some(call_error("udp.receive", error)),
                dropped,
            };
            (item, Bytes::new())
        }
    };
    Ok(Reply::of(item)?.with_body(body))
}
