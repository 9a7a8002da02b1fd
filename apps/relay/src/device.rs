//! This device's node, composed from the plugins, and run on one thread.

use crate::{Error, LinkArgs};
use dunlin_engine::{App, Config, Node, Random};
use dunlin_io::{ControlPlugin, Inline, IoPlugin, SignalsPlugin};
use dunlin_net::{
    Bound, Identity, KeyFile, LinkPlugin, LinkSettings, Listen, NodeSocketsPlugin, PeerId,
    is_reachable,
};
use dunlin_relay::{Mailbox, RelayPlugin};
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a device's node is made of.
pub struct Device<'a> {
    /// What dunlin.toml says.
    pub config: Config,
    /// Its keys.
    pub keys: &'a KeyFile,
    /// Others may write to it.
    pub mailbox: bool,
    /// Where its links begin.
    pub links: &'a LinkArgs,
    /// How it takes part.
    pub relay: RelayPlugin,
    /// The file of its address book.
    pub book: PathBuf,
    /// The control socket, if it is to have one.
    pub control: Option<PathBuf>,
}

impl Device<'_> {
    /// Composes its app and spawns its node. It is not started yet.
    ///
    /// # Errors
    /// That the system gives no random bytes.
    pub fn app(self) -> Result<App, Error> {
        let mut app = App::with_config(self.config);
        app.add_plugins((
            (IoPlugin, SignalsPlugin),
            NodeSocketsPlugin, // No calls that open sockets for whoever asks.
            LinkPlugin,
            RelayPlugin {
                circuits: self.links.circuits,
                ..self.relay
            },
        ));
        if let Some(path) = self.control {
            app.add_plugins(ControlPlugin { path });
        }
        let entry = self.links.peers.iter();
        let mut node = app.world_mut().spawn((
            Node,
            self.keys.identity()?,
            Random::from_entropy(entropy()?),
            Listen(self.links.listen),
            LinkSettings {
                entry: entry.map(|entry| (entry.id, entry.address)).collect(),
                book: Some(self.book),
                ..LinkSettings::default()
            },
        ));
        if self.mailbox {
            node.insert(Mailbox::from_seed(&self.keys.mailbox_seed));
        }
        Ok(app)
    }
}

/// 32 bytes of the system's entropy.
///
/// # Errors
/// That there is none.
pub fn entropy() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(seed)
}

/// A relay that has started: who and where it is. Its text is what a person needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Who.
    pub id: PeerId,
    /// The address of its socket, perhaps "any".
    pub address: SocketAddr,
}

impl Ready {
    fn of(app: &App) -> Option<Ready> {
        let mut nodes = app.world().try_query::<(&Bound, &Identity)>()?;
        let (bound, identity) = nodes.iter(app.world()).next()?;
        Some(Ready {
            id: identity.id(),
            address: bound.0,
        })
    }

    /// The same for a program.
    #[must_use]
    pub fn object(&self) -> Value {
        json!({ "id": self.id.to_string(), "address": self.address.to_string() })
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ready { id, address } = self;
        write!(f, "relay {id}\nlistening on {address}\n")?;
        if is_reachable(address) {
            write!(f, "others begin with: --peer {id}@{address}")
        } else {
            let port = address.port();
            write!(f, "others begin with: --peer {id}@YOUR-ADDRESS:{port}")
        }
    }
}

/// Runs an app on this thread until it ends; answers why it did. `ready` is called once, when it has started.
///
/// # Errors
/// All that kept it from starting.
pub fn run(app: App, ready: impl FnOnce(&Ready)) -> Result<String, Error> {
    let why = Inline::run(app, |app| {
        if let Some(started) = Ready::of(app) {
            ready(&started);
        }
    })?;
    Ok(why)
}
