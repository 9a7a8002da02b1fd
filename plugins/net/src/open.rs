//! Datagrams become frames. In `Decode`, set `NetSystems::Open`.

use crate::circuit::nowhere;
use crate::control::on_frames;
use crate::data::on_data;
use crate::datagram::{Header, Kind};
use crate::desk::{Desk, Parts, PartsItem};
use crate::respond::{on_cookie, on_first, on_second, on_third};
use crate::{DatagramIn, DropReason, FrameKinds};
use bevy_ecs::prelude::*;
use dunlin_engine::bevy_ecs;
use std::net::SocketAddr;

pub(crate) fn open_datagrams(
    mut incoming: MessageReader<DatagramIn>,
    kinds: Res<FrameKinds>,
    mut nodes: Query<Parts>,
    mut desk: Desk,
) {
    for datagram in incoming.read() {
        // A node without an identity has no links; one that closed in this turn has none any more.
        let Ok(mut parts) = nodes.get_mut(datagram.node) else {
            continue;
        };
        parts.traffic.count_in(datagram.bytes.len());
        // Nobody outside is where circuits are.
        if nowhere(datagram.from.ip()).is_some() {
            parts.drops.count(DropReason::Unknown);
            continue;
        }
        let done = open(
            &mut parts,
            datagram.from,
            &datagram.bytes,
            &kinds,
            &mut desk,
        );
        if let Err(reason) = done {
            parts.drops.count(reason);
        }
    }
    desk.write_peers(&nodes);
}

/// Opens one datagram, from the network or out of a circuit.
pub(crate) fn open(
    parts: &mut PartsItem,
    from: SocketAddr,
    datagram: &[u8],
    kinds: &FrameKinds,
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let (header, rest) = Header::decode(datagram)?;
    match header.kind {
        Kind::Ik1 | Kind::Xx1 => on_first(parts, from, &header, rest, desk),
        Kind::Ik2 | Kind::Xx2 => on_second(parts, from, &header, rest, desk),
        Kind::Xx3 => on_third(parts, &header, rest, desk),
        Kind::Cookie => on_cookie(parts, from, &header, rest, desk),
        Kind::Data => {
            let opened = on_data(parts, from, &header, rest, desk)?;
            let entity = opened.link;
            on_frames(parts, from, opened, kinds, desk);
            if let Some(link) = parts.links.get_mut(entity) {
                desk.arm(entity, link);
            }
            Ok(())
        }
    }
}
