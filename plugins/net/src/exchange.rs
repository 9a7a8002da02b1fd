//! Peers tell each other of peers, and a node makes the links it needs. PROTOCOL 2.3, 5.
//!
//! (Later, beside `fill`: peers found on the LAN.)

use crate::address::Prefix;
use crate::data::ask_for_peers;
use crate::desk::{Desk, Fill, Parts, PartsItem};
use crate::dial::{end, start};
use crate::feel::feel;
use crate::frame::kind;
use crate::limits::{
    ENTRIES_WAIT, FILL_WAIT_MAX, LINKS_WIDE_PREFIX_MAX, PEERS_ANSWER_WAIT, PEERS_ASK_WAIT,
    PEERS_ASK_WAIT_FEW, PEERS_ROW_BYTES, PEERS_ROWS_MAX,
};
use crate::link_state::{Link, Purpose};
use crate::moment::Moment;
use crate::{About, Bound, CloseReason, Dial, DropReason, KnownPeer, PeerId, PeerRow, book_file};
use bevy_ecs::prelude::*;
use bytes::BufMut;
use dunlin_engine::{Due, bevy_ecs};
use rand_core::Rng;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Answers PEERS_ASK with peers that we had links with ourselves.
// PROTOCOL 2.3
pub(crate) fn on_ask(
    parts: &mut PartsItem,
    entity: Entity,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let &[ref request @ .., count] = body.first_chunk::<5>().ok_or(DropReason::FrameMalformed)?;
    let count = usize::from(count);
    if count == 0 || count > PEERS_ROWS_MAX {
        return Err(DropReason::FrameMalformed);
    }
    let (now, unix_ms) = (desk.time(), desk.now.unix_ms_of(parts.clock));
    let link = parts.links.get_mut(entity).ok_or(DropReason::NoSession)?;
    if link
        .peers_answered
        .get()
        .is_some_and(|last| now - last < PEERS_ANSWER_WAIT)
    {
        return Err(DropReason::Share);
    }
    link.peers_answered = Moment::at(now);
    let rows = parts
        .book
        .sample(count, link.address(), &mut parts.random.0);
    let mut answer = Vec::with_capacity(4 + rows.len() * PEERS_ROW_BYTES);
    answer.put_slice(request);
    for peer in rows {
        let row = PeerRow {
            minutes_up: 0,
            ..PeerRow::of(&peer, unix_ms)
        };
        answer.put_slice(&row.encode());
    }
    desk.frame_out(entity, kind::PEERS, answer);
    Ok(())
}

/// Notes the peers that one we asked tells us of; nobody else's word is taken.
// PROTOCOL 2.3
pub(crate) fn on_peers(
    parts: &mut PartsItem,
    entity: Entity,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let (request, rows) = body
        .split_first_chunk::<4>()
        .ok_or(DropReason::FrameMalformed)?;
    let link = parts.links.get_mut(entity).ok_or(DropReason::NoSession)?;
    if link.peers_request.map(NonZeroU32::get) != Some(u32::from_le_bytes(*request)) {
        return Err(DropReason::Unasked);
    }
    link.peers_request = None;
    let from = link.address();
    let known = parts.book.len();
    for row in rows.chunks_exact(PEERS_ROW_BYTES).take(PEERS_ROWS_MAX) {
        let noted = read_row(parts, row, from).is_some_and(|(id, address, about)| {
            let ours = id == parts.identity.id();
            ours || parts.book.told(id, address, about, Prefix::wide(from))
        });
        if !noted {
            parts.drops.count(DropReason::PeersRefused);
        }
    }
    if parts.book.len() > known {
        desk.fill(parts);
        desk.keep_book(parts);
    }
    Ok(())
}

/// Reads a row, and refuses an address that its teller cannot have meant for us: a stranger far away names none on our LAN.
fn read_row(
    parts: &PartsItem,
    row: &[u8],
    from: SocketAddr,
) -> Option<(PeerId, SocketAddr, About)> {
    let row = PeerRow::decode(row.first_chunk()?)?;
    if !row.is_meant(from) || row.minutes_up != 0 {
        return None;
    }
    // Checking an id takes a scalar multiplication; most rows name peers that are known.
    let id = match parts.book.known(&row.id) {
        Some(id) => id,
        None => PeerId::checked(parts.identity.primitives(), row.id).ok()?,
    };
    Some((id, row.address, row.about))
}

/// Sees to it that nodes have the links they want. In `Maintain`, set `NetSystems::Keep`.
pub(crate) fn fill_links(
    mut due: MessageReader<Due<Fill>>,
    mut nodes: Query<(Parts, Option<&Bound>)>,
    mut desk: Desk,
) {
    for due in due.read() {
        let Ok((mut parts, bound)) = nodes.get_mut(due.entity) else {
            continue;
        };
        let first = !parts.links.begun;
        if first {
            open_book(&mut parts);
        }
        fill(&mut parts, bound.map(|bound| bound.0), first, &mut desk);
    }
}

fn open_book(parts: &mut PartsItem) {
    parts.links.begun = true;
    if let Some(path) = &parts.settings.book {
        match book_file::load(path) {
            Ok(book) => parts.book.absorb(book),
            // A node without its book still works; it has to be told of peers again.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the address book")
            }
        }
    }
    parts.book.draw_key(&mut parts.random.0);
}

fn fill(parts: &mut PartsItem, bound: Option<SocketAddr>, first: bool, desk: &mut Desk) {
    make_way(parts, bound, desk);
    let chosen = |link: &Link| link.purpose == Purpose::Chosen && link.over.is_none();
    let own = parts.links.iter().filter(|(_, link)| chosen(link));
    let mut own: Vec<SocketAddr> = own.map(|(_, link)| link.address()).collect();
    let target = parts.settings.outbound;
    let linked = linked(parts);
    if first {
        for id in parts.book.anchors().to_vec() {
            let peer = parts
                .book
                .get(&id)
                .filter(|peer| wanted(peer, bound, &own, &linked));
            if let Some(peer) = peer {
                own.push(peer.address);
                dial(parts, Some(id), peer.address, desk);
            }
        }
    }
    if first || (parts.links.up_count() == 0 && target > 0) {
        dial_entries(parts, &mut own, desk);
    }
    while own.len() < target {
        let unix_ms = desk.now.unix_ms_of(parts.clock);
        let chance = [(); 3].map(|()| parts.random.0.next_u64());
        let wanted = |peer: &KnownPeer| wanted(peer, bound, &own, &linked);
        // Those who carry for others stay longer, and lead to carriers whom we hide from.
        let carries = |peer: &KnownPeer| peer.about.carries() && wanted(peer);
        let carrier = parts.book.draw(unix_ms, carries, chance);
        let Some(peer) = carrier.or_else(|| parts.book.draw(unix_ms, wanted, chance)) else {
            break;
        };
        own.push(peer.address);
        dial(parts, Some(peer.id), peer.address, desk);
    }
    if target == 0 {
        return; // A node that makes no links by itself looks for none.
    }
    let few = own.len() < target;
    ask_somebody(
        parts,
        if few {
            PEERS_ASK_WAIT_FEW
        } else {
            PEERS_ASK_WAIT
        },
        desk,
    );
    let unanswered = parts
        .links
        .iter()
        .any(|(_, link)| link.peers_request.is_some());
    // An answer that was lost is asked for again as soon as the other side may give it again.
    let wait = match few || unanswered {
        true => (parts.links.fill_wait * 2).clamp(PEERS_ASK_WAIT_FEW, FILL_WAIT_MAX),
        // By chance somewhat longer, or nodes that began together would go on doing everything at once.
        false => {
            let spread = PEERS_ASK_WAIT.as_millis() as u64 / 8;
            PEERS_ASK_WAIT + Duration::from_millis(parts.random.0.next_u64() % spread)
        }
    };
    if !few && parts.settings.feelers {
        feel(parts, bound, desk);
    }
    parts.links.fill_wait = wait;
    let at = desk.time() + wait;
    desk.timers.set::<Fill>(parts.node, at);
}

/// Ends a link with somebody who carries nothing, if the book knows a carrier to have one with instead: only carriers pass on what we hide, and
/// the more of them, the less is seen through one. One at a time; a link that ends brings the next round.
fn make_way(parts: &mut PartsItem, bound: Option<SocketAddr>, desk: &mut Desk) {
    let chosen = |link: &Link| link.purpose == Purpose::Chosen && link.over.is_none();
    let own = || parts.links.iter().filter(|(_, link)| chosen(link));
    let Some((entity, _)) = own().find(|(_, link)| link.is_up() && !link.about.carries()) else {
        return;
    };
    let others = own().filter(|(other, _)| *other != entity);
    let others: Vec<SocketAddr> = others.map(|(_, link)| link.address()).collect();
    let linked = linked(parts);
    let carries = |peer: &KnownPeer| peer.about.carries() && wanted(peer, bound, &others, &linked);
    let unix_ms = desk.now.unix_ms_of(parts.clock);
    let known = parts.book.draw(unix_ms, carries, [0; 3]).is_some();
    if let (true, Some(link)) = (known, parts.links.get_mut(entity)) {
        end(link, entity, CloseReason::Idle, desk);
    }
}

/// Whom no link is wanted with: the node itself, who has one, and who is being dialled. Sorted.
pub(crate) fn linked(parts: &PartsItem) -> Vec<PeerId> {
    let known = |link: &Link| link.hidden.is_none() && !link.anonymous && link.over.is_none();
    let links = parts.links.iter().filter(|(_, link)| known(link));
    let mut ids: Vec<PeerId> = links.filter_map(|(_, link)| link.id).collect();
    ids.push(parts.identity.id());
    ids.sort_unstable();
    ids
}

/// Whom a node has no link with, in a place where it has not two already. Asked of each row of the book, so the cheap comes first.
fn wanted(
    peer: &KnownPeer,
    bound: Option<SocketAddr>,
    own: &[SocketAddr],
    linked: &[PeerId],
) -> bool {
    let crowded = || {
        let place = Prefix::wide(peer.address);
        let there = |address: &&SocketAddr| Prefix::wide(**address) == place;
        own.iter().filter(there).count() >= LINKS_WIDE_PREFIX_MAX
    };
    linked.binary_search(&peer.id).is_err()
        && Some(peer.address) != bound
        && !own.contains(&peer.address)
        && !crowded()
}

/// The addresses to begin with; not more often than every half minute, for one may close on us each time.
fn dial_entries(parts: &mut PartsItem, own: &mut Vec<SocketAddr>, desk: &mut Desk) {
    if desk.time() < parts.links.entries_after {
        return;
    }
    parts.links.entries_after = desk.time() + ENTRIES_WAIT;
    for (id, address) in parts.settings.entry.clone() {
        let linked = parts.links.iter().any(|(_, link)| link.is_at(address));
        if !linked && own.len() < parts.settings.outbound && id != Some(parts.identity.id()) {
            own.push(address);
            dial(parts, id, address, desk);
        }
    }
}

fn dial(parts: &mut PartsItem, id: Option<PeerId>, address: SocketAddr, desk: &mut Desk) {
    let dial = Dial {
        node: parts.node,
        link: desk.commands.spawn_empty().id(),
        address,
        id,
        anonymous: false,
    };
    start(parts, &dial, Purpose::Chosen, desk);
}

/// Asks the peer whom we asked longest ago, if that is `wait` ago, or if it owes us an answer.
fn ask_somebody(parts: &mut PartsItem, wait: Duration, desk: &mut Desk) {
    let now = desk.time();
    let askable = parts.links.iter().filter(|(_, link)| {
        let wait = match link.peers_request {
            Some(_) => PEERS_ANSWER_WAIT,
            None => wait,
        };
        let asked = link.peers_asked.get().is_some_and(|last| now - last < wait);
        link.is_up() && link.over.is_none() && link.hidden.is_none() && !link.anonymous && !asked
    });
    let oldest = askable.min_by_key(|(entity, link)| (link.peers_asked, *entity));
    if let Some(entity) = oldest.map(|(entity, _)| entity) {
        ask_for_peers(parts, entity, desk);
    }
}
