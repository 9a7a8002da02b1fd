//! Clocks may be a day wrong.

use crate::alice_bob_and;
use dunlin_sim::{DropReason, State, minutes};

const DAY_MS: i64 = 86_400_000;

fn arrives(alice_ms: i64, bob_ms: i64, carriers_ms: [i64; 2]) {
    let (mut sim, alice, bob, carriers) = alice_bob_and(8, 0.0);
    for (n, carrier) in carriers.iter().enumerate() {
        sim.clock(*carrier, carriers_ms[n % 2]);
    }
    sim.clock(alice, alice_ms);
    sim.clock(bob, bob_ms);
    sim.stop(bob);
    let message = sim.send(alice, bob, "What day is it?");
    sim.run_until(minutes(2), |sim| sim.status(message) == State::Stored(8));
    sim.start(bob);
    if bob_ms - alice_ms < -DAY_MS {
        // He asks for her day once his clock has reached the day before.
        sim.run_for(minutes(3));
        assert!(sim.inbox(bob).is_empty());
        sim.clock(bob, bob_ms + DAY_MS / 2);
    }
    sim.run_until(minutes(3), |sim| sim.inbox(bob) == ["What day is it?"]);
    sim.run_until(minutes(3), |sim| sim.status(message) == State::Delivered);
    assert_eq!(sim.drops(DropReason::Untimely), 0);
}

#[test]
fn a_sender_whose_clock_is_a_day_wrong_either_way_is_read() {
    arrives(DAY_MS, 0, [0, 0]);
    arrives(-DAY_MS, 0, [0, 0]);
}

#[test]
fn a_recipient_whose_clock_is_a_day_wrong_either_way_gets_its_mail() {
    arrives(0, DAY_MS, [0, 0]);
    arrives(0, -DAY_MS, [0, 0]);
}

// PROTOCOL 4.1
#[test]
fn whose_clocks_are_two_days_apart_read_each_other_at_once_or_half_a_day_later() {
    arrives(-DAY_MS, DAY_MS, [0, 0]);
    arrives(DAY_MS, -DAY_MS, [0, 0]);
}

// PROTOCOL 3.7
#[test]
fn carriers_whose_clocks_are_a_day_wrong_each_another_way_keep_it() {
    arrives(0, 0, [DAY_MS, -DAY_MS]);
}
