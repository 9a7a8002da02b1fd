//! Time as the runner tells it: nothing below the runners reads a clock.

use bevy_ecs::prelude::*;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point of monotonic time, in microseconds since the runner began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Time = Time(0);

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, wait: Duration) -> Time {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(micros))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

/// The present, set by the runner before each turn; it stands still during one.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time: for every wait, age and limit.
    pub time: Time,
    /// Wall clock in milliseconds since 1970-01-01 UTC: for what is told to others, and never trusted for a wait.
    pub unix_ms: u64,
}

impl Now {
    /// The wall clock as a node sees it, with the error that a simulation or test gave it.
    #[must_use]
    pub fn unix_ms_of(&self, error: Option<&ClockError>) -> u64 {
        self.unix_ms
            .saturating_add_signed(error.map_or(0, |error| error.0))
    }
}

/// How many milliseconds a node's wall clock is ahead (or, negative, behind). Absent: right.
#[derive(Component, Clone, Copy, Debug)]
pub struct ClockError(pub i64);
