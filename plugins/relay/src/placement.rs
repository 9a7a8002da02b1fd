//! Where a packet belongs: on the carriers nearest to its tag. PROTOCOL 3.6

use crate::packet::Tag;
use dunlin_net::{PeerId, Prefix};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// A carrier that we know, as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub id: PeerId,
    /// Its place in the key space. PROTOCOL 1.3
    pub position: [u8; 16],
    /// Where.
    pub address: SocketAddr,
    /// Unmetered, and seen up for 20 minutes: by us, or by whoever told us of it.
    pub eligible: bool,
}

// PROTOCOL 1.3
pub(crate) fn distance(a: &[u8; 16], b: &[u8; 16]) -> u128 {
    u128::from_be_bytes(*a) ^ u128::from_be_bytes(*b)
}

/// The `count` carriers nearest to a tag, no two in one prefix; where these are too few the nearest of the others.
// PROTOCOL 3.6
#[must_use]
pub fn nearest<'a>(
    tag: Tag,
    candidates: impl IntoIterator<Item = &'a Candidate>,
    count: usize,
) -> Vec<&'a Candidate> {
    let (mut nearest, others) = by_distance(tag, candidates);
    nearest.extend(others);
    nearest.truncate(count);
    nearest
}

/// The `count` carriers to which a packet of this tag is given: of the [`nearest`], twice as many, first those that are eligible. Whoever
/// looks for it asks all of these: what one node saw up another did not see, so that they agree in who is near, and not in who is eligible.
// PROTOCOL 3.6
#[must_use]
pub fn place<'a>(
    tag: Tag,
    candidates: impl IntoIterator<Item = &'a Candidate>,
    count: usize,
) -> Vec<&'a Candidate> {
    let (mut placed, others) = by_distance(tag, candidates);
    placed.truncate(2 * count);
    placed.sort_by_key(|candidate| !candidate.eligible);
    placed.extend(others);
    placed.truncate(count);
    placed
}

/// The nearest of each prefix, and all others.
fn by_distance<'a>(
    tag: Tag,
    candidates: impl IntoIterator<Item = &'a Candidate>,
) -> (Vec<&'a Candidate>, Vec<&'a Candidate>) {
    let mut all: Vec<&Candidate> = candidates.into_iter().collect();
    all.sort_by_key(|candidate| (distance(&tag.0, &candidate.position), candidate.id));
    let mut prefixes = BTreeSet::new();
    all.into_iter()
        .partition(|candidate| prefixes.insert(Prefix::of(candidate.address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_net::Identity;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn candidates(count: u64, address: impl Fn(u64) -> String) -> Vec<Candidate> {
        let candidate = |n| {
            let id = Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id();
            Candidate {
                id,
                position: id.position(),
                address: address(n).parse().unwrap(),
                eligible: true,
            }
        };
        (0..count).map(candidate).collect()
    }

    fn distances(tag: Tag, placed: &[&Candidate]) -> Vec<u128> {
        let distance = |candidate: &&Candidate| distance(&tag.0, &candidate.position);
        placed.iter().map(distance).collect()
    }

    // PROTOCOL 3.6
    #[test]
    fn a_packet_belongs_on_the_eight_nearest_wherever_it_comes_from() {
        let all = candidates(30, |n| format!("127.{n}.0.1:9000"));
        let tag = Tag([0x5a; 16]);
        let placed = place(tag, &all, 8);
        let mut every = distances(tag, &all.iter().collect::<Vec<_>>());
        every.sort_unstable();
        assert_eq!(distances(tag, &placed), every[..8]);
        let mut reversed = all.clone();
        reversed.reverse();
        assert_eq!(place(tag, &reversed, 8), placed);
    }

    // PROTOCOL 3.6
    #[test]
    fn one_network_holds_one_copy_unless_there_is_no_other() {
        let crowd = candidates(20, |n| format!("203.0.113.{}:9000", n + 1));
        let mut all = candidates(24, |n| format!("198.51.{n}.1:9000"));
        all.drain(..20);
        all.extend(crowd);
        let placed = place(Tag([1; 16]), &all, 8);
        let alone = |c: &&&Candidate| c.address.to_string().starts_with("198");
        // Four networks of one carrier each, and one copy in the crowd; only then more of the crowd.
        assert_eq!(placed.iter().filter(alone).count(), 4);
        assert_eq!(placed[..5].iter().filter(alone).count(), 4);
        assert_eq!(placed.len(), 8);
    }

    /// Each saw others up, and they find what the other placed.
    // PROTOCOL 3.6
    #[test]
    fn whoever_asks_the_sixteen_nearest_asks_all_to_whom_a_packet_is_given() {
        for seed in 0..50_u64 {
            let mut all = candidates(160, |n| format!("20.{n}.0.1:9000"));
            let tag = Tag([seed as u8; 16]);
            let asked = distances(tag, &nearest(tag, &all, 16));
            for (n, candidate) in all.iter_mut().enumerate() {
                candidate.eligible = (n as u64 + seed).is_multiple_of(7);
            }
            let placed = place(tag, &all, 8);
            let given = distances(tag, &placed);
            assert!(given.iter().all(|carrier| asked.contains(carrier)));
            let seen_up = |c: &&&Candidate| c.eligible;
            let near = nearest(tag, &all, 16);
            let most = near.iter().filter(seen_up).count().min(8);
            assert_eq!(placed.iter().filter(seen_up).count(), most, "seed {seed}");
        }
    }

    // PROTOCOL 3.6
    #[test]
    fn a_young_network_takes_those_it_has() {
        let mut all = candidates(12, |n| format!("127.{n}.0.1:9000"));
        for candidate in &mut all[3..] {
            candidate.eligible = false;
        }
        let placed = place(Tag([7; 16]), &all, 8);
        assert_eq!(placed.len(), 8);
        assert!(placed[..3].iter().all(|candidate| candidate.eligible));
        let rest = distances(Tag([7; 16]), &placed[3..]);
        assert!(rest.is_sorted());
    }

    proptest! {
        #[test]
        fn no_carrier_is_named_twice_and_none_is_left_out_while_there_is_room(
            count in 0_u64..14,
            mask: u16,
            networks in 1_u64..20,
            tag: [u8; 16],
        ) {
            let mut all = candidates(count, |n| format!("203.0.{}.{n}:9000", n % networks));
            for (n, candidate) in all.iter_mut().enumerate() {
                candidate.eligible = mask >> n & 1 == 1;
            }
            let placed = place(Tag(tag), &all, 8);
            let ids: BTreeSet<_> = placed.iter().map(|candidate| candidate.id).collect();
            prop_assert_eq!(ids.len(), placed.len());
            prop_assert_eq!(placed.len(), all.len().min(8));
        }
    }
}
