//! How many times each message was handed on until it was there, seen from outside.

use dunlin_engine::App;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::{Identity, Peer, PeerId};
use dunlin_relay::{PacketArrived, PacketBrought, PacketId, RelaySystems};
use std::collections::BTreeMap;

/// Of each packet, who has it after how many hops.
#[derive(Resource, Default)]
pub(super) struct Hops {
    at: BTreeMap<PacketId, Vec<(PeerId, u8)>>,
    /// Hops to its recipient.
    arrived: BTreeMap<PacketId, u8>,
    /// Nodes to which something was brought since this was last emptied.
    pub brought: Vec<Entity>,
}

pub(super) fn add(app: &mut App) {
    app.world_mut().init_resource::<Hops>();
    app.add_systems(RelaySystems::Ask, follow_deposits);
    app.add_systems(RelaySystems::Mirror, follow_brought);
}

impl Hops {
    fn of(&self, packet: PacketId, id: &PeerId) -> Option<u8> {
        let rows = self.at.get(&packet)?;
        rows.iter().find(|(at, _)| at == id).map(|(_, hops)| *hops)
    }

    /// How many hops a packet took; forgets it.
    pub(super) fn take(&mut self, packet: PacketId) -> Option<u8> {
        self.at.remove(&packet);
        self.arrived.remove(&packet)
    }
}

fn follow_deposits(
    mut arrived: MessageReader<PacketArrived>,
    peers: Query<&Peer>,
    nodes: Query<&Identity>,
    mut hops: ResMut<Hops>,
) {
    for PacketArrived {
        node, peer, packet, ..
    } in arrived.read()
    {
        let (Ok(peer), Ok(me)) = (peers.get(*peer), nodes.get(*node)) else {
            continue;
        };
        let id = packet.id();
        // Who is not known to have it made it.
        let before = hops.of(id, &peer.id).unwrap_or(0);
        let rows = hops.at.entry(id).or_default();
        if !rows.iter().any(|(at, _)| *at == me.id()) {
            rows.push((me.id(), before + 1));
        }
    }
}

fn follow_brought(mut brought: MessageReader<PacketBrought>, mut hops: ResMut<Hops>) {
    for PacketBrought {
        node,
        carrier,
        packet,
    } in brought.read()
    {
        let id = packet.id();
        let before = carrier
            .and_then(|carrier| hops.of(id, &carrier))
            .unwrap_or(0);
        hops.arrived.entry(id).or_insert(before + 1);
        hops.brought.push(*node);
    }
}
