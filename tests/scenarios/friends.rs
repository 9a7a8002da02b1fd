//! Messages between people who are there.

use crate::alice_bob_and;
use dunlin_sim::{DropReason, State, minutes, seconds};

// PROTOCOL 2.3
#[test]
fn who_is_there_hears_of_a_message_within_two_seconds_and_so_does_its_sender() {
    let (mut sim, alice, bob, _) = alice_bob_and(12, 0.0);
    let message = sim.send(alice, bob, "Tea?");
    sim.run_until(seconds(2), |sim| sim.inbox(bob) == ["Tea?"]);
    sim.run_until(seconds(5), |sim| sim.status(message) == State::Delivered);
    sim.run_until(seconds(5), |sim| sim.copies(message) == 0);
}

#[test]
fn a_talk_of_a_hundred_messages_loses_and_doubles_none() {
    let (mut sim, alice, bob, _) = alice_bob_and(12, 2.0);
    let mut messages = Vec::new();
    for n in 0..50 {
        messages.push(sim.send(alice, bob, &format!("Question {n}: tea at four?")));
        messages.push(sim.send(bob, alice, &format!("Answer {n}: with milk.")));
        sim.run_for(seconds(2));
    }
    let all = |sim: &dunlin_sim::Sim| {
        messages
            .iter()
            .all(|message| sim.status(*message) == State::Delivered)
    };
    sim.run_until(minutes(5), all);
    assert_eq!((sim.inbox(bob).len(), sim.inbox(alice).len()), (50, 50));
}

#[test]
fn a_carrier_that_missed_the_delivery_learns_of_it_from_the_recipient() {
    let (mut sim, alice, bob, _) = alice_bob_and(8, 0.0);
    sim.stop(bob);
    let message = sim.send(alice, bob, "Only once, please");
    sim.run_until(minutes(2), |sim| sim.status(message) == State::Stored(8));
    sim.stop(alice);
    let late = sim.holders(message)[0];
    sim.cut_off(&[late]);
    sim.start(bob);
    sim.run_until(minutes(5), |sim| sim.inbox(bob) == ["Only once, please"]);
    sim.run_until(minutes(5), |sim| sim.copies(message) == 1);
    sim.stop(bob);
    sim.heal();
    sim.start(bob);
    sim.run_until(minutes(10), |sim| sim.copies(message) == 0);
    assert_eq!(sim.inbox(bob), ["Only once, please"]);
    assert!(sim.drops(DropReason::Repeated) >= 1);
}
