//! Proof that an address is its sender's own, without keeping anything for it. PROTOCOL 2.2.

use crate::limits::{COOKIE_AGE, COOKIE_BYTES};
use dunlin_engine::Time;
use rand_core::CryptoRng;
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The two secrets under which cookies are right at present.
pub(crate) struct Cookies {
    secrets: [Zeroizing<[u8; 32]>; 2], // The newer first.
    since: Time,
}

impl Cookies {
    pub(crate) fn new(now: Time, random: &mut impl CryptoRng) -> Cookies {
        Cookies {
            secrets: [draw(random), draw(random)],
            since: now,
        }
    }

    /// Replaces what is too old. Call before the others.
    // PROTOCOL 2.2
    pub(crate) fn rotate(&mut self, now: Time, random: &mut impl CryptoRng) {
        let age = now - self.since;
        if age < COOKIE_AGE {
            return;
        }
        if age < 2 * COOKIE_AGE {
            self.secrets.swap(0, 1);
            self.secrets[0] = draw(random);
            self.since = self.since + COOKIE_AGE;
        } else {
            *self = Cookies::new(now, random);
        }
    }

    /// Whether `shown` was given to `address` in this period or the one before; if not, the cookie to give to whoever reads
    /// what is sent there. One keyed hash for who shows none, two for who shows another.
    // PROTOCOL 2.2
    pub(crate) fn check(
        &self,
        address: SocketAddr,
        shown: &[u8; COOKIE_BYTES],
    ) -> Result<(), [u8; COOKIE_BYTES]> {
        let given = cookie(&self.secrets[0], address);
        let right = bool::from(given.ct_eq(shown));
        let none = *shown == [0; COOKIE_BYTES];
        if right || (!none && cookie(&self.secrets[1], address).ct_eq(shown).into()) {
            Ok(())
        } else {
            Err(given)
        }
    }
}

fn draw(random: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill_bytes(&mut *secret);
    secret
}

// PROTOCOL 2.2
pub(crate) fn cookie(secret: &[u8; 32], address: SocketAddr) -> [u8; COOKIE_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => hasher.update(&[4]).update(&ip.octets()),
        IpAddr::V6(ip) => hasher.update(&[6]).update(&ip.octets()),
    };
    hasher.update(&address.port().to_le_bytes());
    let mut cookie = [0; COOKIE_BYTES];
    hasher.finalize_xof().fill(&mut cookie);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::time::Duration;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    impl Cookies {
        fn give(&self, address: SocketAddr) -> [u8; COOKIE_BYTES] {
            self.check(address, &[0; COOKIE_BYTES]).unwrap_err()
        }

        fn admits(&self, address: SocketAddr, shown: &[u8; COOKIE_BYTES]) -> bool {
            self.check(address, shown).is_ok()
        }
    }

    // PROTOCOL 2.2
    #[test]
    fn a_cookie_is_right_for_its_address_and_port_only() {
        let cookies = Cookies::new(Time::ZERO, &mut ChaCha20Rng::seed_from_u64(1));
        let cookie = cookies.give(at("192.0.2.1:7"));
        assert!(cookies.admits(at("192.0.2.1:7"), &cookie));
        assert!(cookies.admits(at("[::ffff:192.0.2.1]:7"), &cookie));
        for other in ["192.0.2.1:8", "192.0.2.2:7", "[2001:db8::1]:7"] {
            assert!(!cookies.admits(at(other), &cookie), "{other}");
        }
        for bit in 0..128 {
            let mut altered = cookie;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!cookies.admits(at("192.0.2.1:7"), &altered));
        }
    }

    // PROTOCOL 2.2
    #[test]
    fn a_cookie_lives_for_one_to_two_periods() {
        let mut random = ChaCha20Rng::seed_from_u64(2);
        for (given, asked, right) in [
            (0, 59, true),
            (0, 60, true),
            (59, 119, true),
            (0, 119, true),
            (0, 120, false),
            (59, 120, false),
            (60, 179, true),
            (0, 600, false),
        ] {
            let mut cookies = Cookies::new(Time::ZERO, &mut random);
            let at_second = |second| Time::ZERO + Duration::from_secs(second);
            cookies.rotate(at_second(given), &mut random);
            let cookie = cookies.give(at("192.0.2.1:7"));
            for second in given..=asked {
                cookies.rotate(at_second(second), &mut random);
            }
            assert_eq!(
                cookies.admits(at("192.0.2.1:7"), &cookie),
                right,
                "given at {given} s, shown at {asked} s"
            );
        }
    }
}
