//! Messages are written, delivered, compared with what was written, and confirmed.

use super::hops::Hops;
use super::members::Members;
use super::nodes;
use super::safety::Safety;
use crate::stand_in::digest;
use crate::wire::Network;
use bytes::Bytes;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{App, Client, Items, Now, Reply, Ticket, Time};
use dunlin_net::PeerId;
use dunlin_relay::{Card, MessageId, Outbox, OwnMessage, PacketId, State};
use serde_json::json;
use std::collections::BTreeMap;

/// A message that was written in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message(pub(crate) u32);

struct Letter {
    from: u32,
    to: u32,
    text: Box<str>,
    /// When the sender's outbox took it, and what it is called since.
    sent: Option<Time>,
    ids: Option<(MessageId, PacketId)>,
    /// As its sender last knew it, while online.
    last: State,
    delivered: bool,
}

#[derive(Default)]
pub(crate) struct Mail {
    letters: Vec<Letter>,
    by_id: BTreeMap<MessageId, u32>,
    /// Letters of senders who are not online.
    waiting: BTreeMap<u32, Vec<u32>>,
    cards: BTreeMap<u32, String>,
    sending: Vec<(u32, Ticket)>,
    confirming: Vec<Ticket>,
    /// Who receives: the node's number, id and inbox.
    streams: BTreeMap<Entity, (u32, PeerId, Items)>,
    /// Letters that each has read.
    read: BTreeMap<u32, Vec<u32>>,
    pub sent: u64,
    pub delivered: u64,
    pub hops: u64,
    pub waits_ms: Vec<u64>,
}

impl Mail {
    /// A letter that is not sent yet.
    pub(crate) fn write(&mut self, from: u32, to: u32, text: Box<str>) -> u32 {
        self.letters.push(Letter {
            from,
            to,
            text,
            sent: None,
            ids: None,
            last: State::Queued,
            delivered: false,
        });
        self.letters.len() as u32 - 1
    }

    /// When the sender's outbox took it.
    pub(crate) fn sent_at(&self, letter: u32) -> Option<Time> {
        self.letters[letter as usize].sent
    }

    pub(super) fn packet(&self, letter: u32) -> Option<PacketId> {
        self.letters[letter as usize].ids.map(|(_, packet)| packet)
    }

    pub(super) fn read_by(&self, number: u32) -> Vec<&str> {
        let read = self.read.get(&number).map_or(&[][..], Vec::as_slice);
        read.iter()
            .map(|letter| &*self.letters[*letter as usize].text)
            .collect()
    }

    /// For its sender, if that is online; else as it last was.
    pub(crate) fn state(&self, letter: u32, world: &World, members: &Members) -> State {
        let letter = &self.letters[letter as usize];
        let own = || -> Option<&OwnMessage> {
            let node = members.list[letter.from as usize].node?;
            world.get::<Outbox>(node)?.get(letter.ids?.0)
        };
        own().map_or(letter.last, OwnMessage::state)
    }

    /// Hands a letter to its sender's outbox, or keeps it until the sender is there.
    pub(super) fn send(&mut self, letter: u32, seed: u64, members: &Members, client: &Client) {
        let Letter { from, to, text, .. } = &self.letters[letter as usize];
        let member = &members.list[*from as usize];
        let (Some(_), Some(id)) = (member.node, member.id) else {
            self.waiting.entry(*from).or_default().push(letter);
            return;
        };
        let to = *to;
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

    /// Letters that waited for their sender.
    pub(super) fn take_waiting(&mut self, number: u32) -> Vec<u32> {
        self.waiting.remove(&number).unwrap_or_default()
    }

    /// Opens the inbox of somebody who came online.
    pub(super) fn open(&mut self, node: Entity, number: u32, id: PeerId, client: &Client) {
        let items = client.open("relay.receive", json!({ "node": id.to_string() }));
        self.streams.insert(node, (number, id, items));
    }

    /// Closes the inbox of a node that went.
    pub(super) fn close(&mut self, node: Entity) {
        self.streams.remove(&node);
    }

    /// Before somebody goes: how their messages stand.
    pub(super) fn remember(&mut self, outbox: &Outbox) {
        for (id, message) in outbox.messages() {
            if let Some(letter) = self.by_id.get(id) {
                self.letters[*letter as usize].last = message.state();
            }
        }
    }

    /// After each turn: what was taken by outboxes, and what came.
    pub(super) fn collect(&mut self, app: &mut App, client: &Client) {
        if !self.sending.is_empty() {
            self.collect_sent(app);
        }
        self.collect_confirmed(app);
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

    fn collect_confirmed(&mut self, app: &mut App) {
        self.confirming.retain(|ticket| match ticket.take() {
            None => true,
            Some(answer) => {
                if let Err(error) = answer {
                    violate(app, &format!("a delivery could not be confirmed: {error}"));
                }
                false
            }
        });
    }

    fn collect_sent(&mut self, app: &mut App) {
        let now = app.world().resource::<Now>().time;
        let mut sending = std::mem::take(&mut self.sending);
        sending.retain(|(letter, ticket)| {
            let Some(answer) = ticket.take() else {
                return true;
            };
            let row = &mut self.letters[*letter as usize];
            match answer.as_ref().map(|answer| ids(&answer.value)) {
                Ok(Some(ids)) => {
                    self.sent += 1;
                    (row.sent, row.ids) = (Some(now), Some(ids));
                    self.by_id.insert(ids.0, *letter);
                }
                Ok(None) => violate(app, "relay.send answered without an id"),
                Err(error) => violate(app, &format!("a message was not taken: {error}")),
            }
            false
        });
        self.sending.append(&mut sending);
    }

    fn receive(&mut self, number: u32, id: PeerId, item: &Reply, app: &mut App, client: &Client) {
        let now = app.world().resource::<Now>().time;
        let message = item.value["id"].as_str().and_then(|id| id.parse().ok());
        let Some(letter) = message.and_then(|id: MessageId| self.by_id.get(&id).copied()) else {
            let text = String::from_utf8_lossy(&item.body);
            return violate(app, &format!("node {number} got what nobody wrote: {text}"));
        };
        let row = &mut self.letters[letter as usize];
        let again = std::mem::replace(&mut row.delivered, true);
        let same = row.text.as_bytes() == &item.body[..];
        let (to, sent) = (row.to, row.sent);
        let wrong = match (to == number, same, again) {
            (false, ..) => Some("reached somebody else"),
            (_, false, _) => Some("arrived altered"),
            (.., true) => Some("was delivered twice"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return violate(app, &format!("message {letter} {wrong}"));
        }
        self.delivered += 1;
        self.read.entry(number).or_default().push(letter);
        let wait = sent.map_or(0, |sent| (now - sent).as_millis() as u64);
        self.waits_ms.push(wait);
        let world = app.world_mut();
        if let Some((_, packet)) = ids(&item.value) {
            let hops = world.resource_mut::<Hops>().take(packet);
            self.hops += u64::from(hops.unwrap_or(0));
        }
        let sum = digest(1, &item.body);
        let mut network = world.resource_mut::<Network>();
        network.trace.note(now, number, item.body.len(), sum);
        let params = json!({ "node": id.to_string(), "id": item.value["id"] });
        self.confirming
            .push(client.call("relay.confirm", params, Bytes::new()));
    }
}

/// What a message and its packet are called, as `relay.send` and `relay.receive` tell it.
fn ids(told: &serde_json::Value) -> Option<(MessageId, PacketId)> {
    let id = |key: &str| told[key].as_str();
    Some((id("id")?.parse().ok()?, id("packet")?.parse().ok()?))
}

fn violate(app: &mut App, what: &str) {
    let now = app.world().resource::<Now>().time;
    app.world_mut().resource_mut::<Safety>().violate(now, what);
}
