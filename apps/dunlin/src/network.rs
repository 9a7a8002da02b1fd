//! What `send`, `receive`, `outbox` and `relay` share: this device's node, composed from the plugins.

use crate::loss::{self, LossPlugin};
use crate::send::CALL_LIMIT;
use crate::{Error, Global};
use dunlin_engine::prelude::*;
use dunlin_io::{ControlPlugin, IoPlugin, SignalsPlugin};
use dunlin_net::{KeyFile, LinkPlugin, LinkSettings, Listen, PeerId, UdpPlugin};
use dunlin_relay::{Mailbox, RelayPlugin};
use serde_json::json;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// Options about the network.
#[derive(clap::Args, Clone)]
pub(crate) struct NetworkArgs {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:0")]
    pub(crate) listen: SocketAddr,
    /// Somebody to begin with, as ADDR:PORT or ID@ADDR:PORT; may be repeated
    #[arg(long = "peer", value_name = "[ID@]ADDR:PORT", value_parser = entry)]
    pub(crate) peers: Vec<Entry>,
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

/// An address to begin with, and who is there if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    id: Option<PeerId>,
    address: SocketAddr,
}

fn entry(text: &str) -> Result<Entry, String> {
    let (id, address) = match text.split_once('@') {
        Some((id, address)) => {
            let id = id
                .parse()
                .map_err(|error| format!("the id before the @: {error}"))?;
            (Some(id), address)
        }
        None => (None, text),
    };
    let found = address
        .to_socket_addrs()
        .map_err(|error| format!("{address}: {error}; expected ADDR:PORT, such as 192.0.2.7:4444"))?
        .next();
    match found {
        Some(address) => Ok(Entry { id, address }),
        None => Err(format!("{address}: no such host")),
    }
}

/// What a process is, beside its links.
pub(crate) struct Role {
    /// Keep other people's packets, this many bytes of them.
    pub(crate) carry: Option<u64>,
    /// Keep own messages, and what was received, on disk.
    pub(crate) keep: bool,
    /// Open the control socket: for what runs on.
    pub(crate) control: bool,
}

/// Composes the app of this device and spawns its node. It is not started yet.
pub(crate) fn app(global: &Global, network: &NetworkArgs, role: &Role) -> Result<App, Error> {
    let home = global.make_home()?;
    let keys = KeyFile::read(&global.key_file()?)?;
    let config_path = home.join("dunlin.toml");
    let config = if config_path.exists() {
        Config::load(&config_path)?
    } else {
        Config::default()
    };
    let mut app = App::with_config(config);
    app.add_plugins((
        (IoPlugin, SignalsPlugin),
        UdpPlugin::default(),
        LinkPlugin,
        RelayPlugin {
            carry: role.carry.is_some(),
            cache_bytes: role.carry.unwrap_or(dunlin_relay::limits::CACHE_BYTES),
            outbox: role.keep.then(|| home.join("outbox")),
            seen: role.keep.then(|| home.join("seen")),
            ..RelayPlugin::default()
        },
    ));
    if role.control {
        app.add_plugins(ControlPlugin {
            path: home.join("control"),
        });
    }
    if network.drop > 0.0 {
        app.add_plugins(LossPlugin {
            share: network.drop,
            seed: network.drop_seed,
        });
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    app.world_mut().spawn((
        Node,
        keys.identity()?,
        Mailbox::from_seed(&keys.mailbox_seed),
        Random::from_entropy(seed),
        Listen(network.listen),
        LinkSettings {
            entry: network
                .peers
                .iter()
                .map(|entry| (entry.id, entry.address))
                .collect(),
            book: Some(home.join("peers")),
            ..LinkSettings::default()
        },
    ));
    if network.end_with_stdin {
        end_with_stdin(&app)?;
    }
    Ok(app)
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

/// Whether others could reach `address` as it stands: not if it says "any".
pub(crate) fn is_told(address: SocketAddr) -> bool {
    address.ip() != IpAddr::V4(Ipv4Addr::UNSPECIFIED) && !address.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_an_address_with_or_without_an_id() {
        let plain = entry("127.0.0.1:4444").expect("an address");
        assert_eq!((plain.id, plain.address.port()), (None, 4444));
        let error = entry("nobody@127.0.0.1:4444").expect_err("not an id");
        assert!(error.starts_with("the id before the @"), "{error}");
        assert!(
            entry("127.0.0.1")
                .expect_err("no port")
                .contains("ADDR:PORT")
        );
    }
}
