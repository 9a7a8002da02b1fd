//! The Dunlin command line.

mod doctor;
mod error;
mod global;
mod keys;

pub(crate) use error::Error;
pub(crate) use global::Global;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  dunlin keys new                     make this device's keys
  dunlin keys card --name Alice       print the card that others need to write to you
  dunlin doctor                       what on this machine would stop Dunlin?

Exit codes: 0 done, 1 failed, 2 not understood.";

/// Messages that wait for people who are away, sealed, in the memory of other people's devices.
#[derive(Parser)]
#[command(name = "dunlin", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this device's keys, show them, print its contact card
    Keys(keys::Args),
    /// Say what on this machine would stop Dunlin, and what to do about it
    Doctor(doctor::Args),
}

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    global.log();
    let result = match command {
        Command::Keys(args) => keys::run(args, &global),
        Command::Doctor(args) => doctor::run(args, &global),
    };
    result.unwrap_or_else(|error| {
        eprintln!("dunlin: {error}");
        // Whoever reads JSON gets an object in this case too. If even that cannot be written, the code still says it.
        let _ = global.result("", &serde_json::json!({ "error": error.to_string() }));
        error.exit_code()
    })
}
