//! Kept packets as entities, so that other plugins can put components on them. In `Settle`, set `RelaySystems::Mirror`.

use crate::messages::{PacketGone, PacketKept};
use crate::packet::PacketId;
use dunlin_engine::bevy_ecs::{self, entity::EntityHashSet, prelude::*};
use std::collections::BTreeMap;

/// On the entity of a packet, beside its [`PacketId`]: the node that keeps it.
#[derive(Component, Debug, Clone, Copy)]
#[relationship(relationship_target = Holds)]
pub struct HeldBy(pub Entity);

/// On a node: the entities of the packets that it keeps, in no order. They go with it.
#[derive(Component, Debug, Default)]
#[relationship_target(relationship = HeldBy, linked_spawn)]
pub struct Holds(EntityHashSet);

/// On the entity of a packet, put there by another plugin: it is not shown to who fetches, for as long as it is there.
#[derive(Component, Debug, Clone, Copy, Default)]
pub struct Withheld;

/// On a node: which entity stands for a packet.
#[derive(Component, Default)]
pub struct Mirror(BTreeMap<PacketId, Entity>);

impl Mirror {
    /// The entity of a kept packet.
    #[must_use]
    pub fn get(&self, id: PacketId) -> Option<Entity> {
        self.0.get(&id).copied()
    }
}

pub(crate) fn mirror_packets(
    mut kept: MessageReader<PacketKept>,
    mut gone: MessageReader<PacketGone>,
    mut nodes: Query<(&mut Mirror, &crate::cache::Cache)>,
    mut commands: Commands,
) {
    for PacketGone { node, id } in gone.read() {
        if let Ok((mut mirror, _)) = nodes.get_mut(*node)
            && let Some(packet) = mirror.0.remove(id)
        {
            commands.entity(packet).despawn();
        }
    }
    for PacketKept { node, id, .. } in kept.read() {
        // One that came and went within the turn has no entity.
        if let Ok((mut mirror, cache)) = nodes.get_mut(*node)
            && cache.contains(*id)
            && !mirror.0.contains_key(id)
        {
            let packet = commands.spawn((*id, HeldBy(*node))).id();
            mirror.0.insert(*id, packet);
        }
    }
}
