//! What `send`, `receive`, `outbox` and `relay` share: this device's node, composed from the plugins.

use crate::loss::{self, LossPlugin};
use crate::outbox::OutboxLock;
use crate::send::CALL_LIMIT;
use crate::{Error, Global};
use dunlin_engine::prelude::*;
use dunlin_net::KeyFile;
use dunlin_relay::RelayPlugin;
use dunlin_relay::limits::CACHE_BYTES;
use dunlin_relayd::{CarryArgs, Device, LinkArgs};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Options about the network.
#[derive(clap::Args, Clone)]
pub(crate) struct NetworkArgs {
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    /// Act as if the network lost this share of all datagrams, each way
    #[arg(long, value_name = "SHARE", value_parser = loss::share, default_value = "0", hide = true)]
    pub(crate) drop: f64,
    /// Seed of --drop
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    pub(crate) drop_seed: u64,
    /// End when stdin is closed, so that a supervisor which dies leaves nothing behind
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

/// What a process is, beside its links.
pub(crate) struct Role {
    /// Keep other people's packets, within this.
    pub(crate) carry: Option<CarryArgs>,
    /// Keep own messages on disk and, with `control`, what was received.
    pub(crate) keep: bool,
    /// Open the control socket: for what runs on.
    pub(crate) control: bool,
}

/// Composes the app of this device and spawns its node. It is not started yet.
pub(crate) fn app(global: &Global, network: &NetworkArgs, role: &Role) -> Result<App, Error> {
    let home = global.make_home()?;
    let keys = KeyFile::read(&global.key_file()?)?;
    let mut app = Device {
        config: config(&home)?,
        keys: &keys,
        mailbox: true,
        links: &network.links,
        relay: RelayPlugin {
            carry: role.carry.is_some(),
            cache_bytes: role.carry.map_or(CACHE_BYTES, |carry| carry.cache),
            bandwidth: role.carry.and_then(|carry| carry.bandwidth),
            hand_over: role.carry.is_some(),
            circuits: network.links.circuits,
            outbox: role.keep.then(|| home.join("outbox")),
            // Whoever opens it writes it anew, and only one process may: the one that receives.
            seen: (role.keep && role.control).then(|| home.join("seen")),
            // Whoever keeps anything erases what is to be erased; only who receives publishes.
            prekeys: role.keep.then(|| home.join("prekeys")),
            ..RelayPlugin::default()
        },
        book: home.join("peers"),
        control: role.control.then(|| home.join("control")),
    }
    .app()?;
    if role.keep && !role.control {
        let lock = OutboxLock::shared(&home)?;
        app.world_mut().insert_resource(lock);
    }
    if network.drop > 0.0 {
        app.add_plugins(LossPlugin {
            share: network.drop,
            seed: network.drop_seed,
        });
    }
    if network.end_with_stdin {
        end_with_stdin(&app)?;
    }
    Ok(app)
}

/// What HOME/dunlin.toml says, if there is one.
pub(crate) fn config(home: &Path) -> Result<Config, Error> {
    let path = home.join("dunlin.toml");
    if path.exists() {
        Ok(Config::load(&path)?)
    } else {
        Ok(Config::default())
    }
}

fn end_with_stdin(app: &App) -> Result<(), Error> {
    let inbox = app.inbox();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut buffer = [0; 64];
            while std::io::stdin()
                .read(&mut buffer)
                .is_ok_and(|count| count > 0)
            {}
            let _ = inbox.offer(
                Source::Plugin,
                Input::new(|world| {
                    world.resource_mut::<Exit>().0 = Some("stdin closed".to_owned())
                }),
            );
        })
        .map_err(|error| Error::failed(format!("no thread to watch stdin: {error}")))?;
    Ok(())
}

/// What to do if this node knows nobody who carries and has no link; none if it has somebody.
pub(crate) fn nobody(client: &Client) -> Result<Option<&'static str>, Error> {
    let status = client.ask("relay.status", json!({}), CALL_LIMIT)?.value;
    let alone = status["carriers_known"] == 0 && status["links"] == 0;
    Ok(alone.then_some(
        "nobody could be reached; name somebody with --peer ADDR:PORT, as a relay prints it when it starts",
    ))
}
