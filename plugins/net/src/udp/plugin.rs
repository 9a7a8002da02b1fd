//! The plugin: what it adds to an app.

use super::drops::UdpDrops;
use super::sockets::OpenSockets;
use super::task::{Arrived, SharedBuffers};
use super::{calls, listen, transmit};
use crate::{DatagramIn, DatagramOut, NetSystems, sets};
use dunlin_engine::{App, BoxError, Plugin};
use dunlin_io::IoPlugin;

/// UDP sockets: one for each node that has [`Listen`](crate::Listen) ([`NodeSocketsPlugin`], which comes with it), and as many as apps ask for by
/// the `udp` calls.
///
/// Links meet it only in [`DatagramIn`] and [`DatagramOut`], so that a simulator can stand in its place.
#[derive(Clone, Copy, Debug)]
pub struct UdpPlugin {
    /// Sockets that one caller may have open: a page in a loop must not use up the program's files.
    pub sockets_per_caller_max: usize,
    /// Sockets that all callers together may have open.
    pub sockets_max: usize,
}

impl Default for UdpPlugin {
    fn default() -> UdpPlugin {
        UdpPlugin {
            sockets_per_caller_max: 64, // guess
            sockets_max: 1_024,         // guess
        }
    }
}

impl Plugin for UdpPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![std::any::type_name::<IoPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.world_mut().insert_resource(OpenSockets::limited_to(
            self.sockets_per_caller_max,
            self.sockets_max,
        ));
        calls::add(app);
        app.add_plugins(NodeSocketsPlugin);
        Ok(())
    }
}

/// The sockets of nodes' links alone: for a program, such as a headless relay, that opens no socket for anybody else. It needs an
/// [`Io`](dunlin_io::Io).
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeSocketsPlugin;

impl Plugin for NodeSocketsPlugin {
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.add_message::<DatagramIn>()
            .add_message::<DatagramOut>()
            .add_message::<Arrived>();
        let world = app.world_mut();
        world.init_resource::<UdpDrops>();
        world.init_resource::<SharedBuffers>();
        // Nobody's, unless `UdpPlugin` has said how many there may be.
        world.get_resource_or_insert_with(|| OpenSockets::limited_to(0, 0));
        world.add_observer(listen::listen);
        world.add_observer(listen::stop_listening);
        sets::place(app);
        app.add_startup(listen::listen_at_start);
        app.add_systems(NetSystems::Send, transmit::transmit);
        Ok(())
    }
}
