//! Repair: every 15 minutes a carrier that keeps anything asks its neighbours what they keep that belongs with it, and takes copies of what it lacks.
//! In `Decode`, set `RelaySystems::Decode`, and in `Deliver`, set `RelaySystems::Own`.
//!
//! Unlike what a node asks for itself this goes over links by identity: who carries is known anyway, and a neighbour shows what it keeps only to carriers.

use crate::cache::Cache;
use crate::decode::send;
use crate::drops::{DropReason, Drops};
use crate::errands::Action;
use crate::errands::Errands;
use crate::frames::Frame;
use crate::known_carriers::Carriers;
use crate::limits::SEEN_UP;
use crate::messages::{AnswerCame, NeighbourAsked, PacketArrived, PacketKept};
use crate::neighbours::oneself;
use crate::repair_round::State;
use crate::seldom::{Empty, Seldom};
use crate::settings::RelaySettings;
use crate::task::Task;
use crate::tombstones::Tombstones;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{Due, Now, Random, Timers};
use dunlin_net::{
    AddressBook, CloseReason, Dial, FrameOut, HangUp, Identity, LinkSettings, Links, Peer,
    PeerDown, PeerId, PeerUp,
};
use std::collections::BTreeSet;

/// Fires when a carrier's repair has something to do.
pub(crate) struct RepairTimer;

/// On a node: what repair knows. Eight bytes where nothing is kept, and no neighbour asked.
#[derive(Component, Default)]
pub struct Repair(Seldom<State>);

impl Empty for State {
    const EMPTY: &'static State = &State::empty();
}

impl Repair {
    /// Neighbours that were heard lately.
    #[must_use]
    pub fn neighbours(&self) -> usize {
        self.0.neighbours.len()
    }

    /// Whether something is asked over this link.
    pub(crate) fn asks_over(&self, link: Entity) -> bool {
        self.0.errands.carrier_of(link).is_some()
    }

    pub(crate) fn state(&self) -> &State {
        &self.0
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

/// Whether a node takes part: who pays for its bytes does neither.
// PROTOCOL 3.12
pub(crate) fn takes_part(settings: &RelaySettings, link: &LinkSettings) -> bool {
    settings.carry && settings.bandwidth != Some(0) && !link.about.metered()
}

/// Answers over links on which repair asked. A copy takes the way of a deposit, so that plugins see it.
// PROTOCOL 3.12
pub(crate) fn hear_neighbours(
    mut answers: MessageReader<AnswerCame>,
    mut nodes: Query<(&Identity, &mut Repair, &Errands, &mut Drops)>,
    now: Res<Now>,
    mut arrived: MessageWriter<PacketArrived>,
) {
    for AnswerCame { node, peer, frame } in answers.read() {
        let Ok((identity, mut repair, errands, mut drops)) = nodes.get_mut(*node) else {
            continue;
        };
        let Some(carrier) = repair.state().errands.carrier_of(*peer) else {
            continue;
        };
        let state = repair.state_mut();
        let request = frame.request().unwrap_or(0);
        let wanted = match state.errands.task(request) {
            Some(Task::Pull { id }) => Some(*id),
            _ => None,
        };
        if !state
            .errands
            .answer(*peer, request, frame.clone(), now.time)
        {
            // A correspondent may be a neighbour as well, and is asked over the same link.
            if errands.carrier_of(*peer).is_none() {
                drops.count(DropReason::AnswerUnasked);
            }
            continue;
        }
        let Frame::Pulled {
            packet: Some(packet),
            ..
        } = frame
        else {
            continue;
        };
        let me = oneself(identity.id());
        if wanted == Some(packet.id()) && state.neighbours.belongs_here(packet.tag(), &me) {
            arrived.write(PacketArrived {
                node: *node,
                peer: *peer,
                request,
                packet: packet.clone(),
                pulled: true,
                refused: None,
            });
        } else {
            drops.count(DropReason::PulledUnfit);
            state.shun(carrier, now.time);
        }
    }
}

type Follower<'a> = (&'a mut Repair, &'a mut Random);

/// The nodes whose repair has something to do in this turn.
#[expect(clippy::too_many_arguments, reason = "all that can be a reason")]
pub(crate) fn follow_repair(
    mut due: MessageReader<Due<RepairTimer>>,
    mut answers: MessageReader<AnswerCame>,
    mut asked: MessageReader<NeighbourAsked>,
    mut kept: MessageReader<PacketKept>,
    mut up: MessageReader<PeerUp>,
    mut down: MessageReader<PeerDown>,
    mut nodes: Query<Follower>,
    now: Res<Now>,
    mut work: MessageWriter<RepairWork>,
) {
    let mut at_work: BTreeSet<Entity> = due.read().map(|due| due.entity).collect();
    at_work.extend(asked.read().map(|asked| asked.node));
    for AnswerCame { node, peer, .. } in answers.read() {
        if nodes
            .get(*node)
            .is_ok_and(|(repair, _)| repair.asks_over(*peer))
        {
            at_work.insert(*node);
        }
    }
    for PacketKept { node, .. } in kept.read() {
        if let Ok((mut repair, mut random)) = nodes.get_mut(*node) {
            repair.state_mut().keeps(now.time, &mut random.0);
            at_work.insert(*node);
        }
    }
    for PeerUp { node, peer } in up.read() {
        if let Ok((mut repair, _)) = nodes.get_mut(*node)
            && repair.asks_over(*peer)
        {
            let state = repair.state_mut();
            state.errands.link_up(*peer, now.time);
            if let Some(since) = state.dialled.get_mut(peer) {
                *since = None;
            }
            at_work.insert(*node);
        }
    }
    for PeerDown { node, peer, reason } in down.read() {
        if let Ok((mut repair, _)) = nodes.get_mut(*node)
            && repair.asks_over(*peer)
        {
            let state = repair.state_mut();
            state.errands.link_down(*peer, *reason, now.time);
            state.dialled.remove(peer);
            at_work.insert(*node);
        }
    }
    work.write_batch(at_work.into_iter().map(RepairWork));
}

/// A node's repair has something to do in this turn.
#[derive(Message, Debug, Clone, Copy)]
pub(crate) struct RepairWork(Entity);

type Carrier<'a> = (
    (&'a Identity, &'a RelaySettings, &'a LinkSettings),
    (&'a Links, Ref<'a, AddressBook>),
    (&'a Cache, &'a mut Tombstones),
    &'a mut Repair,
    &'a mut Random,
);

#[expect(
    clippy::too_many_arguments,
    reason = "three messages to links, and who is at the other end"
)]
pub(crate) fn run_repair(
    mut work: MessageReader<RepairWork>,
    mut nodes: Query<Carrier>,
    peers: Query<&Peer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut dials: MessageWriter<Dial>,
    mut hang_ups: MessageWriter<HangUp>,
    mut out: MessageWriter<FrameOut>,
    mut commands: Commands,
) {
    for RepairWork(node) in work.read().copied() {
        let Ok((own, (links, book), (cache, mut tombstones), mut repair, mut random)) =
            nodes.get_mut(node)
        else {
            continue;
        };
        let (identity, settings, link_settings) = own;
        if !takes_part(settings, link_settings) {
            continue;
        }
        let (me, random, now) = (oneself(identity.id()), &mut random.0, now.time);
        // PROTOCOL 3.6: somebody has seen it up for so long.
        let is_old = links.entities().any(|link| {
            let peer = peers.get(link);
            peer.is_ok_and(|peer| now - peer.since >= SEEN_UP)
        });
        let state = repair.state_mut();
        let reason = CloseReason::Idle;
        let vain = state.give_up(now).into_iter();
        hang_ups.write_batch(vain.map(|peer| HangUp { peer, reason }));
        for done in state.errands.take_done() {
            state.ended(done, &me, (cache, &mut tombstones), now, random);
        }
        if state.is_due(now) {
            let mut carriers = Carriers::default();
            carriers.look(me.id, &book, now);
            state.begin(&me, carriers.list(), !cache.is_empty(), now, random);
        }
        state.advance(&me, is_old, now);
        let main = |id: PeerId| {
            links.entities().find(|link| {
                let peer = peers.get(*link);
                peer.is_ok_and(|peer| peer.id == id && !peer.anonymous && !peer.hidden)
            })
        };
        loop {
            let actions = state.errands.poll(now);
            let mut again = false;
            for action in actions {
                match action {
                    Action::Dial(lane) => {
                        let (carrier, _) = lane;
                        if let Some(link) = main(carrier) {
                            state.errands.dialling(lane, link, now);
                            state.errands.link_up(link, now);
                            again = true;
                            continue;
                        }
                        let Some(candidate) = state.candidate(&carrier) else {
                            state.errands.unreachable(lane, now);
                            continue;
                        };
                        let (address, id) = (candidate.address, Some(carrier));
                        let link = commands.spawn_empty().id();
                        let anonymous = false;
                        dials.write(Dial {
                            node,
                            link,
                            address,
                            id,
                            anonymous,
                        });
                        state.errands.dialling(lane, link, now);
                        state.dialled.insert(link, Some(now));
                    }
                    Action::Send { link, request } => {
                        let frame = state.errands.task(request);
                        if let Some(frame) = frame.and_then(|task| asked(task, request)) {
                            send(&mut out, link, &frame);
                        }
                    }
                    Action::HangUp(link) => {
                        // Links that were there before stay.
                        if state.dialled.remove(&link).is_some() {
                            hang_ups.write(HangUp { peer: link, reason });
                        }
                    }
                }
            }
            if !again {
                break;
            }
        }
        let at_once = state.errands.has_ended().then_some(now);
        match at_once.or_else(|| state.next_due(now)) {
            Some(next) => timers.set::<RepairTimer>(node, next),
            None => timers.cancel::<RepairTimer>(node),
        }
    }
}

/// The frame of a request.
fn asked(task: &Task, request: u32) -> Option<Frame> {
    Some(match task {
        Task::List { after, until } => Frame::List {
            request,
            after: *after,
            until: *until,
        },
        Task::Pull { id } => Frame::Pull { request, id: *id },
        Task::Receipt { id, secret, .. } => Frame::Receipt {
            request,
            id: *id,
            secret: secret.clone(),
        },
        _ => return None,
    })
}
