//! The plugin: a virtual network where `UdpPlugin` stands otherwise.

use crate::path::Path;
use crate::wire::{Arrive, Network, arrive, carry};
use dunlin_engine::{App, BoxError, Plugin};
use dunlin_net::{LinkPlugin, NetSystems};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::any::type_name;

/// A virtual network for nodes that are placed on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimPlugin {
    pub seed: u64,
    pub path: Path,
}

impl Plugin for SimPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![type_name::<LinkPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.add_timer::<Arrive>();
        let clock = app.world_mut().spawn_empty().id();
        let random = ChaCha8Rng::seed_from_u64(self.seed);
        app.world_mut()
            .insert_resource(Network::new(self.path.way()?, random, clock));
        app.add_systems(NetSystems::Receive, arrive);
        app.add_systems(NetSystems::Send, carry);
        Ok(())
    }
}
