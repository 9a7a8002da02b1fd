//! A node that receives publishes its prekeys once a day. In `Deliver`, set `RelaySystems::Plan`. PROTOCOL 4.5

use crate::carriers::at_work;
use crate::known_carriers::Carriers;
use crate::life::{DAY_MS, day_of};
use crate::limits::PLACES;
use crate::listeners::Receivers;
use crate::mailbox::Mailbox;
use crate::messages::Work;
use crate::outbox::Outbox;
use crate::own_message::{OwnMessage, Piece};
use crate::own_packet::OwnPacket;
use crate::packet::MessageId;
use crate::placement::nearest;
use crate::prekeys::Prekeys;
use crate::receipts::Receipts;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{ClockError, Due, Now, Random, Time, Timers};
use dunlin_net::Identity;
use std::time::Duration;

type Publisher<'a> = (
    (&'a Identity, &'a Mailbox),
    (&'a mut Prekeys, &'a mut Outbox, &'a mut Receipts),
    &'a mut Random,
    &'a Carriers,
    Option<&'a ClockError>,
);

/// Fires when a day begins, which ends the time of a key, whether or not anything is published.
pub(crate) struct EraseTimer;

/// When the next day begins.
pub(crate) fn tomorrow(now: Now, clock: Option<&ClockError>) -> Time {
    let day = DAY_MS as u64;
    now.time + Duration::from_millis(day - now.unix_ms_of(clock) % day)
}

pub(crate) fn erase_prekeys(
    mut due: MessageReader<Due<EraseTimer>>,
    mut nodes: Query<(&mut Prekeys, Option<&ClockError>)>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    for due in due.read() {
        let Ok((mut prekeys, clock)) = nodes.get_mut(due.entity) else {
            continue;
        };
        if let Err(error) = prekeys.erase(day_of(now.unix_ms_of(clock))) {
            tracing::error!(%error, "old prekeys are erased from memory, and not from the disk");
        }
        if !prekeys.is_empty() {
            timers.set::<EraseTimer>(due.entity, tomorrow(*now, clock));
        }
    }
}

pub(crate) fn publish_prekeys(
    mut work: MessageReader<Work>,
    mut nodes: Query<Publisher, With<Receivers>>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    for node in at_work(&mut work) {
        let Ok(((identity, mailbox), own, mut random, carriers, clock)) = nodes.get_mut(node)
        else {
            continue;
        };
        let (mut prekeys, mut outbox, mut receipts) = own;
        let unix_ms = now.unix_ms_of(clock);
        let today = day_of(unix_ms);
        // Its carriers may forget it.
        let copies = outbox.record_copies().unwrap_or(0);
        if let Some(old) = prekeys.take_replaced(copies, carriers.list().len()) {
            let nearest = nearest(old.packet.tag(), carriers.list(), PLACES);
            let nearest = nearest.iter().map(|carrier| carrier.id);
            receipts.tell((old.packet.id(), false), &old.secret, nearest, now.time);
        }
        if prekeys.tried(today) || carriers.list().is_empty() {
            continue;
        }
        if prekeys.published(today).is_none()
            && let Err(error) = prekeys.publish(identity, mailbox, unix_ms, &mut random.0)
        {
            tracing::error!(%error, "no prekeys are published today, since they cannot be kept: what is sent to this device is not forward-secret");
        }
        prekeys.note_tried(today);
        timers.set::<EraseTimer>(node, tomorrow(*now, clock));
        if let Some(published) = prekeys.published(today) {
            let packet = published.packet.clone();
            let id = MessageId(packet.id().0);
            let parts = vec![OwnPacket::new(packet, now.time)];
            let mut record = OwnMessage::new(identity.id(), parts, unix_ms, now.time);
            record.piece = Piece::Record;
            outbox.replace_record(id, record);
        }
    }
}
