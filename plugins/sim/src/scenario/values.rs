//! Times and sizes as a scenario's file says them: a whole number and a unit, `"90 s"`, `"14 days"`, `"16 MB"`.

use std::time::Duration;

const TIMES: [(&str, u64); 9] = [
    ("days", 86_400_000_000),
    ("day", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
    ("µs", 1),
    ("μs", 1), // The same to the eye: µ is U+00B5, μ is U+03BC.
];

const SIZES: [(&str, u64); 4] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("bytes", 1),
];

/// No time is longer, so that the sum of a few cannot overflow.
const MICROS_MAX: u64 = 10_000 * 86_400_000_000;

pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    parse(text, &TIMES)
        .filter(|micros| *micros <= MICROS_MAX)
        .map(Duration::from_micros)
        .ok_or_else(|| {
            format!(
                "\"{text}\" is not a time of up to 10,000 days; write a whole number and one of us, ms, s, min, h, days, like \"90 s\""
            )
        })
}

/// In the largest unit in which it is a whole number.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_micros() as u64;
    match micros {
        0 => "0 s".to_owned(),
        86_400_000_000 => "1 day".to_owned(),
        _ => write(micros, &TIMES),
    }
}

pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZES).ok_or_else(|| {
        format!(
            "\"{text}\" is not a size; write a whole number and one of bytes, kB, MB, GB, like \"16 MB\""
        )
    })
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        _ => write(bytes, &SIZES),
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    // Rust's own parser takes a plus sign.
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.replace('_', "").parse().ok()?;
    number.checked_mul(factor)
}

fn write(number: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| number.is_multiple_of(*factor))
        .map_or_else(
            || number.to_string(), // Each list ends with a factor of 1.
            |(unit, factor)| format!("{} {unit}", number / factor),
        )
}

macro_rules! as_text {
    ($(#[$doc:meta])* $name:ident, $value:ty, $parse:path, $write:path) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub(crate) fn serialize<S: Serializer>(value: &$value, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&$write(*value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$value, D::Error> {
                $parse(&String::deserialize(from)?).map_err(D::Error::custom)
            }
        }
    };
}

as_text!(
    /// For serde's `with`: a time.
    span, std::time::Duration, crate::scenario::values::parse_time, crate::scenario::values::time
);
as_text!(
    /// For serde's `with`: a size in bytes.
    bytes, u64, crate::scenario::values::parse_size, crate::scenario::values::size
);

/// For serde's `with`: a time that may be left out.
pub(crate) mod optional_span {
    use serde::{Deserializer, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::span::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::span::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_whole_numbers_with_a_unit() {
        let micros = |text: &str| parse_time(text).map(|time| time.as_micros());
        assert_eq!(micros("40 ms"), Ok(40_000));
        assert_eq!(micros("1 day"), Ok(86_400_000_000));
        assert_eq!(micros("1_000 s"), Ok(1_000_000_000));
        assert_eq!(micros("3 µs"), micros("3 μs"));
        for text in [
            "",
            "5",
            "5s",
            "1.5 h",
            "-1 s",
            "+1 s",
            "s",
            "_1 s",
            "1 S",
            "10001 days",
        ] {
            let error = parse_time(text).expect_err(text);
            assert!(error.starts_with(&format!("\"{text}\" is not a time")));
        }
    }

    #[test]
    fn sizes_are_decimal() {
        assert_eq!(parse_size("16 MB"), Ok(16_000_000));
        assert_eq!(parse_size("300 kB"), Ok(300_000));
        assert!(parse_size("16 MiB").is_err() && parse_size("16").is_err());
        assert!(parse_size("99999999999999999999 GB").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(micros in 0..=MICROS_MAX, bytes: u64) {
            let span = Duration::from_micros(micros);
            prop_assert_eq!(parse_time(&time(span)), Ok(span));
            prop_assert_eq!(parse_size(&size(bytes)), Ok(bytes));
        }
    }
}
