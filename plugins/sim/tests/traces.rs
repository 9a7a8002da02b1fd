//! The same scenario and seed give the same trace, twice, in any build; another seed gives another.

use dunlin_sim::{Report, Scenario, run};
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/sim")
        .join(name)
}

fn run_small(seed: u64) -> Report {
    let scenario = Scenario::load(&file("small.toml")).expect("a scenario");
    run(&scenario, seed, &mut |_| {}).expect("a run")
}

/// Seeds and traces as `tests/sim/small.traces` has them: a line each, the seed first.
fn written() -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(file("small.traces")).expect("the traces");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (seed, trace) = line.split_once(' ').expect("a seed and a trace");
            (seed.parse().expect("a seed"), trace.to_owned())
        })
        .collect()
}

/// Where the protocol is changed on purpose, run with `DUNLIN_TRACES=write` and look at the difference.
#[test]
fn a_hundred_seeds_of_small_hold_and_leave_the_traces_that_are_written_down() {
    let seeds: Vec<u64> = (1..=100).collect();
    let halves = seeds.chunks(50).map(|half| {
        let half = half.to_vec();
        std::thread::spawn(move || half.into_iter().map(run_small).collect::<Vec<_>>())
    });
    let halves: Vec<_> = halves.collect();
    let reports: Vec<Report> = halves
        .into_iter()
        .flat_map(|half| half.join().expect("no panic"))
        .collect();
    for report in &reports {
        assert!(report.held(), "seed {}: {:?}", report.seed, report.checks);
    }
    if std::env::var("DUNLIN_TRACES").as_deref() == Ok("write") {
        let mut text = String::from(
            "# seed and trace of small.toml; written by plugins/sim/tests/traces.rs\n",
        );
        for report in &reports {
            text.push_str(&format!("{} {}\n", report.seed, report.trace));
        }
        std::fs::write(file("small.traces"), text).expect("the traces");
    }
    let found: Vec<_> = reports
        .into_iter()
        .map(|report| (report.seed, report.trace))
        .collect();
    assert_eq!(found, written());
    let mut traces: Vec<_> = found.into_iter().map(|(_, trace)| trace).collect();
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 100, "another seed, another trace");
}

#[test]
fn the_same_seed_leaves_the_same_trace_twice() {
    let (once, again) = (run_small(7), run_small(7));
    assert_eq!(once.trace, again.trace);
    assert_eq!(once.waits_ms, again.waits_ms);
}
