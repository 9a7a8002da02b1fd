//! Whether the other side is still there. PROTOCOL 2.2, last paragraph.

use crate::limits::{ANSWER_MAX, KEEP_ALIVE, PROBE_WAITS, SILENCE_MAX};
use crate::moment::Moment;
use dunlin_engine::Time;
use std::time::Duration;

/// What a [`Pulse`] asks for at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Rest,
    Ping,
    Lost,
}

/// When a link last spoke and heard, and what follows from it. An idle link wakes its initiator once in 25 s for the PING, and once
/// more for the PONG.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    sent: Time,
    heard: Time,
    /// When the first thing that wants an answer left after `heard`.
    asked: Moment,
    /// PINGs without an answer so far.
    pings: u8,
    /// When to send the next or give up, if there are some.
    probe: Time,
    /// Whether an idle link is watched at all.
    keep_alive: bool,
}

impl Pulse {
    pub(crate) fn new(keep_alive: bool, now: Time) -> Pulse {
        Pulse {
            keep_alive,
            sent: now,
            heard: now,
            asked: Moment::NONE,
            pings: 0,
            probe: Time::ZERO,
        }
    }

    /// Something left. `wants_answer` is false for what only answers.
    pub(crate) fn on_sent(&mut self, wants_answer: bool, now: Time) {
        self.sent = now;
        if wants_answer && self.asked == Moment::NONE {
            self.asked = Moment::at(now);
        }
    }

    /// An authentic message came: any counts as an answer.
    pub(crate) fn on_heard(&mut self, now: Time) {
        self.heard = now;
        self.asked = Moment::NONE;
        self.pings = 0;
    }

    /// How long what wants an answer has had none.
    pub(crate) fn unanswered(&self, now: Time) -> Duration {
        self.asked.get().map_or(Duration::ZERO, |asked| now - asked)
    }

    /// How long the other side has said nothing.
    pub(crate) fn silence(&self, now: Time) -> Duration {
        now - self.heard
    }

    /// When to ask again. `initiator` says whether this side began the present session.
    pub(crate) fn deadline(&self, initiator: bool) -> Time {
        if self.pings > 0 {
            return self.probe;
        }
        let idle = match initiator {
            _ if !self.keep_alive => Time(u64::MAX),
            true => self.sent + KEEP_ALIVE,
            false => self.heard + SILENCE_MAX,
        };
        self.asked
            .get()
            .map_or(idle, |asked| idle.min(asked + ANSWER_MAX))
    }

    // PROTOCOL 2.2
    pub(crate) fn on_time(&mut self, initiator: bool, now: Time) -> Beat {
        if now < self.deadline(initiator) {
            return Beat::Rest;
        }
        let silent = self.keep_alive && !initiator && now >= self.heard + SILENCE_MAX;
        match PROBE_WAITS.get(usize::from(self.pings)) {
            Some(wait) if !silent => {
                self.pings += 1;
                self.probe = now + *wait;
                Beat::Ping
            }
            _ => Beat::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    fn run(
        pulse: &mut Pulse,
        initiator: bool,
        mut answer: impl FnMut(u64) -> bool,
    ) -> Vec<(u64, Beat)> {
        let mut beats = Vec::new();
        while beats.len() < 20 {
            let now = pulse.deadline(initiator);
            let beat = pulse.on_time(initiator, now);
            beats.push((now.0 / 1_000, beat));
            match beat {
                Beat::Lost => break,
                Beat::Ping => pulse.on_sent(true, now),
                Beat::Rest => {}
            }
            if answer(now.0 / 1_000) {
                pulse.on_heard(now + Duration::from_millis(10));
            }
        }
        beats
    }

    // PROTOCOL 2.2
    #[test]
    fn a_silent_peer_is_lost_after_ten_pings() {
        let beats = run(&mut Pulse::new(true, at(0)), true, |_| false);
        let ms = [
            25_000, 25_500, 26_000, 27_000, 28_000, 29_500, 31_500, 33_500, 35_500, 38_000,
        ];
        assert_eq!(beats[..10], ms.map(|ms| (ms, Beat::Ping)));
        assert_eq!(beats[10..], [(40_500, Beat::Lost)]);
    }

    // PROTOCOL 2.2
    #[test]
    fn one_answer_of_ten_is_enough_and_an_idle_link_pings_every_25_seconds() {
        let beats = run(&mut Pulse::new(true, at(0)), true, |ms| {
            ms == 38_000 || ms > 50_000
        });
        let after: Vec<u64> = beats[9..].iter().map(|(ms, _)| *ms).collect();
        assert_eq!(after[..4], [38_000, 63_000, 88_000, 113_000]);
        assert!(beats.iter().all(|(_, beat)| *beat == Beat::Ping));
    }

    // PROTOCOL 2.2
    #[test]
    fn the_responder_waits_for_60_seconds() {
        assert_eq!(
            run(&mut Pulse::new(true, at(0)), false, |_| false),
            [(60_000, Beat::Lost)]
        );
    }

    #[test]
    fn who_waits_for_an_answer_asks_after_ten_seconds_and_who_answers_does_not() {
        for initiator in [true, false] {
            let mut pulse = Pulse::new(true, at(0));
            pulse.on_sent(true, at(1_000));
            pulse.on_sent(true, at(9_000));
            assert_eq!(pulse.deadline(initiator), at(11_000));
            pulse.on_heard(at(10_000));
            pulse.on_sent(false, at(10_000));
            let idle = if initiator { 35_000 } else { 70_000 };
            assert_eq!(pulse.deadline(initiator), at(idle));
        }
    }
}
