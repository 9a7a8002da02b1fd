//! The place of one answer, and what stands for it in the World while it is open.

use crate::call::{CallError, Outlet, Reply, Request};
use crate::inbox::{Inbox, Input, Source};
use crate::{Due, Now, Timers};
use bevy_ecs::prelude::*;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a call may take that answers later. // guess
const CALL_SECONDS_MAX: u64 = 30;
/// Calls and subscriptions that one caller may hold open. // guess
const OPEN_CALLS_MAX: usize = 1_024;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const DONE: u8 = 2;

/// Whether what was asked for is a call or a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Stream,
}

/// The place of one answer: whoever is first fills it.
pub(crate) struct Slot {
    id: u64,
    name: String,
    outlet: Arc<dyn Outlet>,
    state: AtomicU8,
    /// What stands for the call while it is open, and how to tell the engine that it no longer need to.
    entity: OnceLock<(Entity, Inbox)>,
}

impl Slot {
    pub(crate) fn new(request: &Request) -> Arc<Slot> {
        Arc::new(Slot {
            id: request.id,
            name: request.name.clone(),
            outlet: request.outlet.clone(),
            state: AtomicU8::new(WAITING),
            entity: OnceLock::new(),
        })
    }

    /// Whether a responder was taken, or the answer given.
    pub(crate) fn is_taken(&self) -> bool {
        self.state.load(Ordering::Acquire) != WAITING
    }

    pub(crate) fn fill(&self, answer: Result<Reply, CallError>) {
        if self.state.swap(DONE, Ordering::AcqRel) != DONE {
            self.outlet.answer(self.id, answer);
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }
}

/// Answers a call after its system has returned. Dropped without an answer, it answers with an error.
pub struct Responder(Arc<Slot>);

impl Responder {
    pub(crate) fn take(slot: &Arc<Slot>) -> Responder {
        // An answer that was given already stays given.
        let _ = slot
            .state
            .compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        Responder(slot.clone())
    }

    /// Answers, unless the time limit was faster or the caller has gone.
    pub fn answer(self, answer: Result<Reply, CallError>) {
        self.finish(answer);
    }

    fn finish(&self, answer: Result<Reply, CallError>) {
        if self.0.is_done() {
            return;
        }
        self.0.fill(answer);
        if let Some((entity, inbox)) = self.0.entity.get() {
            let entity = *entity;
            // If there is no room, the call's time limit clears the entity away.
            let _ = inbox.offer(
                Source::Call,
                Input::new(move |world| {
                    world.resource_mut::<Timers>().forget(entity);
                    if let Ok(open) = world.get_entity_mut(entity) {
                        open.despawn();
                    }
                }),
            );
        }
    }

    /// Whether nobody waits any more: stop the work.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_done()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let name = &self.0.name;
        if !self.0.is_done() {
            self.finish(Err(CallError::new(
                "failed",
                format!(
                    "{name} ended without an answer; this is a fault of the plugin that offers it"
                ),
            )));
        }
    }
}

/// Something the caller holds open, a child of its entity: a call that answers later, or a subscription.
#[derive(Component)]
pub(crate) struct OpenCall {
    slot: Arc<Slot>,
    kind: Kind,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        // Whoever despawned it ended the call; an answer may not come after that.
        let name = &self.slot.name;
        self.slot.fill(Err(CallError::new(
            "cancelled",
            format!("{name} was cancelled"),
        )));
        if self.kind == Kind::Stream {
            self.slot.outlet.end(self.slot.id);
        }
    }
}

pub(crate) struct CallLimit;

/// Spawns what stands for an open call under its caller, unless the caller has too many or has gone.
pub(crate) fn hold_open(
    world: &mut World,
    caller: Entity,
    slot: Arc<Slot>,
    kind: Kind,
) -> Option<Entity> {
    let open = match world.get_entity(caller) {
        Ok(caller) => caller
            .get::<Children>()
            .map_or(0, |children| children.len()),
        Err(_) => {
            slot.fill(Err(CallError::new("cancelled", "the caller has gone")));
            return None;
        }
    };
    if open >= OPEN_CALLS_MAX {
        slot.fill(Err(CallError::new(
            "busy",
            format!("{open} calls and streams are open, and no more are allowed: wait for some, or close some"),
        )));
        return None;
    }
    let inbox = world.resource::<Inbox>().clone();
    let open = OpenCall {
        slot: slot.clone(),
        kind,
    };
    let entity = world.spawn((open, ChildOf(caller))).id();
    let _ = slot.entity.set((entity, inbox));
    if kind == Kind::Call {
        // A task may have answered already, before the entity was there to be cleared away.
        if slot.is_done() {
            world.despawn(entity);
            return None;
        }
        let at = world.resource::<Now>().time + Duration::from_secs(CALL_SECONDS_MAX);
        world.resource_mut::<Timers>().set::<CallLimit>(entity, at);
    }
    Some(entity)
}

pub(crate) fn close(world: &mut World, request: &Request) {
    let open: Vec<Entity> = world
        .get::<Children>(request.caller)
        .map(|children| children.iter().collect())
        .unwrap_or_default();
    for child in open {
        if world
            .get::<OpenCall>(child)
            .is_some_and(|open| open.slot.id == request.id)
        {
            world.despawn(child);
        }
    }
}

pub(crate) fn end_overdue(
    mut due: MessageReader<Due<CallLimit>>,
    open: Query<&OpenCall>,
    mut commands: Commands,
) {
    for due in due.read() {
        if let Ok(call) = open.get(due.entity) {
            call.slot.fill(Err(CallError::new(
                "timeout",
                format!("{} took more than {CALL_SECONDS_MAX} s", call.slot.name),
            )));
            commands.entity(due.entity).despawn();
        }
    }
}
