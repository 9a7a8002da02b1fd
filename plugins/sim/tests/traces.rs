//! The same scenario and seed give the same trace, in any build.

use dunlin_sim::{Report, Scenario, run};
use std::path::Path;

fn run_file(name: &str, seed: u64) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/sim/{name}.toml"));
    let scenario = Scenario::load(&path).unwrap();
    run(&scenario, seed, &mut |_| {}).unwrap()
}

#[test]
fn small_holds() {
    let report = run_file("small", 1);
    println!(
        "{:?}",
        (
            &report.checks,
            report.events,
            report.datagrams,
            report.seconds,
            report.hops,
            &report.drops,
            &report.lost,
            &report.trace
        )
    );
    assert!(report.held());
}
