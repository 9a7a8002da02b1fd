//! Receiving: packets on our own tags are fetched, opened (`arrive`), and told to the application; once it has a message durably and
//! says so (`confirm`), the carriers hear of it. The stream `relay.receive`; in `Deliver`, sets
//! `RelaySystems::Settle` and `RelaySystems::Plan`.

use crate::carriers::at_work;
use crate::collector::Collector;
use crate::day_keys::DayKeys;
use crate::direct::Direct;
use crate::errands::Errands;
use crate::fetcher::Fetcher;
use crate::frames::Frame;
use crate::gatherer::Gatherer;
use crate::head::Kind;
use crate::inbox::{Inbox, Received};
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::listeners::{Receivers, ReceivesFor};
use crate::mailbox::Mailbox;
use crate::manifest::Manifest;
use crate::messages::{ErrandDone, PacketBrought, Work};
use crate::nodes::{NodeParams, Nodes, failed};
use crate::packet::{MessageId, PacketId};
use crate::receipts::Receipts;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{CallError, ClockError, Now, Open, Reply, Sink};
use dunlin_net::PeerId;
use serde::Serialize;
use std::collections::BTreeSet;

/// On a subscription, beside [`ReceivesFor`]: what it was told already.
#[derive(Component)]
pub(crate) struct Receiver {
    sink: Sink,
    told: BTreeSet<PacketId>,
    /// It has not been told yet of what our own cache keeps.
    pub(crate) fresh: bool,
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

type Settler<'a> = (
    &'a mut Fetcher,
    (&'a mut Gatherer, &'a mut Collector),
    &'a mut Receipts,
    (&'a mut Errands, &'a mut Direct),
);

pub(crate) fn settle_received(
    mut ended: MessageReader<ErrandDone>,
    mut nodes: Query<Settler>,
    now: Res<Now>,
    mut brought: MessageWriter<PacketBrought>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Ok((mut fetcher, looking, mut receipts, asking)) = nodes.get_mut(*node) else {
            continue;
        };
        let (mut errands, mut direct) = asking;
        let (mut gatherer, mut collector) = looking;
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
            Task::Look { token, topic, .. } => {
                let tag = token.tag();
                gatherer.looked(tag, &carrier);
                collector.looked(tag, &carrier);
                if let Some(Frame::Fetched {
                    packet: Some(packet),
                    left,
                    ..
                }) = answer
                {
                    // Whoever keeps a fragment knows its tag, and may put something else under it in front.
                    if left > 0 && (gatherer.wants(tag) || collector.wants(tag)) {
                        let (token, after, topic) = (*token, packet.id(), *topic);
                        let task = Task::look(token, after, topic);
                        errands.add(carrier, task, now.time);
                    }
                    // Who wrote it keeps it for itself.
                    let carrier = Some(carrier).filter(|_| *topic != Topic::Direct);
                    brought.write(PacketBrought {
                        node: *node,
                        carrier,
                        packet,
                    });
                }
            }
            Task::Subscribe { day, topic } => {
                if !matches!(answer, Some(Frame::Subscribed { .. })) {
                    match topic {
                        Topic::Direct => direct.not_subscribed(&carrier, *day, now.time),
                        _ => fetcher.not_subscribed(carrier, *day),
                    }
                }
            }
            Task::Receipt { id, .. } => {
                receipts.told(*id, carrier, answer.is_some(), now.time);
            }
            Task::Deposit { .. }
            | Task::Find { .. }
            | Task::Lane { .. }
            | Task::Attend { .. }
            | Task::Ask { .. }
            | Task::Count { .. }
            | Task::HandOver { .. }
            | Task::Prekeys { .. }
            | Task::List { .. }
            | Task::Pull { .. } => {}
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
            let may_reach = |carrier: &PeerId| errands.may_reach(carrier, now.time);
            for (carrier, task) in receipts.poll(now.time, may_reach) {
                errands.add(carrier, task, now.time);
            }
        }
    }
}

type Rounds<'a> = (
    &'a Mailbox,
    &'a mut DayKeys,
    (&'a mut Fetcher, &'a mut Gatherer, &'a mut Collector),
    &'a Inbox,
    &'a mut Errands,
    &'a Carriers,
    Option<&'a ClockError>,
    Has<Receivers>,
);

pub(crate) fn plan_rounds(mut work: MessageReader<Work>, mut nodes: Query<Rounds>, now: Res<Now>) {
    for node in at_work(&mut work) {
        let Ok((mailbox, mut keys, looking, inbox, mut errands, carriers, clock, receives)) =
            nodes.get_mut(node)
        else {
            continue; // No mailbox.
        };
        let (mut fetcher, mut gatherer, mut collector) = looking;
        let mut tasks = Vec::new();
        if receives {
            let unix_ms = now.unix_ms_of(clock);
            let today = day_of(unix_ms);
            keys.refresh(mailbox, today);
            fetcher.look(&keys, carriers.shared(), today, now.time);
            errands.keep(fetcher.kept());
            let may_reach = |carrier: &PeerId| errands.may_reach(carrier, now.time);
            tasks = fetcher.poll(now.time, may_reach);
            let is_direct = |id: &PeerId| errands.is_direct(id);
            tasks.extend(gatherer.ask_senders(now.time, is_direct));
            tasks.extend(collector.ask_senders(now.time, is_direct));
            tasks.extend(gatherer.poll(now.time, unix_ms, carriers.list(), may_reach));
            let here = |tag| gatherer.has_head_under(tag) || inbox.has_tag(tag);
            collector.look_again(here);
            tasks.extend(collector.poll(now.time, unix_ms, carriers.list(), may_reach));
        } else {
            errands.keep(BTreeSet::new());
        }
        for (carrier, task) in tasks {
            errands.add(carrier, task, now.time);
        }
    }
}

/// A message; or a part of larger content; or that all parts of it are there.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    from: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    sent_at_ms: u64,
    packet: String,
    #[serde(flatten)]
    content: Option<ToldContent>,
    /// Of a part: which, and where in the content its bytes belong.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
}

/// Of larger content, and of each of its parts.
#[derive(Serialize)]
struct ToldContent {
    /// The id of the whole.
    content: String,
    /// How long it is, in bytes, and of which digest ([`content_digest`](crate::content_digest)).
    length: usize,
    digest: String,
    /// How many parts there are, and how many of them the application has confirmed.
    parts: usize,
    parts_had: usize,
}

impl<'a> Told<'a> {
    fn of(packet: PacketId, received: &'a Received, collector: &'a Collector) -> Told<'a> {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let content = |of: MessageId, manifest: &Manifest, parts_had| ToldContent {
            content: of.to_string(),
            length: manifest.length,
            digest: hex(&manifest.digest),
            parts: manifest.parts(),
            parts_had,
        };
        let part = collector.find(received.tag);
        let (kind, name) = match (&received.head.kind, &received.manifest, &part) {
            (Kind::Part, _, Some((known, _))) => ("part", known.manifest.name.as_deref()),
            (Kind::File(name), Some(_), _) => ("content", Some(name.as_str())),
            (_, Some(_), _) => ("content", None),
            (Kind::File(name), ..) => ("file", Some(name.as_str())),
            (Kind::Text | Kind::Part, ..) => ("text", None),
        };
        let told = match (&received.manifest, &part) {
            (Some(manifest), _) => Some(content(received.message, manifest, manifest.parts())),
            (None, Some((known, _))) => {
                Some(content(known.message, &known.manifest, known.parts_had()))
            }
            (None, None) => None,
        };
        Told {
            id: received.message.to_string(),
            from: received.from.to_string(),
            kind,
            name,
            sent_at_ms: received.head.sent_at_ms,
            packet: packet.to_string(),
            content: told,
            part: part.as_ref().map(|(_, number)| *number),
            offset: part.map(|(_, number)| number * MESSAGE_BYTES_MAX),
        }
    }
}

pub(crate) fn tell_receivers(
    mut work: MessageReader<Work>,
    nodes: Query<(&Inbox, &Collector, &Receivers)>,
    mut receivers: Query<&mut Receiver>,
) {
    for node in at_work(&mut work) {
        let Ok((inbox, collector, listening)) = nodes.get(node) else {
            continue; // Nobody listens.
        };
        for receiver in listening.iter() {
            let Ok(mut receiver) = receivers.get_mut(receiver) else {
                continue;
            };
            receiver.told.retain(|id| inbox.has(*id));
            for (id, received) in inbox.in_order() {
                // Of a part whose content was given up nothing can be told.
                let is_lost =
                    received.head.kind == Kind::Part && collector.find(received.tag).is_none();
                if receiver.told.contains(&id) || is_lost {
                    continue;
                }
                let told = Reply::of(Told::of(id, received, collector)).unwrap_or_default();
                let body = received.head.message.clone().into();
                if receiver.sink.send(told.with_body(body)).is_err() {
                    break; // It has not kept up, and is told at the next look.
                }
                receiver.told.insert(id);
            }
        }
    }
}
