//! Every reason for which the network does not deliver a datagram, each with a counter.

macro_rules! losses {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// Why the network did not deliver a datagram.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Loss {
            $($(#[doc = $doc])* $name,)*
        }

        impl Loss {
            /// All of them, in the order of their counters.
            pub const ALL: &[Loss] = &[$(Loss::$name),*];

            /// As it stands in a report.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Loss::$name => $text,)*
                }
            }
        }
    };
}

losses! {
    /// On its way, by [`crate::Path::loss_percent`].
    Random = "random",
    /// It would have waited longer than [`crate::Path::queue_ms`] for its sender's uplink.
    Queue = "uplink queue full",
    /// To an address that nobody has.
    NoRoute = "no route",
    /// To or from a node that is not online.
    Offline = "offline",
    /// To the other side of a partition.
    Partition = "partition",
    /// Out of a NAT that has no room for one more mapping.
    MappingsFull = "NAT table full",
    /// To a port of a NAT that no living mapping has.
    Unmapped = "NAT without mapping",
    /// To a living mapping of a NAT, from somebody whom its filter keeps out.
    Filtered = "NAT filter",
    /// From inside a NAT to its own public address, and it does not turn those around.
    NoHairpin = "NAT without hairpin",
}

/// How often each [`Loss`] came to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    /// Adds one.
    pub(crate) fn count(&mut self, loss: Loss) {
        self.0[loss as usize] += 1;
    }

    /// How often it came to pass.
    #[must_use]
    pub fn of(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// Every reason's text with how often it came to pass, 0 included, in the order of [`Loss::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Loss::ALL.iter().map(|loss| (loss.text(), self.of(*loss)))
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_counter_and_a_text_of_its_own() {
        let mut losses = Losses::default();
        for (n, loss) in Loss::ALL.iter().enumerate() {
            (0..=n).for_each(|_| losses.count(*loss));
        }
        let texts = Loss::ALL.iter().map(|loss| loss.text());
        assert!(losses.iter().eq(texts.zip(1..)));
        assert_eq!(losses.total(), (1..=Loss::ALL.len() as u64).sum::<u64>());
        let mut texts: Vec<_> = losses.iter().map(|(text, _)| text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Loss::ALL.len());
    }
}
