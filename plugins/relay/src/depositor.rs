//! To whom a kept packet is charged.

use crate::packet::Tag;
use dunlin_net::Prefix;

/// Copies that came from neighbours have so many shares, each at most one part in sixteen of the cache (`PREFIX_SHARE`): at most three quarters of it together.
const ARCS: u8 = 12;

/// Who is charged for a packet: shares of the cache are counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depositor {
    /// The prefix from which it was deposited.
    Prefix(Prefix),
    /// For a copy that a neighbour gave us because we asked: the part of the tags in which its own lies. Charged to that neighbour,
    /// what it saw to would displace what it deposits for people.
    // PROTOCOL 3.12
    Arc(u8),
}

impl Depositor {
    /// Of a copy that a neighbour gave us.
    #[must_use]
    pub fn of_pulled(tag: Tag) -> Depositor {
        // Of those that belong here the first bytes are much the same.
        let [.., last] = tag.0;
        Depositor::Arc(last % ARCS)
    }
}

impl From<Prefix> for Depositor {
    fn from(prefix: Prefix) -> Depositor {
        Depositor::Prefix(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, Insert};
    use crate::packet::Class;
    use crate::packet::tests::packet;
    use dunlin_engine::Time;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const CAPACITY: u64 = 64_000;

    proptest! {
        // PROTOCOL 3.12
        #[test]
        fn whatever_neighbours_give_leaves_a_quarter_of_the_cache_to_who_deposits(
            pulled in proptest::collection::vec(any::<[u8; 16]>(), 200..400),
        ) {
            let mut cache = Cache::new(CAPACITY);
            let expires = Time(1_000_000);
            for tag in pulled {
                let packet = packet(Class::Small, Tag(tag), 20_000, 1);
                let _ = cache.insert(&packet, Depositor::of_pulled(Tag(tag)), expires);
                prop_assert!(cache.bytes() <= CAPACITY / 16 * u64::from(ARCS));
            }
            // Four prefixes have room for a whole share each, and nothing that was there goes for it.
            for network in 0..4 {
                let prefix = Prefix::of((Ipv4Addr::new(203, 0, network, 1), 9_000).into());
                for n in 0..10 {
                    let packet = packet(Class::Small, Tag([network; 16]), 20_000, 1 + n);
                    let kept = cache.insert(&packet, prefix, expires);
                    prop_assert_eq!(kept, Insert::Stored(vec![]));
                }
            }
        }
    }
}
