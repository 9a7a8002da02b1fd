//! A caller inside the process: the command line, tests, an app's own Rust code.

use crate::call::{CallError, Outlet, Reply, Request};
use crate::inbox::{Inbox, Input, Source};
use crate::{App, Grants};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Items that a stream holds for a client that is slow. // guess
const ITEMS_MAX: usize = 1_024;

/// Makes calls and opens streams. What it opened ends when it is dropped.
pub struct Client {
    caller: Entity,
    inbox: Inbox,
    waiting: Arc<Waiting>,
    next: AtomicU64,
}

impl App {
    /// A caller with these grants.
    pub fn client(&mut self, grants: Grants) -> Client {
        let caller = self.world_mut().spawn(grants).id();
        Client {
            caller,
            inbox: self.inbox(),
            waiting: Arc::default(),
            next: AtomicU64::new(1),
        }
    }
}

impl Client {
    /// The caller's entity.
    #[must_use]
    pub fn entity(&self) -> Entity {
        self.caller
    }

    /// Calls `name`. The answer comes by the ticket, after a turn.
    #[must_use]
    pub fn call(&self, name: &str, params: Value, body: Bytes) -> Ticket {
        let (sender, answer) = bounded(1);
        self.request(name, params, body, sender, None);
        Ticket(answer)
    }

    /// Calls `name` without a body and waits for the answer; only where another thread runs the app.
    ///
    /// # Errors
    /// The call's own, or `timeout` after `limit`.
    pub fn ask(&self, name: &str, params: Value, limit: Duration) -> Result<Reply, CallError> {
        self.call(name, params, Bytes::new()).wait(limit)
    }

    /// Opens stream `name`. Whether it opened comes by [`Items::opened`].
    #[must_use]
    pub fn open(&self, name: &str, params: Value) -> Items {
        let (sender, opened) = bounded(1);
        let (items, received) = bounded(ITEMS_MAX);
        let id = self.request(name, params, Bytes::new(), sender, Some(items));
        Items {
            opened,
            received,
            close: Some((self.caller, self.inbox.clone(), self.waiting.clone(), id)),
        }
    }

    fn request(
        &self,
        name: &str,
        params: Value,
        body: Bytes,
        answer: Sender<Result<Reply, CallError>>,
        items: Option<Sender<Reply>>,
    ) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(id, Place { answer, items });
        let request = Request {
            id,
            name: name.to_owned(),
            params,
            body,
            caller: self.caller,
            outlet: self.waiting.clone(),
        };
        if self
            .inbox
            .offer(Source::Call, request.into_input())
            .is_err()
        {
            let text = format!("{name}: the runtime has no room for more calls, or has ended");
            self.waiting.answer(id, Err(CallError::new("busy", text)));
        }
        id
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let caller = self.caller;
        // If the runtime has ended there is nothing left to close.
        let _ = self.inbox.offer(
            Source::Call,
            Input::new(move |world| {
                if let Ok(caller) = world.get_entity_mut(caller) {
                    caller.despawn();
                }
            }),
        );
    }
}

/// The answer to come.
pub struct Ticket(Receiver<Result<Reply, CallError>>);

impl Ticket {
    /// The answer, if it is there.
    #[must_use]
    pub fn take(&self) -> Option<Result<Reply, CallError>> {
        self.0.try_recv().ok()
    }

    /// Waits for the answer; only where another thread runs the app.
    ///
    /// # Errors
    /// The call's own; `timeout` after `limit`; `cancelled` if the runtime ended first.
    pub fn wait(&self, limit: Duration) -> Result<Reply, CallError> {
        match self.0.recv_timeout(limit) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(CallError::new(
                "timeout",
                format!("no answer within {} ms", limit.as_millis()),
            )),
            Err(RecvTimeoutError::Disconnected) => {
                Err(CallError::new("cancelled", "the runtime has ended"))
            }
        }
    }
}

/// The items of a stream. Dropped, it closes the stream.
pub struct Items {
    opened: Receiver<Result<Reply, CallError>>,
    received: Receiver<Reply>,
    close: Option<(Entity, Inbox, Arc<Waiting>, u64)>,
}

impl Items {
    /// Whether the stream opened, once that is known.
    #[must_use]
    pub fn opened(&self) -> Option<Result<Reply, CallError>> {
        self.opened.try_recv().ok()
    }

    /// Waits until the stream is open; only where another thread runs the app.
    ///
    /// # Errors
    /// Why it is not.
    pub fn wait_open(&self, limit: Duration) -> Result<(), CallError> {
        Ticket(self.opened.clone()).wait(limit).map(drop)
    }

    /// The next item, if one is there.
    #[must_use]
    pub fn take(&self) -> Option<Reply> {
        self.received.try_recv().ok()
    }

    /// Waits for the next item; none after `limit` or at the stream's end. Only where another thread runs the app.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> Option<Reply> {
        self.received.recv_timeout(limit).ok()
    }

    /// The channel itself, to select over several streams.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Reply> {
        &self.received
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if let Some((caller, inbox, waiting, id)) = self.close.take() {
            let request = Request {
                id,
                name: "close".to_owned(),
                params: Value::Null,
                body: Bytes::new(),
                caller,
                outlet: waiting,
            };
            let _ = inbox.offer(Source::Call, request.into_input());
        }
    }
}

struct Place {
    answer: Sender<Result<Reply, CallError>>,
    items: Option<Sender<Reply>>,
}

/// Where answers find who waits for them. One place an open call, so bounded as those are.
#[derive(Default)]
struct Waiting(Mutex<BTreeMap<u64, Place>>);

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet for Waiting {
    fn answer(&self, id: u64, answer: Result<Reply, CallError>) {
        let mut places = self.lock();
        let Some(place) = places.get(&id) else { return };
        let stays = place.items.is_some() && answer.is_ok();
        // Whoever dropped the ticket does not want to know.
        let _ = place.answer.try_send(answer);
        if !stays {
            places.remove(&id);
        }
    }

    fn item(&self, id: u64, item: Reply) -> Result<(), Reply> {
        match self.lock().get(&id).and_then(|place| place.items.as_ref()) {
            Some(items) => items.try_send(item).map_err(|refused| refused.into_inner()),
            None => Err(item),
        }
    }

    fn end(&self, id: u64) {
        self.lock().remove(&id);
    }
}
