//! Waves of restarts.

use super::mix;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Many nodes restart at about the same time: an update, or power coming back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// When the first goes, since the start of the run.
    #[serde(with = "crate::scenario::values::span")]
    pub at: Duration,
    /// How much later the last one goes.
    #[serde(with = "crate::scenario::values::span")]
    pub spread: Duration,
    /// How many of a hundred nodes restart, 0 to 100.
    pub percent: f64,
    /// How long each is away.
    #[serde(with = "crate::scenario::values::span")]
    pub away: Duration,
}

impl Wave {
    /// When node `number` restarts in a run with `seed`, and how long it is away; `None`: not in this wave.
    #[must_use]
    pub fn restart_of(&self, number: u64, seed: u64) -> Option<(Duration, Duration)> {
        // Two waves of one scenario differ in when they begin, and so in whom they meet.
        let lot = mix(mix(mix(seed ^ WAVE_SALT) ^ number) ^ self.at.as_micros() as u64);
        if lot % 1_000_000 >= (self.percent * 10_000.0) as u64 {
            return None;
        }
        let later = (u128::from(mix(lot)) * self.spread.as_micros()) >> 64;
        Some((self.at + Duration::from_micros(later as u64), self.away))
    }
}

const WAVE_SALT: u64 = 0x7761_7665;

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: u64 = 100_000;
    const HOUR: Duration = Duration::from_hours(1);
    const THREE_HOURS: Duration = Duration::from_hours(3);

    #[test]
    fn a_wave_restarts_its_share_within_its_spread() {
        let wave = Wave {
            at: THREE_HOURS,
            spread: HOUR,
            percent: 12.5,
            away: Duration::from_secs(20),
        };
        let restarts: Vec<_> = (0..NODES)
            .filter_map(|number| wave.restart_of(number, 1))
            .collect();
        let percent = restarts.len() as f64 * 100.0 / NODES as f64;
        assert!((percent - 12.5).abs() < 0.5, "{percent}");
        for (when, away) in &restarts {
            assert!(*when >= wave.at && *when < wave.at + wave.spread && *away == wave.away);
        }
        let early = restarts
            .iter()
            .filter(|restart| restart.0 < THREE_HOURS + HOUR / 4);
        let share = early.count() as f64 / restarts.len() as f64;
        assert!((share - 0.25).abs() < 0.02, "{share}");

        let again = (0..NODES).filter_map(|number| wave.restart_of(number, 1));
        assert!(again.eq(restarts.iter().copied()));
        let other_seed = (0..NODES).filter_map(|number| wave.restart_of(number, 2));
        assert!(!other_seed.eq(restarts.iter().copied()));
        let all = Wave {
            percent: 100.0,
            ..wave
        };
        assert!((0..1_000).all(|number| all.restart_of(number, 1).is_some()));
        let none = Wave {
            percent: 0.0,
            ..wave
        };
        assert!((0..1_000).all(|number| none.restart_of(number, 1).is_none()));
    }
}
