//! `dunlin room listen`.

use super::ListenArgs;
use super::book::Rooms;
use crate::contacts::Known;
use crate::network::{self, Role};
use crate::receive::{Journal, store};
use crate::send::{CALL_LIMIT, LOOK};
use crate::{Error, Global};
use dunlin_engine::prelude::*;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub(super) fn run(args: &ListenArgs, global: &Global) -> Result<ExitCode, Error> {
    let rooms = Rooms::open(&global.make_home()?)?;
    let room = rooms.find(&args.room)?;
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
    let params = json!({ "room": *room.invitation(), "own": args.own });
    let items = client.open("room.listen", params);
    items.wait_open(CALL_LIMIT)?;
    let ends = args.once || args.count.is_some();
    let within = Duration::from_secs(args.within);
    let mut until = Instant::now() + within;
    let mut journal = Journal::open(&global.make_home()?)?;
    let contacts = Known::of(global);
    let mut heard = Vec::new();
    let asked_all = || -> Result<bool, Error> {
        let params = json!({ "room": *room.invitation() });
        let status = client.ask("room.status", params, CALL_LIMIT)?.value;
        Ok(status["asked_all"] == true && status["incomplete"] == 0)
    };
    let complete = loop {
        if args.count.is_some_and(|count| heard.len() >= count) {
            break true;
        }
        if running.has_ended() || (ends && Instant::now() >= until) {
            break !ends;
        }
        if let Some(item) = items.wait(LOOK) {
            until = Instant::now() + within;
            let mut message = item.value;
            message["room"] = json!(room.name());
            if message["kind"] == "text" {
                message["text"] = json!(String::from_utf8_lossy(&item.body));
            } else {
                let id = message["id"].as_str().unwrap_or_default();
                let name = message["name"].as_str().unwrap_or("file");
                let path = store(&args.out, (id, name), &item.body, &mut journal)?;
                message["path"] = json!(path.display().to_string());
                message["bytes"] = json!(item.body.len());
            }
            message["contact"] = json!(contacts.name(message["from"].as_str().unwrap_or_default()));
            global.result(text(&message, &contacts), &message)?;
            // Printed or on disk, so durably the user's: it is not told again.
            client.ask("room.confirm", json!({ "id": message["id"] }), CALL_LIMIT)?;
            heard.push(message);
        } else if args.once && asked_all()? {
            break true;
        }
    };
    if !complete && !running.has_ended() {
        let (within, nobody) = (args.within, network::nobody(&client)?);
        let nobody = nobody.map_or(String::new(), |nobody| format!(": {nobody}"));
        eprintln!("dunlin: not everything came within {within} s{nobody}; run it again later");
    }
    drop((items, client));
    drop(running.stop());
    global.result("", &json!({ "heard": heard, "complete": complete }))?;
    Ok(ExitCode::from(u8::from(!complete)))
}

fn text(message: &Value, contacts: &Known) -> String {
    let from = contacts.name_or_id(message["from"].as_str().unwrap_or_default());
    let room = message["room"].as_str().unwrap_or_default();
    match message["text"].as_str() {
        Some(text) => format!("{room}, {from}: {text}"),
        None => format!(
            "{room}, {from}: {} ({} bytes)",
            message["path"].as_str().unwrap_or_default(),
            message["bytes"]
        ),
    }
}
