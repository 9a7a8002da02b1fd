//! The plugin: what links add to an app.

use crate::circuit_end::Unused;
use crate::desk::{Desk, Fill, Save, Wake};
use crate::{
    DatagramIn, DatagramOut, Dial, FrameIn, FrameKinds, FrameOut, HangUp, Identity, NetSystems,
    PeerDown, PeerSilent, PeerUp, circuit_end, dial, exchange, keep, open, save, seal, sets,
};
use bevy_ecs::prelude::*;
use dunlin_engine::{App, BoxError, Plugin, Turn, bevy_ecs};

/// Encrypted links between peers, for each [`Node`](dunlin_engine::Node) that has an [`Identity`].
///
/// It needs datagrams from somewhere: add `UdpPlugin` beside it, or a simulated network.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkPlugin;

impl Plugin for LinkPlugin {
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.add_message::<DatagramIn>()
            .add_message::<DatagramOut>()
            .add_message::<FrameIn>()
            .add_message::<FrameOut>()
            .add_message::<PeerUp>()
            .add_message::<PeerDown>()
            .add_message::<PeerSilent>()
            .add_message::<Dial>()
            .add_message::<HangUp>()
            .add_timer::<Wake>()
            .add_timer::<Unused>()
            .add_timer::<Fill>()
            .add_timer::<Save>();
        let world = app.world_mut();
        world.init_resource::<FrameKinds>();
        world.add_observer(begin);
        world.add_observer(dial::forget_link);
        world.add_observer(dial::forget_node);
        sets::place(app);
        app.add_startup(begin_at_start);
        app.add_systems(NetSystems::Open, open::open_datagrams);
        app.add_systems(
            NetSystems::Keep,
            (
                keep::lose_silent,
                keep::keep_links,
                circuit_end::end_unused,
                exchange::fill_links,
                save::save_books,
            ),
        );
        app.add_systems(
            NetSystems::Seal,
            (dial::dial_peers, dial::hang_up, seal::seal_frames),
        );
        app.add_systems(Turn::Settle, keep::sweep);
        app.add_shutdown(save::leave);
        Ok(())
    }
}

/// A node that gets an identity reads its book and looks for links in the next turn.
fn begin(added: On<Add<Identity>>, mut desk: Desk) {
    let now = desk.time();
    desk.timers.set::<Fill>(added.event_target(), now);
}

/// The same for those that were there before this plugin.
fn begin_at_start(nodes: Query<Entity, With<Identity>>, mut desk: Desk) {
    let now = desk.time();
    for node in &nodes {
        desk.timers.set::<Fill>(node, now);
    }
}
