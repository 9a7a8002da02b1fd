//! `dunlin contacts`: names for people, so that nobody needs to handle cards twice.

mod book;
mod known;

pub(crate) use book::Contacts;
pub(crate) use known::Known;

use crate::{Error, Global};
use book::{Added, Contact};
use clap::Subcommand;
use dunlin_relay::Card;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;

/// Of a file that should hold a card no more is read: a card has 827 letters at most.
const CARD_FILE_BYTES_MAX: u64 = 4_096;

/// Give people names: for `dunlin send --to`, and for who is shown when their messages come.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin contacts add Bob bob.card
  dunlin contacts add Alice dunlin:aeabc…         the card itself
  dunlin contacts list
  dunlin contacts rename Bob 'Bob Smith'
  dunlin send --to 'bob smith' 'Tea at four?'     in either case of letters

Names are your own: nobody else sees them. They are in HOME/contacts, readable by you alone.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add somebody, or renew the card of somebody who is there
    #[command(after_help = "\
Examples:
  dunlin contacts add Bob bob.card
  ssh bob dunlin keys card | dunlin contacts add Bob -

Exit codes: 0 done, 1 failed, 2 not understood.")]
    Add {
        /// What you call them: 1 to 64 bytes
        name: String,
        /// Their contact card (dunlin:…), a file that holds it, or - for stdin
        card: String,
    },
    /// Show all names and ids
    #[command(
        after_help = "Examples:\n  dunlin contacts list\n  dunlin contacts list --json\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    List,
    /// Show somebody's id, addresses and card
    #[command(
        after_help = "Examples:\n  dunlin contacts show Bob\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    Show {
        /// Whose
        name: String,
    },
    /// Forget somebody; messages that are under way to them stay so
    #[command(
        after_help = "Examples:\n  dunlin contacts remove Bob\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    Remove {
        /// Whom
        name: String,
    },
    /// Give somebody another name
    #[command(
        after_help = "Examples:\n  dunlin contacts rename Bob 'Bob Smith'\n\nExit codes: 0 done, 1 failed, 2 not understood."
    )]
    Rename {
        /// What you called them
        old: String,
        /// What you call them from now on
        new: String,
    },
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    match args.command {
        Command::Add { name, card } => add(&name, &card, global)?,
        Command::List => list(global)?,
        Command::Show { name } => show(&name, global)?,
        Command::Remove { name } => remove(&name, global)?,
        Command::Rename { old, new } => rename(&old, &new, global)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add(name: &str, card: &str, global: &Global) -> Result<(), Error> {
    let card = read_card(card)?;
    let mut contacts = Contacts::edit(&global.make_home()?)?;
    let added = contacts.add(name, card)?;
    contacts.save()?;
    let contact = contacts.get(name)?;
    let what = match added {
        Added::New => "added",
        Added::Renewed => "there already: the card is renewed",
    };
    let mut object = object(contact);
    object["renewed"] = json!(added == Added::Renewed);
    let id = contact.card.id();
    global.result(format_args!("{}  {what} (id {id})", contact.name), &object)
}

fn list(global: &Global) -> Result<(), Error> {
    let contacts = Contacts::read(&global.home()?)?;
    let mut text = String::new();
    let width = contacts.all().map(|one| one.name.chars().count());
    let width = width.max().unwrap_or_default();
    for Contact { name, card } in contacts.all() {
        writeln!(text, "{name:width$}  {}", card.id())?;
    }
    if text.is_empty() {
        text.push_str("no contacts: make one with `dunlin contacts add NAME CARD`");
    }
    let all: Vec<Value> = contacts.all().map(object).collect();
    global.result(text, &json!({ "contacts": all }))
}

fn show(name: &str, global: &Global) -> Result<(), Error> {
    let contacts = Contacts::read(&global.home()?)?;
    let contact = contacts.get(name)?;
    let Contact { name, card } = contact;
    let mut text = format!("name      {name}\nid        {}\n", card.id());
    if let Some(own) = card.name() {
        writeln!(text, "own name  {own}")?;
    }
    for address in card.addresses() {
        writeln!(text, "address   {address}")?;
    }
    write!(text, "card      {card}")?;
    global.result(text, &object(contact))
}

fn remove(name: &str, global: &Global) -> Result<(), Error> {
    let mut contacts = Contacts::edit(&global.make_home()?)?;
    let removed = contacts.remove(name)?;
    contacts.save()?;
    // The card is told once more: whoever erred can add it again.
    global.result(
        format_args!("{}  removed; the card was\n{}", removed.name, removed.card),
        &json!({ "removed": object(&removed) }),
    )
}

fn rename(old: &str, new: &str, global: &Global) -> Result<(), Error> {
    let mut contacts = Contacts::edit(&global.make_home()?)?;
    contacts.rename(old, new)?;
    contacts.save()?;
    let contact = contacts.get(new)?;
    global.result(
        format_args!("{}  (id {})", contact.name, contact.card.id()),
        &object(contact),
    )
}

fn object(contact: &Contact) -> Value {
    let card = &contact.card;
    json!({
        "name": contact.name,
        "id": card.id().to_string(),
        "own_name": card.name(),
        "addresses": card.addresses(),
        "card": card.to_string(),
    })
}

/// A card as it was given: itself, a file that holds it, or stdin.
fn read_card(given: &str) -> Result<Card, Error> {
    if is_card(given) {
        return Ok(given.parse()?);
    }
    let (what, read) = if given == "-" {
        ("stdin", card_text(std::io::stdin()))
    } else {
        (given, std::fs::File::open(given).and_then(card_text))
    };
    let text = read.map_err(|error| {
        Error::failed(format!(
            "{what} is neither a card (dunlin:…) nor a file that holds one: {error}"
        ))
    })?;
    text.parse()
        .map_err(|error| Error::failed(format!("{what}: {error}")))
}

fn card_text(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(CARD_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn is_card(text: &str) -> bool {
    text.trim().to_ascii_lowercase().starts_with("dunlin:")
}

/// Whom `--to` means: a card, a contact, or a file that holds a card. A contact goes before a file, or a file that somebody
/// else put into this folder could stand in for a friend.
pub(crate) fn recipient(given: &str, global: &Global) -> Result<Card, Error> {
    if is_card(given) {
        return read_card(given);
    }
    let contacts = Contacts::read(&global.home()?)?;
    if let Some(contact) = contacts.find(given) {
        return Ok(contact.card.clone());
    }
    if std::path::Path::new(given).exists() {
        return read_card(given);
    }
    let nearest = contacts.nearest(given);
    let nearest = nearest.map_or(String::new(), |name| format!(" (did you mean \"{name}\"?)"));
    Err(Error::failed(format!(
        "\"{given}\" is neither a contact{nearest} nor a card (dunlin:…) nor a file that holds one: \
         `dunlin contacts add NAME CARD` makes a contact"
    )))
}
