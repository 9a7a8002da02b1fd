//! The Dunlin command line.

mod completions;
mod contacts;
mod control;
mod demo;
mod doctor;
mod global;
mod keys;
mod loss;
mod man;
mod network;
mod news;
mod offline;
mod outbox;
mod private;
mod process;
mod progress;
mod receive;
mod relay;
mod room;
mod send;
mod sim;

pub(crate) use dunlin_relayd::Error;
pub(crate) use global::Global;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use std::io::Write;
use std::process::ExitCode;

/// A simulation of a million nodes allocates for each datagram: 15 % faster with this than with glibc's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const EXAMPLES: &str = "\
Examples:
  dunlin keys new                     make this device's keys
  dunlin keys card --name Alice       print the card that others need to write to you
  dunlin contacts add Bob bob.card    give Bob's card a name
  dunlin relay --listen 0.0.0.0:4444   carry other people's packets
  dunlin send --to Bob 'Tea?'         write to Bob, who may be away
  dunlin receive                      get what waits, and what arrives
  dunlin room new Tea                 make a room for several
  dunlin demo                         see all of it at work on this machine
  dunlin doctor                       what on this machine would stop Dunlin?
  dunlin sim tests/sim/small.toml      run a network in virtual time

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
    /// Make this device's keys, show them, print its contact card, take them elsewhere
    Keys(keys::Args),
    /// Send a text, a file, or stdin to somebody, who may be away
    Send(send::Args),
    /// Get messages: those that wait with carriers, then those that arrive
    Receive(receive::Args),
    /// Show where own messages stand, or go on with them until each is delivered
    Outbox(outbox::Args),
    /// Give people names
    Contacts(contacts::Args),
    /// Write to all who have a room's invitation, and hear what they write
    Room(room::Args),
    /// Carry other people's packets
    Relay(relay::Args),
    /// Bob is away and Alice has left: he still gets her message
    Demo(demo::Args),
    /// Say what on this machine would stop Dunlin, and what to do about it
    Doctor(doctor::Args),
    /// Print the script by which a shell completes commands and options
    Completions(completions::Args),
    /// Write a manual page for each command into a folder
    Man(man::Args),
    /// Run a scenario on a virtual network, in virtual time
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    global.log();
    if !matches!(command, Command::Sim(_)) {
        keep_to_small_pages();
    }
    let result = match command {
        Command::Keys(args) => keys::run(args, &global),
        Command::Send(args) => send::run(args, &global),
        Command::Receive(args) => receive::run(args, &global),
        Command::Outbox(args) => outbox::run(args, &global),
        Command::Contacts(args) => contacts::run(args, &global),
        Command::Room(args) => room::run(args, &global),
        Command::Relay(args) => relay::run(args, &global),
        Command::Demo(args) => demo::run(args, &global),
        Command::Doctor(args) => doctor::run(args, &global),
        Command::Completions(args) => completions::run(&args, &global),
        Command::Man(args) => man::run(&args, &global),
        Command::Sim(args) => sim::run(args, &global),
    };
    result.unwrap_or_else(|error| {
        eprintln!("dunlin: {error}");
        // Whoever reads JSON gets an object in this case too. If even that cannot be written, the code still says it.
        let _ = global.result("", &serde_json::json!({ "error": error.to_string() }));
        error.exit_code()
    })
}

/// A simulation is a tenth faster in pages of 2 MB, which its allocator asks for; to a relay they would be memory that it does not use.
fn keep_to_small_pages() {
    // An older kernel has none of them, or a few more of them than it needs.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Help and version are answers; anything else is a mistake, told to whoever reads JSON as well.
fn not_understood(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        // If even that cannot be written, the code still says it.
        let object = serde_json::json!({ "error": first });
        let _ = writeln!(std::io::stdout(), "{object}");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
