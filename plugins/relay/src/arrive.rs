//! What was brought is opened: by carriers, or by our own cache. In `Deliver`, set `RelaySystems::Settle`.

use crate::cache::Cache;
use crate::carriers::at_work;
use crate::collector::Collector;
use crate::day_keys::DayKeys;
use crate::direct::Direct;
use crate::drops::{DropReason, Drops};
use crate::fetcher::Fetcher;
use crate::gatherer::Gatherer;
use crate::head::{Content, Kind};
use crate::inbox::{Arrival, Inbox, Received};
use crate::listeners::Receivers;
use crate::messages::{PacketBrought, PacketKept, Work};
use crate::packet::{PacketId, Tag};
use crate::prekeys::Prekeys;
use crate::receipts::Receipts;
use crate::receive::Receiver;
use crate::seal::{self, Opened};
use crate::seen::Seen;
use dunlin_engine::Now;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::Identity;

type Keeper<'a> = (
    &'a Cache,
    &'a DayKeys,
    (&'a Gatherer, &'a Collector),
    Option<&'a Receivers>,
);

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
        if let Ok((cache, keys, (gatherer, collector), _)) = nodes.get(*node)
            && (keys.has(*tag) || gatherer.wants(*tag) || collector.wants(*tag))
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
        let Ok((cache, keys, (gatherer, collector), Some(listening))) = nodes.get(node) else {
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
        for tag in days.chain(gatherer.fresh()).chain(collector.fresh()) {
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
    (&'a DayKeys, &'a Prekeys),
    &'a Seen,
    Has<Receivers>,
    (
        &'a mut Inbox,
        &'a mut Gatherer,
        &'a mut Collector,
        &'a mut Receipts,
        (&'a mut Fetcher, &'a mut Direct),
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
        let Ok((identity, (keys, prekeys), seen, receives, own)) = nodes.get_mut(*node) else {
            continue;
        };
        let (mut inbox, mut gatherer, mut collector, mut receipts, rounds, mut drops) = own;
        let (mut fetcher, mut direct) = rounds;
        let (id, tag) = (packet.id(), packet.tag());
        match gatherer.take(packet, *carrier, now.time) {
            Some(true) => continue,
            // Whoever knows a tag may put anything under it.
            Some(false) => {
                drops.count(DropReason::NotForUs);
                continue;
            }
            None => {}
        }
        if !keys.has(tag) && collector.find(tag).is_none() {
            drops.count(DropReason::AnswerUnasked);
            continue;
        }
        if seen.contains(id) || seen.contains(part_mark(tag)) {
            drops.count(DropReason::Repeated);
            // Whoever still has it did not hear that it has arrived.
            let secret = match receipts.secret(id) {
                Some(secret) => Some(secret.clone()),
                None => seal::open_own(identity, prekeys, packet)
                    .ok()
                    .map(|opened| opened.secret),
            };
            if let Some(secret) = secret {
                let is_part = !keys.has(tag);
                receipts.tell((id, is_part), &secret, *carrier, now.time);
            }
            continue;
        }
        // Without anybody there to have it its carriers keep it.
        if !receives || gatherer.knows(id, *carrier) || collector.knows(id, *carrier) {
            continue;
        }
        let opened = match inbox.arrive((identity, prekeys), packet, *carrier) {
            Arrival::Opened(opened) => *opened,
            Arrival::Waiting => continue,
            Arrival::Dropped(reason) => {
                drops.count(reason);
                continue;
            }
        };
        let is_news = keys.has(tag);
        if is_news && opened.from != identity.id() {
            direct.heard(opened.from, now.time);
        }
        if !is_news && !collector.take(tag, &opened, now.time) || is_news && is_part(&opened) {
            inbox.remember_broken(id);
            drops.count(DropReason::NotForUs);
            continue;
        }
        let began = match opened.content {
            Content::Whole(head) => {
                let received = Received {
                    message: opened.message,
                    from: opened.from,
                    tag,
                    head,
                    manifest: None,
                    secret: opened.secret,
                    carriers: carrier.iter().copied().collect(),
                    fragments: Vec::new(),
                };
                inbox.add(id, received);
                true
            }
            Content::Outline(_) => gatherer.begin(packet, opened, *carrier, now.time),
            Content::Manifest(_) => {
                let had = |tag| seen.contains(part_mark(tag));
                collector.begin(packet, opened, *carrier, had, now.time)
            }
        };
        match carrier {
            _ if !began => drops.count(DropReason::InboxFull),
            Some(carrier) if is_news => fetcher.news(*carrier),
            _ => {}
        }
    }
}

/// Whether it claims to be part of larger content.
fn is_part(opened: &Opened) -> bool {
    match &opened.content {
        Content::Whole(head) => head.kind == Kind::Part,
        Content::Outline(outline) => outline.is_part(),
        Content::Manifest(_) => false,
    }
}

/// Under which it is remembered that the application has a part: its tag, which after a restart is known before the packet is.
pub(crate) fn part_mark(tag: Tag) -> PacketId {
    PacketId(tag.0)
}

/// Messages of which the last fragment has come wait for the application as others do.
pub(crate) fn put_together(
    mut work: MessageReader<Work>,
    mut nodes: Query<(&mut Gatherer, &mut Collector, &mut Inbox, &mut Drops)>,
) {
    for node in at_work(&mut work) {
        let Ok((mut gatherer, mut collector, mut inbox, mut drops)) = nodes.get_mut(node) else {
            continue;
        };
        if gatherer.is_empty() && collector.is_empty() || !inbox.has_room() {
            continue;
        }
        for (id, received) in collector.take_whole() {
            inbox.add(id, received);
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
