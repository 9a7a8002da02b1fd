//! `dunlin outbox cancel`: a message that is not to be sent any more.

use super::OutboxLock;
use crate::control::running;
use crate::offline::Offline;
use crate::{Error, Global};
use dunlin_engine::prelude::CallError;
use serde_json::{Value, json};
use std::process::ExitCode;

/// So much of an id names a message; less would be a slip of the finger.
const PREFIX_LETTERS_MIN: usize = 4;

/// Take a message back: it is not given to any more carriers.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin outbox list                  shows the ids
  dunlin outbox cancel 5f3a09c2       the beginning of an id is enough

Carriers that have a copy keep it until it expires, and the recipient may still get it: nobody can call copies back. Only of a message to a
room they are told to let it go, if `dunlin receive` or `dunlin room listen` runs beside.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    /// The message's id, or its beginning
    id: String,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let home = global.make_home()?;
    // Nobody else who sends has it in memory from here on, but for the process with the control socket: that one is asked.
    let _alone = OutboxLock::alone(&home)?;
    let mut offline = Offline::start(global)?;
    let rows = offline.ask("relay.outbox", json!({}))?;
    let params = json!({ "id": find(&rows, &args.id)? });
    if let Some(mut control) = running(&home.join("control"))? {
        match control.call("relay.cancel", &params, b"") {
            // It does not know of this message: it began before, or only carries.
            Err(CallError { code, .. }) if code == "unknown" => {}
            answer => return told(&answer?.value, true, global),
        }
    }
    told(&offline.ask("relay.cancel", params)?, false, global)
}

/// The message that a whole id, or the beginning of one, means.
fn find<'a>(rows: &'a Value, asked: &str) -> Result<&'a str, Error> {
    let asked = asked.to_ascii_lowercase();
    if asked.len() < PREFIX_LETTERS_MIN {
        return Err(Error::usage(format!(
            "\"{asked}\" is too short for an id: give at least its first {PREFIX_LETTERS_MIN} letters; `dunlin outbox list` shows them"
        )));
    }
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    let ids = rows.iter().filter_map(|row| row["id"].as_str());
    let found: Vec<&str> = ids.filter(|id| id.starts_with(&asked)).collect();
    match found[..] {
        [id] => Ok(id),
        [] => Err(Error::failed(format!(
            "no message in the outbox has the id {asked}: `dunlin outbox list` shows those that are there"
        ))),
        _ => Err(Error::failed(format!(
            "{} messages have ids that begin with {asked}: give more of it",
            found.len()
        ))),
    }
}

/// `online`: a process that runs on was asked, and tells carriers what they are to hear.
fn told(cancelled: &Value, online: bool, global: &Global) -> Result<ExitCode, Error> {
    let id = cancelled["id"].as_str().unwrap_or_default();
    let carriers = cancelled["carriers"].as_u64().unwrap_or_default();
    let text = if carriers == 0 {
        // A deposit may have arrived whose answer got lost.
        format!("{id}  cancelled: no carrier said that it has a copy.")
    } else if online && cancelled["ending"] == true {
        format!(
            "{id}  cancelled: it goes to no more carriers. {carriers} may have copies, and are told to let them go as far as they can be \
             reached. Who has heard it keeps it."
        )
    } else {
        let days = days_until(cancelled["expires_ms"].as_u64().unwrap_or_default());
        format!(
            "{id}  cancelled: it goes to no more carriers. {carriers} may have copies until they expire, in {days} days \
             at most, and whoever it is for may still get one."
        )
    };
    global.result(text, &json!({ "cancelled": cancelled }))?;
    Ok(ExitCode::SUCCESS)
}

/// Whole days, rounded up, with the day that a carrier's clock may be off. PROTOCOL 3.7
fn days_until(unix_ms: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis() as u64);
    unix_ms.saturating_sub(now).div_ceil(86_400_000) + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_names_a_message_if_no_other_begins_so() {
        let rows = json!([{ "id": "abcd01" }, { "id": "abcd02" }, { "id": "ffff00" }]);
        let found = |asked| find(&rows, asked).map_err(|error| error.to_string());
        assert_eq!(found("FFFF"), Ok("ffff00"));
        assert_eq!(found("abcd02"), Ok("abcd02"));
        let several = found("abcd").expect_err("two");
        assert!(several.starts_with("2 messages"), "{several}");
        assert!(found("fff").expect_err("short").contains("first 4"));
        assert!(found("0000").expect_err("none").contains("outbox list"));
    }
}
