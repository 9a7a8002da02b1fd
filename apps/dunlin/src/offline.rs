//! This device without any network, in a time that stands still: to look at what it keeps on disk, and to change it.

use crate::send::CALL_LIMIT;
use crate::{Error, Global, network};
use dunlin_engine::prelude::*;
use dunlin_net::{KeyFile, LinkPlugin};
use dunlin_relay::{Mailbox, RelayPlugin};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// A node that has no socket and knows nobody.
pub(crate) struct Offline {
    run: Virtual,
    client: Client,
}

impl Offline {
    /// Reads this device's files. What was received is left alone: another process may be writing it down.
    pub(crate) fn start(global: &Global) -> Result<Offline, Error> {
        let home = global.make_home()?;
        let keys = KeyFile::read(&global.key_file()?)?;
        let mut app = App::with_config(network::config(&home)?);
        app.add_plugins((
            LinkPlugin,
            RelayPlugin {
                outbox: Some(home.join("outbox")),
                ..RelayPlugin::default()
            },
        ));
        app.world_mut().spawn((
            Node,
            keys.identity()?,
            Mailbox::from_seed(&keys.mailbox_seed),
            Random::from_entropy(dunlin_relayd::entropy()?),
        ));
        let client = app.client(Grants::everything());
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let run = Virtual::start(app, u64::try_from(since_1970.as_millis())?)?;
        Ok(Offline { run, client })
    }

    /// Makes one call, which must be one that answers at once.
    pub(crate) fn ask(&mut self, name: &str, params: Value) -> Result<Value, CallError> {
        let ticket = self.client.call(name, params, Vec::new().into());
        self.run.turn();
        Ok(ticket.wait(CALL_LIMIT)?.value)
    }
}
