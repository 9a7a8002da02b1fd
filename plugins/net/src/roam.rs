//! A peer whose address changed, and a stranger who only says so. PROTOCOL 2.2.

use dunlin_engine::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of a datagram that holds one PING.
pub(crate) const PING_DATAGRAM_BYTES: u64 = 16 + 3 + 4 + 16;
const WAIT: Duration = Duration::from_millis(250); // guess

/// An address from which fresh messages of a link came, and that has not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roam {
    pub to: SocketAddr,
    /// The id of the PING that it must answer.
    pub ping: u32,
    came: u64,
    sent: u64,
    next: Time,
}

impl Roam {
    pub(crate) fn new(to: SocketAddr, ping: u32, now: Time) -> Roam {
        Roam {
            to,
            ping,
            came: 0,
            sent: 0,
            next: now,
        }
    }

    /// Counts what came; says whether a PING may and should go there: never more bytes than came.
    // PROTOCOL 2.2
    #[must_use]
    pub(crate) fn came(&mut self, bytes: usize, now: Time) -> bool {
        self.came += bytes as u64;
        let ask = now >= self.next && self.sent + PING_DATAGRAM_BYTES <= self.came;
        if ask {
            self.sent += PING_DATAGRAM_BYTES;
            self.next = now + WAIT;
        }
        ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PROTOCOL 2.2
    #[test]
    fn no_more_goes_to_a_new_address_than_came_from_it() {
        let to = "192.0.2.1:9".parse().unwrap();
        let mut roam = Roam::new(to, 7, Time::ZERO);
        let (mut came, mut sent) = (0, 0);
        for step in 0..1_000_u64 {
            let bytes = 32 + (step * 7 % 40) as usize;
            came += bytes as u64;
            if roam.came(bytes, Time(step * 100_000)) {
                sent += PING_DATAGRAM_BYTES;
            }
            assert!(sent <= came, "step {step}");
        }
        assert!(sent > 0);
        assert!(!Roam::new(to, 7, Time::ZERO).came(38, Time::ZERO));
        assert!(Roam::new(to, 7, Time::ZERO).came(39, Time::ZERO));
    }
}
