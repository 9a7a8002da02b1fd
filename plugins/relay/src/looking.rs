//! A node looks up who carries nearest to what it has to do with. In `Deliver`, set `RelaySystems::Own`. PROTOCOL 3.13

use crate::carriers::at_work;
use crate::collector::Collector;
use crate::day_keys::DayKeys;
use crate::errands::Errands;
use crate::frames::Frame;
use crate::gatherer::Gatherer;
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::limits::{LOOK_UP_LIFE, LOOK_UP_PAST_LIFE};
use crate::listeners::Receivers;
use crate::messages::{ErrandDone, Work};
use crate::outbox::Outbox;
use crate::packet::Tag;
use crate::prekey_search::PrekeyBook;
use crate::rooms::Rooms;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{ClockError, Now};
use dunlin_net::{Identity, PeerId};

pub(crate) fn settle_found(
    mut ended: MessageReader<ErrandDone>,
    mut nodes: Query<(&Identity, &mut Carriers)>,
    now: Res<Now>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Task::Find { target, .. } = done.task else {
            continue;
        };
        let Ok((identity, mut carriers)) = nodes.get_mut(*node) else {
            continue;
        };
        // Who refuses is there, and tells of nobody.
        let rows = done.answer.as_ref().map(|answer| match answer {
            Frame::Found { rows, .. } => &rows[..],
            _ => &[],
        });
        carriers.looked_up(identity.id(), &done.carrier, target, rows, now.time);
    }
}

type Seeker<'a> = (
    &'a Outbox,
    &'a mut Errands,
    &'a mut Carriers,
    (&'a DayKeys, Has<Receivers>),
    (&'a Gatherer, &'a Collector, &'a Rooms),
    (&'a PrekeyBook, Option<&'a ClockError>),
);

// PROTOCOL 3.13
pub(crate) fn look_up_carriers(
    mut work: MessageReader<Work>,
    mut nodes: Query<Seeker>,
    now: Res<Now>,
) {
    for node in at_work(&mut work) {
        let Ok((outbox, mut errands, mut carriers, (keys, receives), looking, (prekeys, clock))) =
            nodes.get_mut(node)
        else {
            continue;
        };
        let (gatherer, collector, rooms) = looking;
        let wanted = || {
            let today = day_of(now.unix_ms_of(clock));
            let mut tags: Vec<(Tag, Topic)> = Vec::new();
            tags.extend(prekeys.sought().map(|tag| (tag, Topic::under(tag, false))));
            tags.extend(
                outbox
                    .placed()
                    .map(|(tag, is_part)| (tag, Topic::under(tag, is_part))),
            );
            tags.extend(rooms.sought(now.unix_ms_of(clock)));
            if receives {
                tags.extend(
                    gatherer
                        .sought()
                        .map(|(tag, is_part)| (tag, Topic::under(tag, is_part))),
                );
                tags.extend(
                    collector
                        .tags_sought()
                        .map(|tag| (tag, Topic::under(tag, true))),
                );
            }
            let days = keys.tags().into_iter().filter(|_| receives);
            let days = days.map(|(day, tag)| {
                let near = day.abs_diff(today) <= 1;
                let life = if near {
                    LOOK_UP_LIFE
                } else {
                    LOOK_UP_PAST_LIFE
                };
                (tag, Topic::Mailbox, life)
            });
            let tags = tags
                .into_iter()
                .map(|(tag, topic)| (tag, topic, LOOK_UP_LIFE));
            tags.chain(days).collect::<Vec<_>>()
        };
        let may_reach = |carrier: &PeerId| errands.may_reach(carrier, now.time);
        for (carrier, task) in carriers.look_up(wanted, may_reach, now.time) {
            errands.add(carrier, task, now.time);
        }
    }
}
