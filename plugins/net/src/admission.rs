//! How much public-key work strangers may ask for.

use crate::Prefix;
use crate::limits::{
    HANDSHAKES_BURST, HANDSHAKES_CIRCUITS_BURST, HANDSHAKES_CIRCUITS_SECOND,
    HANDSHAKES_PREFIX_BURST, HANDSHAKES_PREFIX_SECOND, HANDSHAKES_PREFIXES_MAX, HANDSHAKES_SECOND,
};
use dunlin_engine::Time;

/// A token bucket, counted in microseconds of refill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    micros: u64,
    since: Time,
}

impl Bucket {
    pub(crate) fn full(burst: u32, a_second: u32, now: Time) -> Bucket {
        Bucket {
            micros: u64::from(burst) * 1_000_000 / u64::from(a_second),
            since: now,
        }
    }

    pub(crate) fn take(&mut self, burst: u32, a_second: u32, now: Time) -> bool {
        let one = 1_000_000 / u64::from(a_second);
        let passed = now.0.saturating_sub(self.since.0);
        self.micros = (self.micros + passed).min(u64::from(burst) * one);
        self.since = now;
        let enough = self.micros >= one;
        self.micros -= if enough { one } else { 0 };
        enough
    }
}

/// A neighbour's circuits bring many who hide; they have a share of their own, and do not take that of the neighbour's prefix.
fn share(prefix: Prefix) -> (u32, u32) {
    match prefix.is_circuits() {
        true => (HANDSHAKES_CIRCUITS_BURST, HANDSHAKES_CIRCUITS_SECOND),
        false => (HANDSHAKES_PREFIX_BURST, HANDSHAKES_PREFIX_SECOND),
    }
}

/// Lets each prefix, and all together, have so many handshakes a second. Asked only after the cookie was right, so a
/// forged source takes nothing from anyone.
#[derive(Default)]
pub(crate) struct Admission {
    all: Option<Bucket>,
    /// Those that have taken something and not refilled since, by prefix.
    prefixes: Vec<(Prefix, Bucket)>,
}

impl Admission {
    /// Takes a handshake's worth, if there is one. Call once a handshake.
    #[must_use]
    pub(crate) fn admit(&mut self, prefix: Prefix, now: Time) -> bool {
        let place = self.prefixes.binary_search_by_key(&prefix, |row| row.0);
        let place = place.unwrap_or_else(|_| self.add(prefix, now));
        let (burst, a_second) = share(prefix);
        if !self.prefixes[place].1.take(burst, a_second, now) {
            return false;
        }
        self.all
            .get_or_insert_with(|| Bucket::full(HANDSHAKES_BURST, HANDSHAKES_SECOND, now))
            .take(HANDSHAKES_BURST, HANDSHAKES_SECOND, now)
    }

    /// Makes room for a prefix; says where. A bucket that is full again says nothing, so it is forgotten first.
    fn add(&mut self, prefix: Prefix, now: Time) -> usize {
        let fresh = |prefix| {
            let (burst, a_second) = share(prefix);
            Bucket::full(burst, a_second, now)
        };
        self.prefixes.retain(|(prefix, bucket)| {
            let passed = (now - bucket.since).as_micros() as u64;
            bucket.micros + passed <= fresh(*prefix).micros
        });
        if self.prefixes.len() >= HANDSHAKES_PREFIXES_MAX {
            let rows = self.prefixes.iter().enumerate();
            let oldest = rows.min_by_key(|(_, (_, bucket))| bucket.since);
            oldest
                .map(|(place, _)| place)
                .map(|place| self.prefixes.remove(place));
        }
        let place = self.prefixes.partition_point(|row| row.0 < prefix);
        self.prefixes.insert(place, (prefix, fresh(prefix)));
        place
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.prefixes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    fn prefix(n: u32) -> Prefix {
        Prefix::of(SocketAddr::new(
            Ipv4Addr::from(0x0800_0000 + (n << 8)).into(),
            9,
        ))
    }

    #[test]
    fn a_prefix_gets_a_burst_and_then_two_a_second() {
        let mut admission = Admission::default();
        let mut admitted = |second: u64| {
            let now = Time::ZERO + Duration::from_secs(second);
            (0..100).filter(|_| admission.admit(prefix(1), now)).count()
        };
        assert_eq!(
            [admitted(0), admitted(1), admitted(11), admitted(1_000)],
            [32, 2, 20, 32]
        );
    }

    #[test]
    fn one_prefix_takes_nothing_from_another_and_the_table_is_bounded() {
        let mut admission = Admission::default();
        for n in 0..100_000 {
            let _ = admission.admit(prefix(n % 60_000), Time(u64::from(n) * 100));
        }
        assert_eq!(admission.len(), HANDSHAKES_PREFIXES_MAX);
        let later = Time::ZERO + Duration::from_secs(1_000);
        (0..100).for_each(|_| _ = admission.admit(prefix(1), later));
        assert!(admission.admit(prefix(2), later));
    }

    #[test]
    fn all_together_get_no_more_than_a_node_can_do() {
        let mut admission = Admission::default();
        let admitted = (0..5_000)
            .filter(|n| admission.admit(prefix(*n), Time::ZERO))
            .count();
        assert_eq!(admitted, HANDSHAKES_BURST as usize);
    }
}
