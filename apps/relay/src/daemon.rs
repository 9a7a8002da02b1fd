//! The daemon, from its options to its end.

use crate::{
    Args, Device, Error, MetricsPlugin, NotifyPlugin, Ready, ReloadPlugin, read_or_make, run,
};
use dunlin_engine::Config;
use dunlin_relay::{Allowance, RelayPlugin};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Runs the relay until it is told to end; answers why it did. `ready` is called once, when it carries.
///
/// # Errors
/// What kept it from starting, where, and what to do.
pub fn daemon(args: Args, ready: impl FnOnce(&Ready)) -> Result<String, Error> {
    let config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let keys = read_or_make(&args.identity)?;
    let program = Allowance {
        cache_bytes: args.carry.cache,
        bandwidth: args.carry.bandwidth,
    };
    let device = Device {
        config,
        keys: &keys,
        mailbox: false,
        links: &args.links,
        relay: RelayPlugin {
            cache_bytes: program.cache_bytes,
            bandwidth: program.bandwidth,
            hand_over: true,
            ..RelayPlugin::default()
        },
        book: beside(&args.identity, ".peers"),
        control: Some(
            args.control
                .unwrap_or_else(|| beside(&args.identity, ".control")),
        ),
    };
    let mut app = device.app()?;
    let notify = NotifyPlugin::from_env();
    let notifier = notify.notifier.clone();
    app.add_plugins((
        ReloadPlugin {
            path: args.config,
            program,
            notifier: notifier.clone(),
        },
        notify,
    ));
    if let Some(address) = args.metrics {
        app.add_plugins(MetricsPlugin { address });
    }
    let why = run(app, |started| {
        tracing::info!(id = %started.id, address = %started.address, "listening");
        ready(started);
        notifier.ready();
    })?;
    tracing::info!(why, "ended");
    Ok(why)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
