//! An app's own plugins run in the simulator as they are.

use crate::network;
use dunlin_sim::{DropReason, Sim, State, minutes};
use example_third_party::SmallOnly;

#[test]
fn somebody_elses_plugin_refuses_large_packets_on_every_carrier() {
    let mut sim = Sim::new(1, SmallOnly).expect("the plugins fit together");
    sim.network(network(0.0));
    sim.carriers(8);
    let [alice, bob] = sim.people(["alice", "bob"]);
    sim.introduce(alice, bob);
    sim.run_for(minutes(25));
    let small = sim.send(alice, bob, "Fits into 124 bytes");
    let large = sim.send(alice, bob, &"Does not. ".repeat(30));
    sim.run_until(minutes(2), |sim| sim.status(small) == State::Delivered);
    assert_eq!(sim.copies(large), 0);
    assert!(sim.drops(DropReason::RefusedByPlugin) >= 8);
    assert_eq!(sim.inbox(bob), ["Fits into 124 bytes"]);
}

#[test]
fn the_same_seed_and_calls_leave_the_same_trace() {
    let run = |seed| {
        let mut sim = Sim::new(seed, ()).expect("a simulation");
        sim.network(network(3.0));
        sim.carriers(5);
        sim.run_for(minutes(5));
        sim.trace()
    };
    assert_eq!(run(4), run(4));
    assert_ne!(run(4), run(5));
}
