//! `dunlin keys`: make this device's keys, show them, print its contact card, take them elsewhere.

mod passphrase;
mod qr;
mod sealed;
mod transfer;

use crate::{Error, Global};
use clap::Subcommand;
use dunlin_net::KeyFile;
use dunlin_relay::{Card, Mailbox};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::net::SocketAddr;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Make this device's keys, show them, print its contact card, take them elsewhere.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin keys new
  dunlin --home bob keys new               a second identity, in a folder of its own
  dunlin keys card --name Alice > alice.card
  dunlin keys card --qr                    for a camera, and whoever holds it
  dunlin keys export alice.keys            all keys, sealed under a passphrase
  dunlin --home new keys import alice.keys

Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make keys, once: a key file is never overwritten
    #[command(
        after_help = "Examples:\n  dunlin keys new\n  dunlin --home bob keys new\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    New,
    /// Show this device's id and where its keys are
    #[command(
        after_help = "Examples:\n  dunlin keys show\n  dunlin keys show --json\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    Show,
    /// Print the contact card: what others need to write to this device
    Card(CardArgs),
    /// Write all keys of this device into a new file, sealed under a passphrase
    Export(transfer::ExportArgs),
    /// Take the keys out of such a file, for this device
    Import(transfer::ImportArgs),
}

/// What the card says beside the keys.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin keys card --name Alice > alice.card
  dunlin keys card --address 192.0.2.7:4444 --qr

Others take the card with `dunlin contacts add NAME CARD`.
Exit codes: 0 done, 1 failed, 2 not understood.")]
struct CardArgs {
    /// What you call yourself, at most 32 bytes; everybody who gets the card can read it
    #[arg(long)]
    name: Option<String>,
    /// Where you, or somebody who carries for you, may be found; may be repeated
    #[arg(long = "address", value_name = "ADDR:PORT")]
    addresses: Vec<SocketAddr>,
    /// Draw it as a QR code, black on white whatever the terminal's colours
    #[arg(long)]
    qr: bool,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    match args.command {
        Command::New => new(global)?,
        Command::Show => show(global)?,
        Command::Card(args) => card(&args, global)?,
        Command::Export(args) => transfer::export(&args, global)?,
        Command::Import(args) => transfer::import(&args, global)?,
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

fn card(args: &CardArgs, global: &Global) -> Result<(), Error> {
    let keys = KeyFile::read(&global.key_file()?)?;
    let identity = keys.identity()?;
    let mailbox = Mailbox::from_seed(&keys.mailbox_seed);
    let card = Card::new(
        &identity,
        mailbox.public(),
        &args.addresses,
        args.name.as_deref(),
    )
    .map_err(|error| {
        Error::usage(format!(
            "{error}: a name has at most 32 bytes and no control characters, an address is one that others can reach, \
             and all fits 512 bytes"
        ))
    })?
    .to_string();
    let mut object = serde_json::json!({ "id": identity.id().to_string(), "card": card });
    if !args.qr {
        return global.result(&card, &object);
    }
    let code = qr::draw(&card)?;
    object["qr"] = code.as_str().into();
    if !global.json {
        qr::fits(&code)?;
    }
    global.result(&code, &object)
}
