//! The node: a local identity. An app has one, a simulation a million.

use bevy_ecs::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// Marks a local identity. All that a plugin keeps for a node is a component of this entity, never a resource, so that
/// one World can hold many.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct Node;

/// A node's own generator, seeded by whoever spawns it: by the system's entropy in an app, by the run's seed in a simulation.
#[derive(Component)]
pub struct Random(pub ChaCha20Rng);

impl Random {
    /// A generator for node `number` of a run with `seed`: same numbers, same draws.
    #[must_use]
    pub fn from_seed(seed: u64, number: u64) -> Random {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        Random(ChaCha20Rng::from_seed(bytes))
    }

    /// A generator from 32 bytes of the system's entropy.
    #[must_use]
    pub fn from_entropy(bytes: [u8; 32]) -> Random {
        Random(ChaCha20Rng::from_seed(bytes))
    }
}
