//! Calls: the one door by which windows, plugins, the control socket and tests come in.
//!
//! A call is a system under a name. Dispatch owns the boxed systems and contains each by itself: one that panics is answered with an
//! error that names it, its neighbours are answered, and it works again next time.

use crate::grants::{Decide, Prompt, Question, Verdict, refusal};
use crate::inbox::{Inbox, Input, Source};
use crate::{App, Due, Failures, Grants, Now, Sink, Timers, Turn, failures};
use bevy_ecs::prelude::*;
use bevy_ecs::system::BoxedSystem;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a call may take that answers later. // guess
const CALL_SECONDS_MAX: u64 = 30;
/// Calls and subscriptions that one caller may hold open. // guess
const OPEN_CALLS_MAX: usize = 1_024;
/// Questions that may wait for the user at once, or a page could bury the screen. // guess
const QUESTIONS_MAX: usize = 16;

/// Parameters of a call: what serde reads from JSON, and what the call wants to touch.
pub trait Params: DeserializeOwned + Send + 'static {
    /// The thing that the call touches, in its permission's terms (a path, `host:port`); none if the name says it all.
    fn target(&self) -> Option<String> {
        None
    }
}

impl Params for () {}

/// One call, as its system gets it: `fn(In<Call<P>>, …) -> Result<Answer, CallError>`.
///
/// ```
/// use dunlin_engine::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Add { a: i64, b: i64 }
/// impl Params for Add {}
///
/// fn add(In(call): In<Call<Add>>) -> Result<Answer, CallError> {
///     Answer::of(call.params.a + call.params.b)
/// }
///
/// let mut app = App::new();
/// app.call("sum.add", add);
/// let client = app.client(Grants::everything());
/// app.start()?;
///
/// let ticket = client.call("sum.add", serde_json::json!({ "a": 2, "b": 3 }), Default::default());
/// app.turn(Now::default());
/// assert_eq!(ticket.take().expect("answered").expect("a sum").value, 5);
/// # Ok::<(), StartError>(())
/// ```
pub struct Call<P> {
    /// The entity that called; what the call makes for it should be its child, and so go with it.
    pub caller: Entity,
    /// The parameters.
    pub params: P,
    /// The binary body, empty if there is none.
    pub body: Bytes,
    slot: Arc<Slot>,
}

impl<P> Call<P> {
    /// Takes the handle with which to answer after the system has returned [`Answer::Later`].
    #[must_use]
    pub fn later(&self) -> Responder {
        self.slot.mark(TAKEN);
        Responder(self.slot.clone())
    }
}

/// What a call's system answers.
#[derive(Debug)]
pub enum Answer {
    /// At once.
    Now(Reply),
    /// By the [`Responder`] that it took.
    Later,
}

impl Answer {
    /// An answer of one value.
    ///
    /// # Errors
    /// `failed`, if the value has no JSON form (a map with keys that are not text).
    pub fn of(value: impl Serialize) -> Result<Answer, CallError> {
        Ok(Answer::Now(Reply::of(value)?))
    }
}

/// An answer or an item: a JSON value, and bytes if there are any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The value.
    pub value: Value,
    /// The binary body, empty if there is none.
    pub body: Bytes,
}

impl Reply {
    /// A reply of one value.
    ///
    /// # Errors
    /// `failed`, if the value has no JSON form.
    pub fn of(value: impl Serialize) -> Result<Reply, CallError> {
        let value = serde_json::to_value(value)
            .map_err(|error| CallError::new("failed", error.to_string()))?;
        Ok(Reply {
            value,
            body: Bytes::new(),
        })
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(self, body: Bytes) -> Reply {
        Reply { body, ..self }
    }
}

/// Why a call was not done: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// `unknown`, `denied`, `params`, `busy`, `timeout`, `cancelled`, `panicked`, `failed`, or a code of the plugin's own (`ENOENT`).
    pub code: String,
    /// What went wrong, with what, and what to do.
    pub message: String,
}

impl CallError {
    /// An error.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> CallError {
        CallError {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// Where a caller hears answers and items. The control socket is one, [`Client`](crate::Client) another.
pub trait Outlet: Send + Sync + 'static {
    /// The one answer to call `id`; to a stream, that it is open or why not.
    fn answer(&self, id: u64, answer: Result<Reply, CallError>);

    /// One item of stream `id`.
    ///
    /// # Errors
    /// Hands the item back if the caller has not kept up.
    fn item(&self, id: u64, item: Reply) -> Result<(), Reply>;

    /// Stream `id` has ended; no item follows.
    fn end(&self, id: u64);
}

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const DONE: u8 = 2;

/// The place of one answer: whoever is first fills it.
struct Slot {
    id: u64,
    name: String,
    outlet: Arc<dyn Outlet>,
    state: AtomicU8,
    /// What stands for the call while it is open, and how to tell the engine that it no longer need to.
    entity: OnceLock<(Entity, Inbox)>,
}

impl Slot {
    fn new(request: &Request) -> Arc<Slot> {
        Arc::new(Slot {
            id: request.id,
            name: request.name.clone(),
            outlet: request.outlet.clone(),
            state: AtomicU8::new(WAITING),
            entity: OnceLock::new(),
        })
    }

    fn mark(&self, state: u8) {
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old != DONE).then_some(state)
            });
    }

    fn fill(&self, answer: Result<Reply, CallError>) {
        if self.state.swap(DONE, Ordering::AcqRel) != DONE {
            self.outlet.answer(self.id, answer);
        }
    }

    fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }
}

/// Answers a call after its system has returned. Dropped without an answer, it answers with an error.
pub struct Responder(Arc<Slot>);

impl Responder {
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

/// A stream being opened: `fn(In<Open<P>>, …) -> Result<(), CallError>`. Keep the sink (say, in a component on the subscription) and
/// send items; the subscription is despawned when its caller closes it or goes.
pub struct Open<P> {
    /// The entity that subscribes.
    pub caller: Entity,
    /// The subscription, a child of the caller.
    pub subscription: Entity,
    /// The parameters.
    pub params: P,
    /// Where items go.
    pub sink: Sink,
}

/// What a caller asks for. Made by [`Client`](crate::Client) and the control socket.
pub struct Request {
    /// The caller's own number for it; answers and items carry it.
    pub id: u64,
    /// Which call or stream; the name `close` ends the call or stream with this id.
    pub name: String,
    /// Its parameters, as JSON; `null` counts as an empty object.
    pub params: Value,
    /// Its binary body.
    pub body: Bytes,
    /// Who asks.
    pub caller: Entity,
    /// Where answers go.
    pub outlet: Arc<dyn Outlet>,
}

impl Request {
    /// The input that puts this request before the next turn.
    #[must_use]
    pub fn into_input(self) -> Input {
        Input::new(move |world| world.resource_mut::<CallQueue>().0.push_back(self))
    }
}

/// Requests of this turn. Bounded by what a turn takes from the inbox.
#[derive(Resource, Default)]
struct CallQueue(VecDeque<Request>);

/// Something the caller holds open, a child of its entity: a call that answers later, or a subscription.
#[derive(Component)]
struct OpenCall {
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

struct CallLimit;

/// Questions that the prompt has not answered.
#[derive(Resource, Default)]
struct Questions(Arc<AtomicUsize>);

type Run = Box<dyn FnMut(&mut World, Request) + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    Stream,
}

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
    pub(crate) fn add_call<P, S, M>(&mut self, name: &'static str, system: S) -> Result<(), String>
    where
        P: Params,
        S: IntoSystem<In<Call<P>>, Result<Answer, CallError>, M> + Clone + Send + Sync + 'static,
        M: 'static,
    {
        let mut boxed: Option<BoxedSystem<In<Call<P>>, Result<Answer, CallError>>> = None;
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
                Ok(Answer::Later) if slot.state.load(Ordering::Acquire) == WAITING => {
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
        let mut boxed: Option<BoxedSystem<In<Open<P>>, Result<(), CallError>>> = None;
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
    boxed: &mut Option<BoxedSystem<In<I>, Result<O, CallError>>>,
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
        let mut new: BoxedSystem<In<I>, Result<O, CallError>> =
            Box::new(IntoSystem::into_system(system.clone()));
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

/// Spawns what stands for an open call under its caller, unless the caller has too many or has gone.
fn hold_open(world: &mut World, caller: Entity, slot: Arc<Slot>, kind: Kind) -> Option<Entity> {
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
        target,
    };
    let decide = Decide::new(move |granted| {
        questions.fetch_sub(1, Ordering::AcqRel);
        let (id, caller, outlet) = (request.id, request.caller, request.outlet.clone());
        let input = Input::new(move |world| {
            if let Some(mut grants) = world.get_mut::<Grants>(caller) {
                grants.remember(name, granted);
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

fn close(world: &mut World, request: &Request) {
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

fn end_overdue(
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
