//! What must hold on every turn, whatever happens: no node is over a bound, no count is wrong, nothing that a letter says is
//! readable on the way.
//!
//! Only nodes that got something in a turn are looked at in it, so that a million nodes cost no more than their traffic.

use crate::wire::Host;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, Now, Time, Turn};
use dunlin_net::{AddressBook, DatagramIn, DatagramOut, DownReason, FrameIn, Links, PeerDown};
use dunlin_relay::limits::{
    ERRAND_LINKS_APART_MAX, INBOX_MAX, INDEX_BYTES, LARGE_PACKET_BYTES, OUTBOX_MAX, RECEIPTS_MAX,
    SEEN_MAX, SMALL_PACKET_BYTES, TOMBSTONES_BYTES,
};
use dunlin_relay::{
    Cache, Errands, Inbox, Outbox, PacketArrived, Receipts, RelaySystems, Seen, Tombstones,
};
use memchr::memmem::Finder;

/// What did not hold is told so many times.
const VIOLATIONS_MAX: usize = 20;
/// Shorter texts are on a wire by chance.
const MARK_BYTES_MIN: usize = 8;
/// So many different texts are looked for.
const MARKS_MAX: usize = 16;

/// What was found.
#[derive(Resource, Default)]
pub(crate) struct Safety {
    pub violations: Vec<String>,
    /// Links of all nodes that PINGs without an answer, or the end of a session, called lost.
    pub links_lost: u64,
    /// What letters say, or part of it.
    marks: Vec<Finder<'static>>,
}

impl Safety {
    pub(crate) fn violate(&mut self, now: Time, what: &str) {
        if self.violations.len() < VIOLATIONS_MAX {
            let at = now - Time::ZERO;
            self.violations.push(format!("at {at:?}: {what}"));
        }
    }

    /// From now on this must be readable nowhere.
    pub(crate) fn mark(&mut self, text: &str) {
        let known = |mark: &Finder| mark.needle() == text.as_bytes();
        let room = self.marks.len() < MARKS_MAX && text.len() >= MARK_BYTES_MIN;
        if room && !self.marks.iter().any(known) {
            self.marks.push(Finder::new(text).into_owned());
        }
    }

    fn is_readable(&self, bytes: &[u8]) -> bool {
        self.marks.iter().any(|mark| mark.find(bytes).is_some())
    }
}

/// On nodes of attackers: what they hold of their own is their affair.
#[derive(Component)]
pub(crate) struct Unchecked;

/// Between links and network, which takes what leaves.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ReadAlong;

pub(super) fn add(app: &mut App) {
    use dunlin_net::NetSystems::{Seal, Send};
    app.world_mut().init_resource::<Safety>();
    app.configure_sets(ReadAlong.in_set(Turn::Transmit).after(Seal).before(Send));
    app.add_systems(ReadAlong, read_along);
    app.add_systems(RelaySystems::Mirror, (count_lost, check_links, check_relay));
}

fn count_lost(mut down: MessageReader<PeerDown>, mut safety: ResMut<Safety>) {
    let losses = down.read().filter(|down| down.reason == DownReason::Lost);
    safety.links_lost += losses.count() as u64;
}

/// As somebody on the path, and as a carrier.
fn read_along(
    mut leaving: MessageReader<DatagramOut>,
    mut arrived: MessageReader<PacketArrived>,
    now: Res<Now>,
    mut safety: ResMut<Safety>,
) {
    if leaving.read().any(|out| safety.is_readable(&out.bytes)) {
        safety.violate(now.time, "a letter can be read on the wire");
    }
    let mut arrived = arrived.read();
    if arrived.any(|arrived| safety.is_readable(arrived.packet.bytes())) {
        safety.violate(now.time, "a carrier can read a letter");
    }
}

/// What datagrams fill.
#[derive(bevy_ecs::query::QueryData)]
struct LinkTables {
    host: &'static Host,
    links: &'static Links,
    book: &'static AddressBook,
    drops: &'static dunlin_net::Drops,
}

/// What frames of the relay fill.
#[derive(bevy_ecs::query::QueryData)]
struct RelayTables {
    host: &'static Host,
    cache: Option<&'static Cache>,
    tombstones: Option<&'static Tombstones>,
    outbox: Option<&'static Outbox>,
    inbox: Option<&'static Inbox>,
    receipts: Option<&'static Receipts>,
    errands: Option<&'static Errands>,
    seen: Option<&'static Seen>,
}

/// The first table of links at a node that is over its bound, or counts wrongly.
fn check_links(
    mut incoming: MessageReader<DatagramIn>,
    nodes: Query<LinkTables, Without<Unchecked>>,
    now: Res<Now>,
    mut safety: ResMut<Safety>,
) {
    let got = incoming.read().map(|incoming| incoming.node);
    for tables in once_each(got).filter_map(|node| nodes.get(node).ok()) {
        if let Some(what) = link_fault(&tables) {
            safety.violate(now.time, &format!("node {}: {what}", tables.host.number));
        }
    }
}

/// The same of the relay.
fn check_relay(
    mut frames: MessageReader<FrameIn>,
    nodes: Query<RelayTables, Without<Unchecked>>,
    now: Res<Now>,
    mut safety: ResMut<Safety>,
) {
    let got = frames.read().map(|frame| frame.node);
    for tables in once_each(got).filter_map(|node| nodes.get(node).ok()) {
        if let Some(what) = cache_fault(tables.cache).or_else(|| relay_fault(&tables)) {
            safety.violate(now.time, &format!("node {}: {what}", tables.host.number));
        }
    }
}

/// Of a train to one node, the first: once is enough.
fn once_each(nodes: impl Iterator<Item = Entity>) -> impl Iterator<Item = Entity> {
    let mut last = None;
    nodes.filter(move |node| last.replace(*node) != Some(*node))
}

fn link_fault(tables: &LinkTablesItem) -> Option<String> {
    use dunlin_net::limits::{BOOK_ROWS_MAX, CIRCUIT_ENDS_MAX, HALF_OPEN_MAX, LINK_ROWS_MAX};
    let twice = tables.host.twice;
    let dropped = || tables.drops.iter().map(|(_, dropped)| dropped).sum();
    let doubled = (twice > 0).then(|| twice_fault(twice, dropped())).flatten();
    doubled.or_else(|| {
        over_bound([
            ("links", tables.links.count(), LINK_ROWS_MAX),
            (
                "ends of circuits",
                tables.links.circuit_ends(),
                CIRCUIT_ENDS_MAX,
            ),
            (
                "half-open sessions",
                tables.links.half_open(),
                HALF_OPEN_MAX,
            ),
            ("rows of its book", tables.book.len(), BOOK_ROWS_MAX),
        ])
    })
}

fn relay_fault(tables: &RelayTablesItem) -> Option<String> {
    let size = |size: Option<usize>| size.unwrap_or(0);
    let tombstones = size(tables.tombstones.map(Tombstones::bytes));
    let outbox = size(tables.outbox.map(Outbox::count));
    let inbox = size(tables.inbox.map(Inbox::count));
    let receipts = size(tables.receipts.map(Receipts::len));
    let links = size(tables.errands.map(Errands::links));
    let seen = size(tables.seen.map(Seen::len));
    over_bound([
        ("bytes of tombstones", tombstones, TOMBSTONES_BYTES),
        ("own messages", outbox, 2 * OUTBOX_MAX),
        ("messages to confirm", inbox, INBOX_MAX),
        ("receipts", receipts, RECEIPTS_MAX),
        ("links to carriers", links, ERRAND_LINKS_APART_MAX),
        ("seen ids", seen, SEEN_MAX),
    ])
}

/// Each is what, how many there are, and how many may be.
fn over_bound<const N: usize>(bounds: [(&str, usize, usize); N]) -> Option<String> {
    let over = bounds.into_iter().find(|(_, has, most)| has > most)?;
    let (what, has, most) = over;
    Some(format!("{has} {what}, where {most} is the most"))
}

/// What the network had doubled came twice, so the node must have dropped as many datagrams.
fn twice_fault(twice: u64, dropped: u64) -> Option<String> {
    (dropped < twice).then(|| {
        format!("{twice} data messages came to it twice, but it dropped {dropped} datagrams")
    })
}

fn cache_fault(cache: Option<&Cache>) -> Option<String> {
    let cache = cache?;
    let (bytes, packets, capacity) = (cache.bytes(), cache.len(), cache.capacity());
    is_miscounted(bytes, packets, capacity)
        .then(|| format!("its cache of {capacity} bytes counts {bytes} for {packets} packets"))
}

/// A packet is charged its bytes and its place in the index (PROTOCOL 5).
fn is_miscounted(bytes: u64, packets: usize, capacity: u64) -> bool {
    let each = |bytes: usize| packets as u64 * (bytes as u64 + INDEX_BYTES);
    let right = each(SMALL_PACKET_BYTES)..=each(LARGE_PACKET_BYTES);
    !right.contains(&bytes) || bytes > capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_does_not_give_back_bytes_or_takes_too_many_is_found() {
        for (bytes, packets, right) in [
            (0, 0, true),
            (400, 0, false),
            (399, 1, false),
            (400, 1, true),
            (1_168, 1, true),
            (1_169, 1, false),
            (3_000, 3, true),
            (3_001, 3, false),
        ] {
            let wrong = is_miscounted(bytes, packets, 3_000);
            assert_eq!(wrong, !right, "{bytes} bytes, {packets} packets");
        }
    }

    #[test]
    fn a_text_is_found_wherever_it_stands_and_a_short_one_is_not_looked_for() {
        let mut safety = Safety::default();
        safety.mark("Tea at four?");
        safety.mark("Tea at four?");
        safety.mark("Tea?");
        assert_eq!(safety.marks.len(), 1);
        assert!(safety.is_readable(b"\x07\x00..Tea at four?"));
        assert!(!safety.is_readable(b"\x07\x00..Tea at fo"));
    }
}
