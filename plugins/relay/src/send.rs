//! Sending: a message is sealed, kept until it is delivered or expired, and watched on its way. The calls `relay.send` and
//! `relay.outbox`, the stream `relay.watch`; in `Deliver`, sets `RelaySystems::Settle` and `RelaySystems::Plan`.

use crate::card::Card;
use crate::carriers::{Carriers, at_work};
use crate::drops::{DropReason, Drops};
use crate::errands::Errands;
use crate::head::{Head, Kind};
use crate::life::day_of;
use crate::limits::EXPIRY_HOURS_MAX;
use crate::listeners::{Watchers, Watches};
use crate::messages::{ErrandDone, Work};
use crate::nodes::{NodeName, Nodes, failed, refused};
use crate::outbox::{Outbox, Word};
use crate::outbox_disk;
use crate::own_message::{OwnMessage, OwnPacket, State};
use crate::packet::MessageId;
use crate::receipts::Receipts;
use crate::seal::{Envelope, seal};
use crate::settings::RelaySettings;
use crate::task::Task;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Answer, Call, CallError, ClockError, Now, Open, Params, Random, Reply, Sink};
use dunlin_net::{AddressBook, Identity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What `relay.send` takes; the message is the call's body, or `text`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendParams {
    to: String,
    text: Option<String>,
    name: Option<String>,
    hours: Option<u16>,
    #[serde(default)]
    node: NodeName,
}

impl Params for SendParams {}

#[derive(Serialize)]
pub(crate) struct SentReply {
    pub(crate) id: String,
    pub(crate) packet: String,
    pub(crate) bytes: usize,
}

type Sender<'a> = (
    &'a Identity,
    &'a RelaySettings,
    &'a mut Outbox,
    &'a mut Random,
    &'a mut AddressBook,
    Option<&'a ClockError>,
);

/// A file if it has a name, else text. Answers once the message is sealed and, if the node has a folder for it, on disk.
pub(crate) fn call_send(
    In(call): In<Call<SendParams>>,
    names: Nodes,
    mut nodes: Query<Sender>,
    now: Res<Now>,
    mut work: MessageWriter<Work>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let SendParams {
        to,
        text,
        name,
        hours,
        ..
    } = call.params;
    let (identity, settings, mut outbox, mut random, mut book, clock) =
        nodes.get_mut(node).map_err(|error| failed(&error))?;
    let card: Card = to.parse().map_err(|error| refused("card", &error))?;
    outbox.has_room().map_err(|error| refused("full", &error))?;
    let unix_ms = now.unix_ms_of(clock);
    let day = day_of(unix_ms);
    let head = Head {
        kind: name.map_or(Kind::Text, Kind::File),
        sent_at_ms: unix_ms,
        message: text.map_or_else(|| call.body.to_vec(), String::into_bytes),
    };
    let envelope = Envelope {
        tag: card.mailbox().tag(day),
        day,
        expiry_hours: hours.unwrap_or(EXPIRY_HOURS_MAX),
    };
    let sealed = seal(identity, &card.id(), envelope, &head, &mut random.0)
        .map_err(|error| refused("message", &error))?;
    let packet = sealed.packet.id().to_string();
    let mut parts = vec![OwnPacket::new(sealed.packet, now.time)];
    parts.extend(
        sealed
            .fragments
            .into_iter()
            .map(|(packet, secret)| OwnPacket {
                secret: Some(secret),
                ..OwnPacket::new(packet, now.time)
            }),
    );
    let message = OwnMessage::new(card.id(), parts, unix_ms, now.time);
    let bytes = message.bytes();
    if let Some(dir) = &settings.outbox {
        outbox_disk::save(dir, sealed.message, &message).map_err(|error| {
            let text = format!(
                "the message was not sent, since it cannot be kept in {}: {error}",
                dir.display()
            );
            CallError::new("disk", text)
        })?;
        if let Some(oldest) = outbox.add(sealed.message, message) {
            forget(dir, oldest);
        }
    } else {
        outbox.add(sealed.message, message);
    }
    for address in card.addresses() {
        book.note(card.id(), *address, &mut random.0);
    }
    work.write(Work { node });
    let id = sealed.message.to_string();
    Answer::of(SentReply { id, packet, bytes })
}

pub(crate) fn forget(dir: &std::path::Path, id: MessageId) {
    if let Err(error) = outbox_disk::remove(dir, id) {
        tracing::error!(%error, %id, "the file of a message that ended long ago stays");
    }
}

/// Where a message of our own stands, as `relay.outbox` and `relay.watch` tell it.
#[derive(Serialize)]
struct Told {
    id: String,
    /// A person's id or, as below, a room's.
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    state: &'static str,
    stored: usize,
    carriers: Vec<ToldCarrier>,
    packet: String,
    /// Its head and fragments, and how many of them lie with somebody.
    packets: usize,
    packets_stored: usize,
    created_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    /// The hash that the proof is the secret of, so that whoever likes can check it.
    delete_hash: String,
}

/// What `relay.watch` tells of a message that was cancelled, or had to make room long after it ended.
#[derive(Serialize)]
struct Gone {
    id: String,
    state: &'static str,
}

impl Gone {
    fn of(id: MessageId) -> Gone {
        Gone {
            id: id.to_string(),
            state: "gone",
        }
    }
}

#[derive(Serialize)]
struct ToldCarrier {
    id: String,
    address: String,
}

impl Told {
    fn of(id: MessageId, message: &OwnMessage) -> Told {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let carrier = |(id, address): (&dunlin_net::PeerId, &std::net::SocketAddr)| ToldCarrier {
            id: id.to_string(),
            address: address.to_string(),
        };
        Told {
            id: id.to_string(),
            to: match message.room() {
                Some(room) => room.to_string(),
                None => message.to().to_string(),
            },
            room: message.room().map(|room| room.to_string()),
            state: match message.state() {
                State::Queued => "queued",
                State::Sent => "sent",
                State::Stored(_) => "stored",
                State::Delivered => "delivered",
                State::Expired => "expired",
            },
            stored: match message.state() {
                State::Stored(copies) => copies,
                _ => message.stored().len(),
            },
            carriers: message.stored().iter().map(carrier).collect(),
            packet: message.packet_id().to_string(),
            packets: message.packets(),
            packets_stored: message.packets_stored(),
            created_ms: message.created_ms(),
            proof: message.proof().map(|secret| hex(secret.as_bytes())),
            delete_hash: hex(&message.delete_hash()),
        }
    }
}

/// What calls about a whole node take.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeParams {
    #[serde(default)]
    pub(crate) node: NodeName,
}

impl Params for NodeParams {}

pub(crate) fn call_outbox(
    In(call): In<Call<NodeParams>>,
    names: Nodes,
    nodes: Query<&Outbox>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let outbox = nodes.get(node).map_err(|error| failed(&error))?;
    let mut told: Vec<Told> = outbox
        .messages()
        .map(|(id, message)| Told::of(*id, message))
        .collect();
    told.sort_by_key(|told| told.created_ms);
    Answer::of(told)
}

/// On a subscription, beside [`Watches`]: of which messages it does not know the latest.
#[derive(Component)]
pub(crate) struct Watcher {
    sink: Sink,
    behind: BTreeSet<MessageId>,
}

pub(crate) fn open_watch(
    In(open): In<Open<NodeParams>>,
    names: Nodes,
    nodes: Query<&Outbox>,
    mut work: MessageWriter<Work>,
    mut commands: Commands,
) -> Result<(), CallError> {
    let node = names.find(&open.params.node)?;
    let outbox = nodes.get(node).map_err(|error| failed(&error))?;
    let behind = outbox.messages().map(|(id, _)| *id).collect();
    let watcher = Watcher {
        sink: open.sink,
        behind,
    };
    let subscription = (watcher, Watches(node));
    commands.entity(open.subscription).insert(subscription);
    work.write(Work { node });
    Ok(())
}

type Settler<'a> = (
    &'a mut Outbox,
    &'a mut Errands,
    &'a mut Receipts,
    &'a Carriers,
    &'a mut Drops,
);

pub(crate) fn settle_sent(
    mut ended: MessageReader<ErrandDone>,
    mut nodes: Query<Settler>,
    now: Res<Now>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Ok((mut outbox, mut errands, mut receipts, carriers, mut drops)) = nodes.get_mut(*node)
        else {
            continue;
        };
        let (carrier, answer) = (done.carrier, done.answer.clone());
        match &done.task {
            Task::Deposit { message, packet } => {
                let address = carriers.address(&carrier);
                let id = packet.id();
                let next = outbox.deposited(*message, id, carrier, address, answer, now.time);
                if let Some(task) = next {
                    errands.add(carrier, task, now.time);
                }
            }
            Task::Ask { message, id } => {
                let word = outbox.answered(*message, *id, carrier, answer, now.time);
                if word == Word::Forged {
                    drops.count(DropReason::ProofForged);
                }
                // The sender has the secret too now, and ends the copies that the recipient does not know of.
                if let Some(message) = outbox.get(*message)
                    && let Some(secret) = message.proof()
                {
                    for (id, secret, holders) in message.ends(secret) {
                        receipts.tell(id, &secret, holders, now.time);
                    }
                }
            }
            Task::Fetch { .. }
            | Task::Look { .. }
            | Task::Count { .. }
            | Task::HandOver { .. }
            | Task::Subscribe { .. }
            | Task::Lane { .. }
            | Task::Attend { .. }
            | Task::Receipt { .. } => {}
        }
    }
}

type Placer<'a> = (
    &'a mut Outbox,
    &'a mut Errands,
    &'a Carriers,
    Option<&'a ClockError>,
);

pub(crate) fn place_sent(mut work: MessageReader<Work>, mut nodes: Query<Placer>, now: Res<Now>) {
    for node in at_work(&mut work) {
        let Ok((mut outbox, mut errands, carriers, clock)) = nodes.get_mut(node) else {
            continue;
        };
        let unix_ms = now.unix_ms_of(clock);
        let may_reach = |carrier: &_| errands.may_reach(carrier, now.time);
        let tasks = outbox.poll(now.time, unix_ms, carriers.list(), may_reach);
        for (carrier, task) in tasks {
            errands.add(carrier, task, now.time);
        }
    }
}

type Teller<'a> = (
    &'a mut Outbox,
    &'a mut Errands,
    &'a RelaySettings,
    Option<&'a Watchers>,
);

/// Writes down what changed, and tells who watches. After `run_errands`, which sees copies leave.
pub(crate) fn tell_watchers(
    mut work: MessageReader<Work>,
    mut nodes: Query<Teller>,
    mut watchers: Query<&mut Watcher>,
) {
    for node in at_work(&mut work) {
        let Ok((mut outbox, mut errands, settings, watching)) = nodes.get_mut(node) else {
            continue;
        };
        let changed = outbox.take_changed();
        for id in &changed {
            let Some(message) = outbox.get(*id) else {
                continue;
            };
            if message.has_ended() {
                errands.cancel(|task| {
                    matches!(task, Task::Deposit { message, .. } | Task::Ask { message, .. } if message == id)
                });
            }
            // What is lost here is asked for again after a restart; the message itself was on disk before it left.
            if let Some(dir) = &settings.outbox
                && let Err(error) = outbox_disk::save(dir, *id, message)
            {
                tracing::error!(%error, %id, "the state of a message is not on disk");
            }
        }
        for watcher in watching.into_iter().flat_map(|watching| watching.iter()) {
            let Ok(mut watcher) = watchers.get_mut(watcher) else {
                continue;
            };
            watcher.behind.extend(&changed);
            while let Some(id) = watcher.behind.pop_first() {
                let told = match outbox.get(id) {
                    Some(message) => Reply::of(Told::of(id, message)),
                    None => Reply::of(Gone::of(id)),
                };
                let told = told.unwrap_or_default();
                if watcher.sink.send(told).is_err() {
                    // It has not kept up. It hears the latest of each message once it does.
                    watcher.behind.insert(id);
                    break;
                }
            }
        }
    }
}
