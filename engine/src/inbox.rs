//! The bounded inbox: the only way in from other threads, with a policy for each kind of source.

use bevy_ecs::prelude::*;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Inputs that each source may have waiting. A datagram input is a whole batch, so this bounds memory at about
/// 512 · 64 · 1,200 bytes for sockets. // guess
const SOCKET_INPUTS_MAX: usize = 512;
const CALL_INPUTS_MAX: usize = 4_096;
const PLUGIN_INPUTS_MAX: usize = 1_024;

/// Something that happened outside and is to be applied to the World at the start of a turn.
pub struct Input(Box<dyn FnOnce(&mut World) + Send>);

impl Input {
    /// An input that does `apply`.
    pub fn new(apply: impl FnOnce(&mut World) + Send + 'static) -> Input {
        Input(Box::new(apply))
    }

    /// An input that writes one message.
    pub fn message<M: Message>(message: M) -> Input {
        Input::new(move |world| {
            world.write_message(message);
        })
    }

    pub(crate) fn apply(self, world: &mut World) {
        (self.0)(world);
    }
}

/// Who offers an input, and so what happens when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The network: what does not fit is dropped and counted, as a full socket buffer would.
    Socket,
    /// A call: what does not fit is handed back, and its caller told "busy".
    Call,
    /// A plugin's own thread or task: it waits.
    Plugin,
}

/// The inbox has no room; here is what it refused.
pub struct Busy(pub Input);

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

/// The senders' end; clones go to every thread that has something to tell.
#[derive(Resource, Clone)]
pub struct Inbox {
    lanes: [Sender<Input>; 3],
    dropped: Arc<AtomicU64>,
    bell: Arc<Bell>,
}

type Ring = Box<dyn Fn() + Send + Sync>;

struct Bell(std::sync::RwLock<Option<Ring>>);

impl Inbox {
    /// Offers an input. Only [`Source::Call`] ever gets one back.
    ///
    /// # Errors
    /// [`Busy`] if calls have no room, or if the runtime has gone.
    pub fn offer(&self, source: Source, input: Input) -> Result<(), Busy> {
        let lane = &self.lanes[source as usize];
        let outcome = match source {
            Source::Plugin => lane.send(input).map_err(|gone| Busy(gone.0)),
            Source::Call => lane.try_send(input).map_err(|full| Busy(full.into_inner())),
            Source::Socket => match lane.try_send(input) {
                Err(TrySendError::Full(_)) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                }
                Err(TrySendError::Disconnected(input)) => Err(Busy(input)),
                Ok(()) => Ok(()),
            },
        };
        self.ring();
        outcome
    }

    /// Wakes the runner.
    pub fn ring(&self) {
        let bell = self.bell.0.read();
        if let Ok(Some(ring)) = bell.as_deref() {
            ring();
        }
    }

    /// Says how to wake the runner that is about to serve this inbox.
    pub fn on_ring(&self, ring: impl Fn() + Send + Sync + 'static) {
        if let Ok(mut bell) = self.bell.0.write() {
            *bell = Some(Box::new(ring));
        }
    }

    /// Batches from sockets that were dropped because the inbox was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The engine's end.
pub(crate) struct Outlets([Receiver<Input>; 3]);

pub(crate) fn inbox() -> (Inbox, Outlets) {
    let (sockets, from_sockets) = bounded(SOCKET_INPUTS_MAX);
    let (calls, from_calls) = bounded(CALL_INPUTS_MAX);
    let (plugins, from_plugins) = bounded(PLUGIN_INPUTS_MAX);
    let inbox = Inbox {
        lanes: [sockets, calls, plugins],
        dropped: Arc::default(),
        bell: Arc::new(Bell(std::sync::RwLock::new(None))),
    };
    (inbox, Outlets([from_sockets, from_calls, from_plugins]))
}

impl Outlets {
    /// Takes up to `most` inputs, one from each lane in turn, so that a flood in one starves no other.
    pub(crate) fn take(&self, most: usize, mut each: impl FnMut(Input)) {
        let mut taken = 0;
        let mut open = true;
        while open && taken < most {
            open = false;
            for lane in &self.0 {
                match lane.try_recv() {
                    Ok(input) => {
                        each(input);
                        taken += 1;
                        open = true;
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Receiver::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_drops_datagrams_and_counts_them_but_hands_calls_back() {
        let (inbox, outlets) = inbox();
        for _ in 0..SOCKET_INPUTS_MAX + 7 {
            inbox
                .offer(Source::Socket, Input::new(|_| {}))
                .expect("sockets are never told");
        }
        assert_eq!(inbox.dropped(), 7);
        let mut refused = 0;
        for _ in 0..CALL_INPUTS_MAX + 3 {
            refused += usize::from(inbox.offer(Source::Call, Input::new(|_| {})).is_err());
        }
        assert_eq!(refused, 3);

        // Half of a turn's room goes to each lane that has something, however full the other is.
        let mut taken = 0;
        outlets.take(10, |_| taken += 1);
        assert_eq!(taken, 10);
        assert_eq!(outlets.0[1].len(), CALL_INPUTS_MAX - 5);
    }
}
