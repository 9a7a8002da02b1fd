//! SIGINT and SIGTERM end the app as a plugin would: its last turn says farewell to peers.

use crate::{Io, IoPlugin};
use dunlin_engine::bevy_ecs::world::World;
use dunlin_engine::{App, BoxError, Exit, ExitHolds, Input, Plugin};
use tokio::signal::unix::{SignalKind, signal};

/// Ends the app on SIGINT and SIGTERM; on a second one at once, whoever holds it.
#[derive(Default)]
pub struct SignalsPlugin;

impl Plugin for SignalsPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![std::any::type_name::<IoPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        let io = app.world().resource::<Io>().clone();
        let inside = io.handle().enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        drop(inside);
        let inbox = app.inbox();
        io.handle().spawn(async move {
            loop {
                let why = tokio::select! {
                    _ = interrupt.recv() => "interrupted",
                    _ = terminate.recv() => "terminated",
                };
                crate::io::offer(&inbox, Input::new(move |world| end(world, why))).await;
            }
        });
        Ok(())
    }
}

fn end(world: &mut World, why: &str) {
    if world.resource::<Exit>().0.is_some() {
        world.resource_mut::<ExitHolds>().0.clear();
    }
    let mut exit = world.resource_mut::<Exit>();
    exit.0.get_or_insert_with(|| why.to_owned());
}
