//! `dunlin relay status`: what a running relay says of itself.

use crate::control::running;
use crate::{Error, Global};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Ask the relay that runs with this device's folder for its links, cache, traffic and drops.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin relay status
  dunlin --home /var/lib/dunlin relay status --json | jq .traffic
  dunlin relay status --control /run/dunlin/control

Counters begin when the relay does.
Exit codes: 0 done, 1 failed or none runs, 2 not understood.")]
pub(crate) struct Args {
    /// Its control socket, if it is elsewhere than HOME/control
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let socket = match &args.control {
        Some(socket) => socket.clone(),
        None => global.home()?.join("control"),
    };
    let Some(mut control) = running(&socket)? else {
        return Err(Error::failed(format!(
            "no relay runs here: nobody serves {}. Start one with `dunlin relay`, or say with --home or --control where it is",
            socket.display()
        )));
    };
    let status = control.call("relay.status", &json!({}), b"")?.value;
    global.result(text(&status)?, &status)?;
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Value) -> Result<String, Error> {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let traffic = |name: &str| status["traffic"][name].as_u64().unwrap_or_default();
    let mut text = String::new();
    writeln!(text, "id        {}", status["id"].as_str().unwrap_or("?"))?;
    writeln!(
        text,
        "links     {}; {} carriers known",
        number("links"),
        number("carriers_known")
    )?;
    if status["carry"] == true {
        let (bytes, capacity) = (number("cache_bytes"), number("cache_capacity"));
        let percent = (bytes * 100).checked_div(capacity).unwrap_or_default();
        writeln!(
            text,
            "cache     {} packets, {bytes} of {capacity} bytes ({percent} %); {} ended ones remembered",
            number("packets"),
            number("tombstones")
        )?;
    } else {
        writeln!(
            text,
            "cache     none: this process carries nothing for others"
        )?;
    }
    for (way, name) in [("in ", "in"), ("out", "out")] {
        writeln!(
            text,
            "{way}       {} datagrams, {} bytes",
            traffic(&format!("datagrams_{name}")),
            traffic(&format!("bytes_{name}"))
        )?;
    }
    for (title, name) in [("of links ", "link_drops"), ("of relay ", "drops")] {
        for (reason, count) in status[name].as_object().into_iter().flatten() {
            writeln!(text, "dropped   {title} {count} × {reason}")?;
        }
    }
    Ok(text)
}
