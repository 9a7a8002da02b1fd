//! What a node keeps of one link: its sessions, and when something is due. Pure state; the systems around it send.

use crate::handshake::{Established, Initiation};
use crate::limits::{HANDSHAKE_AGE_MAX, SESSION_AGE_MAX, SESSION_REKEY_AGE, TIMER_SLACK};
use crate::pulse::Pulse;
use crate::retry::Retry;
use crate::roam::Roam;
use crate::session::Session;
use crate::{About, DownReason, PeerId};
use bytes::{Bytes, BytesMut};
use dunlin_engine::Time;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Which of a link's sessions a datagram was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Current,
    Next,
    Previous,
}

/// One link of a node, from dial or first proof until it is down.
pub(crate) struct Link {
    pub address: SocketAddr,
    /// Whom we dialled, or who proved it.
    pub id: Option<PeerId>,
    /// They hide.
    pub anonymous: bool,
    /// Our key on this link, if we hide.
    pub hidden: Option<Zeroizing<[u8; 32]>>,
    pub outbound: bool,
    /// The node made it by itself, from its address book.
    pub own_choice: bool,
    pub dial: Option<Box<Initiation>>,
    pub current: Option<Session>,
    /// A session that we began, until the responder is heard on it.
    pub next: Option<Session>,
    /// Receives what was under way when `current` took over.
    pub previous: Option<Session>,
    /// While we repeat our greeting: until the responder has said what it is.
    pub confirm: Option<Retry>,
    pub third: Option<Bytes>,
    pub up: Option<Time>,
    pub about: About,
    pub observed: Option<SocketAddr>,
    pub pulse: Pulse,
    pub roam: Option<Roam>,
    /// The request of our PEERS_ASK that has no answer yet.
    pub peers_request: Option<u32>,
    /// When we last sent one.
    pub peers_asked: Option<Time>,
    /// When we last answered one.
    pub peers_answered: Option<Time>,
    /// Decided; told in the next `Maintain`.
    pub over: Option<DownReason>,
    /// Frames of this turn.
    pub out: BytesMut,
    /// Whether one of them wants an answer.
    pub out_asks: bool,
    /// When this link's timer fires.
    pub armed: Option<Time>,
    rekey_after: Time,
}

impl Link {
    pub(crate) fn new(address: SocketAddr, outbound: bool, now: Time) -> Link {
        Link {
            address,
            id: None,
            anonymous: false,
            hidden: None,
            outbound,
            own_choice: false,
            dial: None,
            current: None,
            next: None,
            previous: None,
            confirm: None,
            third: None,
            up: None,
            about: About::default(),
            observed: None,
            pulse: Pulse::new(now),
            roam: None,
            peers_request: None,
            peers_asked: None,
            peers_answered: None,
            over: None,
            out: BytesMut::new(),
            out_asks: false,
            armed: None,
            rekey_after: Time::ZERO,
        }
    }

    /// A handshake of ours ended well: the session stands beside the present one until the responder is heard on it.
    pub(crate) fn establish(&mut self, established: Established, now: Time) {
        self.dial = None;
        self.id = Some(established.id);
        self.next = Some(established.session);
        self.third = established.third;
        self.confirm = Some(Retry::new(now));
    }

    /// The initiator of a session proved itself: it takes over. One that we began meanwhile stays able to receive, for the
    /// other side may have chosen that one.
    pub(crate) fn accept(&mut self, session: Session) {
        self.dial = None;
        self.previous = self.current.replace(session);
    }

    pub(crate) fn slot(&self, index: u32) -> Option<Slot> {
        let is = |session: &Option<Session>| session.as_ref().is_some_and(|s| s.local == index);
        [
            (&self.current, Slot::Current),
            (&self.next, Slot::Next),
            (&self.previous, Slot::Previous),
        ]
        .into_iter()
        .find_map(|(session, slot)| is(session).then_some(slot))
    }

    pub(crate) fn session_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        match slot {
            Slot::Current => self.current.as_mut(),
            Slot::Next => self.next.as_mut(),
            Slot::Previous => self.previous.as_mut(),
        }
    }

    /// An authentic, fresh message came on this session. Says whether the keys in use changed.
    // PROTOCOL 2.2
    pub(crate) fn on_heard(&mut self, slot: Slot, now: Time) -> bool {
        self.pulse.on_heard(now);
        if slot != Slot::Next {
            return false;
        }
        let Some(next) = self.next.take() else {
            return false;
        };
        self.previous = self.current.replace(next);
        true
    }

    /// The session that our greeting is for.
    pub(crate) fn greeting_session(&mut self) -> Option<&mut Session> {
        self.next.as_mut().or(self.current.as_mut())
    }

    /// Whether this side began the present session.
    pub(crate) fn initiator(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|session| session.initiator)
    }

    /// The indices under which others reach this link.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let sessions = [&self.current, &self.next, &self.previous];
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
        self.confirm = None;
        self.third = None;
        self.rekey_after = now + HANDSHAKE_AGE_MAX / 8;
    }

    /// When this link next needs a look.
    pub(crate) fn deadline(&self) -> Time {
        if self.over.is_some() {
            return Time::ZERO;
        }
        let dial = self.dial.as_ref().map(|dial| dial.retry.next);
        let confirm = self.confirm.map(|retry| retry.next);
        let mut at = [dial, confirm].into_iter().flatten().min();
        if self.up.is_some() {
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
            .is_some_and(|armed| at >= armed && at <= armed + TIMER_SLACK);
        if keep {
            return None;
        }
        self.armed = Some(at);
        Some(at)
    }
}
