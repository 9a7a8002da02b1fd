//! `dunlin room send`.

use super::SendArgs;
use super::book::Rooms;
use crate::network::{self, Role};
use crate::news::News;
use crate::send::{CALL_LIMIT, Outgoing, follow};
use crate::{Error, Global};
use dunlin_engine::prelude::*;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

pub(super) fn run(args: &SendArgs, global: &Global) -> Result<ExitCode, Error> {
    let rooms = Rooms::open(&global.make_home()?)?;
    let room = rooms.find(&args.room)?;
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
        let mut params = json!({ "room": *room.invitation() });
        if let Some(name) = message.name {
            params["name"] = name.into();
        }
        let sent = client.call("room.send", params, message.body.into());
        let sent = sent.wait(CALL_LIMIT)?;
        let queued = json!({ "id": sent.value["id"], "state": "queued" });
        news.follow(&queued, message.what)?;
    }
    let wanted = usize::from(args.copies);
    let within = Duration::from_secs(args.within);
    let stored = follow(&running, &watch, &mut news, within, |news| {
        news.all_stored(wanted)
    })?;
    let nobody = match stored || running.has_ended() {
        true => None,
        false => network::nobody(&client)?,
    };
    drop((watch, client));
    drop(running.stop());
    news.finish(&match (stored, nobody) {
        (true, _) => "stored; you may switch off.".to_owned(),
        (false, nobody) => {
            let nobody = nobody.map_or(String::new(), |nobody| format!(" ({nobody})"));
            format!(
                "not stored on {wanted} carriers within {} s{nobody}; it stays in the outbox: `dunlin outbox --wait` goes on.",
                args.within
            )
        }
    })?;
    Ok(ExitCode::from(u8::from(!stored)))
}
