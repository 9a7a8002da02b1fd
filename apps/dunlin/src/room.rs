//! `dunlin room`: messages to all who share a secret.

mod book;
mod listen;
mod say;

use crate::network::NetworkArgs;
use crate::{Error, Global};
pub(crate) use book::Rooms;
use clap::Subcommand;
use dunlin_relay::Room;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Write to all who have a room's invitation, and hear what they write.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin room new Tea                            make a room, and print its invitation
  dunlin room join dunlin-room:aeabc…            become a member
  dunlin room send Tea 'At four?'
  dunlin room listen Tea                         until Ctrl-C
  dunlin room leave Tea

Whoever has the invitation reads everything that was said in the last 14 days and will be said, and can write; nobody can write in another's
name. Rooms are in HOME/rooms, readable by you alone. A message to a room is never `delivered`: it lies with carriers until it expires.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a room, join it, and print its invitation
    #[command(
        after_help = "Examples:\n  dunlin room new Tea\n  dunlin room new 'Street party' --json\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    New {
        /// What its members call it: 1 to 64 bytes
        name: String,
    },
    /// Become a member of a room
    #[command(
        after_help = "Examples:\n  dunlin room join dunlin-room:aeabc…\n  dunlin room join tea.room --as 'Tea at work'\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    Join {
        /// Its invitation (dunlin-room:…), or a file that holds it
        invitation: String,
        /// Call it otherwise here
        #[arg(long = "as", value_name = "NAME")]
        other_name: Option<String>,
    },
    /// Show the rooms that this device is a member of
    #[command(
        after_help = "Examples:\n  dunlin room list\n  dunlin room list --invitations\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    List {
        /// Show their invitations too: each is all that anybody needs to read and write there
        #[arg(long)]
        invitations: bool,
    },
    /// Forget a room; what was said there stays with carriers until it expires
    #[command(
        after_help = "Examples:\n  dunlin room leave Tea\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    Leave {
        /// Which
        name: String,
    },
    /// Say something in a room
    Send(SendArgs),
    /// Hear what is said in a room: what was said in the last 14 days and not heard here yet, then what comes
    Listen(ListenArgs),
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin room send Tea 'At four?' --peer 192.0.2.7:4444
  dunlin room send Tea cake.jpg                  a file that exists is sent as a file, up to 64 KiB
  fortune | dunlin room send Tea -

It ends when each message is stored on 8 carriers; nobody is told when it is read.
Exit codes: 0 stored, 1 failed or not stored on that many in time, 2 not understood.")]
struct SendArgs {
    /// Which room
    room: String,
    /// Texts, files, or - for stdin
    #[arg(required = true, value_name = "TEXT|FILE|-")]
    what: Vec<String>,
    /// Take every argument as text, even if a file has that name
    #[arg(long)]
    text: bool,
    /// On how many carriers each message must be stored
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    copies: u8,
    /// Give up waiting after so many seconds in which nothing moved; the messages stay in the outbox
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    within: u64,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin room listen Tea --peer 192.0.2.7:4444   until Ctrl-C
  dunlin room listen Tea --once                  what lies there now, then end
  dunlin room listen Tea --count 2 --json | jq .

A text is printed; a file is put into --out, under its name or, if that is taken, with a number behind it.
Exit codes: 0 done, 1 failed or not everything came in time, 2 not understood.")]
struct ListenArgs {
    /// Which room
    room: String,
    /// End when all carriers that can be reached have nothing more
    #[arg(long)]
    once: bool,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Hear one's own messages too
    #[arg(long)]
    own: bool,
    /// With --once or --count: give up after so many seconds in which nothing came
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    within: u64,
    /// Where files go
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    match args.command {
        Command::New { name } => new(&name, global),
        Command::Join {
            invitation,
            other_name,
        } => join(&invitation, other_name.as_deref(), global),
        Command::List { invitations } => list(invitations, global),
        Command::Leave { name } => {
            let mut rooms = Rooms::edit(&global.make_home()?)?;
            let room = rooms.remove(&name)?;
            let text = format!("{} is left", room.name());
            global.result(text, &json!({ "left": room.name() }))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Send(args) => say::run(&args, global),
        Command::Listen(args) => listen::run(&args, global),
    }
}

fn new(name: &str, global: &Global) -> Result<ExitCode, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    let room = Room::generate(name, &mut ChaCha20Rng::from_seed(*seed));
    let room = room.map_err(|error| Error::usage(error.to_string()))?;
    let mut rooms = Rooms::edit(&global.make_home()?)?;
    rooms.add(&room)?;
    let invitation = room.invitation();
    let object = json!({ "room": room.name(), "invitation": *invitation });
    global.result(&*invitation, &object)?;
    Ok(ExitCode::SUCCESS)
}

fn join(invitation: &str, other_name: Option<&str>, global: &Global) -> Result<ExitCode, Error> {
    let room = book::read(invitation)?;
    let room = match other_name {
        Some(name) => room.named(name),
        None => Ok(room),
    };
    let room = room.map_err(|error| Error::usage(error.to_string()))?;
    Rooms::edit(&global.make_home()?)?.add(&room)?;
    let text = format!("joined {}: `dunlin room listen`", room.name());
    global.result(text, &json!({ "room": room.name() }))?;
    Ok(ExitCode::SUCCESS)
}

fn list(invitations: bool, global: &Global) -> Result<ExitCode, Error> {
    let rooms = Rooms::open(&global.make_home()?)?;
    let rows = rooms.all().iter().map(|room| {
        let invitation = room.invitation();
        match invitations {
            true => json!({ "room": room.name(), "invitation": *invitation }),
            false => json!({ "room": room.name() }),
        }
    });
    let lines = rooms.all().iter().map(|room| match invitations {
        true => format!("{}  {}\n", room.name(), *room.invitation()),
        false => format!("{}\n", room.name()),
    });
    let text = match rooms.all() {
        [] => "no rooms: `dunlin room new NAME` makes one".to_owned(),
        _ => lines.collect(),
    };
    let rows: Vec<_> = rows.collect();
    global.result(text, &json!({ "rooms": rows }))?;
    Ok(ExitCode::SUCCESS)
}
