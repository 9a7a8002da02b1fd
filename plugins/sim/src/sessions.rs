//! When nodes are online: sessions like those of people's devices, and waves of restarts.
//!
//! All is drawn from the generator given, through integers and the `libm` crate, so that it is the same on every machine.

mod wave;

pub use wave::Wave;

use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When the nodes of a population are online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// From the beginning to the end.
    #[default]
    Always,
    /// A desktop app: half of the sessions last up to 2 h, 80 % up to 8 h; a node is online 20 % of its time.
    Desktop,
    /// As measured of IPFS servers: 10.5 % never leave, 37.7 % never come, the others are like [`Sessions::Desktop`].
    Ipfs,
    /// An app on a phone: half of the sessions last up to 15 min; a node is online 20 % of its time.
    Phone,
    /// A desktop app on four days of five, in the evening of the node's own time zone.
    Diurnal,
    /// Away until told to come.
    #[serde(rename = "away")]
    Never,
}

/// Times online and offline by turns, independent of each other, each log-normal with the same width: so the share of time online
/// is that of the medians.
struct Churn {
    online_median_ms: u64,
    offline_median_ms: u64,
    /// Standard deviation of the logarithm.
    width: f64,
}

/// Sessions: probe-lab RFM2, 50 % up to 2 h and 80 % up to 8 h, which gives a width of ln 4 / 0.84162. 20 % online: guess.
const DESKTOP: Churn = Churn {
    online_median_ms: 2 * HOUR_MS,
    offline_median_ms: 8 * HOUR_MS,
    width: 1.647_171,
};

/// All guess: with these, 57 % of the phones online have been so for 20 minutes.
const PHONE: Churn = Churn {
    online_median_ms: HOUR_MS / 4,
    offline_median_ms: HOUR_MS,
    width: 1.2,
};

/// Of a thousand IPFS peers, those online all week, and those never reached: probe-lab RFM2.
const IPFS_ALWAYS: u64 = 105;
const IPFS_NEVER: u64 = 377;

/// Evenings at the machine; all guess.
mod evening {
    use super::HOUR_MS;

    /// Days of a hundred with a session.
    pub(super) const PERCENT: u64 = 80;
    /// The day turns while people sleep, so that no session crosses it, local time.
    pub(super) const DAY_TURNS_MS: u64 = 6 * HOUR_MS;
    /// Sessions begin about 19:00, local time; counted, as what follows, from the day's turn.
    pub(super) const START_MS: u64 = 13 * HOUR_MS;
    /// Standard deviation of the start.
    pub(super) const START_WIDTH_MS: f64 = 1.5 * HOUR_MS as f64;
    /// No start further than this from `START_MS`.
    pub(super) const START_MOST_MS: f64 = 6.0 * HOUR_MS as f64;
    /// The latest end: whoever is still there then goes to bed.
    pub(super) const END_MS: u64 = super::DAY_MS - HOUR_MS / 60;
}

/// Hours ahead of UTC, and how many of a hundred nodes live there. Guess, after where people live: the oceans are left
/// out, so that the whole network has tides too.
const ZONES: [(i8, u64); 11] = [
    (-8, 5),
    (-6, 6),
    (-5, 10),
    (-3, 7),
    (0, 8),
    (1, 18),
    (2, 8),
    (3, 8),
    (5, 12),
    (8, 12),
    (9, 6),
];

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// No session or absence is shorter.
const SHORTEST: Duration = Duration::from_secs(1);

impl Sessions {
    /// Whether node `number` is online when the run begins, at `unix_ms`, and how long until that changes; `None`: never. Drawn as one
    /// who looks in at a random moment would find it, so a run has no start-up transient.
    pub fn begin(
        &self,
        number: u64,
        unix_ms: u64,
        random: &mut impl Rng,
    ) -> (bool, Option<Duration>) {
        match self.kind(number) {
            Kind::Fixed(online) => (online, None),
            Kind::Churn(churn) => {
                let (online, wait) = churn.begin(random);
                (online, Some(wait))
            }
            Kind::Evenings => {
                let (online, wait) = begin_evening(number, unix_ms, random);
                (online, Some(wait))
            }
        }
    }

    /// How long node `number`, which comes or goes at `unix_ms`, stays so; `None`: for good.
    pub fn next(
        &self,
        becomes_online: bool,
        number: u64,
        unix_ms: u64,
        random: &mut impl Rng,
    ) -> Option<Duration> {
        match self.kind(number) {
            Kind::Fixed(_) => None,
            Kind::Churn(churn) => Some(churn.next(becomes_online, random)),
            Kind::Evenings => Some(next_evening(becomes_online, number, unix_ms, random)),
        }
    }

    /// What kind a node is of follows from its number, so that it stays of that kind.
    fn kind(&self, number: u64) -> Kind {
        match self {
            Sessions::Always => Kind::Fixed(true),
            Sessions::Never => Kind::Fixed(false),
            Sessions::Desktop => Kind::Churn(&DESKTOP),
            Sessions::Phone => Kind::Churn(&PHONE),
            Sessions::Diurnal => Kind::Evenings,
            Sessions::Ipfs => match mix(number ^ IPFS_SALT) % 1_000 {
                lot if lot < IPFS_ALWAYS => Kind::Fixed(true),
                lot if lot < IPFS_ALWAYS + IPFS_NEVER => Kind::Fixed(false),
                _ => Kind::Churn(&DESKTOP),
            },
        }
    }
}

enum Kind {
    Fixed(bool),
    Churn(&'static Churn),
    Evenings,
}

impl Churn {
    /// A moment at random lies in a long session more likely than in a short one, and anywhere within it. Sessions weighted by their
    /// length are log-normal again, with the median `exp(width²)` times as long.
    fn begin(&self, random: &mut impl Rng) -> (bool, Duration) {
        let online = random.next_u64() % (self.online_median_ms + self.offline_median_ms)
            < self.online_median_ms;
        let whole = self.draw_ms(self.median_ms(online), self.width * self.width, random);
        (online, millis(whole * unit(random)))
    }

    fn next(&self, becomes_online: bool, random: &mut impl Rng) -> Duration {
        millis(self.draw_ms(self.median_ms(becomes_online), 0.0, random))
    }

    fn median_ms(&self, online: bool) -> u64 {
        if online {
            self.online_median_ms
        } else {
            self.offline_median_ms
        }
    }

    fn draw_ms(&self, median_ms: u64, shift: f64, random: &mut impl Rng) -> f64 {
        median_ms as f64 * libm::exp(self.width * normal(random) + shift)
    }
}

/// Milliseconds since the node's own day turned.
fn local_ms(number: u64, unix_ms: u64) -> u64 {
    unix_ms
        .saturating_add_signed(i64::from(zone_hours(number)) * HOUR_MS as i64)
        .saturating_sub(evening::DAY_TURNS_MS)
        % DAY_MS
}

fn zone_hours(number: u64) -> i8 {
    let mut lot = mix(number ^ ZONE_SALT) % 100;
    for (hours, share) in ZONES {
        if lot < share {
            return hours;
        }
        lot -= share;
    }
    0 // The shares come to 100: asserted in a test.
}

/// Days do not depend on each other, so to know the present it is enough to draw today.
fn begin_evening(number: u64, unix_ms: u64, random: &mut impl Rng) -> (bool, Duration) {
    let now = local_ms(number, unix_ms);
    if let Some(start) = draw_start_ms(random) {
        let end = draw_end_ms(start, random);
        if now < start {
            return (false, Duration::from_millis(start - now));
        }
        if now < end {
            return (true, Duration::from_millis(end - now));
        }
    }
    (false, until_another_day(now, random))
}

fn next_evening(
    becomes_online: bool,
    number: u64,
    unix_ms: u64,
    random: &mut impl Rng,
) -> Duration {
    let now = local_ms(number, unix_ms);
    if becomes_online {
        Duration::from_millis(draw_end_ms(now, random) - now).max(SHORTEST)
    } else {
        until_another_day(now, random)
    }
}

fn until_another_day(now: u64, random: &mut impl Rng) -> Duration {
    let mut turn = DAY_MS;
    loop {
        if let Some(start) = draw_start_ms(random) {
            return Duration::from_millis(turn + start - now);
        }
        turn += DAY_MS;
    }
}

fn draw_start_ms(random: &mut impl Rng) -> Option<u64> {
    if random.next_u64() % 100 >= evening::PERCENT {
        return None;
    }
    let off = (normal(random) * evening::START_WIDTH_MS)
        .clamp(-evening::START_MOST_MS, evening::START_MOST_MS);
    Some(evening::START_MS.saturating_add_signed(off as i64))
}

fn draw_end_ms(start: u64, random: &mut impl Rng) -> u64 {
    let length = DESKTOP.next(true, random).as_millis() as u64;
    start.saturating_add(length).min(evening::END_MS).max(start)
}

const IPFS_SALT: u64 = 0x6970_6673;
const ZONE_SALT: u64 = 0x7a6f_6e65;

/// Scatters numbers evenly, always in the same way (SplitMix64's last steps).
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// In (0, 1], in steps of 2⁻⁵³.
fn unit(random: &mut impl Rng) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Mean 0, standard deviation 1 (Box and Muller).
fn normal(random: &mut impl Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(unit(random)));
    radius * libm::cos(2.0 * std::f64::consts::PI * unit(random))
}

fn millis(ms: f64) -> Duration {
    Duration::from_micros((ms * 1_000.0) as u64).max(SHORTEST)
}

#[cfg(test)]
mod tests;
