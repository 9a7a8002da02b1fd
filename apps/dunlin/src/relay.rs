//! `dunlin relay`: carry other people's packets.

use crate::network::{self, NetworkArgs, Role};
use crate::{Error, Global};
use dunlin_io::Inline;
use dunlin_net::{Bound, Identity};
use serde_json::json;
use std::process::ExitCode;

/// Carry other people's packets in this process's memory until it ends.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin relay --listen 0.0.0.0:4444
  dunlin relay --listen 0.0.0.0:4444 --peer 192.0.2.7:4444 --cache 64000000

Packets are kept in memory, sealed. When it ends (Ctrl-C) it gives them to other carriers, within 4 s; a second Ctrl-C ends it at once.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Bytes of memory for packets, their index included; `cache_bytes` in HOME/dunlin.toml goes before it
    #[arg(long, value_name = "BYTES", default_value_t = dunlin_relay::limits::CACHE_BYTES)]
    cache: u64,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    let role = Role {
        carry: Some(args.cache),
        keep: false,
        control: true,
    };
    let app = network::app(global, &args.network, &role)?;
    let why = Inline::run(app, |app| {
        let Some(mut nodes) = app.world().try_query::<(&Bound, &Identity)>() else {
            return;
        };
        let mut nodes = nodes.iter(app.world());
        let Some((id, address)) = nodes
            .next()
            .map(|(bound, identity)| (identity.id(), bound.0))
        else {
            return;
        };
        let hint = if network::is_told(address) {
            format!("others begin with: --peer {id}@{address}")
        } else {
            format!(
                "others begin with: --peer {id}@YOUR-ADDRESS:{}",
                address.port()
            )
        };
        let object = json!({ "id": id.to_string(), "address": address.to_string() });
        // A reader that has gone does not keep a relay from relaying.
        let _ = global.result(
            format_args!("relay {id}\nlistening on {address}\n{hint}"),
            &object,
        );
    })?;
    tracing::info!(why, "the relay ended");
    Ok(ExitCode::SUCCESS)
}
