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

// PROTOCOL 3.13
#[test]
fn where_all_begin_together_and_know_one_other_they_find_where_a_packet_is() {
    holds("a-network-that-begins-delivers.toml");
}

#[test]
fn addresses_that_nobody_has_draw_no_more_than_came_from_them() {
    holds("forged-addresses-draw-nothing.toml");
}

#[test]
fn who_stands_on_the_path_moves_no_link_and_makes_nothing_count_twice() {
    holds("who-stands-on-the-path-changes-nothing.toml");
}

#[test]
fn flooders_push_nobody_out_of_full_caches() {
    holds("flooders-silence-nobody.toml");
}

#[test]
fn carriers_that_say_they_keep_and_do_not_are_too_few_to_matter() {
    holds("a-third-of-the-carriers-lie.toml");
}

#[test]
fn receipts_with_secrets_made_up_end_nothing() {
    holds("false-receipts-end-nothing.toml");
}

#[test]
fn frames_of_all_types_with_anything_in_them_do_no_harm() {
    holds("babble-is-refused.toml");
}

// PROTOCOL 3.5
#[test]
fn long_messages_come_whole_or_not_at_all() {
    holds("long-messages-come-whole.toml");
}

// PROTOCOL 3.12
#[test]
fn carriers_make_up_among_themselves_for_what_others_forgot() {
    holds("carriers-restart-and-letters-stay.toml");
}
