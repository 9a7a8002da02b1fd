//! Two who write to each other, and are both there, need nobody else. PROTOCOL 4.8

use crate::alice_bob_and;
use dunlin_net::CircuitUse;
use dunlin_relay::Errands;
use dunlin_sim::{DropReason, Kind, Sim, State, Who, minutes, seconds};

fn direct_links(sim: &mut Sim, who: Who) -> usize {
    let node = sim.node(who).expect("who is online");
    let errands = sim.app().world().get::<Errands>(node);
    errands.expect("a relay's node").direct_links()
}

/// Alice writes to Bob, and he answers.
fn talk(sim: &mut Sim, alice: Who, bob: Who) {
    sim.send(alice, bob, "Tea?");
    sim.run_until(minutes(1), |sim| sim.inbox(bob) == ["Tea?"]);
    sim.send(bob, alice, "With milk.");
    sim.run_until(minutes(1), |sim| sim.inbox(alice) == ["With milk."]);
    sim.run_for(seconds(30));
}

// PROTOCOL 4.8
#[test]
fn two_who_write_to_each_other_go_on_though_every_carrier_is_gone() {
    for loss in [0.0, 10.0] {
        let (mut sim, alice, bob, carriers) = alice_bob_and(12, loss);
        talk(&mut sim, alice, bob);
        assert_eq!(direct_links(&mut sim, alice), 1);
        assert_eq!(direct_links(&mut sim, bob), 1);
        sim.cut_off(&carriers);
        let long = "A recipe. ".repeat(6_000);
        for (from, to, text) in [
            (alice, bob, "Are you there?"),
            (bob, alice, "I am."),
            (alice, bob, &long),
        ] {
            let message = sim.send(from, to, text);
            sim.run_until(seconds(30), |sim| sim.inbox(to).last() == Some(&text));
            sim.run_until(seconds(30), |sim| sim.status(message) == State::Delivered);
        }
        assert_eq!((sim.inbox(alice).len(), sim.inbox(bob).len()), (2, 3));
    }
}

/// Or it would learn where we are.
// PROTOCOL 4.8
#[test]
fn who_only_has_a_card_gets_no_link() {
    let (mut sim, alice, bob, _) = alice_bob_and(12, 0.0);
    for text in ["Hello?", "I have your card.", "Hello?"] {
        sim.send(alice, bob, text);
        sim.run_for(minutes(1));
    }
    assert_eq!(sim.inbox(bob).len(), 3);
    assert_eq!(direct_links(&mut sim, alice), 0);
    assert_eq!(direct_links(&mut sim, bob), 0);
}

// PROTOCOL 4.8
#[test]
fn who_never_shows_where_it_is_gets_no_link_either() {
    let mut sim = Sim::from_env_seed();
    sim.network(crate::network(0.0));
    sim.circuits(CircuitUse::Require);
    sim.carriers(12);
    let [alice, bob] = sim.people(["alice", "bob"]);
    sim.introduce(alice, bob);
    sim.run_for(minutes(25));
    talk(&mut sim, alice, bob);
    assert_eq!(direct_links(&mut sim, alice), 0);
    assert_eq!(direct_links(&mut sim, bob), 0);
}

/// Ten minutes after the last word nothing shows any more that they know each other.
// PROTOCOL 4.8
#[test]
fn a_link_between_two_ends_when_they_are_silent() {
    let (mut sim, alice, bob, _) = alice_bob_and(12, 0.0);
    talk(&mut sim, alice, bob);
    assert_eq!(direct_links(&mut sim, alice), 1);
    sim.run_for(minutes(12));
    assert_eq!(direct_links(&mut sim, alice), 0);
    assert_eq!(direct_links(&mut sim, bob), 0);
    sim.send(alice, bob, "Again tomorrow?");
    sim.run_until(minutes(1), |sim| sim.inbox(bob).len() == 2);
}

/// Neighbours who repair with each other may be correspondents as well: one link serves both.
// PROTOCOL 4.8, 3.12
#[test]
fn two_who_carry_and_repair_talk_over_the_same_link() {
    let mut sim = Sim::from_env_seed();
    sim.network(crate::network(0.0));
    sim.carriers(6);
    let kind = Kind {
        carry: true,
        ..Kind::person()
    };
    let (alice, bob) = (sim.add("alice", &kind), sim.add("bob", &kind));
    sim.introduce(alice, bob);
    sim.run_for(minutes(25));
    talk(&mut sim, alice, bob);
    let before = sim.drops(DropReason::AnswerUnasked);
    for n in 0..10 {
        let text = format!("Cup {n}?");
        let (from, to) = if n % 2 == 0 {
            (alice, bob)
        } else {
            (bob, alice)
        };
        let message = sim.send(from, to, &text);
        sim.run_for(minutes(4));
        assert_eq!(sim.status(message), State::Delivered);
        assert_eq!(direct_links(&mut sim, alice), 1, "{text}");
    }
    assert_eq!(sim.drops(DropReason::AnswerUnasked), before);
}
