//! The World inside tokio's thread: for relays and other headless programs.

use crate::Io;
use dunlin_engine::{App, Clock, StartError};
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::sync::Notify;

/// Runs an app on the thread that calls [`run`](Inline::run), sockets and all.
pub struct Inline;

impl Inline {
    /// Runs the app until a plugin ends it; answers why it ended. `ready` is called once, when it has started.
    ///
    /// # Errors
    /// What [`App::start`] says, or that the system gave no event loop.
    pub fn run(mut app: App, ready: impl FnOnce(&App)) -> Result<String, StartError> {
        let failed =
            |what: &str, error: std::io::Error| StartError(vec![format!("{what}: {error}")]);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed("no event loop", error))?;
        let io = Io::on(runtime.handle().clone(), app.inbox());
        runtime.block_on(async move {
            let clock = Clock::begin();
            app.world_mut().insert_resource(clock.now());
            app.world_mut().insert_resource(io);
            app.start()?;
            let bell = Arc::new(Notify::new());
            let rung = bell.clone();
            app.inbox().on_ring(move || bell.notify_one());
            ready(&app);
            let why = loop {
                let next = app.turn(clock.now());
                if let Some(why) = app.exit() {
                    break why.to_owned();
                }
                let wait = next.map(|at| at.since(clock.now().time));
                let sleep = async {
                    match wait {
                        // Others on this thread get their turn even if this one is due again at once.
                        Some(wait) if wait.is_zero() => tokio::task::yield_now().await,
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = rung.notified() => {}
                    () = sleep => {}
                }
            };
            app.shut_down(clock.now());
            Ok(why)
        })
    }
}
