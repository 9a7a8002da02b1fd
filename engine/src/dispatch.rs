//! Dispatch: finds a call's system, checks its caller's grants, and contains its panic.

use crate::call::{Answer, Call, CallError, Open, Params, Request};
use crate::grants::{Decide, Prompt, Question, Verdict, refusal};
use crate::inbox::{Inbox, Input, Source};
use crate::slot::{CallLimit, Kind, Slot, close, end_overdue, hold_open};
use crate::{App, Failures, Grants, Reply, Sink, Turn, failures};
use bevy_ecs::prelude::*;
use bevy_ecs::system::BoxedSystem;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Questions that may wait for the user at once, or a page could bury the screen. // guess
const QUESTIONS_MAX: usize = 16;

/// Requests of this turn. Bounded by what a turn takes from the inbox.
#[derive(Resource, Default)]
pub(crate) struct CallQueue(pub(crate) VecDeque<Request>);

/// Questions that the prompt has not answered.
#[derive(Resource, Default)]
struct Questions(Arc<AtomicUsize>);

type CallSystem<I, O> = BoxedSystem<In<I>, Result<O, CallError>>;

type Run = Box<dyn FnMut(&mut World, Request) + Send + Sync>;

struct Entry {
    kind: Kind,
    target: fn(&Value) -> Result<Option<String>, CallError>,
    run: Option<Run>,
}

/// All calls and streams, by name.
#[derive(Resource, Default)]
pub(crate) struct CallTable(BTreeMap<&'static str, Entry>);

fn read<P: Params>(params: &Value) -> Result<P, CallError> {
    let empty = Value::Object(serde_json::Map::new());
    let given = if params.is_null() { &empty } else { params };
    let read = P::deserialize(given).or_else(|error| {
        // `()` is null in serde's eyes.
        P::deserialize(&Value::Null).map_err(|_| error)
    });
    read.map_err(|error| CallError::new("params", format!("parameters: {error}")))
}

impl CallTable {
    /// The names of all calls and streams, sorted.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn add_call<P, S, M>(&mut self, name: &'static str, system: S) -> Result<(), String>
    where
        P: Params,
        S: IntoSystem<In<Call<P>>, Result<Answer, CallError>, M> + Clone + Send + Sync + 'static,
        M: 'static,
    {
        let mut boxed: Option<CallSystem<Call<P>, Answer>> = None;
        let run: Run = Box::new(move |world, request| {
            let slot = Slot::new(&request);
            let params = match read::<P>(&request.params) {
                Ok(params) => params,
                Err(error) => return slot.fill(Err(error)),
            };
            let call = Call {
                caller: request.caller,
                params,
                body: request.body,
                slot: slot.clone(),
            };
            match contained(&mut boxed, &system, call, name, world) {
                Ok(Answer::Now(reply)) => slot.fill(Ok(reply)),
                Ok(Answer::Later) if !slot.is_taken() => {
                    slot.fill(Err(CallError::new(
                        "failed",
                        format!("{name} promised to answer later and took no Responder; this is a fault of its plugin"),
                    )));
                }
                Ok(Answer::Later) => {
                    hold_open(world, request.caller, slot, Kind::Call);
                }
                Err(error) => slot.fill(Err(error)),
            }
        });
        self.add(
            name,
            Kind::Call,
            |params| Ok(read::<P>(params)?.target()),
            run,
        )
    }

    pub(crate) fn add_stream<P, S, M>(
        &mut self,
        name: &'static str,
        system: S,
    ) -> Result<(), String>
    where
        P: Params,
        S: IntoSystem<In<Open<P>>, Result<(), CallError>, M> + Clone + Send + Sync + 'static,
        M: 'static,
    {
        let mut boxed: Option<CallSystem<Open<P>, ()>> = None;
        let run: Run = Box::new(move |world, request| {
            let slot = Slot::new(&request);
            let params = match read::<P>(&request.params) {
                Ok(params) => params,
                Err(error) => return slot.fill(Err(error)),
            };
            let Some(subscription) = hold_open(world, request.caller, slot.clone(), Kind::Stream)
            else {
                return;
            };
            let open = Open {
                caller: request.caller,
                subscription,
                params,
                sink: Sink::new(request.id, request.outlet),
            };
            let outcome = contained(&mut boxed, &system, open, name, world);
            if outcome.is_err() {
                slot.fill(outcome.map(|()| Reply::default()));
                world.despawn(subscription);
            } else {
                slot.fill(Ok(Reply::default()));
            }
        });
        self.add(
            name,
            Kind::Stream,
            |params| Ok(read::<P>(params)?.target()),
            run,
        )
    }

    fn add(
        &mut self,
        name: &'static str,
        kind: Kind,
        target: fn(&Value) -> Result<Option<String>, CallError>,
        run: Run,
    ) -> Result<(), String> {
        let entry = Entry {
            kind,
            target,
            run: Some(run),
        };
        match self.0.insert(name, entry) {
            None => Ok(()),
            Some(_) => Err(format!(
                "call {name} was registered twice: rename one, or remove the second plugin that offers it"
            )),
        }
    }
}

/// Runs a call's system so that its panic stays its own. After a panic the system is made anew, since its state is in doubt.
fn contained<I, O, S, M>(
    boxed: &mut Option<CallSystem<I, O>>,
    system: &S,
    input: I,
    name: &'static str,
    world: &mut World,
) -> Result<O, CallError>
where
    I: 'static,
    O: 'static,
    S: IntoSystem<In<I>, Result<O, CallError>, M> + Clone + Send + Sync + 'static,
{
    let mut running = boxed.take().unwrap_or_else(|| {
        let mut new: CallSystem<I, O> = Box::new(IntoSystem::into_system(system.clone()));
        new.initialize(world);
        new
    });
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let outcome = running.run(input, world);
        (running, outcome)
    }));
    match outcome {
        Ok((running, Ok(answer))) => {
            *boxed = Some(running);
            answer
        }
        Ok((running, Err(error))) => {
            *boxed = Some(running);
            let text = format!("{name} could not run: {error:?}");
            world.resource_mut::<Failures>().count(name, text.clone());
            Err(CallError::new("failed", text))
        }
        Err(panic) => {
            let text = failures::panic_text(&*panic);
            world.resource_mut::<Failures>().count(name, text.clone());
            Err(CallError::new(
                "panicked",
                format!("{name} panicked ({text}); the runtime goes on"),
            ))
        }
    }
}

fn serve_calls(world: &mut World) {
    while let Some(request) = world.resource_mut::<CallQueue>().0.pop_front() {
        serve(world, request);
    }
}

fn serve(world: &mut World, request: Request) {
    if request.name == "close" {
        return close(world, &request);
    }
    let Some((name, target)) = world
        .resource::<CallTable>()
        .0
        .get_key_value(request.name.as_str())
        .map(|(name, entry)| (*name, entry.target))
    else {
        let known = world.resource::<CallTable>();
        let nearest = crate::config::nearest(&request.name, known.0.keys().copied());
        let text = format!(
            "there is no call \"{}\"{}; calls.list lists all",
            request.name,
            nearest.map_or(String::new(), |name| format!("; did you mean \"{name}\"?"))
        );
        return request
            .outlet
            .answer(request.id, Err(CallError::new("unknown", text)));
    };
    let target = match target(&request.params) {
        Ok(target) => target,
        Err(error) => return request.outlet.answer(request.id, Err(error)),
    };
    let grants = world.get::<Grants>(request.caller);
    let verdict = grants.map_or(Verdict::Denied, |grants| {
        grants.check(name, target.as_deref())
    });
    match verdict {
        Verdict::Granted => run(world, name, request),
        Verdict::Denied => request.outlet.answer(
            request.id,
            Err(CallError::new("denied", refusal(name, target.as_deref()))),
        ),
        Verdict::Ask => ask(world, name, target, request),
    }
}

fn run(world: &mut World, name: &'static str, request: Request) {
    let mut table = world.resource_mut::<CallTable>();
    let taken = table.0.get_mut(name).and_then(|entry| entry.run.take());
    // It is only ever taken for the length of this function.
    let Some(mut run) = taken else { return };
    run(world, request);
    if let Some(entry) = world.resource_mut::<CallTable>().0.get_mut(name) {
        entry.run = Some(run);
    }
}

fn ask(world: &mut World, name: &'static str, target: Option<String>, request: Request) {
    let questions = world.resource::<Questions>().0.clone();
    if questions.fetch_add(1, Ordering::AcqRel) >= QUESTIONS_MAX {
        questions.fetch_sub(1, Ordering::AcqRel);
        let text = format!(
            "{QUESTIONS_MAX} questions wait for the user already; ask again when they are answered"
        );
        return request
            .outlet
            .answer(request.id, Err(CallError::new("busy", text)));
    }
    let inbox = world.resource::<Inbox>().clone();
    let question = Question {
        caller: request.caller,
        permission: name.to_owned(),
        target: target.clone(),
    };
    let decide = Decide::new(move |granted| {
        questions.fetch_sub(1, Ordering::AcqRel);
        let (id, caller, outlet) = (request.id, request.caller, request.outlet.clone());
        let input = Input::new(move |world| {
            let noted = world
                .get_mut::<Grants>(caller)
                .is_some_and(|mut grants| grants.remember(name, target, granted));
            if !noted {
                let text =
                    format!("{name}: the caller has gone, or was asked about too many things");
                return request
                    .outlet
                    .answer(request.id, Err(CallError::new("denied", text)));
            }
            world.resource_mut::<CallQueue>().0.push_back(request);
        });
        if inbox.offer(Source::Call, input).is_err() {
            outlet.answer(
                id,
                Err(CallError::new("busy", "the inbox is full: call again")),
            );
        }
    });
    (world.resource::<Prompt>().0)(question, decide);
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    kind: &'static str,
}

fn list_calls(In(_): In<Call<()>>, table: Res<CallTable>) -> Result<Answer, CallError> {
    let listed: Vec<Listed> = table
        .0
        .iter()
        .map(|(name, entry)| Listed {
            name,
            kind: match entry.kind {
                Kind::Call => "call",
                Kind::Stream => "stream",
            },
        })
        .collect();
    Answer::of(listed)
}

pub(crate) fn install(app: &mut App) {
    app.world_mut().init_resource::<CallTable>();
    app.world_mut().init_resource::<CallQueue>();
    app.world_mut().init_resource::<Prompt>();
    app.world_mut().init_resource::<Questions>();
    app.add_timer::<CallLimit>();
    app.configure_sets(CallSystems::Serve.in_set(Turn::Serve));
    app.add_systems(CallSystems::Serve, serve_calls);
    app.add_systems(Turn::Maintain, end_overdue);
    app.call("calls.list", list_calls);
}

/// The engine's own sets, to order against.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallSystems {
    /// In [`Turn::Serve`]: calls are checked and run.
    Serve,
}
