//! Nodes that change their address, are behind NATs, or come back after a long time.

use crate::{alice_bob_and, network};
use dunlin_sim::{Kind, NatKind, Sim, State, hours, minutes, seconds};

#[test]
fn a_phone_that_leaves_the_house_goes_on_getting_messages_on_the_same_links() {
    let (mut sim, alice, bob, _) = alice_bob_and(8, 1.0);
    let first = sim.send(alice, bob, "At home?");
    sim.run_until(seconds(10), |sim| sim.status(first) == State::Delivered);
    sim.roam(bob);
    sim.run_for(minutes(1)); // Until its next PING nobody knows where it is.
    let second = sim.send(alice, bob, "And on the train?");
    sim.run_until(seconds(10), |sim| sim.inbox(bob).len() == 2);
    sim.run_until(seconds(10), |sim| sim.status(second) == State::Delivered);
}

#[test]
fn people_behind_any_kind_of_nat_write_to_each_other() {
    for name in NatKind::NAMES {
        let mut sim = Sim::from_env_seed();
        sim.network(network(1.0));
        sim.carriers(8);
        let behind = Kind {
            nat: NatKind::named(name),
            ..Kind::person()
        };
        let (alice, bob) = (sim.add("alice", &behind), sim.add("bob", &behind));
        sim.introduce(alice, bob);
        sim.run_for(minutes(30));
        let message = sim.send(alice, bob, "From behind a NAT");
        sim.run_until(minutes(1), |sim| sim.inbox(bob) == ["From behind a NAT"]);
        sim.run_until(minutes(1), |sim| sim.status(message) == State::Delivered);
    }
}

#[test]
fn whoever_was_away_for_a_day_finds_its_carriers_again_by_its_address_book() {
    let mut sim = Sim::from_env_seed();
    sim.network(network(0.0));
    sim.keep_alive(dunlin_sim::KeepAlive::Folded);
    sim.crypto(dunlin_sim::Crypto::StandIn);
    sim.carriers(8);
    let [alice, bob] = sim.people(["alice", "bob"]);
    sim.introduce(alice, bob);
    sim.run_for(minutes(25));
    sim.stop(bob);
    sim.run_for(hours(12));
    let message = sim.send(alice, bob, "Welcome back");
    sim.run_for(hours(12));
    sim.start(bob);
    sim.run_until(minutes(1), |sim| sim.inbox(bob) == ["Welcome back"]);
    sim.run_until(minutes(5), |sim| sim.status(message) == State::Delivered);
}

#[test]
fn after_the_network_was_in_two_for_an_hour_both_halves_write_to_each_other() {
    let (mut sim, alice, bob, carriers) = alice_bob_and(12, 0.0);
    let mut half = carriers[..6].to_vec();
    half.push(alice);
    sim.cut_off(&half);
    let message = sim.send(alice, bob, "From the other side");
    sim.run_for(hours(1));
    assert!(sim.inbox(bob).is_empty());
    assert!(sim.copies(message) > 0);
    sim.heal();
    sim.run_until(minutes(30), |sim| sim.inbox(bob) == ["From the other side"]);
    sim.run_until(minutes(30), |sim| sim.status(message) == State::Delivered);
}
