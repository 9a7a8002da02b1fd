//! Listening to rooms: what lies on their lanes is fetched, opened, and told to the application; once it has a message durably
//! and says so, it is not told again. The stream `room.listen`, the calls `room.confirm` and `room.status`; in `Deliver`, beside
//! the systems of `receive`.

use crate::cache::Cache;
use crate::carriers::at_work;
use crate::drops::Drops;
use crate::errands::Errands;
use crate::head::Kind;
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::listeners::{ListensAt, RoomListeners};
use crate::messages::{ErrandDone, PacketBrought, PacketKept, Work};
use crate::nodes::{NodeName, Nodes, failed, refused};
use crate::packet::PacketId;
use crate::room::RoomId;
use crate::room_inbox::Heard;
use crate::room_inbox::Said;
use crate::room_send::Invitation;
use crate::rooms::Rooms;
use crate::seen::Seen;
use crate::settings::RelaySettings;
use crate::task::Task;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Answer, Call, CallError, ClockError, Now, Open, Params, Reply, Sink};
use dunlin_net::{Identity, PeerId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// On a subscription, beside [`ListensAt`]: to which room, and what it was told already.
#[derive(Component)]
pub(crate) struct RoomListener {
    room: RoomId,
    own: bool,
    sink: Sink,
    told: BTreeSet<PacketId>,
}

/// What `room.listen` takes; own messages come too if it says so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenParams {
    room: Invitation,
    #[serde(default)]
    own: bool,
    #[serde(default)]
    node: NodeName,
}

impl Params for ListenParams {}

type Opener<'a> = (&'a mut Rooms, &'a RelaySettings, Option<&'a ClockError>);

/// Begins with all that lies there and was not confirmed.
pub(crate) fn open_listen(
    In(open): In<Open<ListenParams>>,
    names: Nodes,
    mut nodes: Query<Opener>,
    now: Res<Now>,
    mut work: MessageWriter<Work>,
    mut commands: Commands,
) -> Result<(), CallError> {
    let node = names.find(&open.params.node)?;
    let room = open.params.room.room()?;
    let (mut rooms, settings, clock) = nodes.get_mut(node).map_err(|error| failed(&error))?;
    let today = day_of(now.unix_ms_of(clock));
    // Apart from the ids of mail, which a room that is flooded must not push out.
    let path = settings.seen.as_ref();
    let path = path.map(|path| path.with_file_name("seen-in-rooms"));
    let seen = || match &path {
        Some(path) => Seen::open(path, today),
        None => Ok(Seen::in_memory()),
    };
    rooms
        .listen(&room, today, now.time, seen)
        .map_err(|error| {
            let path = path.clone().unwrap_or_default();
            let text = format!("{} cannot be used: {error}", path.display());
            CallError::new("disk", text)
        })?
        .map_err(|error| refused("full", &error))?;
    let listener = RoomListener {
        room: room.id(),
        own: open.params.own,
        sink: open.sink,
        told: BTreeSet::new(),
    };
    let subscription = (listener, ListensAt(node));
    commands.entity(open.subscription).insert(subscription);
    work.write(Work { node });
    Ok(())
}

pub(crate) fn settle_listened(
    mut ended: MessageReader<ErrandDone>,
    mut nodes: Query<(&mut Rooms, &mut Errands)>,
    now: Res<Now>,
    mut brought: MessageWriter<PacketBrought>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Ok((mut rooms, mut errands)) = nodes.get_mut(*node) else {
            continue;
        };
        if rooms.is_untouched() {
            continue;
        }
        if let Some(task) = rooms.settle(done, now.time) {
            errands.add(done.carrier, task, now.time);
        }
        // What `Look` finds is brought by `receive`.
        if let (Task::Lane { .. }, Some(crate::frames::Frame::Fetched { packet, .. })) =
            (&done.task, &done.answer)
            && let Some(packet) = packet.clone()
        {
            let carrier = Some(done.carrier);
            brought.write(PacketBrought {
                node: *node,
                carrier,
                packet,
            });
        }
    }
}

/// A packet that our own cache keeps may be said in a room.
pub(crate) fn bring_own(
    mut kept: MessageReader<PacketKept>,
    mut nodes: Query<(&mut Rooms, &Cache)>,
    now: Res<Now>,
    mut brought: MessageWriter<PacketBrought>,
    mut work: ParamSet<(MessageReader<Work>, MessageWriter<Work>)>,
) {
    let carrier = None;
    let at_work = at_work(&mut work.p0());
    for PacketKept { node, id, tag } in kept.read() {
        if let Ok((rooms, cache)) = nodes.get(*node)
            && rooms.wants(*tag)
            && let Some(packet) = cache.get(*id, now.time)
        {
            brought.write(PacketBrought {
                node: *node,
                carrier,
                packet,
            });
            work.p1().write(Work { node: *node });
        }
    }
    for node in at_work {
        let Ok((mut rooms, cache)) = nodes.get_mut(node) else {
            continue;
        };
        if rooms.is_untouched() {
            continue;
        }
        for tag in rooms.take_fresh() {
            let mut after = PacketId([0; 16]);
            while let (Some(packet), _) = cache.page(tag, after, now.time, |_| true) {
                after = packet.id();
                brought.write(PacketBrought {
                    node,
                    carrier,
                    packet,
                });
            }
        }
    }
}

type Hearer<'a> = (&'a Identity, &'a mut Rooms, &'a mut Drops);

pub(crate) fn hear_brought(
    mut brought: MessageReader<PacketBrought>,
    mut work: MessageReader<Work>,
    mut nodes: Query<Hearer>,
    now: Res<Now>,
) {
    for PacketBrought {
        node,
        carrier,
        packet,
    } in brought.read()
    {
        let Ok((identity, mut rooms, mut drops)) = nodes.get_mut(*node) else {
            continue;
        };
        if !rooms.wants(packet.tag()) {
            continue; // Mail: see `receive`.
        }
        match rooms.hear(identity.id(), packet, *carrier, now.time) {
            Heard::New | Heard::Waiting => {}
            Heard::Dropped(reason) => drops.count(reason),
        }
    }
    for node in at_work(&mut work) {
        if let Ok((_, mut rooms, mut drops)) = nodes.get_mut(node)
            && !rooms.is_untouched()
        {
            for _ in 0..rooms.put_together() {
                drops.count(crate::DropReason::NotForUs);
            }
        }
    }
}

type Planner<'a> = (
    &'a mut Rooms,
    &'a mut Errands,
    &'a Carriers,
    Option<&'a ClockError>,
    Option<&'a RoomListeners>,
);

pub(crate) fn plan_rooms(
    mut work: MessageReader<Work>,
    mut nodes: Query<Planner>,
    listeners: Query<&RoomListener>,
    now: Res<Now>,
) {
    for node in at_work(&mut work) {
        let Ok((mut rooms, mut errands, carriers, clock, listening)) = nodes.get_mut(node) else {
            continue;
        };
        if rooms.is_untouched() {
            continue;
        }
        let mut wanted: BTreeMap<RoomId, bool> = BTreeMap::new();
        for listener in listening.into_iter().flat_map(|all| all.iter()) {
            if let Ok(listener) = listeners.get(listener) {
                *wanted.entry(listener.room).or_default() |= listener.own;
            }
        }
        rooms.keep(&wanted);
        if wanted.is_empty() {
            errands.keep_for_rooms(BTreeSet::new());
            continue;
        }
        let unix_ms = now.unix_ms_of(clock);
        let when = (day_of(unix_ms), unix_ms);
        let may_reach = |carrier: &PeerId| errands.may_reach(carrier, now.time);
        let tasks = rooms.poll(now.time, when, carriers.shared(), may_reach);
        errands.keep_for_rooms(rooms.kept());
        for (carrier, task) in tasks {
            errands.add(carrier, task, now.time);
        }
    }
}

#[derive(Serialize)]
struct Told {
    id: String,
    room: String,
    from: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    sent_at_ms: u64,
    own: bool,
}

impl Told {
    fn of(room: RoomId, id: PacketId, said: &Said, me: PeerId) -> Told {
        let (kind, name) = match &said.head.kind {
            // Of parts there are none in rooms.
            Kind::Text | Kind::Part => ("text", None),
            Kind::File(name) => ("file", Some(name.clone())),
        };
        Told {
            id: id.to_string(),
            room: room.to_string(),
            from: said.from.to_string(),
            kind,
            name,
            sent_at_ms: said.head.sent_at_ms,
            own: said.from == me,
        }
    }
}

pub(crate) fn tell_listeners(
    mut work: MessageReader<Work>,
    nodes: Query<(&Identity, &Rooms, &RoomListeners)>,
    mut listeners: Query<&mut RoomListener>,
) {
    for node in at_work(&mut work) {
        let Ok((identity, rooms, listening)) = nodes.get(node) else {
            continue; // Nobody listens.
        };
        let me = identity.id();
        for listener in listening.iter() {
            let Ok(mut listener) = listeners.get_mut(listener) else {
                continue;
            };
            let listener = &mut *listener;
            let waiting: BTreeMap<PacketId, &Said> = rooms.said(listener.room).collect();
            listener.told.retain(|id| waiting.contains_key(id));
            for (id, said) in rooms.said(listener.room) {
                if listener.told.contains(&id) || said.from == me && !listener.own {
                    continue;
                }
                let told = Told::of(listener.room, id, said, me);
                let told = Reply::of(told).unwrap_or_default();
                let body = said.head.message.clone().into();
                if listener.sink.send(told.with_body(body)).is_err() {
                    break; // It has not kept up, and is told at the next look.
                }
                listener.told.insert(id);
            }
        }
    }
}

/// What `room.confirm` takes: the id of a message that the application now has durably.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomConfirmParams {
    id: String,
    #[serde(default)]
    node: NodeName,
}

impl Params for RoomConfirmParams {}

/// No carrier hears of it: the other members are to find the message too.
pub(crate) fn call_confirm(
    In(call): In<Call<RoomConfirmParams>>,
    names: Nodes,
    mut nodes: Query<(&mut Rooms, Option<&ClockError>)>,
    now: Res<Now>,
    mut work: MessageWriter<Work>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let id = call.params.id.parse::<PacketId>();
    let id = id.map_err(|error| refused("id", &error))?;
    let (mut rooms, clock) = nodes.get_mut(node).map_err(|error| failed(&error))?;
    let today = day_of(now.unix_ms_of(clock));
    let Some(confirmed) = rooms.confirm(id, today) else {
        let text = format!(
            "no message {id} of a room waits to be confirmed: it was confirmed before, or never came"
        );
        return Err(CallError::new("id", text));
    };
    confirmed.map_err(|error| {
        let text = format!("it was not confirmed, since that cannot be written down: {error}");
        CallError::new("disk", text)
    })?;
    work.write(Work { node });
    Answer::of(())
}

/// What `room.status` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomStatusParams {
    room: Invitation,
    #[serde(default)]
    node: NodeName,
}

impl Params for RoomStatusParams {}

#[derive(Serialize)]
struct RoomStatus {
    room: String,
    /// Each carrier that may hold something of it has been asked at least once, and no new ones are heard of.
    asked_all: bool,
    unconfirmed: usize,
    /// Of all rooms together: listened to, lanes that carriers tell of at once, long messages of which fragments are missing.
    rooms: usize,
    lanes_subscribed: usize,
    incomplete: usize,
}

pub(crate) fn call_status(
    In(call): In<Call<RoomStatusParams>>,
    names: Nodes,
    nodes: Query<&Rooms>,
    now: Res<Now>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let room = call.params.room.room()?.id();
    let rooms = nodes.get(node).map_err(|error| failed(&error))?;
    let (lanes_subscribed, incomplete) = rooms.hears();
    Answer::of(RoomStatus {
        room: room.to_string(),
        asked_all: rooms.has_asked_all(room, now.time),
        unconfirmed: rooms.said(room).count(),
        rooms: rooms.len(),
        lanes_subscribed,
        incomplete,
    })
}
