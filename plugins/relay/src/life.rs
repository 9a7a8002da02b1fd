//! How long a carrier keeps a packet, where every clock may be a day wrong. PROTOCOL 3.7

use std::time::Duration;

/// A day in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Days since 1970-01-01 at a time in Unix milliseconds; the last day that a packet can name, later.
#[must_use]
pub fn day_of(unix_ms: u64) -> u16 {
    u16::try_from(unix_ms / DAY_MS as u64).unwrap_or(u16::MAX)
}

/// When a packet expires by its own words, in Unix milliseconds.
#[must_use]
pub fn expiry_ms(day: u16, expiry_hours: u16) -> u64 {
    u64::from(day) * DAY_MS as u64 + u64::from(expiry_hours) * HOUR_MS as u64
}

/// Why a packet's dates are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untimely {
    /// Its expiry is more than a day past.
    #[error("expired more than a day ago")]
    Expired,
    /// Its day is more than 2 days ahead.
    #[error("sealed more than two days from now")]
    Ahead,
}

/// The life that a packet has left on arrival at a carrier whose clock says `unix_ms`. From then on
/// only the monotonic clock counts.
// PROTOCOL 3.7
pub fn life_left(day: u16, expiry_hours: u16, unix_ms: u64) -> Result<Duration, Untimely> {
    if day > day_of(unix_ms).saturating_add(2) {
        return Err(Untimely::Ahead);
    }
    let now = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let left = expiry_ms(day, expiry_hours) as i64 - now;
    if left < -DAY_MS {
        return Err(Untimely::Expired);
    }
    let life = left.min(15 * DAY_MS) + DAY_MS;
    Ok(Duration::from_millis(life.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;

    // PROTOCOL 3.7
    #[test]
    fn a_carrier_whose_clock_is_a_day_wrong_either_way_keeps_a_packet_until_it_expires_and_at_most_two_days_longer()
     {
        for expiry_hours in [13, 24, 100, 336] {
            let meant = Duration::from_hours(u64::from(expiry_hours) - 12); // Sealed at noon.
            for wrong in [-86_400_000, 0, 86_400_000] {
                let life = life_left(20_000, expiry_hours, NOON.saturating_add_signed(wrong));
                let life = life.unwrap();
                assert!(
                    life >= meant && life <= meant + 2 * DAY,
                    "{expiry_hours} {wrong}"
                );
            }
        }
    }

    #[test]
    fn what_expired_more_than_a_day_ago_is_refused() {
        let expiry = expiry_ms(20_000, 5);
        assert_eq!(life_left(20_000, 5, expiry), Ok(DAY));
        assert_eq!(
            life_left(20_000, 5, expiry + 86_400_000),
            Ok(Duration::ZERO)
        );
        let later = life_left(20_000, 5, expiry + 86_400_001);
        assert_eq!(later, Err(Untimely::Expired));
    }

    #[test]
    fn what_comes_from_more_than_two_days_ahead_is_refused() {
        assert!(life_left(20_002, 1, NOON).is_ok());
        assert_eq!(life_left(20_003, 1, NOON), Err(Untimely::Ahead));
        assert!(life_left(u16::MAX, 1, u64::MAX).is_err());
    }

    #[test]
    fn no_life_is_longer_than_sixteen_days() {
        assert_eq!(life_left(20_002, 336, NOON), Ok(16 * DAY));
    }
}
