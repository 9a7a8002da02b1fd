//! Sessions whose initiator has not proved itself yet: all that a stranger with an address can make a node keep.
//! PROTOCOL 2.2.

use crate::Prefix;
use crate::handshake::Pending;
use crate::limits::{
    HALF_OPEN_AGE_MAX, HALF_OPEN_CIRCUITS_MAX, HALF_OPEN_MAX, HALF_OPEN_PREFIX_MAX,
};
use bytes::Bytes;
use dunlin_engine::Time;
use std::net::SocketAddr;

/// One handshake that was answered.
pub(crate) struct HalfOpen {
    pub from: SocketAddr,
    /// The initiation's index and counter: the same again is answered with the same bytes, and no work.
    pub asked: (u32, u64),
    pub reply: Bytes,
    pub pending: Pending,
    pub since: Time,
}

/// The table of them, by the index we chose. At most 256, and 8 a prefix: an attacker with one address pushes out only its
/// own, one with many still leaves a round trip's time to each.
#[derive(Default)]
pub(crate) struct HalfOpens {
    /// With the index, in order of arrival.
    rows: Vec<(u32, Box<HalfOpen>)>,
}

impl HalfOpens {
    /// Adds one; gives the indices of those that went for it.
    // PROTOCOL 2.2
    #[must_use]
    pub(crate) fn insert(&mut self, index: u32, row: HalfOpen) -> Vec<u32> {
        let now = row.since;
        let prefix = Prefix::of(row.from);
        let stale = |(_, old): &mut (u32, Box<HalfOpen>)| now - old.since >= HALF_OPEN_AGE_MAX;
        let mut gone: Vec<u32> = self.rows.extract_if(.., stale).map(|row| row.0).collect();
        let is_near = |(_, old): &&(u32, Box<HalfOpen>)| Prefix::of(old.from) == prefix;
        let near = self.rows.iter().filter(is_near).count();
        let most = match prefix.is_circuits() {
            true => HALF_OPEN_CIRCUITS_MAX,
            false => HALF_OPEN_PREFIX_MAX,
        };
        let oldest = match near >= most {
            true => self.rows.iter().find(is_near),
            false => self
                .rows
                .first()
                .filter(|_| self.rows.len() >= HALF_OPEN_MAX),
        };
        if let Some(oldest) = oldest.map(|row| row.0) {
            self.remove(oldest);
            gone.push(oldest);
        }
        self.rows.push((index, Box::new(row)));
        gone
    }

    /// The answer that this initiation was given, if it is still open.
    pub(crate) fn answered(&self, from: SocketAddr, asked: (u32, u64)) -> Option<Bytes> {
        let same = |(_, row): &&(u32, Box<HalfOpen>)| row.asked == asked && row.from == from;
        self.rows
            .iter()
            .find(same)
            .map(|(_, row)| row.reply.clone())
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut HalfOpen> {
        let row = self.rows.iter_mut().find(|row| row.0 == index)?;
        Some(&mut row.1)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<HalfOpen> {
        let place = self.rows.iter().position(|row| row.0 == index)?;
        let (_, row) = self.rows.remove(place);
        if self.rows.is_empty() {
            self.rows = Vec::new(); // Most nodes have none most of the time.
        }
        Some(*row)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::pair;
    use crate::{Identity, PeerId};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn id() -> PeerId {
        Identity::generate(&mut ChaCha20Rng::seed_from_u64(1)).id()
    }

    fn row(ip: u32, asked: u64, since: Time, id: PeerId) -> HalfOpen {
        HalfOpen {
            from: SocketAddr::new(Ipv4Addr::from(ip).into(), 9),
            asked: (1, asked),
            reply: Bytes::from_static(b"reply"),
            pending: Pending::Data {
                session: Box::new(pair().1),
                id,
                anonymous: false,
            },
            since,
        }
    }

    // PROTOCOL 2.2
    #[test]
    fn one_prefix_holds_eight_and_pushes_out_its_own_oldest() {
        let (mut table, id) = (HalfOpens::default(), id());
        let honest = table.insert(1_000, row(0x0909_0901, 0, Time::ZERO, id));
        assert!(honest.is_empty());
        for n in 0..100 {
            let gone = table.insert(n, row(0x0808_0800 + n, n.into(), Time(n.into()), id));
            assert_eq!(gone, n.checked_sub(8).map_or(vec![], |oldest| vec![oldest]));
        }
        assert_eq!(table.len(), 9);
        assert!(table.get_mut(1_000).is_some());
    }

    // PROTOCOL 2.2
    #[test]
    fn many_prefixes_hold_256_and_the_oldest_goes() {
        let (mut table, id) = (HalfOpens::default(), id());
        for n in 0..10_000_u32 {
            let gone = table.insert(n, row(0x0800_0000 + (n << 8), n.into(), Time::ZERO, id));
            assert_eq!(
                gone,
                n.checked_sub(256).map_or(vec![], |oldest| vec![oldest])
            );
        }
        assert_eq!(table.len(), 256);
    }

    #[test]
    fn what_was_never_proved_goes_with_time_and_a_repetition_gets_the_same_answer() {
        let (mut table, id) = (HalfOpens::default(), id());
        let first = row(0x0808_0808, 7, Time::ZERO, id);
        let from = first.from;
        assert!(table.insert(1, first).is_empty());
        assert!(table.answered(from, (1, 7)).is_some());
        assert!(table.answered(from, (1, 8)).is_none());
        let elsewhere = SocketAddr::new(from.ip(), 10);
        assert!(table.answered(elsewhere, (1, 7)).is_none());
        let late = Time::ZERO + Duration::from_secs(24);
        assert_eq!(table.insert(2, row(0x0909_0909, 1, late, id)), [1]);
        assert_eq!(table.len(), 1);
    }
}
