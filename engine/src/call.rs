//! Calls: the one door by which windows, plugins, the control socket and tests come in.
//!
//! A call is a system under a name. Dispatch owns the boxed systems and contains each by itself: one that panics is answered with an
//! error that names it, its neighbours are answered, and it works again next time.

use crate::Sink;
use crate::dispatch::CallQueue;
use crate::inbox::Input;
use crate::slot::{Responder, Slot};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

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
    pub(crate) slot: Arc<Slot>,
}

impl<P> Call<P> {
    /// Takes the handle with which to answer after the system has returned [`Answer::Later`].
    #[must_use]
    pub fn later(&self) -> Responder {
        Responder::take(&self.slot)
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
