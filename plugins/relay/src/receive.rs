//! Receiving: packets on our own tags are fetched, opened, and told to the application; once it has a message durably and
//! says so (`confirm`), the carriers hear of it. The stream `relay.receive`; in `Deliver`, sets
//! `RelaySystems::Settle` and `RelaySystems::Plan`.

use crate::cache::Cache;
use crate::carriers::{Carriers, at_work};
use crate::day_keys::DayKeys;
use crate::drops::{DropReason, Drops};
use crate::errands::Errands;
use crate::fetcher::Fetcher;
use crate::frames::Frame;
use crate::gatherer::Gatherer;
use crate::head::Kind;
use crate::inbox::{Arrival, Inbox, Received};
use crate::life::day_of;
use crate::listeners::{Receivers, ReceivesFor};
use crate::mailbox::Mailbox;
use crate::messages::{ErrandDone, PacketBrought, PacketKept, Work};
use crate::nodes::{Nodes, failed};
use crate::packet::PacketId;
use crate::receipts::Receipts;
use crate::rooms::Rooms;
use crate::seal;
use crate::seen::Seen;
use crate::send::NodeParams;
use crate::task::Task;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{CallError, ClockError, Now, Open, Reply, Sink};
use dunlin_net::{Identity, PeerId};
use serde::Serialize;
use std::collections::BTreeSet;

/// On a subscription, beside [`ReceivesFor`]: what it was told already.
#[derive(Component)]
pub(crate) struct Receiver {
    sink: Sink,
    told: BTreeSet<PacketId>,
    fresh: bool,
}

pub(crate) fn open_receive(
    In(open): In<Open<NodeParams>>,
    names: Nodes,
    nodes: Query<Has<Mailbox>>,
    mut work: MessageWriter<Work>,
    mut commands: Commands,
) -> Result<(), CallError> {
    let node = names.find(&open.params.node)?;
    if !nodes.get(node).map_err(|error| failed(&error))? {
        return Err(CallError::new(
            "mailbox",
            "this node has no mailbox, so nothing is for it",
        ));
    }
    let receiver = Receiver {
        sink: open.sink,
        told: BTreeSet::new(),
        fresh: true,
    };
    let subscription = (receiver, ReceivesFor(node));
    commands.entity(open.subscription).insert(subscription);
    work.write(Work { node });
    Ok(())
}

pub(crate) fn settle_received(
    mut ended: MessageReader<ErrandDone>,
    mut nodes: Query<(&mut Fetcher, &mut Gatherer, &mut Receipts, &mut Errands)>,
    now: Res<Now>,
    mut brought: MessageWriter<PacketBrought>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Ok((mut fetcher, mut gatherer, mut receipts, mut errands)) = nodes.get_mut(*node)
        else {
            continue;
        };
        let (carrier, answer) = (done.carrier, done.answer.clone());
        match &done.task {
            Task::Fetch { day, .. } => {
                let (packet, next) = fetcher.fetched(carrier, *day, answer, now.time);
                if let Some(packet) = packet {
                    let carrier = Some(carrier);
                    brought.write(PacketBrought {
                        node: *node,
                        carrier,
                        packet,
                    });
                }
                if let Some(task) = next {
                    errands.add(carrier, task, now.time);
                }
            }
            Task::Look { tag, .. } => {
                gatherer.looked(*tag, &carrier);
                if let Some(Frame::Fetched {
                    packet: Some(packet),
                    left,
                    ..
                }) = answer
                {
                    // Whoever keeps a fragment knows its tag, and may put something else under it in front.
                    if left > 0 && gatherer.wants(*tag) {
                        let (tag, after) = (*tag, packet.id());
                        errands.add(carrier, Task::Look { tag, after }, now.time);
                    }
                    let carrier = Some(carrier);
                    brought.write(PacketBrought {
                        node: *node,
                        carrier,
                        packet,
                    });
                }
            }
            Task::Subscribe { day } => {
                if !matches!(answer, Some(Frame::Subscribed { .. })) {
                    fetcher.not_subscribed(carrier, *day);
                }
            }
            Task::Receipt { id, .. } => {
                receipts.told(*id, carrier, answer.is_some(), now.time);
            }
            Task::Deposit { .. }
            | Task::Lane { .. }
            | Task::Attend { .. }
            | Task::Ask { .. }
            | Task::Count { .. }
            | Task::HandOver { .. } => {}
        }
    }
}

type Keeper<'a> = (&'a Cache, &'a DayKeys, &'a Gatherer, Option<&'a Receivers>);

/// A packet that our own cache keeps may be for us.
pub(crate) fn bring_own(
    mut kept: MessageReader<PacketKept>,
    mut receivers: Query<&mut Receiver>,
    nodes: Query<Keeper>,
    now: Res<Now>,
    mut brought: MessageWriter<PacketBrought>,
    mut work: ParamSet<(MessageReader<Work>, MessageWriter<Work>)>,
) {
    let carrier = None;
    let at_work = at_work(&mut work.p0());
    for PacketKept { node, id, tag } in kept.read() {
        if let Ok((cache, keys, gatherer, _)) = nodes.get(*node)
            && (keys.has(*tag) || gatherer.wants(*tag))
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
        let Ok((cache, keys, gatherer, Some(listening))) = nodes.get(node) else {
            continue;
        };
        // Of a node without keys they are made later in this turn, and the receiver stays fresh until the next look.
        let tags = keys.tags();
        let mut fresh = false;
        for receiver in listening.iter() {
            if let Ok(mut receiver) = receivers.get_mut(receiver)
                && receiver.fresh
                && !tags.is_empty()
            {
                (receiver.fresh, fresh) = (false, true);
            }
        }
        let days = tags.into_iter().filter(|_| fresh).map(|(_, tag)| tag);
        for tag in days.chain(gatherer.fresh()) {
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

type Opener<'a> = (
    &'a Identity,
    (&'a DayKeys, &'a Rooms),
    &'a Seen,
    Has<Receivers>,
    (
        &'a mut Inbox,
        &'a mut Gatherer,
        &'a mut Receipts,
        &'a mut Fetcher,
        &'a mut Drops,
    ),
);

pub(crate) fn open_brought(
    mut brought: MessageReader<PacketBrought>,
    mut nodes: Query<Opener>,
    now: Res<Now>,
) {
    for PacketBrought {
        node,
        carrier,
        packet,
    } in brought.read()
    {
        let Ok((identity, (keys, rooms), seen, receives, own)) = nodes.get_mut(*node) else {
            continue;
        };
        if rooms.wants(packet.tag()) {
            continue; // A room's: see `room_listen`.
        }
        let (mut inbox, mut gatherer, mut receipts, mut fetcher, mut drops) = own;
        let id = packet.id();
        match gatherer.take(packet, *carrier, now.time) {
            Some(true) => continue,
            // Whoever knows a tag may put anything under it.
            Some(false) => {
                drops.count(DropReason::NotForUs);
                continue;
            }
            None => {}
        }
        if !keys.has(packet.tag()) {
            drops.count(DropReason::AnswerUnasked);
            continue;
        }
        if seen.contains(id) {
            drops.count(DropReason::Repeated);
            // Whoever still has it did not hear that it has arrived.
            let secret = match receipts.secret(id) {
                Some(secret) => Some(secret.clone()),
                None => seal::open(identity, packet)
                    .ok()
                    .map(|opened| opened.secret),
            };
            if let Some(secret) = secret {
                receipts.tell(id, &secret, *carrier, now.time);
            }
            continue;
        }
        // Without anybody there to have it its carriers keep it.
        if !receives || gatherer.knows(id, *carrier) {
            continue;
        }
        match inbox.arrive(identity, packet, *carrier) {
            Arrival::New => {
                if let Some(carrier) = carrier {
                    fetcher.news(*carrier);
                }
            }
            Arrival::Waiting => {}
            Arrival::Head(opened) => {
                if !gatherer.begin(packet, *opened, *carrier, now.time) {
                    drops.count(DropReason::InboxFull);
                }
            }
            Arrival::Dropped(reason) => drops.count(reason),
        }
    }
}

/// Messages of which the last fragment has come wait for the application as others do.
pub(crate) fn put_together(
    mut work: MessageReader<Work>,
    mut nodes: Query<(&mut Gatherer, &mut Inbox, &mut Drops)>,
) {
    for node in at_work(&mut work) {
        let Ok((mut gatherer, mut inbox, mut drops)) = nodes.get_mut(node) else {
            continue;
        };
        if gatherer.is_empty() || !inbox.has_room() {
            continue;
        }
        for (id, received) in gatherer.take_whole() {
            match received {
                Some(received) => inbox.add(id, received),
                None => {
                    inbox.remember_broken(id);
                    drops.count(DropReason::NotForUs);
                }
            }
        }
    }
}

/// Carriers hear of what has arrived: from its recipient, and from its sender once that knows.
pub(crate) fn show_receipts(
    mut work: MessageReader<Work>,
    mut nodes: Query<(&mut Receipts, &mut Errands)>,
    now: Res<Now>,
) {
    for node in at_work(&mut work) {
        if let Ok((mut receipts, mut errands)) = nodes.get_mut(node) {
            for (carrier, task) in receipts.poll(now.time) {
                errands.add(carrier, task, now.time);
            }
        }
    }
}

type Rounds<'a> = (
    &'a Mailbox,
    &'a mut DayKeys,
    (&'a mut Fetcher, &'a mut Gatherer),
    &'a mut Errands,
    &'a Carriers,
    Option<&'a ClockError>,
    Has<Receivers>,
);

pub(crate) fn plan_rounds(mut work: MessageReader<Work>, mut nodes: Query<Rounds>, now: Res<Now>) {
    for node in at_work(&mut work) {
        let Ok((mailbox, mut keys, looking, mut errands, carriers, clock, receives)) =
            nodes.get_mut(node)
        else {
            continue; // No mailbox.
        };
        let (mut fetcher, mut gatherer) = looking;
        let mut tasks = Vec::new();
        if receives {
            let unix_ms = now.unix_ms_of(clock);
            let today = day_of(unix_ms);
            keys.refresh(mailbox, today);
            fetcher.look(&keys, carriers.list(), today, now.time);
            errands.keep(fetcher.kept());
            let may_reach = |carrier: &PeerId| errands.may_reach(carrier, now.time);
            tasks = fetcher.poll(now.time, may_reach);
            tasks.extend(gatherer.poll(now.time, unix_ms, carriers.list(), may_reach));
        } else {
            errands.keep(BTreeSet::new());
        }
        for (carrier, task) in tasks {
            errands.add(carrier, task, now.time);
        }
    }
}

#[derive(Serialize)]
struct Told {
    id: String,
    from: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    sent_at_ms: u64,
    packet: String,
}

impl Told {
    fn of(packet: PacketId, received: &Received) -> Told {
        let (kind, name) = match &received.head.kind {
            Kind::Text => ("text", None),
            Kind::File(name) => ("file", Some(name.clone())),
        };
        Told {
            id: received.message.to_string(),
            from: received.from.to_string(),
            kind,
            name,
            sent_at_ms: received.head.sent_at_ms,
            packet: packet.to_string(),
        }
    }
}

pub(crate) fn tell_receivers(
    mut work: MessageReader<Work>,
    nodes: Query<(&Inbox, &Receivers)>,
    mut receivers: Query<&mut Receiver>,
) {
    for node in at_work(&mut work) {
        let Ok((inbox, listening)) = nodes.get(node) else {
            continue; // Nobody listens.
        };
        for receiver in listening.iter() {
            let Ok(mut receiver) = receivers.get_mut(receiver) else {
                continue;
            };
            receiver.told.retain(|id| inbox.has(*id));
            for (id, received) in inbox.in_order() {
                if receiver.told.contains(&id) {
                    continue;
                }
                let told = Reply::of(Told::of(id, received)).unwrap_or_default();
                let body = received.head.message.clone().into();
                if receiver.sink.send(told.with_body(body)).is_err() {
                    break; // It has not kept up, and is told at the next look.
                }
                receiver.told.insert(id);
            }
        }
    }
}
