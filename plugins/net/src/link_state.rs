//! What a node keeps of one link: its sessions, and when something is due. Pure state; the systems around it send.

use crate::address::{ADDRESS_BYTES, Packed};
use crate::handshake::{Established, Initiation};
use crate::limits::{
    ANSWER_MAX, HANDSHAKE_AGE_MAX, PREVIOUS_SILENCE_MAX, SESSION_AGE_MAX, SESSION_REKEY_AGE,
    TIMER_SLACK, UNHEARD_MAX,
};
use crate::moment::Moment;
use crate::nested::Opening;
use crate::pulse::Pulse;
use crate::retry::Retry;
use crate::roam::Roam;
use crate::session::Session;
use crate::{About, DownReason, PeerId};
use bytes::Bytes;
use dunlin_engine::Time;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Which of a link's sessions a datagram was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Current,
    Next,
    Previous,
}

/// What who began a session repeats until the other side is heard on it.
pub(crate) struct Greeting {
    pub retry: Retry,
    /// XX-3.
    pub third: Option<Bytes>,
}

/// Why there is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A plugin, or the other side, asked for it.
    Asked,
    /// The node made it by itself, from its address book.
    Chosen,
    /// It is to find out whether somebody is there, and then ends.
    Feeler,
    /// It was made for circuits of others.
    Circuits,
}

/// A link on which this side hides.
pub(crate) struct Hidden {
    /// Our key on this link.
    pub secret: Zeroizing<[u8; 32]>,
    /// While it waits for its way through a neighbour.
    pub opening: Option<Opening>,
}

/// The session before the present one.
pub(crate) struct Previous {
    session: Session,
    /// When something last came on it.
    heard: Time,
    /// When something last came on the present one.
    current_heard: Time,
}

/// One link of a node, from dial or first proof until it is down.
pub(crate) struct Link {
    address: Packed,
    /// Whom we dialled, or who proved it.
    pub id: Option<PeerId>,
    /// They hide.
    pub anonymous: bool,
    /// What is only needed where we hide.
    pub hidden: Option<Box<Hidden>>,
    pub outbound: bool,
    /// It is the one that its peer is known by.
    pub main: bool,
    pub purpose: Purpose,
    pub dial: Option<Box<Initiation>>,
    /// In place, since every datagram needs it; the others seldom are there.
    pub current: Option<Session>,
    /// A session that we began, until the responder is heard on it.
    pub next: Option<Box<Session>>,
    /// Receives what was under way when `current` took over.
    pub previous: Option<Box<Previous>>,
    /// While we repeat our greeting: until the responder has said what it is.
    pub greeting: Option<Box<Greeting>>,
    is_up: bool,
    /// When it was dialled, or proved itself; once it is up, when it came up.
    pub since: Time,
    pub about: About,
    /// Where they see us, as their frame said it.
    pub observed: Option<[u8; ADDRESS_BYTES]>,
    pub pulse: Pulse,
    pub roam: Option<Box<Roam>>,
    /// The request of our PEERS_ASK that has no answer yet.
    pub peers_request: Option<NonZeroU32>,
    /// When we last sent one.
    pub peers_asked: Moment,
    /// When we last answered one.
    pub peers_answered: Moment,
    /// Decided; told in the next `Maintain`.
    pub over: Option<DownReason>,
    /// When this link's timer fires.
    pub armed: Moment,
    /// When the book was last told that the peer is there.
    pub noted: Moment,
    rekey_after: Time,
}

impl Link {
    pub(crate) fn new(address: SocketAddr, outbound: bool, keep_alive: bool, now: Time) -> Link {
        Link {
            address: Packed::new(address),
            id: None,
            anonymous: false,
            hidden: None,
            outbound,
            main: false,
            purpose: Purpose::Asked,
            dial: None,
            current: None,
            next: None,
            previous: None,
            greeting: None,
            is_up: false,
            since: now,
            about: About::default(),
            observed: None,
            pulse: Pulse::new(keep_alive, now),
            roam: None,
            peers_request: None,
            peers_asked: Moment::NONE,
            peers_answered: Moment::NONE,
            over: None,
            armed: Moment::NONE,
            noted: Moment::NONE,
            rekey_after: Time::ZERO,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.get()
    }

    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        self.address == Packed::new(address)
    }

    pub(crate) fn move_to(&mut self, address: SocketAddr) {
        self.address = Packed::new(address);
    }

    pub(crate) fn opening(&self) -> Option<&Opening> {
        self.hidden.as_ref()?.opening.as_ref()
    }

    pub(crate) fn opening_mut(&mut self) -> Option<&mut Opening> {
        self.hidden.as_mut()?.opening.as_mut()
    }

    /// Since when it is up, if it is.
    pub(crate) fn up(&self) -> Option<Time> {
        self.is_up.then_some(self.since)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up
    }

    pub(crate) fn come_up(&mut self, now: Time) {
        (self.is_up, self.since) = (true, now);
    }

    /// A handshake of ours ended well: the session stands beside the present one until the responder is heard on it.
    pub(crate) fn establish(&mut self, established: Established, now: Time) {
        self.dial = None;
        self.id = Some(established.id);
        self.next = Some(Box::new(established.session));
        self.greeting = Some(Box::new(Greeting {
            retry: Retry::new(now),
            third: established.third,
        }));
    }

    /// Where we hide, what we ask goes with our greeting: the responder has proved itself, and will answer or not. Says whether that is so.
    // PROTOCOL 2.2
    pub(crate) fn speaks_first(&mut self, now: Time) -> bool {
        let first = self.hidden.is_some() && !self.is_up && self.current.is_none();
        if let (true, Some(next)) = (first, self.next.take_if(|_| first)) {
            self.take_over(*next, now);
        }
        first
    }

    /// Whether we spoke first, and have heard nothing for longer than a responder takes that has not forgotten the session.
    pub(crate) fn is_unheard(&self, now: Time) -> bool {
        let greeting = self
            .greeting
            .as_ref()
            .map(|greeting| greeting.retry.started);
        let first = self.hidden.is_some() && self.is_up && greeting == Some(self.since);
        first && now - self.since >= UNHEARD_MAX
    }

    /// The initiator of a session proved itself: it takes over. One that we began meanwhile stays able to receive, for the
    /// other side may have chosen that one.
    pub(crate) fn accept(&mut self, session: Session, now: Time) {
        self.dial = None;
        self.take_over(session, now);
    }

    /// The present session becomes the one before.
    fn take_over(&mut self, session: Session, now: Time) {
        let previous = self.current.replace(session);
        let previous = previous.map(|session| Previous {
            session,
            heard: now,
            current_heard: now,
        });
        self.previous = previous.map(Box::new);
    }

    pub(crate) fn slot(&self, index: u32) -> Option<Slot> {
        let sessions = [
            (self.current.as_ref(), Slot::Current),
            (self.next.as_deref(), Slot::Next),
            (self.previous_session(), Slot::Previous),
        ];
        let is = |session: Option<&Session>| session.is_some_and(|s| s.local == index);
        sessions
            .into_iter()
            .find_map(|(session, slot)| is(session).then_some(slot))
    }

    fn previous_session(&self) -> Option<&Session> {
        self.previous.as_ref().map(|previous| &previous.session)
    }

    pub(crate) fn session_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        match slot {
            Slot::Current => self.current.as_mut(),
            Slot::Next => self.next.as_deref_mut(),
            Slot::Previous => self.previous.as_mut().map(|previous| &mut previous.session),
        }
    }

    /// An authentic, fresh message came on this session. Says whether the keys in use changed. `we_win` says whether our id is the
    /// smaller one.
    // PROTOCOL 2.2
    pub(crate) fn on_heard(
        &mut self,
        slot: Slot,
        we_win: impl FnOnce(&Link) -> bool,
        now: Time,
    ) -> bool {
        self.pulse.on_heard(now);
        match slot {
            Slot::Current => {
                if let Some(previous) = &mut self.previous {
                    previous.current_heard = now;
                }
                false
            }
            Slot::Next => match self.next.take() {
                Some(next) => {
                    self.take_over(*next, now);
                    true
                }
                None => false,
            },
            // They go on with the older one: because we both began, or because they do not have the newer any more.
            Slot::Previous => {
                let deaf = self.previous.as_mut().is_some_and(|previous| {
                    previous.heard = now;
                    now - previous.current_heard >= ANSWER_MAX
                });
                let swap = deaf || self.older_wins(we_win(self));
                if swap && let Some(older) = self.previous.take() {
                    self.take_over(older.session, now);
                }
                swap
            }
        }
    }

    /// Of two sessions that were begun at once, one by each side, that of the smaller id stays, where both know both.
    // PROTOCOL 2.2
    fn older_wins(&self, we_win: bool) -> bool {
        let (Some(newer), Some(older)) = (&self.current, self.previous_session()) else {
            return false;
        };
        let apart = (newer.born - older.born).max(older.born - newer.born);
        older.initiator != newer.initiator
            && older.initiator == we_win
            && apart < 2 * HANDSHAKE_AGE_MAX
    }

    /// The session that our greeting is for.
    pub(crate) fn greeting_session(&mut self) -> Option<&mut Session> {
        self.next.as_deref_mut().or(self.current.as_mut())
    }

    /// Whether this side began the present session.
    pub(crate) fn initiator(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|session| session.initiator)
    }

    /// Whether there is a session, or a handshake, beside the present one.
    pub(crate) fn has_other_session(&self) -> bool {
        self.dial.is_some() || self.next.is_some() || self.previous.is_some()
    }

    /// The indices under which others reach this link.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let sessions = [
            self.current.as_ref(),
            self.next.as_deref(),
            self.previous_session(),
        ];
        let sessions = sessions.into_iter().flatten().map(|session| session.local);
        sessions.chain(self.dial.iter().map(|dial| dial.index()))
    }

    /// Whether it is time for a new session.
    // PROTOCOL 2.2
    pub(crate) fn wants_rekey(&self, now: Time) -> bool {
        now >= self.rekey_at()
    }

    fn rekey_at(&self) -> Time {
        match &self.current {
            Some(session) if session.initiator && self.dial.is_none() && self.next.is_none() => {
                (session.born + SESSION_REKEY_AGE).max(self.rekey_after)
            }
            _ => Time(u64::MAX),
        }
    }

    /// A new session could not be made; tries again soon, until the present one ends.
    pub(crate) fn rekey_failed(&mut self, now: Time) {
        self.dial = None;
        self.next = None;
        self.greeting = None;
        self.rekey_after = now + HANDSHAKE_AGE_MAX / 8;
    }

    /// Drops the session before the present one, once the other side has not used it for a while. Says whether it did. (After two
    /// handshakes at once each side may go on with its own for a while; then both sessions stay.)
    pub(crate) fn forget_previous(&mut self, now: Time) -> bool {
        let silent = |previous: &mut Box<Previous>| now - previous.heard >= PREVIOUS_SILENCE_MAX;
        self.previous.take_if(silent).is_some()
    }

    /// When this link next needs a look.
    pub(crate) fn deadline(&self) -> Time {
        if self.over.is_some() {
            return Time::ZERO;
        }
        let dial = self.dial.as_ref().map(|dial| dial.retry.next);
        let greeting = self.greeting.as_ref().map(|greeting| greeting.retry.next);
        let opening = self.opening().map(|opening| opening.retry.next);
        let mut at = [dial, greeting, opening].into_iter().flatten().min();
        if self.is_up {
            let ends = self
                .current
                .as_ref()
                .map(|session| session.born + SESSION_AGE_MAX);
            let kept = self.pulse.deadline(self.initiator()).min(self.rekey_at());
            at = [at, ends, Some(kept)].into_iter().flatten().min();
        }
        at.unwrap_or(Time::ZERO) // Neither up nor on its way: look at once.
    }

    /// When to set this link's timer, if it must be set anew. A busy link moves it seldom: one that fires early costs less.
    pub(crate) fn rearm(&mut self) -> Option<Time> {
        let at = self.deadline();
        let keep = self
            .armed
            .get()
            .is_some_and(|armed| at >= armed && at <= armed + TIMER_SLACK);
        if keep {
            return None;
        }
        self.armed = Moment::at(at);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A simulated node has six ends of links on average, and 8 KB for all it keeps. 384 is a size in which allocators have room.
    #[test]
    fn a_link_with_its_session_is_small() {
        let bytes = size_of::<Link>();
        assert!(bytes <= 384, "{bytes}");
    }
}
