//! Sending: a message is sealed, kept until it is delivered or expired, and placed. The call `relay.send`; in `Deliver`, sets
//! `RelaySystems::Settle` and `RelaySystems::Plan`.

use crate::card::Card;
use crate::carriers::at_work;
use crate::drops::{DropReason, Drops};
use crate::errands::Errands;
use crate::frames::Frame;
use crate::head::{BadHead, Head, Kind};
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::limits::{EXPIRY_HOURS_MAX, MESSAGE_BYTES_MAX, PART_PLACES};
use crate::manifest::Manifest;
use crate::messages::{ErrandDone, Work};
use crate::nodes::{NodeName, Nodes, failed, refused};
use crate::outbox::Outbox;
use crate::outbox_answers::Word;
use crate::outbox_disk;
use crate::pack::{self, Packing};
use crate::packet::MessageId;
use crate::placement::nearest;
use crate::prekey_search::PrekeyBook;
use crate::receipts::Receipts;
use crate::seal::SealError;
use crate::task::Task;
use crate::unsealed::{self, Unsealed};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, ClockError, Now, Params, Random, Time};
use dunlin_net::{AddressBook, PeerId};
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
    /// Sealed to a key of the recipient's that is erased in days; else to that of the identity: no other was to be found.
    pub(crate) forward_secret: bool,
}

type Sender<'a> = (
    &'a Outbox,
    &'a mut PrekeyBook,
    &'a mut Random,
    &'a mut AddressBook,
    Option<&'a ClockError>,
);

/// A file if it has a name, else text. Answers once the message is sealed and, if the node has a folder for it, on disk.
pub(crate) fn call_send(
    In(call): In<Call<SendParams>>,
    names: Nodes,
    mut nodes: Query<Sender>,
    (packings, waiting): (Query<&Packing>, Query<&Unsealed>),
    now: Res<Now>,
    mut work: MessageWriter<Work>,
    mut commands: Commands,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let SendParams {
        to,
        text,
        name,
        hours,
        ..
    } = &call.params;
    let (name, text) = (name.clone(), text.clone());
    let (outbox, mut prekeys, mut random, mut book, clock) =
        nodes.get_mut(node).map_err(|error| failed(&error))?;
    let card: Card = to.parse().map_err(|error| refused("card", &error))?;
    let expiry_hours = hours.unwrap_or(EXPIRY_HOURS_MAX);
    if !(1..=EXPIRY_HOURS_MAX).contains(&expiry_hours) {
        return Err(refused("message", &SealError::Expiry(expiry_hours)));
    }
    let body = text.map_or_else(|| call.body.clone(), Bytes::from);
    check(name.clone(), &body).map_err(|error| refused("message", &error))?;
    let unsealed = pack::room(&packings, node)? + unsealed::room(&waiting, node)?;
    outbox
        .has_room(unsealed + body.len())
        .map_err(|error| refused("full", &error))?;
    for address in card.addresses() {
        book.note(card.id(), *address, &mut random.0);
    }
    let day = day_of(now.unix_ms_of(clock));
    if prekeys.of(&card.id(), day, now.time).is_none() {
        prekeys.search(card.id(), card.mailbox(), day, now.time);
    }
    commands.spawn(Unsealed {
        node,
        card,
        name,
        body,
        expiry_hours,
        answer: Some(call.later()),
    });
    work.write(Work { node });
    Ok(Answer::Later)
}

/// Once the sender has the secret too, it ends the copies that the recipient does not know of.
// PROTOCOL 4.3
pub(crate) fn end_copies(
    outbox: &Outbox,
    message: MessageId,
    receipts: &mut Receipts,
    carriers: &Carriers,
    now: Time,
) {
    let Some((message, proof)) = outbox
        .get(message)
        .and_then(|message| Some((message, message.proof()?)))
    else {
        return;
    };
    let is_part = message.is_part();
    for (id, tag, secret, holders) in message.ends(proof) {
        // Of content the recipient tells those where each packet belongs, and that is enough to do.
        let near = match is_part {
            true => nearest(tag, carriers.list(), PART_PLACES),
            false => Vec::new(),
        };
        let near: BTreeSet<PeerId> = near.iter().map(|carrier| carrier.id).collect();
        let holders = holders.filter(|holder| !near.contains(holder));
        receipts.tell((id, is_part), &secret, holders, now);
    }
}

/// Whether it can be sent at all: what is wrong is said at once.
fn check(name: Option<String>, body: &[u8]) -> Result<(), BadHead> {
    if body.len() > MESSAGE_BYTES_MAX {
        return Manifest::of(name, 0, body).map(drop);
    }
    let head = Head {
        kind: name.map_or(Kind::Text, Kind::File),
        sent_at_ms: 0,
        message: body.to_vec(),
    };
    head.encode().map(drop)
}

pub(crate) fn not_kept(dir: &std::path::Path, error: &std::io::Error) -> CallError {
    let text = format!(
        "the message was not sent, since it cannot be kept in {}: {error}",
        dir.display()
    );
    CallError::new("disk", text)
}

pub(crate) fn forget(dir: &std::path::Path, id: MessageId) {
    if let Err(error) = outbox_disk::remove(dir, id) {
        tracing::error!(%error, %id, "the file of a message that ended long ago stays");
    }
}

type Settler<'a> = (
    &'a mut Outbox,
    &'a mut Errands,
    &'a mut Receipts,
    &'a Carriers,
    &'a mut Drops,
    &'a mut PrekeyBook,
    Option<&'a ClockError>,
);

pub(crate) fn settle_sent(
    mut ended: MessageReader<ErrandDone>,
    mut nodes: Query<Settler>,
    now: Res<Now>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Ok((mut outbox, mut errands, mut receipts, carriers, mut drops, mut prekeys, clock)) =
            nodes.get_mut(*node)
        else {
            continue;
        };
        let (carrier, answer) = (done.carrier, done.answer.clone());
        match &done.task {
            Task::Deposit {
                message, packet, ..
            } => {
                let address = carriers.address(&carrier);
                let id = packet.id();
                if answer.is_none() && done.asked {
                    outbox.doubt(*message, id, carrier);
                }
                let next = outbox.deposited(*message, id, carrier, address, answer, now.time);
                if let Some(task) = next {
                    errands.add(carrier, task, now.time);
                }
            }
            Task::Ask { message, id, .. } => {
                let word = outbox.answered(*message, *id, carrier, answer, now.time);
                if word == Word::Forged {
                    drops.count(DropReason::ProofForged);
                }
                end_copies(&outbox, *message, &mut receipts, carriers, now.time);
            }
            Task::Prekeys { of, token, .. } => {
                let day = day_of(now.unix_ms_of(clock));
                let found = answer.as_ref().and_then(Frame::fetched);
                if let Some(after) = prekeys.found((of, carrier), found, day, now.time) {
                    let (of, token) = (*of, *token);
                    errands.add(carrier, Task::Prekeys { of, token, after }, now.time);
                }
            }
            Task::Fetch { .. }
            | Task::Look { .. }
            | Task::Find { .. }
            | Task::Count { .. }
            | Task::HandOver { .. }
            | Task::List { .. }
            | Task::Pull { .. }
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
