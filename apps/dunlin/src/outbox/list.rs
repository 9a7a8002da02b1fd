//! `dunlin outbox list`: own messages, as the disk has them.

use crate::contacts::Known;
use crate::offline::Offline;
use crate::{Error, Global};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;

/// Show the messages with their whole ids, as the disk has them; nothing is sent.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin outbox list
  dunlin outbox list --json | jq '.messages[] | select(.state != \"delivered\") | .id'

It uses no network; `dunlin outbox` asks the carriers what became of them.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, global: &Global) -> Result<ExitCode, Error> {
    let contacts = Known::of(global);
    let mut rows = Offline::start(global)?.ask("relay.outbox", json!({}))?;
    let mut text = String::new();
    for row in rows.as_array_mut().into_iter().flatten() {
        let to = row["to"].as_str().unwrap_or_default();
        let field = |name: &str| row[name].as_str().unwrap_or_default();
        let state = match field("state") {
            "stored" => format!("stored ({})", row["stored"]),
            state => state.to_owned(),
        };
        writeln!(
            text,
            "{}  {state:<11}  to {}",
            field("id"),
            contacts.name_or_id(to)
        )?;
        let name = contacts.name(to);
        // Of a room, `room` is its id.
        let key = if row["room"].is_null() {
            "contact"
        } else {
            "room_name"
        };
        row[key] = json!(name);
    }
    if text.is_empty() {
        text.push_str("nothing is under way.");
    }
    let rows: Value = rows;
    global.result(text, &json!({ "messages": rows }))?;
    Ok(ExitCode::SUCCESS)
}
