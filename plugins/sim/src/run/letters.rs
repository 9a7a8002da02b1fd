//! The messages of a scenario: who writes what to whom and when, and senders who leave once theirs is stored.

use super::crowd::Crowd;
use super::{Action, Plan};
use crate::scenario::{Scenario, Traffic};
use crate::sim::Sim;
use crate::sim::safety::Safety;
use crate::stand_in::digest;
use dunlin_relay::State;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// Copies at which a sender who leaves calls it stored, and how long it waits for them before it makes do with fewer.
const COPIES: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);
/// So long before a message is written its recipient goes, if it has to be away.
const AWAY_BEFORE: Duration = Duration::from_secs(60);

/// Of each message that is to be sent.
#[derive(Default)]
pub(super) struct Letters {
    /// By number of the letter: whether its sender leaves.
    leaves: Vec<bool>,
    /// Senders who leave, and their letter, once it was written.
    leavers: BTreeMap<u32, u32>,
    senders: Vec<u32>,
}

impl Letters {
    pub(super) fn new(
        scenario: &Scenario,
        sim: &mut Sim,
        crowd: &Crowd,
        plan: &mut Plan,
        random: &mut ChaCha8Rng,
    ) -> Letters {
        let mark = format!("{:016x}", digest(sim.seed.0, b"marker"));
        let world = sim.run.app.world_mut();
        world.resource_mut::<Safety>().mark(&mark);
        let mut letters = Letters::default();
        for traffic in &scenario.messages {
            let (senders, recipients) = (crowd.of(&traffic.from), crowd.of(&traffic.to));
            let until = traffic.until.unwrap_or(scenario.duration);
            let span = until.saturating_sub(scenario.warm_up).as_micros() as u64;
            for n in 0..traffic.count {
                let (from, to) = ends(traffic, n, &senders, &recipients, random);
                let at = scenario.warm_up + Duration::from_micros(random.next_u64() % span.max(1));
                let letter = letters.senders.len();
                let text = text(letter, &mark, traffic.bytes);
                let letter = sim.mail.write(from, to, text.into());
                if let Some(away) = traffic.to_away {
                    plan.add(at.saturating_sub(AWAY_BEFORE), Action::Leave(to));
                    plan.add(at + away, Action::Return(to));
                }
                plan.add(at, Action::Send(letter));
                letters.leaves.push(traffic.sender_leaves);
                letters.senders.push(from);
            }
        }
        letters
    }

    /// A letter's time has come.
    pub(super) fn send(&mut self, letter: u32, sim: &mut Sim) {
        if self.leaves[letter as usize] {
            self.leavers.insert(self.senders[letter as usize], letter);
        }
        sim.send_letter(letter);
    }

    /// Senders who leave do so once their message is stored.
    pub(super) fn watch_leavers(&mut self, sim: &mut Sim, crowd: &mut Crowd) {
        let now = sim.run.now().time;
        let is_stored = |letter: u32| {
            let Some(sent) = sim.mail.sent_at(letter) else {
                return false;
            };
            match sim.mail.state(letter, sim.run.app.world(), &sim.members) {
                State::Stored(copies) => copies >= COPIES || now - sent >= PATIENCE,
                State::Delivered | State::Expired => true,
                _ => false,
            }
        };
        let ready: Vec<u32> = self
            .leavers
            .iter()
            .filter(|(_, letter)| is_stored(**letter))
            .map(|(number, _)| *number)
            .collect();
        for number in ready {
            self.leavers.remove(&number);
            crowd.retire(number, sim);
        }
    }
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

/// What a letter says: its number and the mark, then as much as makes its length. No two are alike.
fn text(letter: usize, mark: &str, bytes: usize) -> String {
    let mut text = format!("{letter} {mark}");
    while text.len() < bytes {
        text.push_str(" tea at four?");
    }
    text.truncate(bytes.max(letter.to_string().len()));
    text
}
