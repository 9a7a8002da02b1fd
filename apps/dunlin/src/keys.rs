//! `dunlin keys`: make this device's keys, show them, print its contact card.

use crate::{Error, Global};
use clap::Subcommand;
use dunlin_net::KeyFile;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Make this device's keys, show them, print its contact card.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin keys new
  dunlin --home bob keys new               a second identity, in a folder of its own
  dunlin keys card --name Alice > alice.card

Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make keys, once: a key file is never overwritten
    New,
    /// Show this device's id and where its keys are
    Show,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    match args.command {
        Command::New => new(global)?,
        Command::Show => show(global)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn new(global: &Global) -> Result<(), Error> {
    global.make_home()?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    let keys = KeyFile::generate(&mut ChaCha20Rng::from_seed(*seed));
    keys.create(&global.key_file()?)?;
    show(global)
}

fn show(global: &Global) -> Result<(), Error> {
    let path = global.key_file()?;
    let id = KeyFile::read(&path)?.identity()?.id().to_string();
    let path = path.display().to_string();
    global.result(
        format_args!("id    {id}\nkeys  {path}"),
        &serde_json::json!({ "id": id, "keys": path }),
    )
}
