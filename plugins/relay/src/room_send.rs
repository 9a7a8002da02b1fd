//! Making rooms and writing to them: the calls `room.new` and `room.send`. What was written goes the way of other own messages
//! (`send`, `outbox`), is never delivered, and ends by expiry or because its author cancels it.

use crate::head::{Head, Kind};
use crate::life::day_of;
use crate::limits::{EXPIRY_HOURS_MAX, ROOM_LANES};
use crate::messages::Work;
use crate::nodes::{NodeName, Nodes, failed, refused};
use crate::outbox::Outbox;
use crate::outbox_disk;
use crate::own_message::OwnMessage;
use crate::own_packet::OwnPacket;
use crate::room::Room;
use crate::room_seal::seal_for_room;
use crate::seal::Envelope;
use crate::send::{SentReply, forget, not_kept};
use crate::settings::RelaySettings;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, ClockError, Now, Params, Random};
use dunlin_net::Identity;
use rand_core::Rng;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

/// A room, as calls name it: by its invitation.
pub(crate) struct Invitation(pub(crate) Zeroizing<String>);

impl<'de> Deserialize<'de> for Invitation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Invitation {
    pub(crate) fn room(&self) -> Result<Room, CallError> {
        self.0.parse().map_err(|error| refused("room", &error))
    }
}

/// What `room.new` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewParams {
    name: String,
    #[serde(default)]
    node: NodeName,
}

impl Params for NewParams {}

#[derive(Serialize)]
struct NewReply<'a> {
    room: String,
    name: &'a str,
    invitation: &'a str,
}

/// Nothing of it is kept here: the application has the invitation, and shows it with each call.
pub(crate) fn call_new(
    In(call): In<Call<NewParams>>,
    names: Nodes,
    mut nodes: Query<&mut Random>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let mut random = nodes.get_mut(node).map_err(|error| failed(&error))?;
    let room = Room::generate(&call.params.name, &mut random.0);
    let room = room.map_err(|error| refused("name", &error))?;
    Answer::of(NewReply {
        room: room.id().to_string(),
        name: room.name(),
        invitation: &room.invitation(),
    })
}

/// What `room.send` takes; the message is the call's body, or `text`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomSendParams {
    room: Invitation,
    text: Option<String>,
    name: Option<String>,
    hours: Option<u16>,
    #[serde(default)]
    node: NodeName,
}

impl Params for RoomSendParams {}

type Author<'a> = (
    &'a Identity,
    &'a RelaySettings,
    &'a mut Outbox,
    &'a mut Random,
    Option<&'a ClockError>,
);

/// A file if it has a name, else text. Answers once the message is sealed and, if the node has a folder for it, on disk.
// PROTOCOL 4.6
pub(crate) fn call_send(
    In(call): In<Call<RoomSendParams>>,
    names: Nodes,
    mut nodes: Query<Author>,
    now: Res<Now>,
    mut work: MessageWriter<Work>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let room = call.params.room.room()?;
    let RoomSendParams {
        text, name, hours, ..
    } = call.params;
    let (identity, settings, mut outbox, mut random, clock) =
        nodes.get_mut(node).map_err(|error| failed(&error))?;
    let unix_ms = now.unix_ms_of(clock);
    let day = day_of(unix_ms);
    let head = Head {
        kind: name.map_or(Kind::Text, Kind::File),
        sent_at_ms: unix_ms,
        message: text.map_or_else(|| call.body.to_vec(), String::into_bytes),
    };
    // Any will do; chance spreads a room over carriers.
    let lane = random.0.next_u32() as u8 % ROOM_LANES;
    let envelope = Envelope {
        tag: room.tag(day, lane),
        day,
        expiry_hours: hours.unwrap_or(EXPIRY_HOURS_MAX),
    };
    let made = seal_for_room(identity, &room, envelope, &head, &mut random.0)
        .map_err(|error| refused("message", &error))?;
    let id = made.sealed.message;
    let head = (made.sealed.packet, made.secret);
    let parts = std::iter::once(head).chain(made.sealed.fragments);
    let part = |(packet, secret)| OwnPacket {
        secret: Some(secret),
        ..OwnPacket::new(packet, now.time)
    };
    let parts = parts.map(part).collect();
    let message = OwnMessage::to_room(identity.id(), room.id(), parts, unix_ms, now.time);
    let bytes = message.bytes();
    // On disk before another leaves for it.
    if let Some(dir) = &settings.outbox {
        outbox_disk::save(dir, id, &message).map_err(|error| not_kept(dir, &error))?;
    }
    let left = outbox.make_room().map_err(|error| {
        if let Some(dir) = &settings.outbox {
            forget(dir, id);
        }
        refused("full", &error)
    })?;
    if let (Some(left), Some(dir)) = (left, &settings.outbox) {
        forget(dir, left);
    }
    if let Some(oldest) = outbox.add(id, message)
        && let Some(dir) = &settings.outbox
    {
        forget(dir, oldest);
    }
    work.write(Work { node });
    let id = id.to_string();
    let packet = id.clone();
    Answer::of(SentReply {
        id,
        packet,
        bytes,
        // Who has the room's secret reads all of it, past and to come.
        forward_secret: false,
    })
}
