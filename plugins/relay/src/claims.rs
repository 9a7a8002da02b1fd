//! What a link has claimed, so that a claim is verified once however often it is shown. PROTOCOL 4.2

use crate::drops::DropReason;
use crate::limits::{LINK_BAD_CLAIMS_MAX, LINK_TAGS_MAX};
use crate::mailbox::Claim;
use crate::packet::Tag;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use std::collections::{BTreeSet, VecDeque};

/// On a link's entity, once it claimed something: the claims that it proved, and its subscriptions, each at most 32.
#[derive(Component, Default)]
pub struct Claims {
    /// By the claim's digest, since claims are long. Who made two of one digest would still get the tag of the one that was proved.
    proved: VecDeque<([u8; 16], Tag)>,
    bad: u8,
    /// The link's handshake hash, and the one before: a new session begins at either end a round trip apart.
    hashes: [Option<[u8; 32]>; 2],
    subscribed: BTreeSet<Tag>,
}

impl Claims {
    /// The tag that is claimed. A mailbox's costs one verification the first time, and after 16 false ones nothing is
    /// verified until the next handshake: a stranger must not make us work.
    pub(crate) fn check(
        &mut self,
        claim: &Claim,
        handshake_hash: &[u8; 32],
    ) -> Result<Tag, DropReason> {
        if let Claim::Once(token) = claim {
            return Ok(token.tag());
        }
        if self.hashes[0] != Some(*handshake_hash) {
            self.hashes = [Some(*handshake_hash), self.hashes[0]];
            self.bad = 0;
        }
        let digest = claim.digest();
        // Proved on this link once; its signature is over one of its handshakes and so is nobody else's.
        if let Some((_, tag)) = self.proved.iter().find(|(theirs, _)| *theirs == digest) {
            return Ok(*tag);
        }
        if self.bad >= LINK_BAD_CLAIMS_MAX {
            return Err(DropReason::TooManyClaims);
        }
        let mut hashes = self.hashes.iter().flatten();
        let Some(tag) = hashes.find_map(|hash| claim.prove(hash).ok()) else {
            self.bad += 1;
            return Err(DropReason::NotProved);
        };
        if self.proved.len() == LINK_TAGS_MAX {
            self.proved.pop_front();
        }
        self.proved.push_back((digest, tag));
        Ok(tag)
    }

    /// Notes a subscription, if the link has one left.
    pub(crate) fn subscribe(&mut self, tag: Tag) -> Result<(), DropReason> {
        if self.subscribed.len() >= LINK_TAGS_MAX && !self.subscribed.contains(&tag) {
            return Err(DropReason::TooManyTags);
        }
        self.subscribed.insert(tag);
        Ok(())
    }

    /// The tags that it subscribed to.
    pub(crate) fn subscribed(&self) -> impl Iterator<Item = &Tag> {
        self.subscribed.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;
    use crate::packet::Token;

    const HASH: [u8; 32] = [3; 32];

    // PROTOCOL 4.2
    #[test]
    fn a_claim_is_verified_once_and_holds_across_one_new_handshake() {
        let mailbox = Mailbox::from_seed(&[1; 32]);
        let (key, other) = (mailbox.day_key(5), mailbox.day_key(6));
        let mut claims = Claims::default();
        for _ in 0..3 {
            assert_eq!(claims.check(&key.claim(&HASH), &HASH), Ok(key.tag()));
        }
        assert_eq!(claims.proved.len(), 1);
        // A new session has begun here, and what they sent before still comes in.
        let (next, last) = ([4; 32], [5; 32]);
        assert_eq!(claims.check(&other.claim(&HASH), &next), Ok(other.tag()));
        assert_eq!(claims.check(&key.claim(&next), &next), Ok(key.tag()));
        // Two sessions later it is stale.
        let stale = mailbox.day_key(7).claim(&HASH);
        assert_eq!(claims.check(&stale, &last), Err(DropReason::NotProved));
    }

    #[test]
    fn after_sixteen_false_claims_a_link_is_not_listened_to() {
        let mut claims = Claims::default();
        let key = Mailbox::from_seed(&[1; 32]).day_key(5);
        let forged = key.claim(&[9; 32]);
        for _ in 0..LINK_BAD_CLAIMS_MAX {
            assert_eq!(claims.check(&forged, &HASH), Err(DropReason::NotProved));
        }
        let good = key.claim(&HASH);
        assert_eq!(claims.check(&good, &HASH), Err(DropReason::TooManyClaims));
        // Handshakes are rationed, so this is no way around the limit.
        let next = key.claim(&[4; 32]);
        assert_eq!(claims.check(&next, &[4; 32]), Ok(key.tag()));
        assert!(claims.check(&Claim::Once(Token([1; 16])), &HASH).is_ok());
    }

    // PROTOCOL 5
    #[test]
    fn a_link_remembers_and_subscribes_to_32_tags() {
        let mut claims = Claims::default();
        for day in 0..LINK_TAGS_MAX as u16 + 8 {
            let key = Mailbox::from_seed(&[1; 32]).day_key(day);
            claims.check(&key.claim(&HASH), &HASH).unwrap();
        }
        assert_eq!(claims.proved.len(), LINK_TAGS_MAX);
        for n in 0..LINK_TAGS_MAX as u8 {
            assert_eq!(claims.subscribe(Tag([n; 16])), Ok(()));
        }
        assert_eq!(claims.subscribe(Tag([0; 16])), Ok(()));
        assert_eq!(
            claims.subscribe(Tag([99; 16])),
            Err(DropReason::TooManyTags)
        );
    }
}
