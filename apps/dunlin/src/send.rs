//! `dunlin send`: put messages into the network, and say where they stand.

use crate::contacts::recipient;
use crate::network::{self, NetworkArgs, Role};
use crate::news::News;
use crate::{Error, Global};
use dunlin_engine::prelude::*;
use dunlin_engine::{Items, Reply};
use dunlin_relay::limits::{CONTENT_BYTES_MAX, MESSAGE_BYTES_MAX};
use dunlin_relay::{BadHead, Head, Kind, Manifest};
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the engine may take over one call.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How often a command looks whether Ctrl-C has ended its engine.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// Of what may grow no more is read: one byte too many.
const READ_BYTES_MAX: u64 = CONTENT_BYTES_MAX as u64 + 1;

/// Send a text, a file, or stdin to somebody, who may be away.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin send --to \"$(cat bob.card)\" --peer 192.0.2.7:4444 'Tea at four?'
  dunlin send --to Bob 'Tea at four?'            a name that `dunlin contacts add` gave
  dunlin send --to bob.card notes.txt            a file that exists is sent as a file
  fortune | dunlin send --to bob.card -

It ends when each message is stored on 8 carriers; the outbox keeps it until it is delivered (`dunlin outbox --wait`).
Up to 16 MiB are sent at once. What is larger than 64 KiB goes in parts, each on 4 carriers, as many at once as the known carriers can
be asked to keep: where these are few, part of it waits for the recipient to take the rest.
Exit codes: 0 stored, 1 failed or not stored on that many in time, 2 not understood.")]
pub(crate) struct Args {
    /// The recipient: a contact's name, a contact card, or a file that holds one
    #[arg(long, value_name = "NAME|CARD")]
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
    /// Give up waiting after so many seconds in which nothing moved; the messages stay in the outbox
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    within: u64,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    let card = recipient(&args.to, global)?;
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
        if sent.value["forward_secret"] == false && !global.json {
            eprintln!(
                "dunlin: {}: no prekeys of the recipient's were found, so this is not forward-secret: whoever gets hold of their keys later, and kept the packet, reads it",
                message.what
            );
        }
        let queued = json!({ "id": sent.value["id"], "state": "queued", "forward_secret": sent.value["forward_secret"] });
        news.follow(&queued, message.what)?;
    }
    let wanted = usize::from(args.copies);
    let within = Duration::from_secs(args.within);
    let stored = follow(&running, &watch, &mut news, within, |news| {
        news.all_stored(wanted)
    })?;
    news.end_bars();
    let nobody = match stored || running.has_ended() {
        true => None,
        false => network::nobody(&client)?,
    };
    drop((watch, client));
    drop(running.stop());
    news.finish(&if stored {
        "stored; you may switch off. `dunlin outbox --wait` tells when it is delivered.".to_owned()
    } else {
        let nobody = nobody.map_or(String::new(), |nobody| format!(" ({nobody})"));
        format!(
            "not stored on {wanted} carriers within {} s{nobody}; it stays in the outbox: `dunlin outbox --wait` goes on.",
            args.within
        )
    })?;
    Ok(if stored {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Passes on what is heard of messages until `done`; says whether that was before nothing was heard for so long.
pub(crate) fn follow(
    running: &Threaded,
    watch: &Items,
    news: &mut News,
    within: Duration,
    done: impl Fn(&News) -> bool,
) -> Result<bool, Error> {
    let mut until = Instant::now() + within;
    while !done(news) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || running.has_ended() {
            return Ok(false);
        }
        if let Some(Reply { value, .. }) = watch.wait(left.min(LOOK))
            && news.hear(&value)?
        {
            until = Instant::now() + within;
        }
    }
    Ok(true)
}

/// A message: all of them are looked at before the first is sent.
pub(crate) struct Outgoing {
    /// A file has one.
    pub(crate) name: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) what: String,
}

impl Outgoing {
    pub(crate) fn read(what: &str, only_text: bool) -> Result<Outgoing, Error> {
        if what == "-" {
            let mut body = Vec::new();
            std::io::stdin()
                .take(READ_BYTES_MAX)
                .read_to_end(&mut body)
                .map_err(|error| Error::failed(format!("cannot read stdin: {error}")))?;
            if body.len() as u64 == READ_BYTES_MAX {
                return Err(Error::failed(format!(
                    "stdin: {READ_BYTES_MAX} bytes or more are more than can be sent at once, {CONTENT_BYTES_MAX}"
                )));
            }
            return Outgoing::new("stdin".to_owned(), None, body);
        }
        let path = Path::new(what);
        if !only_text && path.is_file() {
            return Outgoing::file(path);
        }
        let short: String = what.chars().take(24).collect();
        let dots = if short.len() < what.len() { "…" } else { "" };
        Outgoing::new(format!("\"{short}{dots}\""), None, what.as_bytes().to_vec())
    }

    /// A file, under its own name. One that is too large is not read.
    pub(crate) fn file(path: &Path) -> Result<Outgoing, Error> {
        let cannot = |error| Error::failed(format!("cannot read {}: {error}", path.display()));
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let file = std::fs::File::open(path).map_err(cannot)?;
        let bytes = file.metadata().map_err(cannot)?.len();
        if bytes > CONTENT_BYTES_MAX as u64 {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            return Err(refused(&name, BadHead::TooLong { bytes }));
        }
        let mut body = Vec::new();
        // It may grow meanwhile.
        file.take(READ_BYTES_MAX)
            .read_to_end(&mut body)
            .map_err(cannot)?;
        Outgoing::new(name.clone(), Some(name), body)
    }

    fn new(what: String, name: Option<String>, body: Vec<u8>) -> Result<Outgoing, Error> {
        let fits = if body.len() > MESSAGE_BYTES_MAX {
            Manifest::of(name.clone(), 0, &body).map(drop)
        } else {
            let head = Head {
                kind: name.clone().map_or(Kind::Text, Kind::File),
                sent_at_ms: 0,
                message: body.clone(),
            };
            head.encode().map(drop)
        };
        match fits {
            Ok(()) => Ok(Outgoing { name, body, what }),
            Err(error) => Err(refused(&what, error)),
        }
    }
}

fn refused(what: &str, error: BadHead) -> Error {
    Error::failed(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(outgoing: Result<Outgoing, Error>) -> String {
        outgoing.err().expect("refused").to_string()
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_size_and_the_limit_however_large_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("film.mkv");
        let file = std::fs::File::create(&path).expect("our own folder");
        file.set_len(5_000_000_000).expect("a hole takes no room");
        assert_eq!(
            error(Outgoing::file(&path)),
            "film.mkv: 5000000000 bytes are more than can be sent at once, 16777216"
        );
        for bytes in [65_536, 65_537, 16_777_216] {
            file.set_len(bytes).expect("our own file");
            assert_eq!(
                Outgoing::file(&path).expect("fits").body.len() as u64,
                bytes
            );
        }
        assert_eq!(
            error(Outgoing::read(&"x".repeat(16_777_217), true)),
            "\"xxxxxxxxxxxxxxxxxxxxxxxx…\": 16777217 bytes are more than can be sent at once, 16777216"
        );
    }

    #[test]
    fn a_file_whose_name_does_not_fit_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("n".repeat(65));
        std::fs::write(&path, "short").expect("our own folder");
        let error = error(Outgoing::file(&path));
        assert!(error.starts_with("nnn") && error.contains("64"), "{error}");
    }
}
