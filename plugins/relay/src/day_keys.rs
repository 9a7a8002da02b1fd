//! The keys of a mailbox's days, and what they have signed.

use crate::limits::{DAYS_BACK, ERRAND_LINKS_MAX};
use crate::mailbox::{Claim, DayKey, Mailbox};
use crate::packet::Tag;
use crate::seldom::{Empty, Seldom};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use std::collections::BTreeMap;

/// The keys of the days that may hold mail, made once a day, and what they have signed: a key takes two scalar multiplications, and a
/// claim a third, once for each day and session.
#[derive(Component, Default)]
pub struct DayKeys(Seldom<Table>);

#[derive(Default)]
struct Table {
    keys: BTreeMap<u16, DayKey>,
    /// At most one for each link that there may be, the one that was signed for last at the end.
    signed: Vec<Signed>,
}

impl Empty for Table {
    const EMPTY: &'static Table = &Table {
        keys: BTreeMap::new(),
        signed: Vec::new(),
    };
}

/// What was signed for the present session of a link.
struct Signed {
    link: Entity,
    handshake_hash: [u8; 32],
    /// By day.
    signatures: Vec<(u16, [u8; 64])>,
}

impl DayKeys {
    /// Days −16 to +1.
    // PROTOCOL 4.1
    pub(crate) fn refresh(&mut self, mailbox: &Mailbox, today: u16) {
        let days = today.saturating_sub(DAYS_BACK)..=today.saturating_add(1);
        let this = &mut *self.0;
        this.keys.retain(|day, _| days.contains(day));
        for signed in &mut this.signed {
            signed.signatures.retain(|(day, _)| days.contains(day));
        }
        for day in days {
            this.keys.entry(day).or_insert_with(|| mailbox.day_key(day));
        }
    }

    /// The claim of a day's tag on a link, whose present session has this handshake hash.
    // PROTOCOL 4.2
    pub(crate) fn claim(
        &mut self,
        day: u16,
        link: Entity,
        handshake_hash: &[u8; 32],
    ) -> Option<Claim> {
        let this = &mut *self.0;
        let key = this.keys.get(&day)?;
        let is = |signed: &Signed| signed.link == link && signed.handshake_hash == *handshake_hash;
        let place = match this.signed.iter().position(is) {
            Some(place) => place,
            None => {
                this.signed.retain(|signed| signed.link != link);
                if this.signed.len() >= ERRAND_LINKS_MAX {
                    this.signed.remove(0); // All can be signed again.
                }
                this.signed.push(Signed {
                    link,
                    handshake_hash: *handshake_hash,
                    signatures: Vec::new(),
                });
                this.signed.len() - 1
            }
        };
        let signatures = &mut this.signed[place].signatures;
        let known = signatures.iter().find(|(theirs, _)| *theirs == day);
        let signature = match known {
            Some((_, signature)) => *signature,
            None => {
                let signature = key.sign(handshake_hash);
                signatures.push((day, signature));
                signature
            }
        };
        Some(key.claim_with(signature))
    }

    /// The link is not there any more, and what was signed for it is of no use: carriers come and go all day.
    pub(crate) fn forget_link(&mut self, link: Entity) {
        if !self.0.is_untouched() {
            self.0.signed.retain(|signed| signed.link != link);
        }
    }

    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.0.keys.values().any(|key| key.tag() == tag)
    }

    pub(crate) fn tags(&self) -> Vec<(u16, Tag)> {
        self.0
            .keys
            .iter()
            .map(|(day, key)| (*day, key.tag()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_kept_for_sixteen_links_and_the_present_session_of_each() {
        let mut keys = DayKeys::default();
        keys.refresh(&Mailbox::from_seed(&[1; 32]), 20_000);
        let link = |n: u32| Entity::from_raw_u32(n).unwrap();
        for n in 0..100 {
            for day in 19_984..=20_001 {
                for hash in [[1; 32], [2; 32]] {
                    let claim = keys.claim(day, link(n), &hash).unwrap();
                    assert_eq!(claim, keys.claim(day, link(n), &hash).unwrap());
                    assert!(claim.prove(&hash).is_ok() && claim.prove(&[3; 32]).is_err());
                }
            }
            assert!(keys.claim(19_983, link(n), &[1; 32]).is_none());
        }
        let kept: usize = keys
            .0
            .signed
            .iter()
            .map(|signed| signed.signatures.len())
            .sum();
        assert!(keys.0.signed.len() == ERRAND_LINKS_MAX && kept <= 18 * ERRAND_LINKS_MAX);
        keys.forget_link(link(99));
        assert_eq!(keys.0.signed.len(), ERRAND_LINKS_MAX - 1);
        keys.refresh(&Mailbox::from_seed(&[1; 32]), 20_030);
        assert!(
            keys.0
                .signed
                .iter()
                .all(|signed| signed.signatures.is_empty())
        );
    }
}
