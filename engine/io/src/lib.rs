//! tokio beside the Dunlin engine.
//!
//! [`IoPlugin`] gives plugins [`Io`]: futures run on one thread and come back as inputs. Under [`Threaded`](dunlin_engine::Threaded) that thread is the
//! plugin's own; under [`Inline`] it is the engine's too, so that a datagram crosses no thread (measured: 3.8 µs a round
//! trip on loopback against 7.6). [`ControlPlugin`] opens the control socket;
//! [`SignalsPlugin`] ends the app on SIGINT and SIGTERM.

mod control;
mod control_client;
mod inline;
mod io;
mod signals;

pub use control::{ControlError, ControlPlugin};
pub use control_client::ControlClient;
pub use inline::Inline;
pub use io::{Io, IoPlugin};
pub use signals::SignalsPlugin;
