//! What carriers answer, in the protocol's numbers. PROTOCOL 2.3

use crate::packet::DeleteSecret;
use dunlin_net::Bandwidth;

/// Why a carrier refuses. The numbers are the protocol's. PROTOCOL 2.3
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A frame or suite of a later version.
    Unsupported = 1,
    /// Not what the frame's type says.
    Malformed = 2,
    /// The cache is full of packets that are worth more, or the owner's bytes a second are used up.
    Full = 3,
    /// Too much work is missing.
    Work = 4,
    /// The depositor's prefix has its share.
    OverShare = 5,
    /// Expired, or from too far ahead.
    Untimely = 6,
    /// The claim is not proved on this link.
    NotProved = 7,
    /// This peer carries nothing for others.
    DoesNotCarry = 8,
}

impl Reason {
    /// What is answered to who asks for more than the owner lets it carry: nobody is to come back to a node that carries nothing.
    // PROTOCOL 2.3
    pub(crate) fn of_spent(bandwidth: &Bandwidth) -> Self {
        match bandwidth.limit() {
            Some(0) => Reason::DoesNotCarry,
            _ => Reason::Full,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        use Reason::*;
        [
            Unsupported,
            Malformed,
            Full,
            Work,
            OverShare,
            Untimely,
            NotProved,
            DoesNotCarry,
        ]
        .into_iter()
        .find(|reason| *reason as u8 == number)
    }
}

/// What became of a deposit. The numbers are the protocol's. PROTOCOL 2.3
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Kept from now on.
    Stored = 1,
    /// It was there already.
    WasThere = 2,
    /// Its recipient has had it.
    WasEnded = 3,
}

/// What a carrier knows of a packet. PROTOCOL 2.3
#[derive(Debug, Clone)]
pub enum Known {
    /// Nothing.
    Unknown,
    /// It keeps it.
    Kept,
    /// It was ended by whoever showed this secret.
    Ended(DeleteSecret),
}
