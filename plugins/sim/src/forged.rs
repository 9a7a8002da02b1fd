//! Addresses that nobody has, from which attackers send: what comes back to one must never be more than what came from it.

use crate::places::Place;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// 200.0.0.0 and the 65,535 after it: public, and none of [`crate::places::address`].
const FIRST: u32 = 200 << 24;
const ADDRESSES: u32 = 1 << 16;

/// How far what came from each address is ahead of what went there, in bytes.
#[derive(Default)]
pub(crate) struct Forged(BTreeMap<Place, u64>);

impl Forged {
    /// One of the addresses.
    pub(crate) fn draw(random: &mut impl Rng) -> Option<Place> {
        let ip = Ipv4Addr::from_bits(FIRST + random.next_u32() % ADDRESSES);
        Place::of(SocketAddrV4::new(ip, 9_000).into())
    }

    /// Something that bears this address reached somebody.
    pub(crate) fn came(&mut self, from: Place, bytes: usize) {
        if is_forged(from) {
            *self.0.entry(from).or_default() += bytes as u64;
        }
    }

    /// Somebody sends there. Says whether it was too much.
    #[must_use]
    pub(crate) fn went(&mut self, to: Place, bytes: usize) -> bool {
        if !is_forged(to) {
            return false;
        }
        let ahead = self.0.entry(to).or_default();
        let left = ahead.checked_sub(bytes as u64);
        *ahead = left.unwrap_or(0);
        left.is_none()
    }
}

fn is_forged(place: Place) -> bool {
    let ip = place.ip().to_bits();
    (FIRST..FIRST + ADDRESSES).contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_engine::Random;

    #[test]
    fn no_more_goes_to_an_address_than_came_from_it() {
        let mut forged = Forged::default();
        let place = Forged::draw(&mut Random::from_seed(1, 1).0).expect("IPv4");
        assert!(forged.went(place, 1));
        forged.came(place, 100);
        assert!(!forged.went(place, 60) && !forged.went(place, 40));
        assert!(forged.went(place, 1));
        let somebody = Place::of(crate::places::address(7, 10)).expect("IPv4");
        assert!(!forged.went(somebody, 1_000));
    }
}
