//! How the daemon's own tasks reach the running app: by its calls, and by inputs that look at the World.

use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{App, CallError, Grants, Inbox, Input, Outlet, Reply, Request, Source};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A caller of its own. Clones share it.
#[derive(Clone)]
pub(crate) struct Door {
    inbox: Inbox,
    caller: Entity,
}

impl Door {
    pub(crate) fn open(app: &mut App) -> Door {
        Door {
            caller: app.world_mut().spawn(Grants::everything()).id(),
            inbox: app.inbox(),
        }
    }

    /// Makes a call and waits for its answer.
    pub(crate) async fn call(&self, name: &str, params: Value) -> Result<Value, CallError> {
        let (sender, answer) = oneshot::channel();
        let request = Request {
            id: 1,
            name: name.to_owned(),
            params,
            body: Default::default(),
            caller: self.caller,
            outlet: Arc::new(Once(Mutex::new(Some(sender)))),
        };
        self.offer(request.into_input())?;
        let reply = answer.await.map_err(|_| ended())??;
        Ok(reply.value)
    }

    /// Looks at the World between turns.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let (sender, answer) = oneshot::channel();
        self.offer(Input::new(move |world| {
            // Whoever asked may have given up.
            let _ = sender.send(look(world));
        }))?;
        answer.await.map_err(|_| ended())
    }

    fn offer(&self, input: Input) -> Result<(), CallError> {
        let full = |_| CallError::new("busy", "the relay has no room for more calls: try again");
        self.inbox.offer(Source::Call, input).map_err(full)
    }
}

fn ended() -> CallError {
    CallError::new("cancelled", "the relay is ending")
}

/// Hears one answer. Streams are not opened through this door.
struct Once(Mutex<Option<oneshot::Sender<Result<Reply, CallError>>>>);

impl Outlet for Once {
    fn answer(&self, _: u64, answer: Result<Reply, CallError>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(answer); // Whoever asked may have given up.
        }
    }

    fn item(&self, _: u64, item: Reply) -> Result<(), Reply> {
        Err(item)
    }

    fn end(&self, _: u64) {}
}
