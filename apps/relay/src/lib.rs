//! The headless relay: the daemon `dunlin-relayd`, and what `dunlin relay` shares with it.
//!
//! | story | file |
//! |---|---|
//! | a device's node is put together from plugins, and run | `device`, with `entry`, `identity` |
//! | the daemon | `daemon`, with `args` |
//! | its owner changes their mind: SIGHUP | `reload` |
//! | its service manager hears how it is | `notify` |
//! | its counters are read | `metrics`, with `openmetrics` |
//! | its log | `log` |
//!
//! What the daemon's tasks want from the running app they ask by its calls, as everybody else does (`door`).

mod args;
mod daemon;
mod device;
mod door;
mod entry;
mod error;
mod identity;
mod log;
mod metrics;
mod notify;
mod openmetrics;
mod reload;

pub use args::{Args, CarryArgs, LinkArgs, Loopback};
pub use daemon::daemon;
pub use device::{Device, Ready, entropy, run};
pub use entry::Entry;
pub use error::Error;
pub use identity::read_or_make;
pub use log::Log;
pub use metrics::MetricsPlugin;
pub use notify::{Notifier, NotifyPlugin};
pub use openmetrics::{CONTENT_TYPE, page};
pub use reload::ReloadPlugin;
