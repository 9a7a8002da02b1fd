//! Contained failures: a system that fails or panics is reported by the name it was registered with, and the runtime goes on.
//!
//! bevy hands its error handler no name unless its `debug` feature is on, so each system is wrapped: the wrapper notes who
//! runs, on this thread, before it runs.

use bevy_ecs::error::{BevyError, ErrorContext};
use bevy_ecs::prelude::*;
use bevy_ecs::system::{Adapt, RunSystemError, System, SystemIn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

thread_local! {
    static RUNNING: Cell<&'static str> = const { Cell::new("a command or observer") };
    static FAILED: RefCell<Vec<(&'static str, String)>> = const { RefCell::new(Vec::new()) };
}

/// How often each system or call has failed, and what the last failure said. One row a registered name, so bounded.
#[derive(Resource, Default, Debug)]
pub struct Failures(BTreeMap<&'static str, Failure>);

/// What one system's failures came to.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// How often.
    pub count: u64,
    /// The text of the last.
    pub last: String,
}

impl Failures {
    /// The failures of the system or call of this name; its path may be left out (`decode` finds `net::decode`).
    #[must_use]
    pub fn of(&self, name: &str) -> Failure {
        self.0
            .iter()
            .find(|(known, _)| **known == name || known.ends_with(&format!("::{name}")))
            .map(|(_, failure)| failure.clone())
            .unwrap_or_default()
    }

    /// All failures, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.0.iter().map(|(name, failure)| (*name, failure))
    }

    pub(crate) fn count(&mut self, name: &'static str, text: String) {
        tracing::error!(system = name, error = %text, "failed; the runtime goes on");
        let failure = self.0.entry(name).or_default();
        failure.count += 1;
        failure.last = text;
    }
}

/// bevy's fallback handler: notes the failure for [`collect`].
pub(crate) fn contain(error: BevyError, _context: ErrorContext) {
    let text = error.to_string().trim().to_owned();
    FAILED.with_borrow_mut(|failed| failed.push((RUNNING.get(), text)));
}

/// Moves what failed in this turn, on this thread, into the resource.
pub(crate) fn collect(world: &mut World) {
    let failed = FAILED.take();
    if !failed.is_empty() {
        let mut failures = world.resource_mut::<Failures>();
        for (name, text) in failed {
            failures.count(name, text);
        }
    }
}

/// Wraps a system so that its failures carry `0`, its name.
pub(crate) struct Named(pub(crate) &'static str);

impl<S: System<In = (), Out = ()>> Adapt<S> for Named {
    type In = ();
    type Out = ();

    fn adapt(
        &mut self,
        input: (),
        run_system: impl FnOnce(SystemIn<'_, S>) -> Result<(), RunSystemError>,
    ) -> Result<(), RunSystemError> {
        RUNNING.set(self.0);
        run_system(input)
    }
}

/// What a panic said, as far as it said it in words.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked without words".to_owned())
}
