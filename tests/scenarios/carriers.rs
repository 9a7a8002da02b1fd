//! Those who keep other people's messages: in memory, within a bound, and no longer than needed.

use crate::alice_bob_and;
use dunlin_sim::{DropReason, Kind, Sim, State, minutes};

#[test]
fn a_carrier_that_restarts_has_nothing_left_and_the_sender_makes_a_new_copy() {
    let (mut sim, alice, bob, _) = alice_bob_and(8, 0.0);
    sim.stop(bob);
    let message = sim.send(alice, bob, "In memory only");
    sim.run_until(minutes(2), |sim| sim.status(message) == State::Stored(8));
    let holder = sim.holders(message)[3];
    sim.stop(holder);
    sim.start(holder);
    assert_eq!(sim.copies(message), 7);
    sim.run_until(minutes(30), |sim| sim.copies(message) == 8);
    assert!(sim.holders(message).contains(&holder));
}

#[test]
fn with_three_carriers_in_the_world_there_are_three_copies() {
    let (mut sim, alice, bob, _) = alice_bob_and(3, 0.0);
    sim.stop(bob);
    let message = sim.send(alice, bob, "A small world");
    sim.run_until(minutes(5), |sim| sim.copies(message) == 3);
    sim.run_until(minutes(1), |sim| sim.status(message) == State::Stored(3));
    sim.start(bob);
    sim.run_until(minutes(5), |sim| sim.status(message) == State::Delivered);
}

#[test]
fn who_carries_its_own_mail_gets_it_and_can_prove_it() {
    let mut sim = Sim::from_env_seed();
    let carrying = Kind {
        carry: true,
        ..Kind::person()
    };
    let bob = sim.add("bob", &carrying);
    let [alice] = sim.people(["alice"]);
    sim.introduce(alice, bob);
    sim.run_for(minutes(10));
    let message = sim.send(alice, bob, "Just us two");
    sim.run_until(minutes(2), |sim| sim.inbox(bob) == ["Just us two"]);
    sim.run_until(minutes(2), |sim| sim.status(message) == State::Delivered);
    sim.run_until(minutes(1), |sim| sim.copies(message) == 0);
}

#[test]
fn full_caches_say_so_and_what_they_hold_stays_within_their_bound() {
    let mut sim = Sim::from_env_seed();
    sim.prefixes(40);
    // Room for 30 small packets; of one prefix, for a sixteenth of that.
    let small = Kind {
        cache_bytes: 12_000,
        ..Kind::carrier()
    };
    for n in 0..8 {
        sim.add(&format!("small carrier {n}"), &small);
    }
    let people: Vec<_> = (0..20)
        .map(|n| sim.add(&format!("writer {n}"), &Kind::person()))
        .collect();
    let [bob] = sim.people(["bob"]);
    people.iter().for_each(|one| sim.introduce(*one, bob));
    sim.run_for(minutes(25));
    sim.stop(bob);
    for round in 0..4 {
        for (n, one) in people.iter().enumerate() {
            sim.send(*one, bob, &format!("Letter {round} of writer {n}"));
        }
        sim.run_for(minutes(1));
    }
    assert!(sim.drops(DropReason::OverShare) + sim.drops(DropReason::Full) > 0);
    assert!(sim.drops(DropReason::Evicted) > 0);
    // What did not fit waits with its sender, and follows once there is room.
    sim.start(bob);
    sim.run_until(minutes(180), |sim| sim.inbox(bob).len() == 80);
}
