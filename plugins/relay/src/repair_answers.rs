//! What a carrier shows its neighbours of what it keeps: LIST and PULL, on the side that is asked. In `Route`, set `RelaySystems::Ask`.

use crate::answers::Reason;
use crate::cache::Cache;
use crate::decode::send;
use crate::drops::{DropReason, Drops};
use crate::frames::{Frame, LIST, PULL};
use crate::limits::{LINK_LISTS_MAX, LINK_PULLS_MAX, LIST_SCAN_MAX, REPAIR_EVERY};
use crate::messages::{NeighbourAsked, Wanted};
use crate::mirror::{Mirror, Withheld};
use crate::neighbours::oneself;
use crate::packet::PacketId;
use crate::placement::Candidate;
use crate::repair::{Repair, takes_part};
use crate::rows::{ListedRow, ROWS_MAX, is_within};
use crate::settings::RelaySettings;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Now, Random, Time};
use dunlin_net::Bandwidth;
use dunlin_net::{FrameOut, Identity, LinkSettings, Peer};
use std::collections::BTreeMap;

/// On a link's entity, once it asked: how often it did lately.
#[derive(Component, Clone, Copy)]
pub(crate) struct Lists {
    since: Time,
    lists: u16,
    pulls: u16,
}

impl Lists {
    fn new(now: Time) -> Lists {
        Lists {
            since: now,
            lists: 0,
            pulls: 0,
        }
    }

    /// Counts a question, if the link may have another.
    fn admit(&mut self, what: &Wanted, now: Time) -> bool {
        if now - self.since >= REPAIR_EVERY {
            *self = Lists::new(now);
        }
        let (count, most) = match what {
            Wanted::List { .. } => (&mut self.lists, LINK_LISTS_MAX),
            Wanted::Copy { .. } => (&mut self.pulls, LINK_PULLS_MAX),
        };
        let admitted = *count < most;
        *count += u16::from(admitted);
        admitted
    }
}

type Carrier<'a> = (
    (&'a Identity, &'a RelaySettings, &'a LinkSettings),
    (&'a Cache, &'a Mirror),
    (&'a mut Bandwidth, &'a mut Drops),
    (&'a mut Repair, &'a mut Random),
);

// PROTOCOL 3.12
pub(crate) fn answer_neighbours(
    mut questions: MessageReader<NeighbourAsked>,
    mut links: Query<(&Peer, Option<&mut Lists>)>,
    mut nodes: Query<Carrier>,
    withheld: Query<(), With<Withheld>>,
    now: Res<Now>,
    mut out: MessageWriter<FrameOut>,
    mut commands: Commands,
) {
    let now = now.time;
    // Of links that never asked before.
    let mut first: BTreeMap<Entity, Lists> = BTreeMap::new();
    for NeighbourAsked {
        node,
        peer: link,
        request,
        what,
    } in questions.read().copied()
    {
        let (Ok((peer, lists)), Ok(carrier)) = (links.get_mut(link), nodes.get_mut(node)) else {
            continue;
        };
        let (own, (cache, mirror), (mut bandwidth, mut drops), (mut repair, mut random)) = carrier;
        let (identity, settings, link_settings) = own;
        let me = oneself(identity.id());
        // One that hides has no place, and who hears us hide must not learn what we keep.
        let is_carrier =
            !peer.anonymous && !peer.hidden && peer.about.carries() && !peer.about.metered();
        let admit = || match lists {
            Some(mut lists) => lists.admit(&what, now),
            None => first
                .entry(link)
                .or_insert_with(|| Lists::new(now))
                .admit(&what, now),
        };
        let verdict = if !takes_part(settings, link_settings) {
            Err((Reason::DoesNotCarry, DropReason::DoesNotCarry))
        } else if !is_carrier {
            Err((Reason::NotProved, DropReason::NotNeighbour))
        } else if !admit() {
            Err((Reason::OverShare, DropReason::TooManyLists))
        } else if !repair
            .state_mut()
            .asked_by(candidate(peer), &me, now, &mut random.0)
        {
            Err((Reason::NotProved, DropReason::NotNeighbour))
        } else {
            let state = repair.state();
            let belongs = |tag| state.neighbours.belongs(tag, &peer.id, &me);
            let shown = |id| {
                !mirror
                    .get(id)
                    .is_some_and(|packet| withheld.contains(packet))
            };
            match what {
                Wanted::List { after, until } => {
                    let belongs = |row: &ListedRow| belongs(row.nearly()) && shown(row.id);
                    let (next, rows) = list(cache, after, until, now, belongs);
                    Ok(Frame::Listed {
                        request,
                        next,
                        rows,
                    })
                }
                Wanted::Copy { id } => {
                    let packet = cache.get(id, now).filter(|_| shown(id));
                    let packet =
                        packet.filter(|packet| belongs(ListedRow::new(id, packet.tag()).nearly()));
                    let bytes = packet.as_ref().map_or(0, |packet| packet.bytes().len());
                    match bandwidth.take(bytes, now) {
                        true => Ok(Frame::Pulled { request, packet }),
                        false => Err((Reason::of_spent(&bandwidth), DropReason::Bandwidth)),
                    }
                }
            }
        };
        let answer = verdict.unwrap_or_else(|(reason, drop)| {
            drops.count(drop);
            let kind = match what {
                Wanted::List { .. } => LIST,
                Wanted::Copy { .. } => PULL,
            };
            Frame::Refused {
                kind,
                reason,
                price: 0,
                request,
            }
        });
        send(&mut out, link, &answer);
    }
    for (link, lists) in first {
        commands.entity(link).try_insert(lists);
    }
}

/// Who asks, as placement sees it.
fn candidate(peer: &Peer) -> Candidate {
    Candidate {
        id: peer.id,
        position: peer.id.position(),
        address: peer.address,
        eligible: true,
    }
}

/// The rows of a page, and up to where it goes: `until` if to the end.
fn list(
    cache: &Cache,
    after: PacketId,
    until: PacketId,
    now: Time,
    belongs: impl Fn(&ListedRow) -> bool,
) -> (PacketId, Vec<ListedRow>) {
    let mut rows = Vec::new();
    for (n, (id, tag)) in cache.round_from(after, now).enumerate() {
        if !is_within(id, after, until) {
            break;
        }
        let row = ListedRow::new(id, tag);
        if belongs(&row) {
            rows.push(row);
        }
        if rows.len() == ROWS_MAX || n + 1 == LIST_SCAN_MAX {
            return (id, rows);
        }
    }
    (until, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::packet;
    use crate::packet::{Class, Tag};
    use dunlin_net::Prefix;
    use proptest::prelude::*;

    fn cache(count: u16) -> Cache {
        let mut cache = Cache::default();
        for n in 0..count {
            let packet = packet(Class::Small, Tag([n as u8; 16]), 20_000, n as u8 ^ 0x5a);
            let from = Prefix::of(([198, 51, n as u8, 1], 9_000).into());
            cache.insert(&packet, from, Time(1_000_000));
        }
        cache
    }

    proptest! {
        // PROTOCOL 3.12
        #[test]
        fn pages_one_after_another_show_each_packet_once_wherever_they_begin(
            count in 0_u16..200,
            start: [u8; 16],
            odd_only: bool,
        ) {
            let cache = cache(count);
            let belongs = |row: &ListedRow| !odd_only || row.id.0[15] % 2 == 1;
            let until = PacketId(start);
            let (mut after, mut shown, mut pages) = (until, Vec::new(), 0);
            loop {
                let (next, rows) = list(&cache, after, until, Time(0), belongs);
                prop_assert!(rows.len() <= ROWS_MAX);
                shown.extend(rows.iter().map(|row| row.id));
                pages += 1;
                if next == until {
                    break;
                }
                prop_assert!(is_within(next, after, until) && next != after);
                after = next;
            }
            let all = cache.round_from(PacketId([0; 16]), Time(0));
            let all = all.map(|(id, tag)| ListedRow::new(id, tag)).filter(belongs);
            let mut all: Vec<PacketId> = all.map(|row| row.id).collect();
            // A full page may be the last, which the next says.
            prop_assert!(pages <= 1 + all.len() / ROWS_MAX);
            all.sort_unstable();
            shown.sort_unstable();
            prop_assert_eq!(shown, all);
        }
    }

    #[test]
    fn what_expired_is_not_listed() {
        let cache = cache(3);
        let zero = PacketId([0; 16]);
        let (next, rows) = list(&cache, zero, zero, Time(1_000_000), |_| true);
        assert_eq!((next, rows.len()), (zero, 0));
    }

    // PROTOCOL 3.12
    #[test]
    fn a_link_asks_so_often_in_a_quarter_of_an_hour_and_then_again() {
        let zero = PacketId([0; 16]);
        let ask = Wanted::List {
            after: zero,
            until: zero,
        };
        let mut lists = Lists::new(Time(0));
        assert!((0..LINK_LISTS_MAX).all(|n| lists.admit(&ask, Time(n.into()))));
        assert!(!lists.admit(&ask, Time(1_000)));
        assert!(lists.admit(&Wanted::Copy { id: zero }, Time(1_000)));
        assert!(lists.admit(&ask, Time(0) + REPAIR_EVERY));
    }
}
