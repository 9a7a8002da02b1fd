//! `dunlin relay`: carry other people's packets, and ask one that does how it fares.

mod status;

use crate::network::{self, NetworkArgs, Role};
use crate::{Error, Global};
use clap::Subcommand;
use dunlin_relayd::CarryArgs;
use std::process::ExitCode;

/// Carry other people's packets in this process's memory until it ends.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin relay --listen 0.0.0.0:4444
  dunlin relay --listen 0.0.0.0:4444 --peer 192.0.2.7:4444 --cache 64000000
  dunlin relay status                       how the one that runs fares

Packets are kept in memory, sealed. When it ends (Ctrl-C) it gives them to other carriers, within 4 s; a second Ctrl-C ends it at once.
Exit codes: 0 done, 1 failed, 2 not understood.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    carry: CarryArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the relay that runs with this device's folder for its links, cache, traffic and drops
    Status(status::Args),
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    if let Some(Command::Status(args)) = args.command {
        return status::run(&args, global);
    }
    let role = Role {
        carry: Some(args.carry),
        keep: false,
        control: true,
    };
    let app = network::app(global, &args.network, &role)?;
    let why = dunlin_relayd::run(app, |ready| {
        // A reader that has gone does not keep a relay from relaying.
        let _ = global.result(ready, &ready.object());
    })?;
    tracing::info!(why, "the relay ended");
    Ok(ExitCode::SUCCESS)
}
