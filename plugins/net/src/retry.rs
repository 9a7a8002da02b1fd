//! When to send again, and when to give up.

use crate::limits::{HANDSHAKE_AGE_MAX, HANDSHAKE_RETRY_FIRST, HANDSHAKE_RETRY_MAX};
use dunlin_engine::Time;
use std::time::Duration;

/// What a [`Retry`] says at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Wait,
    Send,
    GiveUp,
}

/// The schedule of a handshake's messages: the first leaves when it is made, the next are its business.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub started: Time,
    pub next: Time,
    wait: Duration,
}

impl Retry {
    pub(crate) fn new(now: Time) -> Retry {
        Retry {
            started: now,
            next: now + HANDSHAKE_RETRY_FIRST,
            wait: HANDSHAKE_RETRY_FIRST,
        }
    }

    pub(crate) fn age(&self, now: Time) -> Duration {
        now - self.started
    }

    pub(crate) fn on_time(&mut self, now: Time) -> Again {
        if now < self.next {
            return Again::Wait;
        }
        if now - self.started >= HANDSHAKE_AGE_MAX {
            return Again::GiveUp;
        }
        self.wait = (self.wait * 2).min(HANDSHAKE_RETRY_MAX);
        self.next = now + self.wait;
        Again::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_six_messages_leave_in_24_seconds() {
        let mut retry = Retry::new(Time::ZERO);
        let (mut sent, mut now) = (vec![Time::ZERO], Time::ZERO);
        while retry.on_time(now) != Again::GiveUp {
            now = retry.next;
            if now - Time::ZERO < HANDSHAKE_AGE_MAX {
                sent.push(now);
            }
        }
        let ms: Vec<u128> = sent
            .iter()
            .map(|at| (*at - Time::ZERO).as_millis())
            .collect();
        assert_eq!(ms[..6], [0, 250, 750, 1_750, 2_750, 3_750]);
        assert_eq!((ms.len(), ms[25]), (26, 23_750));
        assert!(now - Time::ZERO < HANDSHAKE_AGE_MAX + HANDSHAKE_RETRY_MAX);
    }
}
