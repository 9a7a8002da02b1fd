//! SIGHUP: the owner's limits are read again, and apply at once. A file that cannot be used changes nothing.

use crate::Notifier;
use crate::door::Door;
use dunlin_engine::{App, BoxError, Config, ConfigError, Plugin};
use dunlin_io::{Io, IoPlugin};
use dunlin_relay::{Allowance, RelayPlugin};
use serde_json::{Value, json};
use std::any::type_name;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Reads cache and bandwidth from a file whenever SIGHUP comes.
pub struct ReloadPlugin {
    /// The file; without one SIGHUP is noted and does nothing.
    pub path: Option<PathBuf>,
    /// What holds where the file says nothing.
    pub program: Allowance,
    /// Who hears that it is under way.
    pub notifier: Notifier,
}

impl Plugin for ReloadPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![type_name::<IoPlugin>(), type_name::<RelayPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        let door = Door::open(app);
        let io = app.world().resource::<Io>().clone();
        let inside = io.handle().enter();
        let mut hangup = signal(SignalKind::hangup())?;
        drop(inside);
        let (path, program, notifier) = (self.path.clone(), self.program, self.notifier.clone());
        io.handle().spawn(async move {
            while hangup.recv().await.is_some() {
                notifier.reloading();
                match &path {
                    None => tracing::warn!("SIGHUP: started without --config, so nothing was read"),
                    Some(path) => reload(&door, path, program).await,
                }
                notifier.ready();
            }
        });
        Ok(())
    }
}

async fn reload(door: &Door, path: &Path, program: Allowance) {
    let file = path.to_path_buf();
    let read = move |config: &Config| -> Result<Allowance, ConfigError> {
        Allowance::read(&mut config.again(&file)?, program)
    };
    // The file is a page, and the thread is the World's anyway.
    let read = door
        .look(move |world| read(world.resource::<Config>()))
        .await;
    let allowance = match read {
        Ok(Ok(allowance)) => allowance,
        Ok(Err(error)) => {
            tracing::error!(%error, "SIGHUP: nothing was changed; mend the file and send it again");
            return;
        }
        Err(error) => {
            tracing::error!(%error, "SIGHUP: nothing was changed");
            return;
        }
    };
    let params = json!(allowance_fields(allowance));
    match door.call("relay.limits", params).await {
        Ok(now) => {
            let bandwidth = match &now["bandwidth"] {
                Value::Null => "no limit".to_owned(),
                limit => limit.to_string(),
            };
            tracing::info!(
                path = %path.display(),
                cache_bytes = %now["cache_bytes"],
                bandwidth,
                "SIGHUP: the limits were read again and apply now"
            );
        }
        Err(error) => tracing::error!(%error, "SIGHUP: nothing was changed"),
    }
}

fn allowance_fields(allowance: Allowance) -> Value {
    json!({ "cache_bytes": allowance.cache_bytes, "bandwidth": allowance.bandwidth })
}
