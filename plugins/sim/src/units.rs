//! Figures as people read them.

/// `9,998`; from a million on three digits of it: `1.23 M`.
#[must_use]
pub fn count(number: u64) -> String {
    if number < 1_000_000 {
        return grouped(number);
    }
    let (value, prefix) = scaled(number as f64);
    format!("{value} {prefix}")
}

/// `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a decimal unit: `412 B`, `3.41 kB`, `18.4 EB`.
#[must_use]
pub fn bytes(number: f64) -> String {
    let (value, prefix) = scaled(number);
    format!("{value} {prefix}B")
}

/// Milliseconds, in the unit that suits: `240 ms`, `3.2 s`, `1 min 4 s`, `2 h 10 min`, `13 days 4 h`.
#[must_use]
pub fn time(ms: u64) -> String {
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let days = |days| if days == 1 { "day" } else { "days" };
    let two = |large, large_unit: &str, small, small_unit: &str| match small {
        0 => format!("{} {large_unit}", grouped(large)),
        _ => format!("{} {large_unit} {small} {small_unit}", grouped(large)),
    };
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => match ms / 100 % 10 {
            0 => format!("{} s", ms / SECOND),
            tenth => format!("{}.{tenth} s", ms / SECOND),
        },
        MINUTE..HOUR => two(ms / MINUTE, "min", ms % MINUTE / SECOND, "s"),
        HOUR..DAY => two(ms / HOUR, "h", ms % HOUR / MINUTE, "min"),
        DAY.. => two(ms / DAY, days(ms / DAY), ms % DAY / HOUR, "h"),
    }
}

/// `99.98 %`, rounded down, so that only all is `100 %`; what is more than nothing is never `0 %`. Of nothing: `-`.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let hundredths = u128::from(part) * 10_000 / u128::from(whole);
    match (hundredths / 100, hundredths % 100) {
        (0, 0) if part > 0 => "under 0.01 %".to_owned(),
        (whole, 0) => format!("{whole} %"),
        (whole, rest) if rest % 10 == 0 => format!("{whole}.{} %", rest / 10),
        (whole, rest) => format!("{whole}.{rest:02} %"),
    }
}

/// Three significant digits and the prefix of what they count.
fn scaled(number: f64) -> (String, &'static str) {
    let mut value = number;
    let mut prefixes = ["", "k", "M", "G", "T", "P", "E"].into_iter();
    let mut prefix = prefixes.next().unwrap_or_default();
    while value >= 999.5
        && let Some(next) = prefixes.next()
    {
        value /= 1_000.0;
        prefix = next;
    }
    let digits = match value {
        _ if prefix.is_empty() && value == value.trunc() => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    (format!("{value:.digits$}"), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas_and_large_ones_three_digits() {
        assert_eq!(count(0), "0");
        assert_eq!(count(9_998), "9,998");
        assert_eq!(count(999_999), "999,999");
        assert_eq!(count(1_234_567), "1.23 M");
        assert_eq!(count(u64::MAX), "18.4 E");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_go_up_a_unit_before_they_would_show_a_thousand() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(412.0), "412 B");
        assert_eq!(bytes(1.5), "1.50 B");
        assert_eq!(bytes(999.6), "1.00 kB");
        assert_eq!(bytes(3_412.0), "3.41 kB");
        assert_eq!(bytes(9_999.0), "10.0 kB");
        assert_eq!(bytes(u64::MAX as f64), "18.4 EB");
    }

    #[test]
    fn times_name_at_most_two_units() {
        assert_eq!(time(0), "0 ms");
        assert_eq!(time(999), "999 ms");
        assert_eq!(time(1_000), "1 s");
        assert_eq!(time(3_270), "3.2 s");
        assert_eq!(time(64_000), "1 min 4 s");
        assert_eq!(time(7_800_000), "2 h 10 min");
        assert_eq!(time(86_400_000), "1 day");
        assert_eq!(time(13 * 86_400_000 + 4 * 3_600_000 + 1), "13 days 4 h");
        assert_eq!(time(u64::MAX), "213,503,982,334 days 14 h");
    }

    #[test]
    fn a_share_is_all_only_if_it_is_and_nothing_only_if_it_is() {
        assert_eq!(percent(9_998, 10_000), "99.98 %");
        assert_eq!(percent(999_999, 1_000_000), "99.99 %");
        assert_eq!(percent(995, 1_000), "99.5 %");
        assert_eq!(percent(1, 1_000_000), "under 0.01 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
        assert_eq!(percent(0, 5), "0 %");
        assert_eq!(percent(0, 0), "-");
    }
}
