//! A message waits for someone who is away, even when its sender leaves too.

use crate::{alice_bob_and, network};
use dunlin_sim::{Crypto, DropReason, KeepAlive, Kind, Sim, State, days, hours, minutes, seconds};

/// Alice writes and goes; so many of the carriers that have it fail; Bob comes, and then Alice again.
fn away(loss_percent: f64, failing: usize) {
    let (mut sim, alice, bob, _) = alice_bob_and(12, loss_percent);
    sim.stop(bob);
    let message = sim.send(alice, bob, "Tea at four?");
    sim.run_until(minutes(10), |sim| sim.status(message) == State::Stored(8));
    sim.stop(alice);
    let holders = sim.holders(message);
    // Where much is lost, one that seemed out of reach may have it as a ninth.
    let failed = &holders[..holders.len() - 8 + failing];
    failed.iter().for_each(|carrier| sim.stop(*carrier));
    assert_eq!(sim.copies(message), 8 - failing);

    sim.start(bob);
    sim.run_until(minutes(10), |sim| sim.inbox(bob) == ["Tea at four?"]);
    sim.start(alice);
    sim.run_until(minutes(10), |sim| sim.status(message) == State::Delivered);
    sim.run_until(minutes(5), |sim| sim.copies(message) == 0);
    assert_eq!(sim.inbox(bob), ["Tea at four?"]);
    assert_eq!(sim.drops(DropReason::ReceiptForged), 0);
}

#[test]
fn bob_gets_the_message_although_alice_left_before_he_came_back() {
    away(0.0, 0);
}

#[test]
fn it_arrives_when_a_tenth_is_lost_each_way_and_three_that_had_it_fail() {
    away(10.0, 3);
}

#[test]
fn it_arrives_when_three_in_ten_are_lost_each_way_and_five_that_had_it_fail() {
    away(30.0, 5);
}

// PROTOCOL 3.5
#[test]
fn a_letter_of_sixty_four_kibibytes_waits_as_a_short_one_does() {
    let (mut sim, alice, bob, _) = alice_bob_and(12, 5.0);
    let letter = "Tea at four? ".repeat(5_000);
    sim.stop(bob);
    let message = sim.send(alice, bob, &letter);
    sim.run_until(minutes(10), |sim| sim.status(message) == State::Stored(8));
    sim.stop(alice);
    let holders = sim.holders(message);
    holders[..3].iter().for_each(|carrier| sim.stop(*carrier));
    sim.start(bob);
    sim.run_until(minutes(10), |sim| sim.inbox(bob) == [letter.as_str()]);
    sim.start(alice);
    sim.run_until(minutes(10), |sim| sim.status(message) == State::Delivered);
}

/// Carriers of which none goes, for as long as a message can live.
fn for_days() -> (Sim, dunlin_sim::Who, dunlin_sim::Who) {
    let mut sim = Sim::from_env_seed();
    sim.network(network(5.0));
    // Two weeks of PINGs, of X25519 and of many links would be most of the work, and are not what is asked here.
    sim.crypto(Crypto::StandIn);
    sim.keep_alive(KeepAlive::Folded);
    let carrier = Kind {
        links: 2,
        ..Kind::carrier()
    };
    for n in 1..=9 {
        sim.add(&format!("carrier {n}"), &carrier);
    }
    let [alice, bob] = sim.people(["alice", "bob"]);
    sim.introduce(alice, bob);
    sim.run_for(minutes(25));
    (sim, alice, bob)
}

#[test]
fn thirteen_days_later_it_is_still_there() {
    let (mut sim, alice, bob) = for_days();
    sim.stop(bob);
    let message = sim.send(alice, bob, "Tea at four?");
    sim.run_until(minutes(2), |sim| sim.status(message) == State::Stored(8));
    sim.stop(alice);
    sim.run_for(days(13));
    // A copy whose taker did not get to say so comes on top.
    assert!(sim.copies(message) >= 8);
    sim.start(bob);
    sim.run_until(minutes(1), |sim| sim.inbox(bob) == ["Tea at four?"]);
    sim.start(alice);
    sim.run_until(minutes(5), |sim| sim.status(message) == State::Delivered);
    sim.run_until(minutes(1), |sim| sim.copies(message) == 0);
}

#[test]
fn after_fourteen_days_and_one_for_wrong_clocks_it_is_gone_and_its_sender_knows() {
    let (mut sim, alice, bob) = for_days();
    sim.stop(bob);
    let message = sim.send(alice, bob, "Tea at four?");
    sim.run_until(minutes(2), |sim| sim.status(message) == State::Stored(8));
    sim.stop(alice);
    sim.run_for(days(15) + hours(1));
    assert_eq!(sim.copies(message), 0);
    sim.start(alice);
    sim.run_until(minutes(1), |sim| sim.status(message) == State::Expired);
    sim.start(bob);
    sim.run_for(minutes(5));
    assert!(sim.inbox(bob).is_empty());
}

#[test]
fn a_sender_who_was_cut_off_from_everybody_places_it_once_the_network_is_back() {
    let (mut sim, alice, bob, _) = alice_bob_and(8, 0.0);
    sim.cut_off(&[alice]);
    let message = sim.send(alice, bob, "Can you hear me?");
    sim.run_for(minutes(10));
    assert!(matches!(sim.status(message), State::Queued | State::Sent));
    sim.heal();
    sim.run_until(minutes(5), |sim| sim.inbox(bob) == ["Can you hear me?"]);
    sim.run_until(minutes(1), |sim| sim.status(message) == State::Delivered);
}

#[test]
fn what_a_sender_kept_on_disk_leaves_after_its_restart() {
    let (mut sim, alice, bob, carriers) = alice_bob_and(8, 0.0);
    sim.cut_off(&carriers);
    let message = sim.send(alice, bob, "Written in a tunnel");
    sim.run_for(seconds(5));
    sim.stop(alice);
    sim.heal();
    sim.start(alice);
    sim.run_until(minutes(5), |sim| sim.inbox(bob) == ["Written in a tunnel"]);
    sim.run_until(minutes(1), |sim| sim.status(message) == State::Delivered);
}
