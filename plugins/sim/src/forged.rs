//! Addresses that nobody has, from which attackers send: what comes back to one must never be more than what came from it.

use crate::places::Place;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// 200.0.0.0 and the 65,535 after it: public, and none of [`crate::places::address`].
const FIRST: u32 = 200 << 24;
const ADDRESSES: u32 = 1 << 16;

/// First bytes of what a responder says to whom it believes: its half of a handshake. PROTOCOL 2.1
const BELIEVED: [u8; 2] = [2, 4];

#[derive(Default)]
pub(crate) struct Forged {
    /// How far what came from each address is ahead of what went there, in bytes.
    ahead: BTreeMap<Place, u64>,
    /// How often more went to one than came from it.
    amplified: u64,
    /// How often a handshake that bore one was answered: then a cookie was right that never arrived there.
    believed: u64,
}

impl Forged {
    /// One of the addresses.
    pub(crate) fn draw(random: &mut impl Rng) -> Option<Place> {
        let ip = Ipv4Addr::from_bits(FIRST + random.next_u32() % ADDRESSES);
        Place::of(SocketAddrV4::new(ip, 9_000).into())
    }

    /// Something that bears this address reached somebody.
    pub(crate) fn came(&mut self, from: Place, bytes: usize) {
        if is_forged(from) {
            *self.ahead.entry(from).or_default() += bytes as u64;
        }
    }

    /// Somebody sends something; counts it if nobody can be there.
    pub(crate) fn went(&mut self, to: Place, bytes: &[u8]) {
        if !is_forged(to) {
            return;
        }
        let ahead = self.ahead.entry(to).or_default();
        let left = ahead.checked_sub(bytes.len() as u64);
        *ahead = left.unwrap_or(0);
        self.amplified += u64::from(left.is_none());
        let answers = bytes.first().is_some_and(|first| BELIEVED.contains(first));
        self.believed += u64::from(answers);
    }

    /// What should not have happened.
    pub(crate) fn violations(&self) -> impl Iterator<Item = String> {
        let amplified = "more bytes went to an address that nobody has than came from it";
        let believed = "a handshake from an address that nobody has was answered";
        [(self.amplified, amplified), (self.believed, believed)]
            .into_iter()
            .filter(|(times, _)| *times > 0)
            .map(|(times, what)| format!("{what}: {times} times"))
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
        forged.came(place, 100);
        forged.went(place, &[6; 60]);
        forged.went(place, &[6; 40]);
        let somebody = Place::of(crate::places::address(7, 10)).expect("IPv4");
        forged.went(somebody, &[2; 1_000]);
        assert_eq!(forged.violations().count(), 0);
        forged.went(place, &[6]);
        assert_eq!((forged.amplified, forged.believed), (1, 0));
        forged.came(place, 100);
        forged.went(place, &[2; 90]);
        assert_eq!((forged.amplified, forged.believed), (1, 1));
        assert_eq!(forged.violations().count(), 2);
    }
}
