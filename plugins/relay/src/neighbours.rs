//! The carriers near a carrier in the key space that it heard lately, and which packets belong to whom among them. PROTOCOL 3.12

use crate::limits::{NEIGHBOUR_SILENT_MAX, NEIGHBOURS, NEIGHBOURS_MAX, PLACES};
use crate::packet::{PacketId, Tag};
use crate::placement::{Candidate, distance, nearest};
use dunlin_engine::Time;
use dunlin_net::PeerId;
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) struct Neighbour {
    pub(crate) candidate: Candidate,
    heard: Time,
    /// When it last listed what it keeps, to the end or not;
    pub(crate) listed: Option<Time>,
    /// and how far.
    pub(crate) cursor: PacketId,
}

/// The nearest, nearest first.
#[derive(Default)]
pub(crate) struct Neighbours(Vec<Neighbour>);

/// The carrier itself, as placement sees it. Its own address it may not know, so it is in no prefix of anybody's.
pub(crate) fn oneself(id: PeerId) -> Candidate {
    Candidate {
        id,
        position: id.position(),
        address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        eligible: true,
    }
}

impl Neighbours {
    pub(crate) const EMPTY: Neighbours = Neighbours(Vec::new());

    /// A carrier said something. `false` if it is too far to be a neighbour. Who answers is there, and counts as eligible: how long it has been
    /// up it knows best itself, and pulls nothing before its time.
    pub(crate) fn hear(&mut self, mut candidate: Candidate, me: &Candidate, now: Time) -> bool {
        candidate.eligible = true;
        let far = |other: &Candidate| (distance(&me.position, &other.position), other.id);
        let at = self
            .0
            .binary_search_by_key(&far(&candidate), |neighbour| far(&neighbour.candidate));
        match at {
            Ok(at) => {
                self.0[at].candidate = candidate;
                self.0[at].heard = now;
            }
            Err(at) if at < NEIGHBOURS_MAX => {
                self.0.truncate(NEIGHBOURS_MAX - 1);
                let neighbour = Neighbour {
                    candidate,
                    heard: now,
                    listed: None,
                    cursor: PacketId([0; 16]),
                };
                self.0.insert(at, neighbour);
            }
            Err(_) => return false,
        }
        true
    }

    /// It is not there, or not worth asking.
    pub(crate) fn lose(&mut self, id: &PeerId) {
        self.0.retain(|neighbour| neighbour.candidate.id != *id);
    }

    pub(crate) fn forget_silent(&mut self, now: Time) {
        self.0
            .retain(|neighbour| now - neighbour.heard < NEIGHBOUR_SILENT_MAX);
    }

    pub(crate) fn get(&self, id: &PeerId) -> Option<&Neighbour> {
        self.0
            .iter()
            .find(|neighbour| neighbour.candidate.id == *id)
    }

    pub(crate) fn get_mut(&mut self, id: &PeerId) -> Option<&mut Neighbour> {
        self.0
            .iter_mut()
            .find(|neighbour| neighbour.candidate.id == *id)
    }

    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.0.iter().map(|neighbour| &neighbour.candidate)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a packet of this tag belongs on a neighbour, or on the carrier itself.
    // PROTOCOL 3.12
    pub(crate) fn belongs(&self, tag: Tag, who: &PeerId, me: &Candidate) -> bool {
        let all = self.0.iter().map(|neighbour| &neighbour.candidate);
        let places = nearest(tag, all.chain([me]), PLACES);
        places.iter().any(|place| place.id == *who)
    }

    /// Whether a packet of this tag belongs on the carrier itself. Of those that share more leading bits with its position than the farthest
    /// neighbour does it knows all, and so all that are nearer to a tag that shares as many. Of others it would guess.
    // PROTOCOL 3.12
    pub(crate) fn belongs_here(&self, tag: Tag, me: &Candidate) -> bool {
        let shared = |other: &[u8; 16]| distance(&me.position, other).leading_zeros();
        let farthest = self.0.last();
        let knows_all = self.0.len() < NEIGHBOURS;
        let near =
            farthest.is_none_or(|farthest| shared(&tag.0) > shared(&farthest.candidate.position));
        (knows_all || near) && self.belongs(tag, &me.id, me)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dunlin_net::Identity;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    pub(crate) fn carrier(n: u64) -> Candidate {
        let id = Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id();
        Candidate {
            id,
            position: id.position(),
            address: format!("198.{}.{}.1:9000", n / 256 % 256, n % 256)
                .parse()
                .unwrap(),
            eligible: true,
        }
    }

    // PROTOCOL 3.12
    #[test]
    fn the_nearest_are_remembered_and_who_is_farther_is_no_neighbour() {
        let me = oneself(carrier(1_000).id);
        let mut neighbours = Neighbours::default();
        for n in 0..NEIGHBOURS_MAX as u64 {
            assert!(neighbours.hear(carrier(n), &me, Time(n)));
        }
        let farthest = |neighbours: &Neighbours| {
            let last = &neighbours.0.last().unwrap().candidate;
            distance(&me.position, &last.position)
        };
        for n in 100..200 {
            let before = farthest(&neighbours);
            let nearer = distance(&me.position, &carrier(n).position) < before;
            assert_eq!(neighbours.hear(carrier(n), &me, Time(n)), nearer);
            assert_eq!(neighbours.len(), NEIGHBOURS_MAX);
            assert!(farthest(&neighbours) <= before);
        }
        let near = |neighbour: &Neighbour| distance(&me.position, &neighbour.candidate.position);
        assert!(neighbours.0.iter().map(near).is_sorted());
        neighbours.forget_silent(Time(50) + NEIGHBOUR_SILENT_MAX);
        assert!(
            neighbours
                .0
                .iter()
                .all(|neighbour| neighbour.heard > Time(50))
        );
    }

    /// A carrier that hears of its nearest, of these that there are: how many of 1,000 tags are its own, and how many it takes for its own. Whether it
    /// takes any that is not is seen to.
    fn own_and_found(seed: u64, count: u64) -> (u32, u32) {
        let all: Vec<Candidate> = (0..count).map(|n| carrier(seed + n)).collect();
        let me = &all[0];
        let mut rest: Vec<&Candidate> = all[1..].iter().collect();
        rest.sort_by_key(|other| distance(&me.position, &other.position));
        let mut neighbours = Neighbours::default();
        for other in &rest[..NEIGHBOURS.min(rest.len())] {
            neighbours.hear((*other).clone(), me, Time(0));
        }
        let (mut mine, mut found) = (0, 0);
        for n in 0_u32..1_000 {
            let mut tag = [0; 16];
            tag.copy_from_slice(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
            let places = nearest(Tag(tag), &all, PLACES);
            let truly = places.iter().any(|place| place.id == me.id);
            let here = neighbours.belongs_here(Tag(tag), me);
            assert!(truly || !here, "seed {seed}, {count} carriers, tag {n}");
            mine += u32::from(truly);
            found += u32::from(here);
        }
        (mine, found)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Against all there are: a carrier that knows its nearest takes nothing for its own that belongs to eight others.
        // PROTOCOL 3.12
        #[test]
        fn the_nearest_tell_of_nothing_that_it_belongs_here_and_does_not(seed in 0_u64..1 << 40, count in 1_u64..200) {
            own_and_found(seed, count);
        }
    }

    /// In a lopsided network it may be half.
    // PROTOCOL 3.12
    #[test]
    fn over_many_networks_little_that_belongs_here_is_missed() {
        let (mut mine, mut found) = (0, 0);
        for seed in 0..40 {
            let (own, taken) = own_and_found(1_000 * seed, 5 + 4 * seed);
            (mine, found) = (mine + own, found + taken);
        }
        println!("{found} of {mine}, seeds 0 to 39");
        assert!(found * 100 >= mine * 90);
    }
}
