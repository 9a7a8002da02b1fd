//! `Io`: where plugins run futures.

use bevy_ecs::prelude::*;
use dunlin_engine::{App, BoxError, Inbox, Input, Plugin, Source};
use std::sync::Arc;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Runs futures. They hold no World data: they carry ids, and bring their output back as an input.
#[derive(Resource, Clone)]
pub struct Io {
    handle: Handle,
    inbox: Inbox,
    // The thread ends when the last clone of this sender is dropped.
    _alive: Option<Arc<oneshot::Sender<()>>>,
}

impl Io {
    pub(crate) fn on(handle: Handle, inbox: Inbox) -> Io {
        Io {
            handle,
            inbox,
            _alive: None,
        }
    }

    /// Runs `future`, and then `then` with its output, in the World, at the start of a turn.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut World, T) + Send + 'static,
    ) {
        let inbox = self.inbox.clone();
        self.handle.spawn(async move {
            let output = future.await;
            offer(&inbox, Input::new(move |world| then(world, output))).await;
        });
    }

    /// The runtime itself, for tasks that go on, such as one that reads a socket.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where such tasks put what they have.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

/// Offers an input of a task until there is room. It may not block: under `Inline` the engine shares this thread.
pub(crate) async fn offer(inbox: &Inbox, mut input: Input) {
    let mut wait_ms = 1;
    while let Err(busy) = inbox.offer(Source::Call, input) {
        input = busy.0;
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        wait_ms = (wait_ms * 2).min(100);
    }
}

/// Gives the app [`Io`] on a thread of its own; adding it under [`Inline`](crate::Inline), which brings its own, changes nothing.
#[derive(Default)]
pub struct IoPlugin;

impl Plugin for IoPlugin {
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        if app.world().contains_resource::<Io>() {
            return Ok(());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("dunlin-io".to_owned())
            .spawn(move || {
                // An error means that every `Io` is gone.
                let _ = runtime.block_on(ended);
            })?;
        let inbox = app.inbox();
        app.world_mut().insert_resource(Io {
            handle,
            inbox,
            _alive: Some(Arc::new(alive)),
        });
        Ok(())
    }
}
