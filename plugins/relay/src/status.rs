//! What a node says of itself: the calls `relay.status` and `relay.card`.

use crate::cache::Cache;
use crate::card::Card;
use crate::collector::Collector;
use crate::drops::Drops;
use crate::errands::Errands;
use crate::fetcher::Fetcher;
use crate::gatherer::Gatherer;
use crate::inbox::Inbox;
use crate::mailbox::Mailbox;
use crate::nodes::{NodeName, NodeParams, Nodes, failed, refused};
use crate::outbox::Outbox;
use crate::receipts::Receipts;
use crate::settings::RelaySettings;
use crate::tombstones::Tombstones;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Now, Params};
use dunlin_net::{AddressBook, Bound, Drops as LinkDrops, Identity, Peer, Traffic, is_reachable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Serialize)]
struct Status {
    id: String,
    carry: bool,
    packets: usize,
    cache_bytes: u64,
    cache_capacity: u64,
    /// In bytes a second; null is no limit.
    bandwidth: Option<u64>,
    price_bits: u8,
    tombstones: usize,
    carriers_known: usize,
    errand_links: usize,
    /// With those to whom we write and who write to us.
    direct_links: usize,
    errands: usize,
    outbox: usize,
    unconfirmed: usize,
    /// Messages of which fragments are missing, and larger contents of which parts are.
    incomplete: usize,
    /// Links of its own choosing or others', without those on which this node hides.
    links: usize,
    /// Each carrier that may hold mail has been asked at least once, and no new ones are heard of.
    asked_all: bool,
    /// On how many carriers the record of this device's prekeys is; null if it has published none.
    prekey_copies: Option<usize>,
    /// Messages of which too few carriers have heard yet that they arrived.
    receipts_waiting: usize,
    /// Of links, both ways.
    traffic: Traffic,
    drops: BTreeMap<&'static str, u64>,
    /// Of links: datagrams and frames that led to nothing.
    link_drops: BTreeMap<String, u64>,
}

type Facts<'a> = (
    (&'a Identity, &'a RelaySettings),
    (&'a Cache, &'a Tombstones, &'a Drops),
    (&'a AddressBook, &'a Errands, &'a Outbox),
    (
        &'a Inbox,
        &'a Fetcher,
        (&'a Gatherer, &'a Collector),
        &'a Receipts,
    ),
    (&'a Traffic, &'a LinkDrops),
);

pub(crate) fn call_status(
    In(call): In<Call<NodeParams>>,
    names: Nodes,
    nodes: Query<Facts>,
    peers: Query<&Peer>,
    now: Res<Now>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let (own, kept, work, mail, (traffic, link_drops)) =
        nodes.get(node).map_err(|error| failed(&error))?;
    let ((identity, settings), (cache, tombstones, drops)) = (own, kept);
    let ((book, errands, outbox), (inbox, fetcher, looking, receipts)) = (work, mail);
    let (gatherer, collector) = looking;
    let me = identity.id();
    let carriers = book
        .entries()
        .filter(|peer| peer.about.carries() && peer.id != me)
        .count();
    Answer::of(Status {
        id: me.to_string(),
        carry: settings.carry,
        packets: cache.len(),
        cache_bytes: cache.bytes(),
        cache_capacity: cache.capacity(),
        bandwidth: settings.bandwidth,
        price_bits: cache.price(),
        tombstones: tombstones.len(),
        carriers_known: carriers,
        errand_links: errands.links(),
        direct_links: errands.direct_links(),
        errands: errands.len(),
        outbox: outbox.count(),
        unconfirmed: inbox.waiting().count(),
        links: peers
            .iter()
            .filter(|peer| peer.node == node && !peer.hidden)
            .count(),
        asked_all: fetcher.has_asked_all(now.time)
            && gatherer.has_asked_all(carriers)
            && collector.has_asked_all(carriers),
        incomplete: gatherer.len() + collector.len(),
        prekey_copies: outbox.record_copies(),
        receipts_waiting: receipts.waiting(),
        traffic: *traffic,
        drops: drops
            .counted()
            .map(|(reason, count)| (reason.text(), count))
            .collect(),
        link_drops: link_drops
            .iter()
            .map(|(reason, count)| (reason.text(), count))
            .collect(),
    })
}

/// What `relay.card` takes: hints where we may be found, else the address of our socket; and a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardParams {
    addresses: Option<Vec<SocketAddr>>,
    name: Option<String>,
    #[serde(default)]
    node: NodeName,
}

impl Params for CardParams {}

pub(crate) fn call_card(
    In(call): In<Call<CardParams>>,
    names: Nodes,
    nodes: Query<(&Identity, Option<&Mailbox>, Option<&Bound>)>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let (identity, mailbox, bound) = nodes.get(node).map_err(|error| failed(&error))?;
    let Some(mailbox) = mailbox else {
        return Err(CallError::new(
            "mailbox",
            "this node has no mailbox, so nobody can write to it",
        ));
    };
    let addresses = call.params.addresses.unwrap_or_else(|| {
        let own = bound.map(|bound| bound.0).filter(is_reachable);
        own.into_iter().collect()
    });
    let card = Card::new(
        identity,
        mailbox.public(),
        &addresses,
        call.params.name.as_deref(),
    );
    Answer::of(card.map_err(|error| refused("card", &error))?.to_string())
}
