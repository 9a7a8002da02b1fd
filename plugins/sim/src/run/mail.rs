//! Messages are written, delivered, compared.

use super::crowd::Crowd;
use super::hops::Hops;
use super::lost_links::LostLinks;
use super::{Action, Plan};
use crate::nodes;
use crate::scenario::Scenario;
use crate::stand_in::digest;
use crate::wire::Network;
use bytes::Bytes;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{App, Client, Items, Now, Reply, Ticket, Time, Virtual};
use dunlin_net::PeerId;
use dunlin_relay::{Card, Outbox, PacketId, State};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// A message of the scenario.
struct Letter {
    from: u32,
    to: u32,
    bytes: usize,
    sender_leaves: bool,
    /// When the sender's outbox took it.
    sent: Option<Time>,
    delivered: bool,
}

/// Copies at which a sender who leaves calls it stored, and how long it waits for them before it makes do with fewer.
const COPIES: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);
/// What did not hold is told so many times.
const VIOLATIONS_MAX: usize = 20;

#[derive(Default)]
pub(super) struct Mail {
    seed: u64,
    letters: Vec<Letter>,
    /// Letters of senders who are not online.
    waiting: BTreeMap<u32, Vec<u32>>,
    /// Senders who leave, and their letter.
    leavers: BTreeMap<u32, u32>,
    cards: BTreeMap<u32, String>,
    sending: Vec<(u32, Ticket)>,
    confirming: Vec<Ticket>,
    /// Who receives: the node's number, id and inbox.
    streams: BTreeMap<Entity, (u32, PeerId, Items)>,
    pub sent: u64,
    pub delivered: u64,
    pub hops: u64,
    pub waits_ms: Vec<u64>,
    pub violations: Vec<String>,
}

impl Mail {
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        crowd: &Crowd,
        plan: &mut Plan,
        random: &mut ChaCha8Rng,
    ) -> Mail {
        let mut mail = Mail {
            seed,
            ..Mail::default()
        };
        for traffic in &scenario.messages {
            let (senders, recipients) = (crowd.of(&traffic.from), crowd.of(&traffic.to));
            let until = traffic.until.unwrap_or(scenario.duration);
            let span = until.saturating_sub(scenario.warm_up).as_micros() as u64;
            for n in 0..traffic.count {
                let pick = |range: &std::ops::Range<u32>, lot: u64| {
                    range.start + (lot % u64::from(range.len() as u32)) as u32
                };
                let from = match traffic.sender_leaves {
                    true => senders.start + n as u32,
                    false => pick(&senders, random.next_u64()),
                };
                let mut to = pick(&recipients, random.next_u64());
                if to == from {
                    to = recipients.start + (to - recipients.start + 1) % recipients.len() as u32;
                }
                let at = scenario.warm_up + Duration::from_micros(random.next_u64() % span.max(1));
                let letter = mail.letters.len() as u32;
                if let Some(away) = traffic.to_away {
                    plan.add(
                        at.saturating_sub(Duration::from_secs(60)),
                        Action::Leave(to),
                    );
                    plan.add(at + away, Action::Return(to));
                }
                plan.add(at, Action::Send(letter));
                mail.letters.push(Letter {
                    from,
                    to,
                    bytes: traffic.bytes,
                    sender_leaves: traffic.sender_leaves,
                    sent: None,
                    delivered: false,
                });
            }
        }
        mail
    }

    /// What a letter says: its number, then as much as makes its length. No two are alike, and none is on a wire by chance.
    fn text(&self, letter: u32) -> String {
        let bytes = self.letters[letter as usize].bytes;
        let mut text = format!("{letter} {}", self.marker());
        while text.len() < bytes {
            text.push_str(" tea at four?");
        }
        text.truncate(bytes.max(letter.to_string().len()));
        text
    }

    /// In each letter that is long enough; 16 characters.
    pub(super) fn marker(&self) -> String {
        format!("{:016x}", digest(self.seed, b"marker"))
    }

    /// Writes a letter, or waits until its sender is there.
    pub(super) fn send(&mut self, letter: u32, crowd: &Crowd, client: &Client) {
        let Letter { from, to, .. } = self.letters[letter as usize];
        let member = &crowd.members[from as usize];
        let (Some(_), Some(id)) = (member.node, member.id) else {
            self.waiting.entry(from).or_default().push(letter);
            return;
        };
        let (seed, text) = (self.seed, self.text(letter));
        let card = self.cards.entry(to).or_insert_with(|| {
            let owner = nodes::identity(seed, to, false);
            let mailbox = nodes::mailbox(seed, to);
            let card = Card::new(&owner, mailbox.public(), &[], None);
            card.map(|card| card.to_string()).unwrap_or_default()
        });
        let params = json!({ "node": id.to_string(), "to": card, "text": text });
        self.sending
            .push((letter, client.call("relay.send", params, Bytes::new())));
    }

    /// Closes the inbox of a node that went.
    pub(super) fn close_streams(&mut self, crowd: &mut Crowd) {
        for node in std::mem::take(&mut crowd.departed) {
            self.streams.remove(&node);
        }
    }

    /// Opens the inbox of each who came online, and lets them write what waited.
    pub(super) fn open_streams(&mut self, crowd: &mut Crowd, client: &Client) {
        for number in std::mem::take(&mut crowd.arrived) {
            let member = &crowd.members[number as usize];
            let (Some(node), Some(id)) = (member.node, member.id) else {
                continue; // Gone again.
            };
            if crowd.takes_mail(number) {
                let items = client.open("relay.receive", json!({ "node": id.to_string() }));
                self.streams.insert(node, (number, id, items));
            }
            for letter in self.waiting.remove(&number).unwrap_or_default() {
                self.send(letter, crowd, client);
            }
        }
    }

    /// After each turn: what was taken by outboxes, and what came.
    pub(super) fn collect(&mut self, app: &mut App, client: &Client) {
        let now = app.world().resource::<Now>().time;
        self.collect_sent(now);
        let mut confirming = std::mem::take(&mut self.confirming);
        confirming.retain(|ticket| match ticket.take() {
            None => true,
            Some(answer) => {
                if let Err(error) = answer {
                    self.violate(now, &format!("a delivery could not be confirmed: {error}"));
                }
                false
            }
        });
        self.confirming.append(&mut confirming);
        let mut hops = app.world_mut().resource_mut::<Hops>();
        if hops.brought.is_empty() {
            return;
        }
        let mut brought = std::mem::take(&mut hops.brought);
        brought.sort_unstable();
        brought.dedup();
        for node in brought {
            while let Some((number, id, items)) = self.streams.get(&node)
                && let Some(item) = items.take()
            {
                self.receive(*number, *id, &item, app, client);
            }
        }
    }

    fn collect_sent(&mut self, now: Time) {
        let mut sending = std::mem::take(&mut self.sending);
        sending.retain(|(letter, ticket)| {
            let Some(answer) = ticket.take() else {
                return true;
            };
            match answer {
                Ok(_) => {
                    self.sent += 1;
                    let row = &mut self.letters[*letter as usize];
                    row.sent = Some(now);
                    if row.sender_leaves {
                        self.leavers.insert(row.from, *letter);
                    }
                }
                Err(error) => self.violate(now, &format!("a message was not taken: {error}")),
            }
            false
        });
        self.sending.append(&mut sending);
    }

    fn receive(&mut self, number: u32, id: PeerId, item: &Reply, app: &mut App, client: &Client) {
        let now = app.world().resource::<Now>().time;
        let text = String::from_utf8_lossy(&item.body).into_owned();
        let letter = text
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u32>().ok());
        let known = letter.filter(|letter| (*letter as usize) < self.letters.len());
        let Some(letter) = known else {
            return self.violate(now, &format!("node {number} got what nobody wrote: {text}"));
        };
        let (expected, row) = (self.text(letter), &mut self.letters[letter as usize]);
        let again = std::mem::replace(&mut row.delivered, true);
        let (to, sent) = (row.to, row.sent);
        let wrong = match (to == number, expected == text, again) {
            (false, ..) => Some("reached somebody else"),
            (_, false, _) => Some("arrived altered"),
            (.., true) => Some("was delivered twice"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return self.violate(now, &format!("message {letter} {wrong}"));
        }
        self.delivered += 1;
        let wait = sent.map_or(0, |sent| (now - sent).as_millis() as u64);
        self.waits_ms.push(wait);
        let packet = item.value["packet"]
            .as_str()
            .and_then(|id| id.parse::<PacketId>().ok());
        let world = app.world_mut();
        if let Some(packet) = packet {
            let hops = world.resource_mut::<Hops>().take(packet);
            self.hops += u64::from(hops.unwrap_or(0));
        }
        let sum = digest(1, &item.body);
        world
            .resource_mut::<Network>()
            .trace
            .note(now, number, item.body.len(), sum);
        let params = json!({ "node": id.to_string(), "id": item.value["id"] });
        self.confirming
            .push(client.call("relay.confirm", params, Bytes::new()));
    }

    /// Senders who leave do so once their message is stored.
    pub(super) fn watch_leavers(
        &mut self,
        sim: &mut Virtual,
        crowd: &mut Crowd,
        lost: &mut LostLinks,
    ) {
        let now = sim.now().time;
        let is_stored = |number: u32, letter: u32| {
            let node = crowd.members[number as usize].node?;
            let outbox = sim.app.world().get::<Outbox>(node)?;
            let (_, message) = outbox.messages().next()?;
            let waited = self.letters[letter as usize].sent.map(|sent| now - sent)?;
            match message.state() {
                State::Stored(copies) => Some(copies >= COPIES || waited >= PATIENCE),
                State::Delivered | State::Expired => Some(true),
                _ => Some(false),
            }
        };
        let ready: Vec<u32> = self
            .leavers
            .iter()
            .filter(|(number, letter)| is_stored(**number, **letter) == Some(true))
            .map(|(number, _)| *number)
            .collect();
        for number in ready {
            self.leavers.remove(&number);
            crowd.retire(number, sim, lost);
        }
    }

    pub(super) fn violate(&mut self, now: Time, what: &str) {
        if self.violations.len() < VIOLATIONS_MAX {
            let at = now - Time::ZERO;
            self.violations.push(format!("at {at:?}: {what}"));
        }
    }
}
