//! A carrier that is told to end sees to it that what it keeps has eight copies without it. In `Deliver`, set `RelaySystems::Own`.
//!
//! It asks those who are nearest to a packet's tag whether they have it, and gives it to as many of those who have not as are missing, nearest
//! first. Who does not answer within half of the time has gone as well.

use crate::answers::{Known, Outcome};
use crate::cache::Cache;
use crate::carriers::OwnTimer;
use crate::errands::Errands;
use crate::frames::Frame;
use crate::known_carriers::Carriers;
use crate::limits::{HAND_OVER_MAX, PLACES};
use crate::messages::{ErrandDone, Work};
use crate::packet::PacketId;
use crate::placement::nearest;
use crate::settings::RelaySettings;
use crate::task::Task;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Exit, ExitHolds, Now, Time, Timers};
use dunlin_net::{AddressBook, Identity, PeerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Fires when a node that leaves has asked long enough, and when it has had its time.
pub(crate) struct HandOverEnd;

const ASKING: Duration = Duration::from_millis(1_500);
/// Nobody waits longer for a program that was told to end.
const LIMIT: Duration = Duration::from_millis(3_500);
/// So many are asked: where a packet belongs, and who takes the places of those that went lately.
const ASKED: usize = PLACES + 4;
const HOLD: &str = "relay hands over";

/// On a node, put there by whoever ends it: it goes while the app stays, and hands over first what it keeps, as all nodes do when the app ends. It has
/// 3.5 s.
#[derive(Component, Debug, Clone, Copy, Default)]
pub struct GoesAway;

/// On a node that leaves.
#[derive(Component)]
pub(crate) struct Leaving {
    /// Packets of which it is not known yet who has them.
    counts: BTreeMap<PacketId, Count>,
    /// Copies on their way.
    open: usize,
    handed: usize,
    end: Time,
}

#[derive(Default)]
struct Count {
    /// In order of distance; whether they have it, once they said so.
    asked: Vec<(PeerId, Option<bool>)>,
}

impl Count {
    /// Who is to be given a copy: the nearest who have none, so many as are missing.
    fn missing(&self) -> impl Iterator<Item = PeerId> {
        let has = |wanted: bool| {
            let answered = self.asked.iter();
            answered.filter(move |(_, has)| *has == Some(wanted))
        };
        let missing = PLACES.saturating_sub(has(true).count());
        has(false).map(|(carrier, _)| *carrier).take(missing)
    }

    fn note(&mut self, carrier: PeerId, has: bool) {
        let place = self.asked.iter_mut().find(|(asked, _)| *asked == carrier);
        if let Some((_, answer)) = place {
            *answer = Some(has);
        }
    }

    fn is_complete(&self) -> bool {
        self.asked.iter().all(|(_, has)| has.is_some())
    }
}

type Stayer<'a> = (
    Entity,
    &'a RelaySettings,
    &'a Cache,
    &'a Identity,
    Ref<'a, AddressBook>,
    &'a mut Carriers,
    &'a mut Errands,
);

/// Once a node goes, or the app is to end and with it all its nodes, it asks who else has what it keeps.
// PROTOCOL 3.6
pub(crate) fn begin_hand_over(
    exit: Res<Exit>,
    mut nodes: Query<Stayer, Without<Leaving>>,
    going: Query<Entity, (With<GoesAway>, Without<Leaving>)>,
    now: Res<Now>,
    mut holds: ResMut<ExitHolds>,
    mut timers: ResMut<Timers>,
    mut commands: Commands,
) {
    let leavers: Vec<Entity> = if exit.0.is_some() {
        let all = nodes.iter().filter(|stayer| stayer.1.hand_over);
        all.map(|stayer| stayer.0).collect()
    } else {
        going.iter().collect()
    };
    for node in leavers {
        let Ok((node, _, cache, identity, book, mut carriers, mut errands)) = nodes.get_mut(node)
        else {
            continue;
        };
        carriers.look(identity.id(), &book, now.time);
        let mut counts = BTreeMap::new();
        for packet in cache.longest_lived(HAND_OVER_MAX, now.time) {
            let nearest = nearest(packet.tag(), carriers.list(), ASKED);
            let id = packet.id();
            for carrier in &nearest {
                errands.add(carrier.id, Task::Count { id }, now.time);
            }
            let asked = nearest.iter().map(|carrier| (carrier.id, None));
            counts.insert(
                id,
                Count {
                    asked: asked.collect(),
                },
            );
        }
        tracing::info!(packets = counts.len(), "handing over");
        if !counts.is_empty() {
            holds.0.insert(HOLD);
            timers.set::<HandOverEnd>(node, now.time + ASKING);
            timers.set::<OwnTimer>(node, now.time); // Errands leave in the turn after this one.
        }
        commands.entity(node).insert(Leaving {
            counts,
            open: 0,
            handed: 0,
            end: now.time + LIMIT,
        });
    }
}

type Leaver<'a> = (&'a mut Leaving, &'a Cache, &'a mut Errands);

/// Gives copies to who said that they have none.
pub(crate) fn hand_over(
    mut ended: MessageReader<ErrandDone>,
    mut due: MessageReader<Due<HandOverEnd>>,
    mut nodes: Query<Leaver>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    for ErrandDone { node, done } in ended.read() {
        let Ok((mut leaving, cache, mut errands)) = nodes.get_mut(*node) else {
            continue;
        };
        match &done.task {
            Task::Count { id } => {
                let Some(count) = leaving.counts.get_mut(id) else {
                    continue;
                };
                match &done.answer {
                    Some(Frame::Answer { known, .. }) => {
                        let has = !matches!(known, Known::Unknown);
                        count.note(done.carrier, has);
                    }
                    // Gone, or carries nothing: it is no place for a copy.
                    _ => count.asked.retain(|(asked, _)| *asked != done.carrier),
                }
                if count.is_complete() {
                    give(&mut leaving, *id, cache, &mut errands, now.time);
                }
            }
            Task::HandOver { .. } => {
                leaving.open = leaving.open.saturating_sub(1);
                if let Some(Frame::Deposited {
                    outcome: Outcome::Stored,
                    ..
                }) = done.answer
                {
                    leaving.handed += 1;
                }
            }
            _ => {}
        }
    }
    for due in due.read() {
        let Ok((mut leaving, cache, mut errands)) = nodes.get_mut(due.entity) else {
            continue;
        };
        if now.time < leaving.end {
            errands.cancel(|task| matches!(task, Task::Count { .. }));
            for id in leaving.counts.keys().copied().collect::<Vec<_>>() {
                give(&mut leaving, id, cache, &mut errands, now.time);
            }
            timers.set::<HandOverEnd>(due.entity, leaving.end);
        }
    }
}

fn give(leaving: &mut Leaving, id: PacketId, cache: &Cache, errands: &mut Errands, now: Time) {
    let (Some(count), Some(packet)) = (leaving.counts.remove(&id), cache.get(id, now)) else {
        return;
    };
    for carrier in count.missing() {
        let packet = packet.clone();
        errands.add(carrier, Task::HandOver { packet }, now);
        leaving.open += 1;
    }
}

/// Lets the run end once each copy has an answer, or time is up.
pub(crate) fn end_hand_over(nodes: Query<&Leaving>, now: Res<Now>, mut holds: ResMut<ExitHolds>) {
    let is_over = |leaving: &Leaving| {
        now.time >= leaving.end || leaving.counts.is_empty() && leaving.open == 0
    };
    if holds.0.contains(HOLD) && nodes.iter().all(is_over) {
        holds.0.remove(HOLD);
        for leaving in &nodes {
            let unanswered = leaving.open + leaving.counts.len();
            tracing::info!(copies = leaving.handed, unanswered, "handed over");
        }
    }
}

/// Who leaves is at work in every turn.
pub(crate) fn keep_at_work(nodes: Query<Entity, With<Leaving>>, mut work: MessageWriter<Work>) {
    work.write_batch(nodes.iter().map(|node| Work { node }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn peer(n: u64) -> PeerId {
        Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id()
    }

    #[test]
    fn the_nearest_who_lack_it_make_up_for_what_is_missing() {
        let answers = [1, 1, 0, 1, 2, 0, 1, 1, 0, 1, 2, 0];
        let asked = answers.iter().zip(0..).map(|(answer, n)| {
            let has = match answer {
                2 => None,
                has => Some(*has == 1),
            };
            (peer(n), has)
        });
        let count = Count {
            asked: asked.collect(),
        };
        assert!(!count.is_complete());
        // Six have it, two are missing; the third and the sixth are the nearest who lack it.
        let given: Vec<PeerId> = count.missing().collect();
        assert_eq!(given, [peer(2), peer(5)]);
    }
}
