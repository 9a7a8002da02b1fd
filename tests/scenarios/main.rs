//! What is promised to users, each promise in a network of its own: the systems that ship, in virtual time.
//!
//! A failure prints its seed; `DUNLIN_SEED=7 cargo test -p dunlin-tests --test scenarios` tries another.

mod away;
mod carriers;
mod clocks;
mod direct;
mod friends;
mod moving;
mod plugins;
mod strangers;
mod unlinkable;

use dunlin_sim::{Path, Sim, Who, minutes};

/// 40 ms one way, and of a hundred datagrams so many lost, each way.
fn network(loss_percent: f64) -> Path {
    Path {
        delay_ms: 40,
        jitter_ms: 10,
        loss_percent,
        ..Path::default()
    }
}

/// Alice, Bob, who have each other's cards, and carriers who have found each other.
fn alice_bob_and(carriers: usize, loss_percent: f64) -> (Sim, Who, Who, Vec<Who>) {
    let mut sim = Sim::from_env_seed();
    sim.network(network(loss_percent));
    let carriers = sim.carriers(carriers);
    let [alice, bob] = sim.people(["alice", "bob"]);
    sim.introduce(alice, bob);
    sim.run_for(minutes(25)); // Younger carriers are not eligible.
    (sim, alice, bob, carriers)
}
