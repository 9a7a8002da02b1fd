//! Many small scenarios, each drawn from a seed. What fails is named with the command that repeats it.

use super::progress::Line;
use super::{exit_code, object, plots, table};
use crate::{Error, Global};
use dunlin_sim::units::{count, grouped, time};
use dunlin_sim::{Report, Scenario};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

pub(super) fn run(
    first: u64,
    seeds: u64,
    plot: Option<&Path>,
    global: &Global,
) -> Result<ExitCode, Error> {
    plot.map(plots::prepare).transpose()?;
    let began = Instant::now();
    let last = first.saturating_add(seeds - 1);
    // Before anything can go wrong.
    global.result(
        format!("scenarios drawn from seeds {first} to {last}"),
        &json!({ "first": first, "last": last }),
    )?;
    let mut line = Line::new(global.json);
    let mut failed: Vec<u64> = Vec::new();
    let mut runs = 0_u64;
    for seed in first..=last {
        runs += 1;
        let name = match failed.len() {
            0 => format!("{runs} of {seeds}, seed {seed}"),
            failed => format!("{runs} of {seeds}, {failed} failed, seed {seed}"),
        };
        let outcome = attempt(seed, &name, &mut line);
        line.clear();
        if !matches!(&outcome, Ok(report) if report.held()) {
            failed.push(seed);
        }
        let paths = match (&outcome, plot) {
            (Ok(report), Some(folder)) => plots::write(folder, report)?,
            _ => vec![],
        };
        global.result(told(seed, &outcome), &row(seed, &outcome, &paths))?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let span = time((seconds * 1_000.0) as u64);
    let sentence = match failed.len() {
        0 => format!("\nall held, in {span}"),
        failed => format!("\n{failed} of {runs} failed, in {span}"),
    };
    let end = json!({
        "held": failed.is_empty(),
        "first": first,
        "last": last,
        "failed": failed,
        "seconds": (seconds * 10.0).round() / 10.0,
    });
    global.result(sentence, &end)?;
    Ok(exit_code(failed.is_empty()))
}

/// One run. A panic in it is a failure of this seed and not the end of the swarm.
fn attempt(seed: u64, name: &str, line: &mut Line) -> Result<Report, String> {
    let scenario = Scenario::swarm(seed);
    let run = || dunlin_sim::run(&scenario, seed, &mut |progress| line.show(name, progress));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(error.to_string()),
        // Its message is on stderr already: the hook has printed it with its place.
        Err(_) => Err("it panicked".to_owned()),
    }
}

fn told(seed: u64, outcome: &Result<Report, String>) -> String {
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return format!("✗ seed {seed}: {error}\n{}", again(seed)),
    };
    let sign = if report.held() { "✓" } else { "✗" };
    let mut text = format!(
        "{sign} seed {seed}: {} nodes, {} of {} delivered, {} events, {}\n",
        grouped(report.nodes),
        grouped(report.delivered),
        grouped(report.sent),
        count(report.events),
        time((report.seconds * 1_000.0) as u64),
    );
    if !report.held() {
        text += &table::checks(report);
        text += &again(seed);
    }
    text
}

fn again(seed: u64) -> String {
    format!(
        "  again:   dunlin sim --swarm --seed {seed} --seeds 1\n  as file: dunlin sim --swarm --seed {seed} --print > swarm-{seed}.toml && dunlin sim swarm-{seed}.toml --seed {seed}\n"
    )
}

fn row(seed: u64, outcome: &Result<Report, String>, plots: &[PathBuf]) -> Value {
    match outcome {
        Ok(report) => {
            let mut row = object(report, plots);
            if let Some(fields) = row.as_object_mut() {
                fields.remove("samples"); // A hundred rows a seed are more than anyone reads.
            }
            row
        }
        Err(error) => json!({ "seed": seed, "held": false, "error": error }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_failed_seed_is_told_with_what_did_not_hold_and_the_command_that_repeats_it() {
        assert_eq!(
            told(7, &Ok(report())),
            "\
✗ seed 7: 200 nodes, 998 of 1,000 delivered, 2.10 M events, 3 min 12 s
  ✗ delivered ≥ 99.9 %    99.8 %
  ✓ bounds of every node  kept
  again:   dunlin sim --swarm --seed 7 --seeds 1
  as file: dunlin sim --swarm --seed 7 --print > swarm-7.toml && dunlin sim swarm-7.toml --seed 7
"
        );
        let error = told(8, &Err("it panicked".to_owned()));
        assert!(
            error.starts_with("✗ seed 8: it panicked\n  again:   dunlin sim"),
            "{error}"
        );
    }

    #[test]
    fn a_seed_that_held_takes_one_line() {
        let mut report = report();
        report.checks.remove(0);
        let text = told(7, &Ok(report));
        assert!(text.starts_with('✓') && text.lines().count() == 1, "{text}");
    }
}
