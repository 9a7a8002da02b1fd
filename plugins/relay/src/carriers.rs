//! A node's own side and the carriers: whom it knows, the links on which it asks them, and what comes back. In `Deliver`, sets
//! `RelaySystems::Hear` and `RelaySystems::Speak`.

use crate::collector::Collector;
use crate::day_keys::DayKeys;
use crate::decode::send;
use crate::direct::{Direct, is_of};
use crate::drops::{DropReason, Drops};
use crate::errands::{Action, Errands};
use crate::fetcher::Fetcher;
use crate::frames::Frame;
use crate::gatherer::Gatherer;
use crate::inbox::Inbox;
use crate::known_carriers::Carriers;
use crate::limits::FOUND_MAX;
use crate::listeners::{Receivers, RoomListeners, Watchers};
use crate::mailbox::Claim;
use crate::messages::{AnswerCame, ErrandDone, PacketBrought, Work};
use crate::outbox::Outbox;
use crate::prekey_search::PrekeyBook;
use crate::receipts::Receipts;
use crate::repair::Repair;
use crate::rooms::Rooms;
use crate::task::Task;
use crate::topic::Topic;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Due, Now, Timers};
use dunlin_net::{
    AddressBook, CloseReason, Dial, FrameOut, HangUp, Identity, Links, Peer, PeerDown, PeerUp,
};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Fires when a node's own side has something to do.
pub(crate) struct OwnTimer;

/// While somebody waits for mail, the address book is looked at this often for a minute after it last named a new carrier;
const LOOK: Duration = Duration::from_secs(1);
/// and so often afterwards. A new link is a reason to look at once.
const LOOK_SETTLED: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_mins(1);
/// What may keep a node at work.
type Waiting<'a> = (&'a Receipts, &'a Inbox, (bool, bool), &'a PrekeyBook);

/// Whether a node has anything to ask of carriers: a message under way, somebody who receives, something to confirm. Most only
/// carry, and cost nothing here.
fn has_own_work(
    errands: &Errands,
    outbox: &Outbox,
    (receipts, inbox, (receives, listens), prekeys): Waiting,
) -> bool {
    receives
        || listens
        || !errands.is_idle()
        || outbox.is_under_way()
        || !receipts.is_empty()
        || inbox.waiting().next().is_some()
        || prekeys.is_searching()
}

/// The nodes that have something to do, each once, in the order of their entities.
pub(crate) fn at_work(work: &mut MessageReader<Work>) -> BTreeSet<Entity> {
    work.read().map(|work| work.node).collect()
}

pub(crate) fn gather_work(mut due: MessageReader<Due<OwnTimer>>, mut work: MessageWriter<Work>) {
    work.write_batch(due.read().map(|due| Work { node: due.entity }));
}

type WaitingOf = (
    &'static Receipts,
    &'static Inbox,
    AnyListener,
    &'static PrekeyBook,
);

/// Whether somebody waits for mail, and whether for what is said in rooms.
type AnyListener = (Has<Receivers>, Has<RoomListeners>);

type Follower<'a> = (
    &'a mut Errands,
    (&'a mut Fetcher, &'a mut Rooms, &'a mut Direct),
    &'a Outbox,
    WaitingOf,
    Has<Watchers>,
);

pub(crate) fn follow_links(
    mut up: MessageReader<PeerUp>,
    mut down: MessageReader<PeerDown>,
    mut nodes: Query<Follower>,
    now: Res<Now>,
    mut work: MessageWriter<Work>,
) {
    for PeerUp { node, peer } in up.read() {
        // Of the links of those that only carry nothing follows here.
        if let Ok((mut errands, _, outbox, waiting, watched)) = nodes.get_mut(*node)
            && (watched || has_own_work(&errands, outbox, waiting))
        {
            errands.link_up(*peer, now.time);
            work.write(Work { node: *node });
        }
    }
    for PeerDown { node, peer, reason } in down.read() {
        if let Ok((mut errands, (mut fetcher, mut rooms, mut direct), ..)) = nodes.get_mut(*node)
            && let Some((carrier, topic)) = errands.link_down(*peer, *reason, now.time)
        {
            if matches!(topic, Topic::Mailbox | Topic::Any) {
                fetcher.link_lost(carrier, now.time);
            }
            if matches!(topic, Topic::Rooms | Topic::Any) {
                rooms.link_lost(carrier, now.time);
            }
            if topic == Topic::Direct {
                direct.link_lost(&carrier, *peer, now.time);
            }
            work.write(Work { node: *node });
        }
    }
}

pub(crate) fn take_answers(
    mut answers: MessageReader<AnswerCame>,
    mut nodes: Query<(&mut Errands, &mut Drops, &Repair)>,
    now: Res<Now>,
    mut brought: MessageWriter<PacketBrought>,
    mut work: MessageWriter<Work>,
) {
    for AnswerCame { node, peer, frame } in answers.read() {
        let Ok((mut errands, mut drops, repair)) = nodes.get_mut(*node) else {
            continue;
        };
        if repair.asks_over(*peer) && errands.carrier_of(*peer).is_none() {
            continue; // Heard in `Decode`.
        }
        let taken = match (frame, errands.carrier_of(*peer)) {
            (Frame::Pushed { packet }, Some(carrier)) => {
                // Who wrote it keeps it for itself.
                let direct = errands.topic_of(*peer) == Some(Topic::Direct);
                let (carrier, packet) = (Some(carrier).filter(|_| !direct), packet.clone());
                brought.write(PacketBrought {
                    node: *node,
                    carrier,
                    packet,
                });
                true
            }
            (frame, Some(_)) => frame
                .request()
                .is_some_and(|request| errands.answer(*peer, request, frame.clone(), now.time)),
            (_, None) => false,
        };
        if taken {
            work.write(Work { node: *node });
        } else if !repair.asks_over(*peer) {
            drops.count(DropReason::AnswerUnasked);
        }
    }
}

pub(crate) fn end_errands(
    mut work: MessageReader<Work>,
    mut nodes: Query<&mut Errands>,
    mut ended: MessageWriter<ErrandDone>,
) {
    for node in at_work(&mut work) {
        if let Ok(mut errands) = nodes.get_mut(node) {
            let done = errands.take_done();
            ended.write_batch(done.into_iter().map(|done| ErrandDone { node, done }));
        }
    }
}

type Looker<'a> = (
    &'a Identity,
    Ref<'a, AddressBook>,
    &'a mut Carriers,
    &'a mut Outbox,
    &'a Errands,
    WaitingOf,
);

pub(crate) fn look_for_carriers(
    mut work: MessageReader<Work>,
    mut nodes: Query<Looker>,
    now: Res<Now>,
) {
    for node in at_work(&mut work) {
        if let Ok((identity, book, mut carriers, mut outbox, errands, waiting)) =
            nodes.get_mut(node)
            && has_own_work(errands, &outbox, waiting)
            && carriers.look(identity.id(), &book, now.time)
        {
            outbox.carriers_changed(now.time);
        }
    }
}

type Speaker<'a> = (
    &'a mut Errands,
    &'a mut Outbox,
    (&'a Fetcher, &'a Gatherer, &'a Collector, &'a Rooms),
    &'a mut DayKeys,
    (&'a mut Carriers, &'a AddressBook, &'a Links),
    (WaitingOf, &'a mut Direct),
);

/// Dials, sends and hangs up what is due, and sets the node's timer to when the next thing is.
#[expect(
    clippy::too_many_arguments,
    reason = "three messages to links, and who listens"
)]
pub(crate) fn run_errands(
    mut work: MessageReader<Work>,
    mut nodes: Query<Speaker>,
    links: Query<&Peer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut dials: MessageWriter<Dial>,
    mut hang_ups: MessageWriter<HangUp>,
    mut out: MessageWriter<FrameOut>,
    mut commands: Commands,
) {
    for node in at_work(&mut work) {
        let Ok((mut errands, mut outbox, looking, mut keys, known, (waiting, mut direct))) =
            nodes.get_mut(node)
        else {
            continue;
        };
        let (mut carriers, book, own_links) = known;
        let (receipts, _, (fetching, listening), prekeys) = waiting;
        let (fetcher, gatherer, collector, rooms) = looking;
        let mut actions: VecDeque<Action> = errands.poll(now.time).into();
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Dial(lane) => {
                    let (carrier, topic) = lane;
                    let anonymous = topic != Topic::Direct;
                    let theirs =
                        |link: &Entity| links.get(*link).is_ok_and(|peer| is_of(peer, &carrier));
                    if !anonymous && let Some(link) = own_links.entities().find(theirs) {
                        errands.dialling(lane, link, now.time);
                        errands.link_up(link, now.time);
                        direct.share(link);
                        actions.extend(errands.poll(now.time));
                        continue;
                    }
                    let address = match anonymous {
                        true => carriers.address(&carrier),
                        false => book.get(&carrier).map(|peer| peer.address),
                    };
                    let Some(address) = address else {
                        errands.unreachable(lane, now.time);
                        continue;
                    };
                    let link = commands.spawn_empty().id();
                    let id = Some(carrier);
                    dials.write(Dial {
                        node,
                        link,
                        address,
                        id,
                        anonymous,
                    });
                    errands.dialling(lane, link, now.time);
                }
                Action::Send { link, request } => {
                    let (Ok(peer), Some(task)) = (links.get(link), errands.task(request)) else {
                        continue;
                    };
                    if let Some(frame) = asked(
                        task,
                        request,
                        (&mut keys, rooms),
                        (link, &peer.handshake_hash),
                    ) {
                        send(&mut out, link, &frame);
                    }
                    if let Task::Deposit { message, .. } = task {
                        outbox.left(*message);
                    }
                }
                Action::HangUp(link) => {
                    keys.forget_link(link);
                    if direct.lets_stay(link) {
                        continue;
                    }
                    let reason = CloseReason::Idle;
                    hang_ups.write(HangUp { peer: link, reason });
                }
            }
        }
        let waits = [
            errands.next_due(),
            outbox.next_due(),
            receipts.next_due(),
            prekeys.next_due(),
            carriers.next_due(),
            fetching.then(|| fetcher.next_due()).flatten(),
            fetching.then(|| gatherer.next_due()).flatten(),
            fetching.then(|| collector.next_due()).flatten(),
            listening.then(|| rooms.next_due()).flatten(),
        ];
        let look = (fetching || listening).then(|| {
            let changed = fetcher.changed().max(rooms.changed());
            let settled = now.time - changed >= SETTLED;
            now.time + if settled { LOOK_SETTLED } else { LOOK }
        });
        // Whatever is due already waits for something that comes in, or for the next look.
        let next = waits.into_iter().flatten().filter(|due| *due > now.time);
        match next.chain(look).min() {
            Some(next) => timers.set::<OwnTimer>(node, next),
            None => timers.cancel::<OwnTimer>(node),
        }
        if errands.has_ended() {
            timers.set::<OwnTimer>(node, now.time);
        }
        if !has_own_work(&errands, &outbox, waiting) {
            *carriers = Carriers::default();
        }
    }
}

/// The frame of a request.
fn asked(
    task: &Task,
    request: u32,
    (keys, rooms): (&mut DayKeys, &Rooms),
    (link, handshake_hash): (Entity, &[u8; 32]),
) -> Option<Frame> {
    Some(match task {
        Task::Deposit { packet, .. } | Task::HandOver { packet } => Frame::Deposit {
            request,
            packet: packet.clone(),
        },
        Task::Ask { id, .. } | Task::Count { id } => Frame::Ask { request, id: *id },
        Task::Receipt { id, secret, .. } => Frame::Receipt {
            request,
            id: *id,
            secret: secret.clone(),
        },
        Task::Fetch { day, after } => {
            let claim = keys.claim(*day, link, handshake_hash)?;
            Frame::Fetch {
                request,
                claim,
                after: *after,
            }
        }
        // To know what a one-time tag, or a room's, is made of is enough.
        Task::Look { token, after, .. } | Task::Prekeys { token, after, .. } => Frame::Fetch {
            request,
            claim: Claim::Once(*token),
            after: *after,
        },
        Task::Subscribe { day, .. } => {
            let claim = keys.claim(*day, link, handshake_hash)?;
            Frame::Subscribe { request, claim }
        }
        // PROTOCOL 4.6
        Task::Lane { tag, after } => Frame::Fetch {
            request,
            claim: Claim::Once(rooms.token(*tag)?),
            after: *after,
        },
        Task::Attend { tag } => Frame::Subscribe {
            request,
            claim: Claim::Once(rooms.token(*tag)?),
        },
        // PROTOCOL 3.13
        Task::Find { target, .. } => Frame::Find {
            request,
            target: *target,
            count: FOUND_MAX as u8,
        },
        // A carrier's own, over other links (`repair.rs`).
        Task::List { .. } | Task::Pull { .. } => return None,
    })
}
