//! The Turn: one schedule of chained sets in which all systems run.

use crate::failures::Named;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{
    Chain, IntoScheduleConfigs, LogLevel, ScheduleBuildError, ScheduleBuildSettings,
    ScheduleConfigs, ScheduleLabel, SingleThreadedExecutor, SystemKey,
};
use bevy_ecs::system::{AdapterSystem, ScheduleSystem, System};
use std::any::TypeId;
use std::collections::BTreeMap;

/// The phases of a turn, in this order. What a call or a timer makes leaves in the same turn.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// What came in takes its place: datagrams, calls, what tasks finished.
    Ingest,
    /// Datagrams become frames: opened, authenticated, bounded; the rest is dropped and counted.
    Decode,
    /// Calls are checked and run.
    Serve,
    /// What is due: timers, expiry, retries.
    Maintain,
    /// Frames meet the state of nodes: kept, answered, passed on.
    Route,
    /// What is for us goes to who subscribed.
    Deliver,
    /// Frames become datagrams and leave.
    Transmit,
    /// Mirrors, counters, the next deadline.
    Settle,
}

/// The schedule that holds the [`Turn`] sets.
#[derive(ScheduleLabel, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TurnSchedule;

/// Runs once, before the first turn.
#[derive(ScheduleLabel, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Startup;

/// Runs once, before the last turn.
#[derive(ScheduleLabel, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shutdown;

/// Names by the type of the wrapped system, so that errors at start can say whom they mean.
pub(crate) type SystemNames = BTreeMap<TypeId, &'static str>;

pub(crate) fn new_schedule(label: impl ScheduleLabel) -> Schedule {
    let mut schedule = Schedule::new(label);
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.set_build_settings(ScheduleBuildSettings {
        ambiguity_detection: LogLevel::Error,
        hierarchy_detection: LogLevel::Error,
        ..Default::default()
    });
    schedule
}

pub(crate) fn new_turn() -> Schedule {
    let mut schedule = new_schedule(TurnSchedule);
    schedule.configure_sets(
        (
            Turn::Ingest,
            Turn::Decode,
            Turn::Serve,
            Turn::Maintain,
            Turn::Route,
            Turn::Deliver,
            Turn::Transmit,
            Turn::Settle,
        )
            .chain(),
    );
    schedule
}

/// One system, or a tuple of them that run in the order written.
pub trait IntoSystems<Marker> {
    #[doc(hidden)]
    fn into_systems(self, names: &mut SystemNames, out: &mut Vec<ScheduleConfigs<ScheduleSystem>>);
}

#[doc(hidden)]
pub struct One<M>(std::marker::PhantomData<M>);

impl<F, M> IntoSystems<One<M>> for F
where
    F: IntoSystem<(), (), M>,
{
    fn into_systems(self, names: &mut SystemNames, out: &mut Vec<ScheduleConfigs<ScheduleSystem>>) {
        let name = std::any::type_name::<F>();
        let system = IntoSystem::into_system(self);
        let bevy_name = system.name();
        let named = AdapterSystem::new(Named(name), system, bevy_name);
        names.insert(named.system_type(), name);
        out.push(named.into_configs());
    }
}

macro_rules! systems_tuple {
    ($(($system:ident, $marker:ident)),*) => {
        #[expect(non_snake_case, reason = "the macro names each variable as its type")]
        impl<$($system, $marker),*> IntoSystems<($($marker,)*)> for ($($system,)*)
        where
            $($system: IntoSystems<$marker>),*
        {
            fn into_systems(
                self,
                names: &mut SystemNames,
                out: &mut Vec<ScheduleConfigs<ScheduleSystem>>,
            ) {
                let ($($system,)*) = self;
                $($system.into_systems(names, out);)*
            }
        }
    };
}

systems_tuple!((A, MA));
systems_tuple!((A, MA), (B, MB));
systems_tuple!((A, MA), (B, MB), (C, MC));
systems_tuple!((A, MA), (B, MB), (C, MC), (D, MD));
systems_tuple!((A, MA), (B, MB), (C, MC), (D, MD), (E, ME));
systems_tuple!((A, MA), (B, MB), (C, MC), (D, MD), (E, ME), (F, MF));
systems_tuple!(
    (A, MA),
    (B, MB),
    (C, MC),
    (D, MD),
    (E, ME),
    (F, MF),
    (G, MG)
);
systems_tuple!(
    (A, MA),
    (B, MB),
    (C, MC),
    (D, MD),
    (E, ME),
    (F, MF),
    (G, MG),
    (H, MH)
);

/// Collects systems into one chained configuration.
pub(crate) fn chained<M>(
    systems: impl IntoSystems<M>,
    names: &mut SystemNames,
) -> ScheduleConfigs<ScheduleSystem> {
    let mut each = Vec::new();
    systems.into_systems(names, &mut each);
    ScheduleConfigs::Configs {
        configs: each,
        collective_conditions: Vec::new(),
        metadata: Chain::default(),
    }
    .chain()
}

/// Builds a schedule, and turns bevy's complaint into one that names systems.
pub(crate) fn build(
    schedule: &mut Schedule,
    world: &mut World,
    names: &SystemNames,
) -> Result<(), String> {
    let Err(error) = schedule.initialize(world) else {
        return Ok(());
    };
    Err(explain(&error, schedule, world, names))
}

fn explain(
    error: &ScheduleBuildError,
    schedule: &Schedule,
    world: &World,
    names: &SystemNames,
) -> String {
    use bevy_ecs::schedule::ScheduleBuildWarning::Ambiguity;
    let ScheduleBuildError::Elevated(Ambiguity(ambiguous)) = error else {
        return error.to_string(schedule.graph(), world);
    };
    let name = |key: &SystemKey| {
        schedule
            .graph()
            .systems
            .get(*key)
            .and_then(|system| names.get(&system.system().system_type()))
            .copied()
            .unwrap_or("a system of bevy's own")
    };
    let mut lines: Vec<String> = ambiguous
        .0
        .0
        .iter()
        .map(|(a, b, what)| {
            let what: Vec<String> = what
                .iter()
                .filter_map(|id| world.components().get_name(*id))
                .map(|name| name.to_string())
                .collect();
            format!(
                "systems {} and {} touch the same data{} in no given order: order their sets with \
                 configure_sets(A.before(B)), or add them in one add_systems call",
                name(a),
                name(b),
                if what.is_empty() {
                    String::from(" (the whole World)")
                } else {
                    String::new()
                },
            )
        })
        .collect();
    lines.sort();
    lines.join("\n")
}
