//! Axes: where a value lies, and which round values are labelled.

use super::svg::TICK;
use crate::units::grouped;

/// From a value to a place between 0 and 1.
pub(super) struct Axis {
    from: f64,
    to: f64,
    log: bool,
    /// Round values with their labels, upwards.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Seconds and what they are called, shortest first.
const UNITS: [(f64, &str); 4] = [
    (1.0, "s"),
    (60.0, "min"),
    (3_600.0, "h"),
    (86_400.0, "days"),
];

impl Axis {
    /// Where a value lies: 0 at the axis's begin, 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (from, to, value) = if self.log {
            let log = |value: f64| libm::log10(value.max(self.from));
            (log(self.from), log(self.to), log(value))
        } else {
            (self.from, self.to, value)
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// Whole things, from 0.
    pub(super) fn counts(max: f64) -> Axis {
        Axis::linear(max, 0, "")
    }

    /// Bytes or bytes a second, from 0.
    pub(super) fn bytes(max: f64, unit: &str) -> Axis {
        Axis::linear(max, 0, unit)
    }

    /// Hundredths, from 0 and at most to 100.
    pub(super) fn percents(max: f64) -> Axis {
        let mut axis = Axis::linear(max.min(100.0), -2, "%");
        axis.to = axis.to.min(100.0);
        axis
    }

    /// 0 to a round value of at least `max`, in steps of 1, 2 or 5 times a power of ten that is no less than `least`.
    fn linear(max: f64, least: i32, unit: &str) -> Axis {
        let (factor, power) = step(max / 5.0, least);
        let size = factor as f64 * ten(power);
        let steps = libm::ceil(max / size).max(1.0) as u64;
        let top = size * steps as f64;
        // A thousand is "1,000", but "1 kB".
        let (prefix, shift) = match unit {
            "%" => ("", 0),
            "" if top < 1e6 => ("", 0),
            _ => [
                (1e18, "E", 18),
                (1e15, "P", 15),
                (1e12, "T", 12),
                (1e9, "G", 9),
                (1e6, "M", 6),
                (1e3, "k", 3),
            ]
            .into_iter()
            .find(|(from, _, _)| top >= *from)
            .map_or(("", 0), |(_, prefix, shift)| (prefix, shift)),
        };
        let unit = format!("{prefix}{unit}");
        let tick = |index: u64| {
            let text = match index {
                0 => "0".to_owned(),
                _ => format!("{} {unit}", decimal(index * factor, power - shift)),
            };
            (size * index as f64, text.trim_end().to_owned())
        };
        Axis {
            from: 0.0,
            to: top,
            log: false,
            ticks: (0..=steps).map(tick).collect(),
        }
    }

    /// Virtual seconds from 0 to `max`, labelled in one unit.
    pub(super) fn seconds(max: u64, pixels: f64) -> Axis {
        let max = max.max(1) as f64;
        let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0]
            .into_iter()
            .chain([1.0, 2.0, 5.0, 10.0, 20.0, 30.0].map(|minutes| minutes * 60.0))
            .chain([1.0, 2.0, 3.0, 6.0, 12.0].map(|hours| hours * 3_600.0))
            .chain([1.0, 2.0].map(|days| days * 86_400.0));
        let size = steps.into_iter().find(|size| max / size <= 8.0);
        let size = size.unwrap_or_else(|| {
            let (factor, power) = step(max / 86_400.0 / 8.0, 0);
            factor as f64 * ten(power) * 86_400.0
        });
        let is_whole = |(seconds, _): &&(f64, &str)| libm::fmod(size, *seconds) == 0.0;
        let (seconds, unit) = UNITS.iter().rev().find(is_whole).unwrap_or(&UNITS[0]);
        let ticks: Vec<(f64, String)> = (0_u32..)
            .map(|index| f64::from(index) * size)
            .take_while(|value| *value <= max)
            .map(|value| (value, value / seconds))
            .map(|(value, number)| match number as u64 {
                0 => (value, "0".to_owned()),
                1 if *unit == "days" => (value, "1 day".to_owned()),
                number => (value, format!("{} {unit}", grouped(number))),
            })
            .collect();
        let mut axis = Axis {
            from: 0.0,
            to: max,
            log: false,
            ticks: Vec::new(),
        };
        axis.ticks = ticks;
        axis.thin(pixels);
        axis
    }

    /// Milliseconds around `min` to `max`, each time as much longer lying equally far on.
    pub(super) fn log_ms(min: u64, max: u64, pixels: f64) -> Axis {
        let all = round_times();
        let (min, max) = (min.max(1) as f64, max.max(1) as f64);
        let after = all.partition_point(|(ms, ..)| *ms < max).max(1);
        let before = all.partition_point(|(ms, ..)| *ms <= min);
        let before = before.saturating_sub(1).min(after - 1);
        let all = &all[before..=after.min(all.len() - 1)];
        let mut axis = Axis {
            from: all.first().map_or(1.0, |(ms, ..)| *ms),
            to: all.last().map_or(2.0, |(ms, ..)| *ms),
            log: true,
            ticks: Vec::new(),
        };
        for coarseness in 0..=2 {
            axis.ticks = all
                .iter()
                .filter(|(_, _, is_in)| *is_in >= coarseness)
                .map(|(ms, text, _)| (*ms, text.clone()))
                .collect();
            if axis.has_room(pixels) {
                break;
            }
        }
        axis.thin(pixels);
        axis
    }

    /// Takes every other label away until they keep apart.
    fn thin(&mut self, pixels: f64) {
        while !self.has_room(pixels) {
            let mut index = 0;
            self.ticks.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
    }

    /// Whether labels under an axis of so many pixels keep apart.
    fn has_room(&self, pixels: f64) -> bool {
        self.ticks.windows(2).all(|pair| {
            let [left, right] = pair else { return true };
            let gap = (self.place(right.0) - self.place(left.0)) * pixels;
            gap >= (TICK.width(&left.1) + TICK.width(&right.1)) / 2.0 + 8.0
        })
    }
}

/// The least of 1, 2 and 5 times a power of ten that is no less than `size`, the power no less than `least`.
fn step(size: f64, least: i32) -> (u64, i32) {
    let size = size.max(ten(least));
    // One too low, should the logarithm of a power of ten come out a little under it.
    let power = libm::floor(libm::log10(size) - 1e-9) as i32;
    let power = power.max(least);
    [(1, power), (2, power), (5, power)]
        .into_iter()
        .find(|(factor, power)| *factor as f64 * ten(*power) >= size * 0.999_999)
        .unwrap_or((1, power + 1))
}

/// A power of ten, exact up to 10²².
fn ten(power: i32) -> f64 {
    let size = (0..power.unsigned_abs()).fold(1.0, |size, _| size * 10.0);
    if power < 0 { 1.0 / size } else { size }
}

/// `number` times a power of ten, written without a float: `decimal(25, -1)` is `2.5`.
fn decimal(number: u64, power: i32) -> String {
    let zeros = power.unsigned_abs() as usize;
    if power >= 0 {
        let number = number.saturating_mul(10_u64.saturating_pow(power.unsigned_abs()));
        return grouped(number);
    }
    let digits = format!("{number:0>width$}", width = zeros + 1);
    let (whole, rest) = digits.split_at(digits.len() - zeros);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{whole}{point}{rest}")
}

/// A number of a unit, and in how coarse a scale it still has a label (0 to 2).
type Round = (u32, u8);

const ROUND_MS: &[Round] = &[
    (1, 2),
    (2, 0),
    (5, 0),
    (10, 1),
    (20, 0),
    (50, 0),
    (100, 1),
    (200, 0),
    (500, 0),
];
/// Of a minute's seconds, or an hour's minutes.
const ROUND_SIXTIETHS: &[Round] = &[(1, 2), (2, 0), (5, 0), (10, 1), (20, 0), (30, 0)];
const ROUND_HOURS: &[Round] = &[(1, 2), (2, 0), (5, 0), (12, 0)];

/// Times a person calls round: milliseconds, label, and in how coarse a scale it still has one.
fn round_times() -> Vec<(f64, String, u8)> {
    let mut times = Vec::new();
    for (size, unit, numbers) in [
        (1.0, "ms", ROUND_MS),
        (1e3, "s", ROUND_SIXTIETHS),
        (60e3, "min", ROUND_SIXTIETHS),
        (3_600e3, "h", ROUND_HOURS),
    ] {
        for (number, coarseness) in numbers {
            let ms = f64::from(*number) * size;
            times.push((ms, format!("{number} {unit}"), *coarseness));
        }
    }
    // Up to what 64 bits of milliseconds hold: 213,503,982,334 days.
    for power in 0..12 {
        for (factor, coarseness) in [(1, if power % 3 == 0 { 2 } else { 1 }), (2, 0), (5, 0)] {
            let days = factor * 10_u64.pow(power);
            let unit = if days == 1 { "day" } else { "days" };
            let ms = days as f64 * 86_400e3;
            times.push((ms, format!("{} {unit}", grouped(days)), coarseness));
        }
    }
    times
}
