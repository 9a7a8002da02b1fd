//! Why something was dropped, and how often.

use dunlin_engine::bevy_ecs::{self, prelude::*};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Why links dropped something that came in. Each has a counter a node, in [`Drops`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $name),*
        }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &[DropReason] = &[$(DropReason::$name),*];

            /// As it stands in a status: words, in small letters.
            #[must_use]
            pub fn text(self) -> String {
                let mut text = String::new();
                for letter in format!("{self:?}").chars() {
                    if letter.is_uppercase() && !text.is_empty() {
                        text.push(' ');
                    }
                    text.extend(letter.to_lowercase());
                }
                text
            }
        }
    };
}

reasons! {
    /// Shorter or longer than its type allows.
    Length,
    /// A type or version that is not of this protocol.
    Unknown,
    /// A reserved field that is not zero.
    Reserved,
    /// A handshake without a right cookie: answered with one.
    CookieWanted,
    /// A cookie, or an answer to a handshake, that nobody here waits for.
    Unasked,
    /// A prefix, or all together, asked for too many handshakes.
    HandshakeRate,
    /// A handshake message that does not verify, or whose hello is malformed.
    HandshakeForged,
    /// A handshake by a key that is no valid id, or by our own.
    HandshakeId,
    /// The other of two handshakes begun at once stands.
    Simultaneous,
    /// An unproved session made room for a newer one.
    HalfOpenFull,
    /// Data for a session that is not here: over, or never was.
    NoSession,
    /// Data that does not verify.
    Forged,
    /// A counter that was there before, or is too old.
    Replayed,
    /// Data of a session past its age.
    Expired,
    /// A frame longer than what is left of its message.
    FrameOverrun,
    /// A frame shorter than its type needs, or with a field out of range.
    FrameMalformed,
    /// A frame of a type that nobody here handles.
    FrameUnknown,
    /// A peer asked for more than its share.
    Share,
    /// Data for a circuit that is not here, or not open yet.
    NoCircuit,
    /// A circuit that was asked for and is not opened: too many, or to nobody we reach.
    CircuitRefused,
    /// Peers told us of that the book has no room for, or that are no valid rows.
    PeersRefused,
    /// Too many links already.
    LinksFull,
    /// A frame of our own for a link that is gone, or too long for any.
    NotSent,
}

/// How often each [`DropReason`] came to pass on this node; one that has come to 4,294,967,295 stays there.
#[derive(Component, Clone, Debug)]
pub struct Drops([u32; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Drops {
        Drops([0; DropReason::ALL.len()])
    }
}

impl Drops {
    pub(crate) fn count(&mut self, reason: DropReason) {
        let counter = &mut self.0[reason as usize];
        *counter = counter.saturating_add(1);
    }

    /// How often `reason` came to pass since the node began.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize].into()
    }

    /// Each reason that came to pass, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        let counted = DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.of(*reason)));
        counted.filter(|(_, times)| *times > 0)
    }
}
