//! SIGINT and SIGTERM end the app as a plugin would: its last turn says farewell to peers.

use crate::{Io, IoPlugin};
use dunlin_engine::{App, BoxError, Exit, Input, Plugin};
use tokio::signal::unix::{SignalKind, signal};

/// Ends the app on SIGINT and SIGTERM.
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
            let why = tokio::select! {
                _ = interrupt.recv() => "interrupted",
                _ = terminate.recv() => "terminated",
            };
            let end = Input::new(move |world| {
                world
                    .resource_mut::<Exit>()
                    .0
                    .get_or_insert_with(|| why.to_owned());
            });
            crate::io::offer(&inbox, end).await;
        });
        Ok(())
    }
}
