//! What the scenario files say has to hold holds. Which bugs each of them has caught stands in `tests/sim/RESULTS.md`.

use dunlin_sim::{Scenario, run};
use std::path::Path;

fn holds(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sim");
    let scenario = Scenario::load(&folder.join(name)).expect("a scenario");
    let report = run(&scenario, 1, &mut |_| {}).expect("a run");
    assert!(report.held(), "{name}: {:?}", report.checks);
}

#[test]
fn where_nothing_is_lost_and_nobody_goes_no_link_is_lost_either() {
    holds("idle-links-last.toml");
}

#[test]
fn where_the_network_doubles_everything_each_message_of_a_link_counts_once() {
    holds("all-comes-twice.toml");
}

#[test]
fn who_is_online_hears_of_a_message_at_once_and_its_sender_learns_so() {
    holds("friends-online-hear-at-once.toml");
}

#[test]
fn in_a_full_cache_whoever_holds_most_gives_way() {
    holds("crowds-leave-room-for-one.toml");
}

#[test]
fn senders_whose_clocks_are_a_day_ahead_reach_their_friends() {
    holds("clocks-a-day-ahead-reach-their-friends.toml");
}

#[test]
fn what_the_app_confirmed_does_not_come_again_after_a_restart() {
    holds("who-restarts-reads-nothing-twice.toml");
}

#[test]
fn among_forty_carriers_sender_and_recipient_agree_where_a_packet_is() {
    holds("forty-carriers-and-the-right-ones-are-asked.toml");
}
