//! The App: a World, its plugins, and the one place where systems run.

use crate::call::Call;
use crate::config::{Config, ConfigError};
use crate::dispatch::{self, CallTable};
use crate::failures::{self, Failures};
use crate::inbox::{Inbox, Input, Outlets, inbox};
use crate::plugin::{Plugin, Plugins, StartError, in_order};
use crate::turn::{self, IntoSystems, Shutdown, Startup, SystemNames};
use crate::{Answer, CallError, Grants, Now, Open, Params, Time, Timers, timers};
use bevy_ecs::error::FallbackErrorHandler;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{InternedSystemSet, IntoScheduleConfigs};
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, VecDeque};

/// Inputs that one turn takes, so that a flood leaves room for timers and calls. // guess
const INPUTS_A_TURN: usize = 256;

/// A runtime: plugins put systems into it, a runner gives it inputs and time.
///
/// ```
/// use dunlin_engine::prelude::*;
///
/// #[derive(Message)]
/// struct Greeting(&'static str);
///
/// #[derive(Resource, Default)]
/// struct Heard(Vec<&'static str>);
///
/// fn listen(mut greetings: MessageReader<Greeting>, mut heard: ResMut<Heard>) {
///     heard.0.extend(greetings.read().map(|greeting| greeting.0));
/// }
///
/// let mut app = App::new();
/// app.add_message::<Greeting>();
/// app.world_mut().init_resource::<Heard>();
/// app.add_systems(Turn::Route, listen);
/// app.start()?;
///
/// app.push(Input::message(Greeting("hello")));
/// let deadline = app.turn(Now::default());
///
/// assert_eq!(app.world().resource::<Heard>().0, ["hello"]);
/// assert_eq!(deadline, None, "nothing waits, so the runner may sleep for ever");
/// # Ok::<(), StartError>(())
/// ```
pub struct App {
    world: World,
    plugins: Vec<Box<dyn Plugin>>,
    turn: Schedule,
    startup: Schedule,
    shutdown: Schedule,
    names: SystemNames,
    clear: Vec<fn(&mut World)>,
    pushed: VecDeque<Input>,
    outlets: Outlets,
    errors: Vec<String>,
    started: bool,
}

/// Ends the run: the runner shuts the app down after the turn in which a reason stands here, unless somebody holds it ([`ExitHolds`]).
#[derive(Resource, Default, Debug)]
pub struct Exit(pub Option<String>);

/// Who needs more turns before the run may end, and removes itself once it does not: a relay that hands over what it keeps. Whoever holds
/// has a limit of its own, for nobody waits long for a program that was told to end.
#[derive(Resource, Default, Debug)]
pub struct ExitHolds(pub BTreeSet<&'static str>);

impl Default for App {
    fn default() -> App {
        App::new()
    }
}

impl App {
    /// An app without plugins.
    #[must_use]
    pub fn new() -> App {
        App::with_config(Config::default())
    }

    /// An app without plugins, and the settings they will read.
    #[must_use]
    pub fn with_config(config: Config) -> App {
        let (inbox, outlets) = inbox();
        let mut world = World::new();
        world.insert_resource(FallbackErrorHandler(failures::contain));
        world.insert_resource(inbox);
        world.insert_resource(config);
        world.init_resource::<Now>();
        world.init_resource::<Timers>();
        world.init_resource::<Failures>();
        world.init_resource::<Exit>();
        world.init_resource::<ExitHolds>();
        let mut app = App {
            world,
            plugins: Vec::new(),
            turn: turn::new_turn(),
            startup: turn::new_schedule(Startup),
            shutdown: turn::new_schedule(Shutdown),
            names: SystemNames::new(),
            clear: Vec::new(),
            pushed: VecDeque::new(),
            outlets,
            errors: Vec::new(),
            started: false,
        };
        // Timers come out sorted whatever order they were set in, and a second reason to exit changes nothing.
        app.world.allow_ambiguous_resource::<Timers>();
        app.world.allow_ambiguous_resource::<Exit>();
        app.world.allow_ambiguous_resource::<ExitHolds>();
        dispatch::install(&mut app);
        app
    }

    /// The World.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The World, to change: before the start, or between turns.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// A handle with which other threads give this app inputs.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        self.world.resource::<Inbox>().clone()
    }

    /// Adds a plugin, a tuple of plugins or a group. They are built by [`start`](App::start), each after what it requires.
    pub fn add_plugins<M>(&mut self, plugins: impl Plugins<M>) -> &mut App {
        plugins.collect(&mut self.plugins);
        self
    }

    /// Adds systems to a set of the turn; a tuple runs in the order written.
    pub fn add_systems<M>(
        &mut self,
        set: impl SystemSet,
        systems: impl IntoSystems<M>,
    ) -> &mut App {
        let systems = turn::chained(systems, &mut self.names);
        self.turn.add_systems(systems.in_set(set));
        self
    }

    /// Adds systems that run once, before the first turn.
    pub fn add_startup<M>(&mut self, systems: impl IntoSystems<M>) -> &mut App {
        self.startup
            .add_systems(turn::chained(systems, &mut self.names));
        self
    }

    /// Adds systems that run once, before the last turn: what they write as messages still leaves.
    pub fn add_shutdown<M>(&mut self, systems: impl IntoSystems<M>) -> &mut App {
        self.shutdown
            .add_systems(turn::chained(systems, &mut self.names));
        self
    }

    /// Orders sets of the turn among each other, in bevy's own terms.
    pub fn configure_sets<M>(
        &mut self,
        sets: impl IntoScheduleConfigs<InternedSystemSet, M>,
    ) -> &mut App {
        self.turn.configure_sets(sets);
        self
    }

    /// Registers a message. It lives for one turn: whoever reads it must run after who writes it.
    pub fn add_message<M: Message>(&mut self) -> &mut App {
        if !self.world.contains_resource::<Messages<M>>() {
            self.world.init_resource::<Messages<M>>();
            self.clear
                .push(|world| world.resource_mut::<Messages<M>>().clear());
        }
        self
    }

    /// Registers a kind of timer; it fires as the message [`Due<K>`](crate::Due).
    pub fn add_timer<K: 'static>(&mut self) -> &mut App {
        self.add_message::<crate::Due<K>>();
        self.world.resource_mut::<Timers>().register::<K>();
        self
    }

    /// Registers a call under a name, which is also its permission. See [`Call`].
    pub fn call<P, S, M>(&mut self, name: &'static str, system: S) -> &mut App
    where
        P: Params,
        S: IntoSystem<In<Call<P>>, Result<Answer, CallError>, M> + Clone + Send + Sync + 'static,
        M: 'static,
    {
        let added = self
            .world
            .resource_mut::<CallTable>()
            .add_call::<P, S, M>(name, system);
        self.note(added);
        self
    }

    /// Registers a stream, a call that goes on arriving. See [`Open`].
    pub fn stream<P, S, M>(&mut self, name: &'static str, system: S) -> &mut App
    where
        P: Params,
        S: IntoSystem<In<Open<P>>, Result<(), CallError>, M> + Clone + Send + Sync + 'static,
        M: 'static,
    {
        let added = self
            .world
            .resource_mut::<CallTable>()
            .add_stream::<P, S, M>(name, system);
        self.note(added);
        self
    }

    /// One section of `dunlin.toml`, or its defaults where it is absent.
    ///
    /// # Errors
    /// An unknown key (with the nearest known one) or a value of the wrong shape.
    pub fn config<T: DeserializeOwned + Default>(
        &mut self,
        section: &str,
    ) -> Result<T, ConfigError> {
        self.world.resource_mut::<Config>().section(section)
    }

    fn note(&mut self, outcome: Result<(), String>) {
        self.errors.extend(outcome.err());
    }

    /// Builds the plugins and runs what they do at start.
    ///
    /// # Errors
    /// All that is wrong, together: duplicate and missing plugins, circles, failed set-ups, unknown settings, systems in conflict,
    /// failed start-up systems.
    pub fn start(&mut self) -> Result<(), StartError> {
        let mut plugins = in_order(std::mem::take(&mut self.plugins))?;
        while !plugins.is_empty() {
            for plugin in plugins {
                if let Err(error) = plugin.build(self) {
                    self.errors
                        .push(format!("plugin {}: {error}", plugin.name()));
                }
            }
            // A plugin may add others while it is built.
            plugins = in_order(std::mem::take(&mut self.plugins))?;
        }
        let calls = self.world.resource::<CallTable>().names();
        let mut config = self.world.resource_mut::<Config>();
        let granted = config
            .section::<Grants>("permissions")
            .and_then(|grants| config.check_permissions(&grants, &calls));
        let unread = config.check_sections();
        self.note(granted.map_err(|error| error.to_string()));
        self.note(unread.map_err(|error| error.to_string()));
        for schedule in [&mut self.turn, &mut self.startup, &mut self.shutdown] {
            if let Err(error) = turn::build(schedule, &mut self.world, &self.names) {
                self.errors.push(error);
            }
        }
        if self.errors.is_empty() {
            self.startup.run(&mut self.world);
            failures::collect(&mut self.world);
            let failures = self.world.resource::<Failures>();
            self.errors
                .extend(failures.iter().map(|(_, failure)| failure.last.clone()));
        }
        self.started = self.errors.is_empty();
        if self.started {
            Ok(())
        } else {
            Err(StartError(std::mem::take(&mut self.errors)))
        }
    }

    /// Gives an input to the next turn.
    pub fn push(&mut self, input: Input) {
        self.pushed.push_back(input);
    }

    /// Runs all systems once. Answers when the next turn is due: now if inputs wait, a timer's time, or never.
    ///
    /// # Panics
    /// If the app was not started.
    pub fn turn(&mut self, now: Now) -> Option<Time> {
        assert!(self.started, "call start() before turn()");
        self.world.insert_resource(now);
        let (world, pushed) = (&mut self.world, &mut self.pushed);
        for _ in 0..INPUTS_A_TURN {
            let Some(input) = pushed.pop_front() else {
                break;
            };
            input.apply(world);
        }
        self.outlets.take(INPUTS_A_TURN, |input| input.apply(world));
        timers::fire_due(world, now.time);
        self.turn.run(world);
        for clear in &self.clear {
            clear(world);
        }
        failures::collect(world);
        if !self.pushed.is_empty() || !self.outlets.is_empty() {
            return Some(now.time);
        }
        world.resource::<Timers>().next()
    }

    /// Why the run is to end, once somebody said so and nobody holds it.
    #[must_use]
    pub fn exit(&self) -> Option<&str> {
        let held = !self.world.resource::<ExitHolds>().0.is_empty();
        let why = self.world.resource::<Exit>().0.as_deref();
        why.filter(|_| !held)
    }

    /// Runs what plugins do at the end, and a last turn in which it leaves.
    pub fn shut_down(&mut self, now: Now) {
        self.world.insert_resource(now);
        self.shutdown.run(&mut self.world);
        self.turn(now);
    }
}
