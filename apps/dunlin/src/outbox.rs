//! `dunlin outbox`: what became of own messages, and how to take one back.

mod cancel;
mod list;
mod lock;

pub(crate) use lock::OutboxLock;

use crate::contacts::Known;
use crate::network::{self, NetworkArgs, Role};
use crate::news::News;
use crate::send::{CALL_LIMIT, follow};
use crate::{Error, Global};
use clap::Subcommand;
use dunlin_engine::prelude::*;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Show where own messages stand; with --wait, go on sending them and ask the carriers until each is delivered or expired.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin outbox                                  where they stand
  dunlin outbox --wait --peer 192.0.2.7:4444     go on sending, and tell what becomes of them
  dunlin outbox list                             their whole ids, without any network
  dunlin outbox cancel 5f3a09c2                  send this one no more

A message is delivered when a carrier shows the secret that only its recipient could have given out; that is the proof.
Exit codes: 0 done, 1 failed or not all ended in time, 2 not understood.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Stay until every message is delivered or expired
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so many seconds in which nothing moved
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    within: u64,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Show the messages with their whole ids, as the disk has them; nothing is sent
    List(list::Args),
    /// Take a message back: it is not given to any more carriers
    Cancel(cancel::Args),
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    match args.command {
        Some(Command::List(args)) => return list::run(&args, global),
        Some(Command::Cancel(args)) => return cancel::run(&args, global),
        None => {}
    }
    let role = Role {
        carry: None,
        keep: true,
        control: false,
    };
    let mut app = network::app(global, &args.network, &role)?;
    let client = app.client(Grants::everything());
    let running = Threaded::start(app)?;
    let watch = client.open("relay.watch", json!({}));
    watch.wait_open(CALL_LIMIT)?;
    let outbox = client.ask("relay.outbox", json!({}), CALL_LIMIT)?.value;
    let rows: &[Value] = outbox.as_array().map_or(&[], Vec::as_slice);

    let contacts = Known::of(global);
    let mut news = News::new(global);
    for row in rows {
        // What it says is sealed; whom it is for is all that the outbox can tell.
        let id: String = row["id"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(8)
            .collect();
        let to = contacts.name_or_id(row["to"].as_str().unwrap_or_default());
        news.follow(row, format!("{id} to {to}"))?;
    }
    let mut ended = news.all_ended();
    if args.wait {
        let within = Duration::from_secs(args.within);
        ended = follow(&running, &watch, &mut news, within, |news| news.all_ended())?;
        news.end_bars();
    }
    drop((watch, client));
    drop(running.stop());
    news.finish(match (rows.len(), ended, args.wait) {
        (0, ..) => "nothing is under way.",
        (_, true, _) => "all ended.",
        (_, false, true) => "some are still under way: try again later.",
        (_, false, false) => {
            "`dunlin outbox --wait` goes on sending, and asks whether they were delivered."
        }
    })?;
    Ok(if ended || !args.wait {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
