//! Fetching and subscribing, on the carrier's side. In `Route`, set `RelaySystems::Fetch`, after deposits.

use crate::answers::Reason;
use crate::cache::Cache;
use crate::claims::Claims;
use crate::decode::send;
use crate::direct::{self, is_of};
use crate::drops::{DropReason, Drops};
use crate::frames::{FETCH, Frame, SUBSCRIBE};
use crate::messages::{ClaimShown, PacketKept};
use crate::mirror::{Mirror, Withheld};
use crate::outbox::Outbox;
use crate::packet::Tag;
use dunlin_engine::Now;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::Bandwidth;
use dunlin_net::{FrameOut, Peer, PeerDown};
use std::collections::{BTreeMap, BTreeSet};

/// On a node: which links are to be told of packets for a tag. At most 32 a link.
#[derive(Component, Default)]
pub struct Subscribers(BTreeMap<Tag, BTreeSet<Entity>>);

impl Subscribers {
    /// The links that are to be told of a tag.
    pub(crate) fn of(&self, tag: Tag) -> impl Iterator<Item = &Entity> {
        self.0.get(&tag).into_iter().flatten()
    }

    /// Whether nobody is to be told of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

type Carrier<'a> = (
    &'a Cache,
    &'a Mirror,
    &'a mut Bandwidth,
    &'a mut Subscribers,
    (&'a Outbox, &'a mut Drops),
);

// PROTOCOL 2.3, 4.2
#[expect(clippy::too_many_arguments, reason = "what a claim touches")]
pub(crate) fn answer_claims(
    mut shown: MessageReader<ClaimShown>,
    mut down: MessageReader<PeerDown>,
    mut links: Query<(&Peer, Option<&mut Claims>)>,
    mut nodes: Query<Carrier>,
    withheld: Query<(), With<Withheld>>,
    now: Res<Now>,
    mut out: MessageWriter<FrameOut>,
    mut commands: Commands,
) {
    // Who closed in the same breath has had its subscriptions ended.
    let gone: BTreeSet<Entity> = down.read().map(|down| down.peer).collect();
    // Of links that never claimed anything: most never do.
    let mut first: BTreeMap<Entity, Claims> = BTreeMap::new();
    for ClaimShown {
        node,
        peer,
        request,
        claim,
        after,
    } in shown.read()
    {
        let (Ok((link, mut claims)), Ok(carrier)) = (links.get_mut(*peer), nodes.get_mut(*node))
        else {
            continue;
        };
        if gone.contains(peer) {
            continue;
        }
        let claims = match &mut claims {
            Some(claims) => &mut **claims,
            None => first.entry(*peer).or_default(),
        };
        let (cache, mirror, mut bandwidth, mut subscribers, (outbox, mut drops)) = carrier;
        let request = *request;
        let tag = claims.check(claim, &link.handshake_hash);
        let answer = match (tag, after) {
            (Ok(tag), Some(after)) => {
                let may = |id| {
                    !mirror
                        .get(id)
                        .is_some_and(|packet| withheld.contains(packet))
                };
                let (mut packet, mut left) = cache.page(tag, *after, now.time, may);
                let bytes = packet.as_ref().map_or(0, |packet| packet.bytes().len());
                // PROTOCOL 4.8
                if packet.is_none() && is_of(link, &link.id) {
                    (packet, left) = direct::page(outbox, &link.id, tag, *after);
                }
                if bandwidth.take(bytes, now.time) {
                    Ok(Frame::Fetched {
                        request,
                        left,
                        packet,
                    })
                } else {
                    Err(DropReason::Bandwidth)
                }
            }
            (Ok(tag), None) => claims.subscribe(tag).map(|()| {
                subscribers.0.entry(tag).or_default().insert(*peer);
                Frame::Subscribed { request }
            }),
            (Err(drop), _) => Err(drop),
        };
        let answer = answer.unwrap_or_else(|drop| {
            drops.count(drop);
            let kind = if after.is_some() { FETCH } else { SUBSCRIBE };
            let reason = match drop {
                DropReason::TooManyTags => Reason::OverShare,
                DropReason::Bandwidth => Reason::of_spent(&bandwidth),
                _ => Reason::NotProved,
            };
            Frame::Refused {
                kind,
                reason,
                price: 0,
                request,
            }
        });
        send(&mut out, *peer, &answer);
    }
    for (link, claims) in first {
        commands.entity(link).try_insert(claims);
    }
}

// PROTOCOL 2.3
pub(crate) fn push_to_subscribers(
    mut kept: MessageReader<PacketKept>,
    mut nodes: Query<(&Cache, &Subscribers, &mut Bandwidth, &mut Drops)>,
    now: Res<Now>,
    mut out: MessageWriter<FrameOut>,
) {
    for PacketKept { node, id, tag } in kept.read() {
        let Ok((cache, subscribers, mut bandwidth, mut drops)) = nodes.get_mut(*node) else {
            continue;
        };
        let Some(links) = subscribers.0.get(tag) else {
            continue;
        };
        if let Some(packet) = cache.get(*id, now.time) {
            let bytes = packet.bytes().len();
            let frame = Frame::Pushed { packet };
            for link in links {
                // Who misses a push has it with the next fetch.
                if bandwidth.take(bytes, now.time) {
                    send(&mut out, *link, &frame);
                } else {
                    drops.count(DropReason::Bandwidth);
                }
            }
        }
    }
}

pub(crate) fn end_subscriptions(
    mut down: MessageReader<PeerDown>,
    links: Query<&Claims>,
    mut nodes: Query<&mut Subscribers>,
) {
    for PeerDown { node, peer, .. } in down.read() {
        let (Ok(claims), Ok(mut subscribers)) = (links.get(*peer), nodes.get_mut(*node)) else {
            continue; // A dial that failed, or a node that is gone.
        };
        for tag in claims.subscribed() {
            if let Some(links) = subscribers.0.get_mut(tag) {
                links.remove(peer);
                if links.is_empty() {
                    subscribers.0.remove(tag);
                }
            }
        }
    }
}
