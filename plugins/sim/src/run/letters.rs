//! The messages of a scenario: who writes what to whom and when, and senders who leave once theirs is stored.

use super::crowd::Crowd;
use super::{Action, Plan};
use crate::scenario::{Letter, Scenario};
use crate::sim::Sim;
use crate::sim::safety::Safety;
use dunlin_relay::State;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
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
        plan: &mut Plan,
        random: &mut ChaCha8Rng,
    ) -> Letters {
        let world = sim.run.app.world_mut();
        let mark = crate::scenario::letters::mark(sim.seed.0);
        world.resource_mut::<Safety>().mark(&mark);
        let mut letters = Letters::default();
        for planned in scenario.draw_letters(sim.seed.0, random) {
            let Letter { at, from, to, .. } = planned;
            let letter = sim.mail.write(from, to, planned.text.into());
            if let Some(away) = planned.to_away {
                plan.add(at.saturating_sub(AWAY_BEFORE), Action::Leave(to));
                plan.add(at + away, Action::Return(to));
            }
            plan.add(at, Action::Send(letter));
            letters.leaves.push(planned.sender_leaves);
            letters.senders.push(from);
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
