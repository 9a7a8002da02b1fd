//! Promise: no unnecessary background work. An idle relay sleeps.

mod rig;

use std::time::Duration;

/// 8 links, a ping each way at most every 25 s, and 5 to spare (ARCHITECTURE, "Budgets").
const WAKE_UPS_MAX: u64 = 8 * 2 * 60_u64.div_ceil(25) + 5;

/// How often all threads of a process have gone to sleep by themselves, which is as often as they were woken.
fn sleeps(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks
        .map(|task| {
            let status = task.expect("a thread").path().join("status");
            let text = std::fs::read_to_string(status).expect("its status");
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.expect("a counter")
                .trim()
                .parse::<u64>()
                .expect("a number")
        })
        .sum()
}

#[test]
fn an_idle_relay_with_eight_links_wakes_no_more_than_its_budget_in_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let carriers = rig::carriers(folder.path(), 9);
    let relay = &carriers[0];
    rig::until("the first has 8 links", || relay.status()["links"] == 8);
    // Let handshakes, peer exchange and its saving to disk end: quiet is a second without a wake-up.
    let mut before = sleeps(relay.child.id());
    rig::until("it is quiet", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = sleeps(relay.child.id());
        std::mem::replace(&mut before, now) == now
    });
    std::thread::sleep(Duration::from_secs(60));
    let wake_ups = sleeps(relay.child.id()) - before;
    println!("idle for 60 s with 8 links: {wake_ups} wake-ups of {WAKE_UPS_MAX} allowed");
    assert!(wake_ups <= WAKE_UPS_MAX, "{wake_ups} wake-ups");
    assert!(wake_ups > 0, "without any, its links would die");
    assert_eq!(relay.status()["links"], 8);
}
