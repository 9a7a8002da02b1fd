//! `dunlin send`: put messages into the network, and say where they stand.

use crate::network::{self, NetworkArgs, Role};
use crate::news::News;
use crate::{Error, Global};
use dunlin_engine::prelude::*;
use dunlin_engine::{Items, Reply};
use dunlin_relay::Card;
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the engine may take over one call.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How often a command looks whether Ctrl-C has ended its engine.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// More than fits one message, so that what is too large is refused by its true size where that is small, and never read whole.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Send a text, a file, or stdin to somebody, who may be away.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin send --to \"$(cat bob.card)\" --peer 192.0.2.7:4444 'Tea at four?'
  dunlin send --to bob.card notes.txt            a file that exists is sent as a file
  fortune | dunlin send --to bob.card -

It ends when each message is stored on 8 carriers; the outbox keeps it until it is delivered (`dunlin outbox --wait`).
Exit codes: 0 stored, 1 failed or not stored on that many in time, 2 not understood.")]
pub(crate) struct Args {
    /// The recipient's contact card, or a file that holds it
    #[arg(long, value_name = "CARD")]
    to: String,
    /// Texts, files, or - for stdin
    #[arg(required = true, value_name = "TEXT|FILE|-")]
    what: Vec<String>,
    /// Take every argument as text, even if a file has that name
    #[arg(long)]
    text: bool,
    /// On how many carriers each message must be stored
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    copies: u8,
    /// Give up waiting after so many seconds; the messages stay in the outbox
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    within: u64,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    let card = card(&args.to)?;
    let messages = args
        .what
        .iter()
        .map(|what| Outgoing::read(what, args.text))
        .collect::<Result<Vec<_>, _>>()?;
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

    let mut news = News::new(global);
    for message in messages {
        let mut params = json!({ "to": card.to_string() });
        if let Some(name) = message.name {
            params["name"] = name.into();
        }
        let sent = client
            .call("relay.send", params, message.body.into())
            .wait(CALL_LIMIT)?;
        let queued = json!({ "id": sent.value["id"], "state": "queued" });
        news.follow(&queued, message.what)?;
    }
    let wanted = usize::from(args.copies);
    let until = Instant::now() + Duration::from_secs(args.within);
    let stored = follow(&running, &watch, &mut news, until, |news| {
        news.all_stored(wanted)
    })?;
    drop((watch, client));
    drop(running.stop());
    news.finish(&if stored {
        "stored; you may switch off. `dunlin outbox --wait` tells when it is delivered.".to_owned()
    } else {
        format!(
            "not stored on {wanted} carriers within {} s; it stays in the outbox: `dunlin outbox --wait` goes on.",
            args.within
        )
    })?;
    Ok(if stored {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Passes on what is heard of messages until `done`; says whether it was before the time ran out.
pub(crate) fn follow(
    running: &Threaded,
    watch: &Items,
    news: &mut News,
    until: Instant,
    done: impl Fn(&News) -> bool,
) -> Result<bool, Error> {
    while !done(news) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || running.has_ended() {
            return Ok(false);
        }
        if let Some(Reply { value, .. }) = watch.wait(left.min(LOOK)) {
            news.hear(&value)?;
        }
    }
    Ok(true)
}

/// Reads a card as it was given: itself, or a file that holds it.
fn card(text: &str) -> Result<Card, Error> {
    let held;
    let text = if text.starts_with("dunlin:") {
        text
    } else {
        held = std::fs::read_to_string(text).map_err(|error| {
            Error::failed(format!(
                "{text} is neither a card (dunlin:…) nor a file that holds one: {error}"
            ))
        })?;
        held.trim()
    };
    text.parse()
        .map_err(|error| Error::failed(format!("the card: {error}")))
}

struct Outgoing {
    /// A file has one.
    name: Option<String>,
    body: Vec<u8>,
    what: String,
}

impl Outgoing {
    fn read(what: &str, only_text: bool) -> Result<Outgoing, Error> {
        let text = |body: Vec<u8>, what: String| Outgoing {
            name: None,
            body,
            what,
        };
        if what == "-" {
            let mut body = Vec::new();
            std::io::stdin()
                .take(READ_BYTES_MAX)
                .read_to_end(&mut body)
                .map_err(|error| Error::failed(format!("cannot read stdin: {error}")))?;
            return Ok(text(body, "stdin".to_owned()));
        }
        let path = Path::new(what);
        if only_text || !path.is_file() {
            let short: String = what.chars().take(24).collect();
            let dots = if short.len() < what.len() { "…" } else { "" };
            return Ok(text(what.as_bytes().to_vec(), format!("\"{short}{dots}\"")));
        }
        let mut body = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut body))
            .map_err(|error| Error::failed(format!("cannot read {what}: {error}")))?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Outgoing {
            what: name.clone(),
            name: Some(name),
            body,
        })
    }
}
