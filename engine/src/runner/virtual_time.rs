//! Virtual time: the clock jumps to the next deadline, so a day of waiting takes as long as its turns.

use crate::{App, Now, StartError, Time};
use std::time::Duration;

/// Runs an app in virtual time, on the caller's thread: for tests and simulations.
pub struct Virtual {
    /// The app, to look at and to give inputs between turns.
    pub app: App,
    now: Now,
    step: Duration,
    /// When the turn after the last one is due.
    due: Option<Time>,
    in_place: u32,
}

/// Turns without any step of time after which a run is called stuck.
const TURNS_IN_PLACE_MAX: u32 = 1_000_000;

impl Virtual {
    /// Starts the app at `unix_ms` on the wall clock.
    ///
    /// # Errors
    /// What [`App::start`] says.
    pub fn start(mut app: App, unix_ms: u64) -> Result<Virtual, StartError> {
        let now = Now {
            time: Time::ZERO,
            unix_ms,
        };
        app.world_mut().insert_resource(now);
        app.start()?;
        Ok(Virtual {
            app,
            now,
            step: Duration::from_micros(1),
            due: None,
            in_place: 0,
        })
    }

    /// Lets turns begin only at multiples of `step`, later by less than one: with a million nodes hardly two timers fire in the same
    /// microsecond, and a turn for each would cost more than what it does.
    #[must_use]
    pub fn in_steps(self, step: Duration) -> Virtual {
        Virtual { step, ..self }
    }

    /// The present of this run.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// Runs one turn now, and says when the next is due.
    pub fn turn(&mut self) -> Option<Time> {
        self.due = self.app.turn(self.now);
        self.due
    }

    /// Moves to when the next turn is due, at most to `end`, and runs it. Says whether it did: at `end` there is nothing left to do.
    /// Inputs given since the last turn wait for their own: call [`turn`](Virtual::turn) first.
    ///
    /// # Panics
    /// If a million turns pass without a step of time: some timer is set in the past again and again.
    pub fn step(&mut self, end: Time) -> bool {
        if self.now.time >= end {
            return false;
        }
        let step = self.step.as_micros() as u64;
        let due = self.due.unwrap_or(end).max(self.now.time);
        let at = Time(due.0.div_ceil(step).saturating_mul(step)).min(end);
        if at == self.now.time {
            self.in_place += 1;
            let stuck = self.in_place >= TURNS_IN_PLACE_MAX;
            assert!(!stuck, "time stands still at {at:?}");
        } else {
            self.in_place = 0;
            self.move_to(at);
        }
        self.turn();
        true
    }

    /// Runs for `span` of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// Runs until `done`, at most for `limit` of virtual time; says whether it was done.
    ///
    /// # Panics
    /// As [`step`](Virtual::step).
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut App) -> bool) -> bool {
        let end = self.now.time + limit;
        self.turn();
        loop {
            if done(&mut self.app) {
                return true;
            }
            if !self.step(end) {
                return false;
            }
        }
    }

    fn move_to(&mut self, at: Time) {
        let step = at.since(self.now.time);
        // Kept in step with monotonic time to the millisecond, whatever the sizes of the steps.
        let before_ms = self.now.time.0 / 1_000;
        self.now.time = self.now.time + step;
        self.now.unix_ms += self.now.time.0 / 1_000 - before_ms;
    }
}
