//! Who carries near a tag: told to whoever asks. In `Route`, set `RelaySystems::Ask`. PROTOCOL 3.13

use crate::answers::Reason;
use crate::decode::send;
use crate::drops::{DropReason, Drops};
use crate::frames::{FIND, Frame};
use crate::limits::{FOUND_SILENT_MAX, LINK_FINDS_MAX, SEEN_UP};
use crate::look_up::{Target, nearly};
use crate::messages::CarriersAsked;
use crate::placement::distance;
use crate::repair::Repair;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{ClockError, Now, Time};
use dunlin_net::{About, AddressBook, FrameOut, Peer, PeerRow};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// On a link: how many questions for carriers it has asked lately.
#[derive(Component, Clone, Copy)]
pub(crate) struct Finds {
    since: Time,
    count: u16,
}

impl Finds {
    fn new(since: Time) -> Finds {
        Finds { since, count: 0 }
    }

    fn admit(&mut self, now: Time) -> bool {
        if now - self.since >= Duration::from_mins(1) {
            *self = Finds::new(now);
        }
        self.count = self.count.saturating_add(1);
        self.count <= LINK_FINDS_MAX
    }
}

type Knower<'a> = (
    &'a AddressBook,
    &'a Repair,
    &'a mut Drops,
    Option<&'a ClockError>,
);

// PROTOCOL 3.13
pub(crate) fn tell_carriers(
    mut asked: MessageReader<CarriersAsked>,
    mut nodes: Query<Knower>,
    mut links: Query<(&Peer, Option<&mut Finds>)>,
    now: Res<Now>,
    mut out: MessageWriter<FrameOut>,
    mut commands: Commands,
) {
    // Of links that never asked before.
    let mut first: BTreeMap<Entity, Finds> = BTreeMap::new();
    for CarriersAsked {
        node,
        peer,
        request,
        target,
        count,
    } in asked.read().copied()
    {
        let (Ok(known), Ok((from, finds))) = (nodes.get_mut(node), links.get_mut(peer)) else {
            continue;
        };
        let (book, repair, mut drops, clock) = known;
        let admitted = match finds {
            Some(mut finds) => finds.admit(now.time),
            None => first
                .entry(peer)
                .or_insert_with(|| Finds::new(now.time))
                .admit(now.time),
        };
        let frame = match admitted {
            true => Frame::Found {
                request,
                rows: nearest(
                    book,
                    repair,
                    target,
                    from.address,
                    now.unix_ms_of(clock),
                    count,
                ),
            },
            false => {
                drops.count(DropReason::TooManyFinds);
                Frame::Refused {
                    kind: FIND,
                    reason: Reason::OverShare,
                    price: 0,
                    request,
                }
            }
        };
        send(&mut out, peer, &frame);
    }
    for (link, finds) in first {
        commands.entity(link).try_insert(finds);
    }
}

/// The carriers nearest to a target that we heard ourselves, and whose addresses reach as far as the asker's.
fn nearest(
    book: &AddressBook,
    repair: &Repair,
    target: Target,
    asker: SocketAddr,
    unix_ms: u64,
    count: u8,
) -> Vec<PeerRow> {
    let lately = |heard: u64| {
        heard > 0 && u128::from(unix_ms.saturating_sub(heard)) < FOUND_SILENT_MAX.as_millis()
    };
    let heard = book.entries().filter(|peer| lately(peer.last_heard));
    let rows = heard.map(|peer| (peer.id, PeerRow::of(&peer, unix_ms)));
    // A neighbour may have had to leave the book. That it takes part says that it is there, and not too young.
    let neighbours = repair.state().neighbours.candidates();
    let neighbours = neighbours.filter(|neighbour| book.get(&neighbour.id).is_none());
    let neighbours = neighbours.map(|neighbour| {
        let row = PeerRow {
            id: *neighbour.id.as_bytes(),
            address: neighbour.address,
            about: About::CARRIES,
            minutes_silent: 0,
            minutes_up: (SEEN_UP.as_secs() / 60) as u16,
        };
        (neighbour.id, row)
    });
    let useful = |row: &PeerRow| row.about.carries() && !row.about.metered() && row.is_meant(asker);
    let all = rows.chain(neighbours).filter(|(_, row)| useful(row));
    let mut all: Vec<(u128, PeerRow)> = all
        .map(|(id, row)| (distance(&nearly(target), &id.position()), row))
        .collect();
    all.sort_unstable_by_key(|(distance, _)| *distance);
    let rows = all.into_iter().map(|(_, row)| row);
    rows.take(count.into()).collect()
}
