//! Somebody else's plugin: a relay with it takes small packets only, and notes when each came.

use dunlin_engine::{bevy_ecs, prelude::*};
use dunlin_relay::{PacketArrived, PacketId, Reason};

/// Takes small packets only.
pub struct SmallOnly;

/// On the entity of a kept packet: when it came.
#[derive(Component)]
pub struct Came(pub Time);

#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sift;

impl Plugin for SmallOnly {
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.configure_sets(Sift.after(Turn::Maintain).before(Turn::Route));
        app.add_systems(Sift, (refuse_large, note_when));
        Ok(())
    }
}

fn refuse_large(mut arrived: MessageMutator<PacketArrived>) {
    for arrived in arrived.read().filter(|a| a.packet.bytes().len() > 320) {
        arrived.refused = Some(Reason::OverShare);
    }
}

fn note_when(new: Query<Entity, Added<PacketId>>, now: Res<Now>, mut commands: Commands) {
    for packet in &new {
        commands.entity(packet).insert(Came(now.time));
    }
}
