//! `dunlin receive`: get what waits, and what arrives.

mod files;
mod journal;

use crate::contacts::Known;
use crate::network::{self, NetworkArgs, Role};
use crate::progress::Progress;
use crate::send::{CALL_LIMIT, LOOK};
use crate::{Error, Global};
use dunlin_engine::prelude::*;
pub(crate) use files::store;
pub(crate) use journal::Journal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// At its end it waits until the record of prekeys is on so many carriers, though not for longer than this.
const RECORD_COPIES: u64 = 4;
const RECORD_LIMIT: Duration = Duration::from_secs(3);

/// Get messages: those that wait with carriers, then those that arrive.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin receive --peer 192.0.2.7:4444                 until Ctrl-C
  dunlin receive --once --out ~/received               what waits now, then end
  dunlin receive --count 2 --json | jq .

A text is printed; a file is put into --out, under its name or, if that is taken, with a number behind it. Only when it is
there do the carriers learn that they may forget it. What is larger than 64 KiB grows there in a hidden file, and goes on growing
in the next run if this one ends before it is whole: use the same --out.
Exit codes: 0 done, 1 failed or not everything came in time, 2 not understood.")]
pub(crate) struct Args {
    /// End when all carriers that can be reached have nothing more
    #[arg(long)]
    once: bool,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<usize>,
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
    std::fs::create_dir_all(&args.out)
        .map_err(|error| Error::failed(format!("cannot make {}: {error}", args.out.display())))?;
    let role = Role {
        carry: None,
        keep: true,
        control: true,
    };
    let mut app = network::app(global, &args.network, &role)?;
    let client = app.client(Grants::everything());
    let running = Threaded::start(app)?;
    let items = client.open("relay.receive", json!({}));
    items.wait_open(CALL_LIMIT)?;

    let ends = args.once || args.count.is_some();
    let within = Duration::from_secs(args.within);
    let mut until = Instant::now() + within;
    let mut bars = Progress::new(global);
    let mut journal = Journal::open(&global.make_home()?)?;
    let mut contacts = Known::of(global);
    let mut received = Vec::new();
    let complete = loop {
        if args.count.is_some_and(|count| received.len() >= count) {
            break true;
        }
        if running.has_ended() || (ends && Instant::now() >= until) {
            break !ends;
        }
        if let Some(item) = items.wait(LOOK) {
            until = Instant::now() + within;
            let mut message = take(item.value, &item.body, &args.out, &mut journal)?;
            let from = message["from"].as_str().unwrap_or_default();
            if contacts.name(from).is_none() {
                // Perhaps they were added meanwhile.
                contacts = Known::of(global);
            }
            message["contact"] = json!(contacts.name(from));
            show(&mut bars, &message);
            bars.above(|| global.result(text(&message), &message))?;
            // Printed or on disk, so durably the user's: now the carriers may forget it.
            client.ask("relay.confirm", json!({ "id": message["id"] }), CALL_LIMIT)?;
            if message["kind"] != "part" {
                received.push(message);
            }
        } else if args.once
            && client.ask("relay.status", json!({}), CALL_LIMIT)?.value["asked_all"] == true
        {
            break true;
        }
    };
    // The sender learns of the delivery by the receipts, and of the prekeys by their record, so these get some time to arrive.
    let record_until = Instant::now() + RECORD_LIMIT;
    while !running.has_ended() && Instant::now() < until {
        let status = client.ask("relay.status", json!({}), CALL_LIMIT)?.value;
        let record_waits = Instant::now() < record_until
            && status["prekey_copies"]
                .as_u64()
                .is_some_and(|copies| copies < RECORD_COPIES);
        if status["receipts_waiting"] == 0 && !record_waits {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    if !complete && !running.has_ended() {
        let why = incomplete(&client, &args, received.len())?;
        eprintln!("dunlin: {why}");
    }
    drop((items, client));
    drop(running.stop());
    global.result("", &json!({ "received": received, "complete": complete }))?;
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Why it ended before all was there, and what to do.
fn incomplete(client: &Client, args: &Args, received: usize) -> Result<String, Error> {
    let within = args.within;
    let came = match args.count {
        Some(count) => format!("{received} of {count} messages came within {within} s"),
        None => format!("not every carrier has answered within {within} s"),
    };
    Ok(match network::nobody(client)? {
        Some(nobody) => format!("{came}: {nobody}"),
        None => format!("{came}; what waits stays with the carriers, so run it again later"),
    })
}

/// Puts one message, or a part of one, where it belongs; answers what to tell of it.
fn take(
    mut message: Value,
    body: &[u8],
    out: &Path,
    journal: &mut Journal,
) -> Result<Value, Error> {
    match message["kind"].as_str() {
        Some("text") => {
            message["text"] = Value::String(String::from_utf8_lossy(body).into_owned());
        }
        Some("part") => files::store_part(&message, body, out)?,
        Some("content") => {
            let (path, facts) = files::store_content(&message, out, journal)?;
            message["path"] = json!(path.display().to_string());
            message["bytes"] = facts["bytes"].clone();
            message["sha256"] = facts["sha256"].clone();
        }
        _ => {
            let id = message["id"].as_str().unwrap_or_default();
            let name = message["name"].as_str().unwrap_or("file");
            let path = files::store(out, (id, name), body, journal)?;
            message["path"] = json!(path.display().to_string());
            message["bytes"] = json!(body.len());
            message["sha256"] = json!(data_encoding::HEXLOWER.encode(&Sha256::digest(body)));
        }
    }
    Ok(message)
}

/// How far larger content has come.
fn show(bars: &mut Progress, message: &Value) {
    let number = |key: &str| message[key].as_u64().unwrap_or_default();
    let done = match message["kind"].as_str() {
        Some("part") => number("length") * (number("parts_had") + 1) / (number("parts").max(1) + 1),
        Some("content") => number("length"),
        _ => return,
    };
    let id = message["content"].as_str().unwrap_or_default();
    let what = message["name"].as_str().unwrap_or("a long text");
    bars.show(id, what, done, number("length"), "");
}

fn text(message: &Value) -> String {
    let from = match (message["contact"].as_str(), message["from"].as_str()) {
        (Some(name), _) => name.to_owned(),
        (None, id) => format!(
            "{}…",
            id.unwrap_or_default().chars().take(12).collect::<String>()
        ),
    };
    match message["kind"].as_str() {
        Some("text") => format!("{from}: {}", message["text"].as_str().unwrap_or_default()),
        Some("part") => String::new(), // The bar tells of it.
        _ => format!(
            "{from}: {} ({} bytes)",
            message["path"].as_str().unwrap_or_default(),
            message["bytes"]
        ),
    }
}
