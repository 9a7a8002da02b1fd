//! `dunlin sim`: runs a scenario in virtual time, and says what it came to.

mod plots;
mod progress;
mod swarm;
mod table;
mod twin;

use crate::{Error, Global};
use dunlin_sim::{KeepAlive, Report, Scenario};
use progress::Line;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run a scenario on a virtual network, in virtual time, with the systems that ship.
///
/// The scenario and the seed decide all that happens: the same two give the same trace hash on any machine.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin sim tests/sim/small.toml
  dunlin sim tests/sim/medium.toml --seed 7 --plot plots
  dunlin sim tests/sim/small.toml --json | tail -n 1
  dunlin sim tests/sim/medium.toml --keep-alive folded
  dunlin sim tests/sim/twin.toml --twin     simulated, and as twenty real processes on loopback
  dunlin sim --swarm --seeds 50             draw 50 scenarios and run each
  dunlin sim --swarm --seed 17 --seeds 1    the one drawn from seed 17, again
  dunlin sim --swarm --seed 17 --print > swarm-17.toml && dunlin sim swarm-17.toml --seed 17

With --twin each carrier is a `dunlin relay` and each person a `dunlin receive`, at an address of its own. Both sides send the same
messages at the same moments, and have to agree in what was sent, delivered and proved, and within 20 % in the bytes that a
node of each population sent. What waits take in real processes depends on the machine, and is shown only.

Exit codes: 0 all held that had to (with --twin: and both agree), 1 something did not, 2 the command or the scenario was not understood.")]
pub(crate) struct Args {
    /// The scenario
    #[arg(
        value_name = "FILE",
        required_unless_present = "swarm",
        conflicts_with = "swarm"
    )]
    file: Option<PathBuf>,
    /// Draw small scenarios at random, one from each seed, to meet what nobody thought of
    #[arg(long)]
    swarm: bool,
    /// Seed of everything random; of a swarm, the first [default: 1; of a swarm, drawn and printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many seeds a swarm goes through
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "file", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Write plots of each run into this folder, as SVG
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Who notices that a link is dead, whatever the scenario says: the nodes, by asking, or the simulator, which tells them
    #[arg(long, value_name = "WHO", value_enum, conflicts_with = "swarm")]
    keep_alive: Option<Who>,
    /// Run it twice: simulated, and as real processes on loopback, in real time; show both side by side
    #[arg(long, conflicts_with_all = ["swarm", "plot", "print"])]
    twin: bool,
    /// Print the scenario, as a file, instead of running it
    #[arg(long, conflicts_with = "plot")]
    print: bool,
}

/// As [`KeepAlive`], for the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Who {
    Simulated,
    Folded,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    let plot = args.plot.as_deref();
    match &args.file {
        Some(file) => {
            // The file's faults name their lines; they are the user's to mend.
            let loaded = Scenario::load(file);
            let mut scenario = loaded.map_err(|error| Error::usage(error.to_string()))?;
            match args.keep_alive {
                None => {}
                Some(Who::Simulated) => scenario.keep_alive = KeepAlive::Simulated,
                Some(Who::Folded) => scenario.keep_alive = KeepAlive::Folded,
            }
            if args.print {
                return print(&scenario, global);
            }
            let seed = args.seed.unwrap_or(1);
            match args.twin {
                true => twin::run(&scenario, seed, global),
                false => one(&scenario, seed, plot, global),
            }
        }
        None => {
            let first = match args.seed {
                Some(first) => first,
                None => drawn()?,
            };
            if args.print {
                return print(&Scenario::swarm(first), global);
            }
            swarm::run(first, args.seeds, plot, global)
        }
    }
}

fn one(
    scenario: &Scenario,
    seed: u64,
    plot: Option<&Path>,
    global: &Global,
) -> Result<ExitCode, Error> {
    // Better known now than after an hour.
    plot.map(plots::prepare).transpose()?;
    let mut line = Line::new(global.json);
    let name = format!("{}, seed {seed}", scenario.name);
    let ran = dunlin_sim::run(scenario, seed, &mut |progress| line.show(&name, progress));
    line.clear();
    let report = ran.map_err(|error| Error::failed(format!("{name}: {error}")))?;
    // Told whatever becomes of the plots: it may have taken an hour.
    let mut told = table::table(&report);
    let paths = plot.map_or(Ok(vec![]), |folder| plots::write(folder, &report));
    for path in paths.iter().flatten() {
        told += &format!("\n  {}", path.display());
    }
    global.result(told, &object(&report, paths.as_deref().unwrap_or_default()))?;
    paths?;
    Ok(exit_code(report.held()))
}

fn print(scenario: &Scenario, global: &Global) -> Result<ExitCode, Error> {
    global.result(scenario, &json!({ "scenario": scenario.to_string() }))?;
    Ok(ExitCode::SUCCESS)
}

/// A short one, since a person may have to type it.
fn drawn() -> Result<u64, Error> {
    getrandom::u32()
        .map(u64::from)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))
}

fn exit_code(held: bool) -> ExitCode {
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The report for other programs: instead of each wait, some of them; what was lost and dropped by name.
fn object(report: &Report, plots: &[PathBuf]) -> Value {
    let mut object = json!(report);
    let by_name = |counts: &[(String, u64)]| -> Map<String, Value> {
        let some = counts.iter().filter(|(_, count)| *count > 0);
        some.map(|(name, count)| (name.clone(), json!(count)))
            .collect()
    };
    if let Some(fields) = object.as_object_mut() {
        fields.remove("waits_ms");
        let waits = [
            ("median", 50),
            ("p90", 90),
            ("p95", 95),
            ("p99", 99),
            ("max", 100),
        ]
        .map(|(name, percent)| (name.to_owned(), json!(report.wait_ms(percent))));
        fields.insert("wait_ms".into(), Value::Object(waits.into_iter().collect()));
        fields.insert("lost".into(), Value::Object(by_name(&report.lost)));
        fields.insert("drops".into(), Value::Object(by_name(&report.drops)));
        fields.insert("held".into(), json!(report.held()));
        fields.insert("plots".into(), json!(plots));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_sim::Check;

    pub(super) fn report() -> Report {
        let check = |claim: &str, found: &str, held| Check {
            claim: claim.to_owned(),
            found: found.to_owned(),
            held,
        };
        Report {
            scenario: "small".to_owned(),
            seed: 7,
            trace: "0123456789abcdef".repeat(4),
            nodes: 200,
            sent: 1_000,
            delivered: 998,
            proved: 990,
            hops: 2.041,
            waits_ms: vec![400, 100, 300, 200],
            datagrams: 1_500_000,
            bytes: 600_000_000,
            sent_by: vec![],
            lost: vec![("random".to_owned(), 15_000), ("partition".to_owned(), 0)],
            drops: vec![
                ("ReceiptRepeated".to_owned(), 12),
                ("CookieOld".to_owned(), 1_200),
            ],
            events: 2_100_000,
            events_per_second: 812_345.6,
            bytes_per_node: 3_400,
            seconds: 192.3,
            virtual_seconds: 86_400,
            samples: vec![],
            checks: vec![
                check("delivered ≥ 99.9 %", "99.8 %", false),
                check("bounds of every node", "kept", true),
            ],
        }
    }

    #[test]
    fn the_object_has_what_other_programs_ask_for() {
        let object = object(&report(), &[PathBuf::from("plots/a.svg")]);
        assert_eq!(object["trace"], "0123456789abcdef".repeat(4));
        assert_eq!(object["sent"], 1_000);
        assert_eq!(object["delivered"], 998);
        assert_eq!(object["hops"], 2.041);
        assert_eq!(object["events"], 2_100_000);
        assert_eq!(object["events_per_second"], 812_345.6);
        assert_eq!(object["bytes_per_node"], 3_400);
        assert_eq!(object["seconds"], 192.3);
        assert_eq!(object["wait_ms"]["median"], 200);
        assert_eq!(object["wait_ms"]["p95"], 400);
        assert!(object.get("waits_ms").is_none());
        assert_eq!(object["lost"], json!({ "random": 15_000 }));
        assert_eq!(object["drops"]["CookieOld"], 1_200);
        assert_eq!(object["checks"][0]["held"], false);
        assert_eq!(object["held"], false);
        assert_eq!(object["plots"], json!(["plots/a.svg"]));
    }
}
