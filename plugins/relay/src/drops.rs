//! Every reason for which something is dropped or refused, each with a counter.

use dunlin_engine::bevy_ecs::{self, prelude::Component};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// Why a frame or packet led to nothing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum DropReason {
            $($(#[doc = $doc])* $name,)*
        }

        impl DropReason {
            /// All of them, in the order of the counters.
            pub const ALL: &[DropReason] = &[$(DropReason::$name),*];

            /// As it stands in `relay.status`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(DropReason::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// A frame that is not what its type says.
    Malformed = "malformed",
    /// A frame, suite or hint of a later version.
    Unsupported = "unsupported",
    /// A deposit at a peer that carries nothing for others.
    DoesNotCarry = "does not carry",
    /// A deposit that another plugin refused.
    RefusedByPlugin = "refused by a plugin",
    /// A deposit that expired, or comes from too far ahead.
    Untimely = "untimely",
    /// A deposit worth less than all that a full cache holds.
    Full = "full",
    /// A deposit beyond its prefix's share.
    OverShare = "over share",
    /// A packet that was not taken in, given out or pushed, since the owner's bytes a second were used up.
    Bandwidth = "bandwidth",
    /// A kept packet that had to make room for another, or for which there was no room any more when the owner gave less.
    Evicted = "evicted",
    /// A kept packet whose time was over.
    Expired = "expired",
    /// A claim whose signature does not hold on its link.
    NotProved = "not proved",
    /// A deposit of a packet that its recipient has had.
    WasEnded = "was ended",
    /// A claim on a link that has shown too many false ones; it was not looked at.
    TooManyClaims = "too many claims",
    /// A subscription beyond the link's limit.
    TooManyTags = "too many tags",
    /// A receipt for a packet that is not here: honest, since all carriers hear of one delivery.
    ReceiptUnknown = "receipt unknown",
    /// A receipt whose secret is not the packet's.
    ReceiptForged = "receipt forged",
    /// A question for what is kept, of somebody who is no carrier near here, or hides.
    NotNeighbour = "not a neighbour",
    /// Such a question of a neighbour that asked too often.
    TooManyLists = "too many lists",
    /// A question for carriers of a link that asked too often.
    TooManyFinds = "too many look-ups",
    /// A copy from a neighbour that is not what was asked for, or does not belong here.
    PulledUnfit = "pulled and unfit",
    /// An answer that nobody waits for: late, repeated, or made up.
    AnswerUnasked = "answer unasked",
    /// A carrier's word that a packet was delivered, without the secret behind it.
    ProofForged = "proof forged",
    /// A packet on one of our own tags that does not open, or holds no message.
    NotForUs = "does not open",
    /// A message that the application has had.
    Repeated = "repeated",
    /// One of our own messages to a room, which comes back with everybody else's.
    OwnInRoom = "own message in a room",
    /// A message to a room that was left with its carriers, since too many of its author's wait to be confirmed.
    AuthorOverShare = "author over share",
    /// A message that was left with its carriers, since the application has not confirmed those before it.
    InboxFull = "inbox full",
}

/// A node's counters, one for each reason; one that has come to 4,294,967,295 stays there. Eight bytes until the first.
#[derive(Component, Clone, Default)]
pub struct Drops(Option<Box<Counters>>);

type Counters = [u32; DropReason::ALL.len()];

impl Drops {
    /// Adds one.
    pub fn count(&mut self, reason: DropReason) {
        let counter = &mut self.0.get_or_insert_default()[reason as usize];
        *counter = counter.saturating_add(1);
    }

    /// How often it happened.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        let counters = self.0.as_ref();
        counters.map_or(0, |counters| counters[reason as usize].into())
    }

    /// Those that happened at all.
    pub fn counted(&self) -> impl Iterator<Item = (DropReason, u64)> {
        let all = DropReason::ALL.iter();
        all.map(|reason| (*reason, self.get(*reason)))
            .filter(|(_, count)| *count != 0)
    }
}
