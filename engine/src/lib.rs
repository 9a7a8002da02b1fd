//! The scheduler of the Dunlin runtime.
//!
//! An [`App`] is a bevy_ecs World and one schedule, the [`Turn`]. Plugins put systems into its sets; a runner gives it inputs and time:
//! [`App::push`] and [`App::turn`] are all that a runner needs. There is no tick: the runner sleeps until an input comes or the
//! deadline that `turn` answered. Same inputs, times and seed give the same outputs.
//!
//! | to | see |
//! |---|---|
//! | add a capability | [`Plugin`], [`App::add_plugins`] |
//! | do something every turn, or when a message comes | [`App::add_systems`], [`Turn`] |
//! | wait | [`Timers`], [`Due`] |
//! | offer something to windows, plugins and the command line | [`App::call`], [`App::stream`] |
//! | say who may | [`Grants`] |
//! | run it | [`Threaded`], [`Virtual`], `Inline` in `dunlin-io` |
//!
//! The engine knows no plugin, no socket and no tokio, and nothing outside [`Threaded`] reads a clock.

pub use bevy_ecs;

mod app;
mod call;
mod client;
mod config;
mod dispatch;
mod failures;
mod grants;
mod inbox;
mod node;
mod plugin;
mod runner;
mod slot;
mod stream;
mod time;
mod timers;
mod turn;

pub use app::{App, Exit, ExitHolds};
pub use call::{Answer, Call, CallError, Open, Outlet, Params, Reply, Request};
pub use client::{Client, Items, Ticket};
pub use config::{Config, ConfigError};
pub use dispatch::CallSystems;
pub use failures::{Failure, Failures};
pub use grants::{Ask, Decide, Grant, Grants, Prompt, Question, Verdict};
pub use inbox::{Busy, Inbox, Input, Source};
pub use node::{Node, Random};
pub use plugin::{BoxError, Plugin, PluginGroup, Plugins, StartError};
pub use runner::{Clock, Threaded, Virtual};
pub use slot::Responder;
pub use stream::Sink;
pub use time::{ClockError, Now, Time};
pub use timers::{Due, Timers};
pub use turn::{IntoSystems, Turn};

/// What nearly every plugin uses.
pub mod prelude {
    pub use crate::{
        Answer, App, BoxError, Call, CallError, Client, ClockError, Config, Due, Exit, Grant,
        Grants, Inbox, Input, Node, Now, Open, Params, Plugin, PluginGroup, Random, Reply,
        Responder, Sink, Source, StartError, Threaded, Time, Timers, Turn, Virtual,
    };
    pub use bevy_ecs::prelude::*;
}
