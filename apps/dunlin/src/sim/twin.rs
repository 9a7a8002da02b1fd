//! A scenario twice: simulated, and as real processes on loopback. Side by side they show whether the simulation is to be believed.

mod real;
mod unfit;

use super::progress::Line;
use super::{Error, Global, exit_code};
use dunlin_sim::units::{bytes, time};
use dunlin_sim::{Report, Scenario, SentBy};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;

/// How far the bytes of a node may be apart, in percent of the simulated ones.
const APART_PERCENT: f64 = 20.0;

/// What one of the two came to.
#[derive(Debug, Default, Serialize)]
struct Side {
    sent: u64,
    delivered: u64,
    proved: u64,
    /// Half of the delivered messages took at most so long, in milliseconds.
    median_wait_ms: Option<u64>,
    /// Of each population, and at last of all.
    sent_by: Vec<SentBy>,
    /// How far behind the schedule anything was done, at most, in milliseconds: a machine too busy to keep it shows nothing.
    late_ms: u64,
    seconds: f64,
}

impl Side {
    fn simulated(report: &Report) -> Side {
        Side {
            sent: report.sent,
            delivered: report.delivered,
            proved: report.proved,
            median_wait_ms: report.wait_ms(50),
            sent_by: with_all(report.sent_by.clone()),
            late_ms: 0,
            seconds: report.seconds,
        }
    }
}

/// Adds a row that is the sum of all.
fn with_all(mut rows: Vec<SentBy>) -> Vec<SentBy> {
    let mut all = SentBy {
        population: "all".to_owned(),
        ..SentBy::default()
    };
    for row in &rows {
        all.nodes += row.nodes;
        all.datagrams += row.datagrams;
        all.bytes += row.bytes;
    }
    rows.push(all);
    rows
}

/// One row of what was sent, in both.
#[derive(Debug, Serialize)]
struct Pair {
    population: String,
    simulated_bytes: f64,
    real_bytes: f64,
    simulated_datagrams: f64,
    real_datagrams: f64,
    /// Real bytes by simulated ones.
    ratio: f64,
    /// Real datagrams by simulated ones.
    datagrams_ratio: f64,
}

fn pairs(simulated: &Side, real: &Side) -> Vec<Pair> {
    let a_node = |count: u64, row: &SentBy| count as f64 / row.nodes.max(1) as f64;
    let rows = simulated.sent_by.iter().zip(&real.sent_by);
    let pair = |(simulated, real): (&SentBy, &SentBy)| {
        let simulated_bytes = a_node(simulated.bytes, simulated);
        let real_bytes = a_node(real.bytes, real);
        let simulated_datagrams = a_node(simulated.datagrams, simulated);
        let real_datagrams = a_node(real.datagrams, real);
        Pair {
            population: simulated.population.clone(),
            simulated_bytes,
            real_bytes,
            simulated_datagrams,
            real_datagrams,
            ratio: real_bytes / simulated_bytes.max(1.0),
            datagrams_ratio: real_datagrams / simulated_datagrams.max(1.0),
        }
    };
    rows.map(pair).collect()
}

/// What was not the same in both; nothing where they agree.
fn differences(simulated: &Side, real: &Side, pairs: &[Pair]) -> Vec<String> {
    let counts = [
        ("sent", simulated.sent, real.sent),
        ("delivered", simulated.delivered, real.delivered),
        ("proved", simulated.proved, real.proved),
    ];
    let counts = counts
        .into_iter()
        .filter(|(_, simulated, real)| simulated != real)
        .map(|(what, simulated, real)| format!("{what}: {simulated} simulated, {real} real"));
    let far = |pair: &&Pair| (pair.ratio - 1.0).abs() * 100.0 > APART_PERCENT;
    let bytes = pairs.iter().filter(far).map(|pair| {
        let Pair {
            population, ratio, ..
        } = pair;
        format!(
            "bytes each: {population}: real ones are {:.0} % of the simulated",
            ratio * 100.0
        )
    });
    counts.chain(bytes).collect()
}

/// Runs both, and tells of them.
pub(super) fn run(scenario: &Scenario, seed: u64, global: &Global) -> Result<ExitCode, Error> {
    if let Some(why) = unfit::unfit(scenario) {
        return Err(Error::usage(format!("{}: {why}", scenario.name)));
    }
    let mut line = Line::new(global.json);
    let name = format!("{}, seed {seed}", scenario.name);
    let ran = dunlin_sim::run(scenario, seed, &mut |progress| line.show(&name, progress));
    line.clear();
    let report = ran.map_err(|error| Error::failed(format!("{name}: {error}")))?;
    let simulated = Side::simulated(&report);
    let real = real::run(scenario, seed, &mut |progress| line.show(&name, progress));
    line.clear();
    let real = real?;
    let pairs = pairs(&simulated, &real);
    let mut differences = differences(&simulated, &real, &pairs);
    let failed = report.checks.iter().filter(|check| !check.held);
    differences.extend(failed.map(|check| format!("simulated, {}: {}", check.claim, check.found)));
    let agree = differences.is_empty();
    let object = json!({
        "scenario": scenario.name,
        "seed": seed,
        "simulated": simulated,
        "real": real,
        "bytes_a_node": pairs,
        "agree": agree,
        "differences": differences,
    });
    let told = table(&name, &simulated, &real, &pairs, &differences);
    global.result(told, &object)?;
    Ok(exit_code(agree))
}

fn table(
    name: &str,
    simulated: &Side,
    real: &Side,
    pairs: &[Pair],
    differences: &[String],
) -> String {
    let mut text = format!(
        "{name}: simulated in {}, and as {} processes on loopback in {}, at most {} behind schedule\n\n",
        time((simulated.seconds * 1_000.0) as u64),
        real.sent_by.last().map_or(0, |all| all.nodes),
        time((real.seconds * 1_000.0) as u64),
        time(real.late_ms),
    );
    let mut row = |what: &str, simulated: String, real: String, ratio: String| {
        let line = format!("  {what:<22} {simulated:>12} {real:>12} {ratio:>8}");
        text += line.trim_end();
        text.push('\n');
    };
    row("", "simulated".into(), "real".into(), "ratio".into());
    for (what, simulated, real) in [
        ("messages sent", simulated.sent, real.sent),
        ("delivered", simulated.delivered, real.delivered),
        ("proved", simulated.proved, real.proved),
    ] {
        row(what, simulated.to_string(), real.to_string(), String::new());
    }
    let median = |side: &Side| side.median_wait_ms.map_or("-".to_owned(), time);
    row(
        "median wait",
        median(simulated),
        median(real),
        String::new(),
    );
    for pair in pairs {
        let ratio = format!("{:.2}", pair.ratio);
        row(
            &format!("bytes each: {}", pair.population),
            bytes(pair.simulated_bytes),
            bytes(pair.real_bytes),
            ratio,
        );
        row(
            "  datagrams",
            format!("{:.0}", pair.simulated_datagrams),
            format!("{:.0}", pair.real_datagrams),
            format!("{:.2}", pair.datagrams_ratio),
        );
    }
    text.push('\n');
    if differences.is_empty() {
        text += &format!("  ✓ same deliveries, bytes a node within {APART_PERCENT} %\n");
    }
    for difference in differences {
        text += &format!("  ✗ {difference}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(proved: u64, bytes: [u64; 2]) -> Side {
        let row = |population: &str, nodes, bytes| SentBy {
            population: population.to_owned(),
            nodes,
            datagrams: bytes / 100,
            bytes,
        };
        Side {
            sent: 6,
            delivered: 6,
            proved,
            median_wait_ms: Some(3),
            sent_by: with_all(vec![
                row("carriers", 16, bytes[0]),
                row("writers", 2, bytes[1]),
            ]),
            late_ms: 2,
            seconds: 1.0,
        }
    }

    #[test]
    fn they_agree_where_each_population_sends_about_the_same_and_all_is_delivered() {
        let simulated = side(6, [160_000, 40_000]);
        let writers = "bytes each: writers: real ones are 122 % of the simulated";
        let carriers = "bytes each: carriers: real ones are 79 % of the simulated";
        for (real, expected) in [
            (side(6, [160_000, 40_000]), None),
            (side(6, [190_000, 33_000]), None),
            (side(6, [160_000, 48_800]), Some(writers)),
            (side(6, [127_000, 40_000]), Some(carriers)),
            (
                side(5, [160_000, 40_000]),
                Some("proved: 6 simulated, 5 real"),
            ),
        ] {
            let pairs = pairs(&simulated, &real);
            let found = differences(&simulated, &real, &pairs);
            assert_eq!(found, Vec::from_iter(expected), "{pairs:?}");
        }
    }

    #[test]
    fn a_person_sees_them_side_by_side() {
        let (simulated, real) = (side(6, [160_000, 40_000]), side(6, [176_000, 40_000]));
        let pairs = pairs(&simulated, &real);
        let expected = "\
twin, seed 1: simulated in 1 s, and as 18 processes on loopback in 1 s, at most 2 ms behind schedule

                            simulated         real    ratio
  messages sent                     6            6
  delivered                         6            6
  proved                            6            6
  median wait                    3 ms         3 ms
  bytes each: carriers        10.0 kB      11.0 kB     1.10
    datagrams                     100          110     1.10
  bytes each: writers         20.0 kB      20.0 kB     1.00
    datagrams                     200          200     1.00
  bytes each: all             11.1 kB      12.0 kB     1.08
    datagrams                     111          120     1.08

  ✓ same deliveries, bytes a node within 20 %
";
        assert_eq!(
            table("twin, seed 1", &simulated, &real, &pairs, &[]),
            expected
        );
        let differs = ["delivered: 6 simulated, 5 real".to_owned()];
        let told = table("twin, seed 1", &simulated, &real, &pairs, &differs);
        assert!(
            told.ends_with("\n\n  ✗ delivered: 6 simulated, 5 real\n"),
            "{told}"
        );
    }
}
