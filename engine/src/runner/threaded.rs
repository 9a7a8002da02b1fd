//! The World on a thread of its own, woken by its inbox or its earliest deadline.

use crate::{App, Inbox, Now, StartError, Time};
use bevy_ecs::prelude::World;
use crossbeam_channel::bounded;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks, as runners read them.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn begin() -> Clock {
        Clock(Instant::now())
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            time: Time::ZERO + self.0.elapsed(),
            // A clock before 1970 counts as 1970: packets are then refused as from the future, and doctor says why.
            unix_ms: unix.map_or(0, |since| since.as_millis() as u64),
        }
    }
}

/// Runs an app on its own thread: for desktops and the command line.
pub struct Threaded {
    thread: JoinHandle<App>,
    inbox: Inbox,
}

impl Threaded {
    /// Starts the app, then moves it to its thread.
    ///
    /// # Errors
    /// What [`App::start`] says, or that no thread could be made.
    pub fn start(mut app: App) -> Result<Threaded, StartError> {
        let clock = Clock::begin();
        app.world_mut().insert_resource(clock.now());
        app.start()?;
        let inbox = app.inbox();
        let (bell, rung) = bounded(1);
        inbox.on_ring(move || {
            // Full means rung already.
            let _ = bell.try_send(());
        });
        let thread = std::thread::Builder::new()
            .name("dunlin".to_owned())
            .spawn(move || {
                while app.exit().is_none() {
                    let now = clock.now();
                    let wait = match app.turn(now) {
                        Some(at) => at.since(clock.now().time),
                        None => Duration::MAX,
                    };
                    if app.exit().is_none() && !wait.is_zero() {
                        // Rung or overslept: either way it is time for a turn.
                        let _ = match Instant::now().checked_add(wait) {
                            Some(deadline) => rung.recv_deadline(deadline).ok(),
                            None => rung.recv().ok(),
                        };
                    }
                }
                app.shut_down(clock.now());
                app
            })
            .map_err(|error| StartError(vec![format!("no thread for the engine: {error}")]))?;
        Ok(Threaded { thread, inbox })
    }

    /// A handle with which to give the app inputs.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Whether the app has ended, by itself or because somebody asked.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks the app to end and waits until it has. Gives it back, to look at.
    ///
    /// # Panics
    /// If the engine's thread panicked, which a system cannot make it do.
    #[must_use]
    pub fn stop(self) -> App {
        let end = crate::Input::new(|world: &mut World| {
            world
                .resource_mut::<crate::Exit>()
                .0
                .get_or_insert_with(|| "stopped".to_owned());
        });
        // It fails only if the thread has ended already.
        let _ = self.inbox.offer(crate::Source::Plugin, end);
        self.join()
    }

    /// Waits until the app ends by itself.
    ///
    /// # Panics
    /// As [`stop`](Threaded::stop).
    #[must_use]
    pub fn join(self) -> App {
        match self.thread.join() {
            Ok(app) => app,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
