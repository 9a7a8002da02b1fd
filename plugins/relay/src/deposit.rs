//! Deposits: a carrier keeps a packet for somebody, says so, or says why not. Copies that it pulled itself come the same way. In `Route`, set `RelaySystems::Deposit`.

use crate::answers::{Outcome, Reason};
use crate::cache::{Cache, Insert};
use crate::decode::send;
use crate::depositor::Depositor;
use crate::drops::{DropReason, Drops};
use crate::frames::{DEPOSIT, Frame};
use crate::life::life_left;
use crate::messages::{PacketArrived, PacketGone, PacketKept};
use crate::settings::RelaySettings;
use crate::tombstones::Tombstones;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{ClockError, Due, Now, Timers};
use dunlin_net::Bandwidth;
use dunlin_net::{FrameOut, Peer, Prefix};
use std::time::Duration;

/// Fires when a node's cache is to be swept of what has expired.
pub(crate) struct Sweep;

/// What has expired is never shown, so memory is all that a sweep gives back.
const SWEEP: Duration = Duration::from_hours(1);

type Carrier<'a> = (
    &'a RelaySettings,
    &'a mut Cache,
    &'a mut Bandwidth,
    &'a mut Tombstones,
    &'a mut Drops,
    Option<&'a ClockError>,
);

#[expect(clippy::too_many_arguments, reason = "what a deposit touches")]
pub(crate) fn keep_deposits(
    mut arrived: MessageReader<PacketArrived>,
    peers: Query<&Peer>,
    mut nodes: Query<Carrier>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut kept: MessageWriter<PacketKept>,
    mut gone: MessageWriter<PacketGone>,
    mut out: MessageWriter<FrameOut>,
) {
    for PacketArrived {
        node,
        peer,
        request,
        packet,
        pulled,
        refused,
    } in arrived.read()
    {
        // The link may have ended earlier in this turn.
        let (Ok(from), Ok(carrier)) = (peers.get(*peer), nodes.get_mut(*node)) else {
            continue;
        };
        let (settings, mut cache, mut bandwidth, mut tombstones, mut drops, clock) = carrier;
        let (id, bytes) = (packet.id(), packet.bytes().len());
        let depositor = match pulled {
            true => Depositor::of_pulled(packet.tag()),
            false => Prefix::of(from.address).into(),
        };
        let life = life_left(packet.day(), packet.expiry_hours(), now.unix_ms_of(clock));
        // PROTOCOL 3.7, 4.3
        let verdict = match (refused, life) {
            (Some(reason), _) => Err((*reason, 0, DropReason::RefusedByPlugin)),
            (None, _) if !settings.carry => {
                Err((Reason::DoesNotCarry, 0, DropReason::DoesNotCarry))
            }
            (None, Err(_)) => Err((Reason::Untimely, 0, DropReason::Untimely)),
            (None, Ok(_)) if tombstones.get(id, now.time).is_some() => {
                drops.count(DropReason::WasEnded);
                Ok(Outcome::WasEnded)
            }
            // A repeated request costs nothing anew: its sender only missed the answer.
            (None, Ok(_)) if !cache.contains(id) && !bandwidth.has(bytes, now.time) => {
                Err((Reason::of_spent(&bandwidth), 0, DropReason::Bandwidth))
            }
            (None, Ok(life)) => {
                match cache.insert(packet, depositor, now.time + life) {
                    Insert::Stored(evicted) => {
                        let _ = bandwidth.take(bytes, now.time); // It was there a moment ago.
                        for id in evicted {
                            drops.count(DropReason::Evicted);
                            gone.write(PacketGone { node: *node, id });
                        }
                        kept.write(PacketKept {
                            node: *node,
                            id,
                            tag: packet.tag(),
                        });
                        if timers.get::<Sweep>(*node).is_none() {
                            timers.set::<Sweep>(*node, now.time + SWEEP);
                        }
                        Ok(Outcome::Stored)
                    }
                    Insert::WasThere => Ok(Outcome::WasThere),
                    Insert::Full { price } => Err((Reason::Full, price, DropReason::Full)),
                    Insert::OverShare { price } => {
                        Err((Reason::OverShare, price, DropReason::OverShare))
                    }
                }
            }
        };
        let request = *request;
        let answer = match verdict {
            Ok(outcome) => {
                let price = cache.price();
                Frame::Deposited {
                    request,
                    outcome,
                    price,
                    id,
                }
            }
            Err((reason, price, drop)) => {
                drops.count(drop);
                Frame::Refused {
                    kind: DEPOSIT,
                    reason,
                    price,
                    request,
                }
            }
        };
        if !pulled {
            send(&mut out, *peer, &answer);
        }
    }
}

// PROTOCOL 3.7
pub(crate) fn sweep_expired(
    mut due: MessageReader<Due<Sweep>>,
    mut nodes: Query<(&mut Cache, &mut Drops)>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut gone: MessageWriter<PacketGone>,
) {
    for due in due.read() {
        let Ok((mut cache, mut drops)) = nodes.get_mut(due.entity) else {
            continue;
        };
        for id in cache.expire(now.time) {
            drops.count(DropReason::Expired);
            gone.write(PacketGone {
                node: due.entity,
                id,
            });
        }
        if !cache.is_empty() {
            timers.set::<Sweep>(due.entity, now.time + SWEEP);
        }
    }
}
