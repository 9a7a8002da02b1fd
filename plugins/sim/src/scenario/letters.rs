//! What a scenario's people write to each other: who to whom, when, and in which words.

use super::{Scenario, Traffic};
use crate::stand_in::digest;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::ops::Range;
use std::time::Duration;

/// A message that is to be sent. Nodes are numbered in the order of `[[nodes]]`, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// When, since the beginning.
    pub at: Duration,
    /// The sender's number.
    pub from: u32,
    /// The recipient's number.
    pub to: u32,
    /// What it says; no two say the same.
    pub text: String,
    /// As [`Traffic::sender_leaves`].
    pub sender_leaves: bool,
    /// As [`Traffic::to_away`].
    pub to_away: Option<Duration>,
}

impl Scenario {
    /// The numbers of a population; none if there is none of this name.
    #[must_use]
    pub fn numbers(&self, name: &str) -> Range<u32> {
        let mut first = 0;
        for population in &self.nodes {
            let past = first + population.count as u32;
            if population.name == name {
                return first..past;
            }
            first = past;
        }
        0..0
    }

    /// All messages of a run with this seed, in the order of `[[messages]]`.
    #[must_use]
    pub fn letters(&self, seed: u64) -> Vec<Letter> {
        self.draw_letters(seed, &mut plan(seed))
    }

    pub(crate) fn draw_letters(&self, seed: u64, random: &mut ChaCha8Rng) -> Vec<Letter> {
        let mark = mark(seed);
        let mut letters = Vec::new();
        for traffic in &self.messages {
            let (senders, recipients) = (self.numbers(&traffic.from), self.numbers(&traffic.to));
            let until = traffic.until.unwrap_or(self.duration);
            let span = until.saturating_sub(self.warm_up).as_micros() as u64;
            for n in 0..traffic.count {
                let (from, to) = ends(traffic, n, &senders, &recipients, random);
                letters.push(Letter {
                    at: self.warm_up + Duration::from_micros(random.next_u64() % span.max(1)),
                    from,
                    to,
                    text: text(letters.len(), &mark, traffic.bytes),
                    sender_leaves: traffic.sender_leaves,
                    to_away: traffic.to_away,
                });
            }
        }
        letters
    }
}

/// What is drawn for the plan of a run.
pub(crate) fn plan(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ PLAN_SALT)
}

const PLAN_SALT: u64 = 0x0070_6c61_6e00;

/// In each text that is long enough; 16 characters that are nowhere else.
pub(crate) fn mark(seed: u64) -> String {
    format!("{:016x}", digest(seed, b"marker"))
}

/// Who writes the `n`th message to whom: never to oneself.
fn ends(
    traffic: &Traffic,
    n: u64,
    senders: &Range<u32>,
    recipients: &Range<u32>,
    random: &mut ChaCha8Rng,
) -> (u32, u32) {
    let pick = |range: &Range<u32>, lot: u64| range.start + (lot % range.len() as u64) as u32;
    let from = match traffic.sender_leaves {
        true => senders.start + n as u32,
        false => pick(senders, random.next_u64()),
    };
    let mut to = pick(recipients, random.next_u64());
    if to == from {
        to = recipients.start + (to - recipients.start + 1) % recipients.len() as u32;
    }
    (from, to)
}

/// Its number and the mark, then as much as makes its length.
fn text(letter: usize, mark: &str, bytes: usize) -> String {
    let mut text = format!("{letter} {mark}");
    while text.len() < bytes {
        text.push_str(" tea at four?");
    }
    text.truncate(bytes.max(letter.to_string().len()));
    text
}
