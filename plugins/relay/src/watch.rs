//! Where own messages stand, told and written down: the call `relay.outbox`, the stream `relay.watch`.

use crate::carriers::at_work;
use crate::errands::Errands;
use crate::listeners::{Watchers, Watches};
use crate::messages::Work;
use crate::nodes::{NodeParams, Nodes, failed};
use crate::outbox::Outbox;
use crate::outbox_disk;
use crate::own_message::{OwnMessage, State};
use crate::packet::MessageId;
use crate::send::forget;
use crate::settings::RelaySettings;
use crate::task::Task;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Answer, Call, CallError, Open, Reply, Sink};
use serde::Serialize;
use std::collections::BTreeSet;

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
    /// Of larger content.
    #[serde(flatten)]
    parts: Option<ToldParts>,
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

/// How many parts there are, how many of them lie with somebody or have arrived, and how many have arrived.
#[derive(Serialize)]
struct ToldParts {
    parts: usize,
    parts_stored: usize,
    parts_delivered: usize,
}

#[derive(Serialize)]
struct ToldCarrier {
    id: String,
    address: String,
}

impl Told {
    fn of(id: MessageId, message: &OwnMessage, outbox: &Outbox) -> Told {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let carrier = |(id, address): (&dunlin_net::PeerId, &std::net::SocketAddr)| ToldCarrier {
            id: id.to_string(),
            address: address.to_string(),
        };
        let state = outbox.state(id).unwrap_or(State::Queued);
        let parts = |[parts, parts_stored, parts_delivered]: [usize; 3]| ToldParts {
            parts,
            parts_stored,
            parts_delivered,
        };
        Told {
            parts: outbox.progress(id).map(parts),
            id: id.to_string(),
            to: match message.room() {
                Some(room) => room.to_string(),
                None => message.to().to_string(),
            },
            room: message.room().map(|room| room.to_string()),
            state: match state {
                State::Queued => "queued",
                State::Sent => "sent",
                State::Stored(_) => "stored",
                State::Delivered => "delivered",
                State::Expired => "expired",
            },
            stored: match state {
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

pub(crate) fn call_outbox(
    In(call): In<Call<NodeParams>>,
    names: Nodes,
    nodes: Query<&Outbox>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let outbox = nodes.get(node).map_err(|error| failed(&error))?;
    let mut told: Vec<Told> = outbox
        .messages()
        .map(|(id, message)| Told::of(*id, message, outbox))
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
        let gone = outbox.take_gone();
        if let Some(dir) = &settings.outbox {
            gone.iter().for_each(|part| forget(dir, *part));
        }
        let changed = outbox.take_changed();
        let ended = |id: &MessageId| outbox.get(*id).is_none_or(OwnMessage::has_ended);
        let over: BTreeSet<MessageId> = changed.iter().copied().filter(ended).chain(gone).collect();
        if !over.is_empty() {
            errands.cancel(|task| {
                matches!(task, Task::Deposit { message, .. } | Task::Ask { message, .. } if over.contains(message))
            });
        }
        for id in outbox.take_unsaved() {
            let Some(message) = outbox.get(id) else {
                continue;
            };
            // What is lost here is asked for again after a restart; the message itself was on disk before it left.
            if let Some(dir) = &settings.outbox
                && let Err(error) = outbox_disk::save(dir, id, message)
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
                    Some(message) => Reply::of(Told::of(id, message, &outbox)),
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
