//! Mailboxes: whoever has the card can address one, its owner alone can show that it is theirs, and nobody
//! else can tell that two days of it belong together. PROTOCOL 4.1, 4.2

use crate::packet::{Tag, Token, hash16};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::IsIdentity;
use dunlin_engine::bevy_ecs::{self, prelude::Component};
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// A mailbox's public half: 32 bytes, which a contact card carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MailboxPublic {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

impl fmt::Debug for MailboxPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxPublic")
    }
}

impl MailboxPublic {
    /// Takes the canonical encoding of a point of the prime-order subgroup other than the identity: with
    /// any other, tags would be shared between mailboxes. Nothing else is a mailbox.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        let point = CompressedEdwardsY(bytes).decompress()?;
        let good = point.compress().0 == bytes && point.is_torsion_free() && !point.is_identity();
        good.then_some(Self { bytes, point })
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.bytes
    }

    /// The tag of a day, in days since 1970-01-01.
    // PROTOCOL 4.1
    #[must_use]
    pub fn tag(&self, day: u16) -> Tag {
        tag_of(&blind(&self.point, self.factor(day)).compress().0)
    }

    // PROTOCOL 4.1
    fn factor(&self, day: u16) -> [u8; 32] {
        let mut data = [0; 34];
        data[..32].copy_from_slice(&self.bytes);
        data[32..].copy_from_slice(&day.to_le_bytes());
        blake3::derive_key("dunlin 1 mailbox day", &data)
    }
}

// PROTOCOL 4.1
fn tag_of(day_key: &[u8; 32]) -> Tag {
    Tag(hash16("dunlin 1 mailbox tag", day_key))
}

// Tor's rend-spec-v3, appendix A.2: public half.
fn blind(point: &EdwardsPoint, factor: [u8; 32]) -> EdwardsPoint {
    // The point has prime order, so the factor may be reduced.
    point * Scalar::from_bytes_mod_order(clamp_integer(factor))
}

// Tor's rend-spec-v3, appendix A.2: private half.
fn blind_secret(secret: &ExpandedSecretKey, factor: [u8; 32]) -> ExpandedSecretKey {
    let mut hash = Sha512::new();
    hash.update(b"Derive temporary signing key hash input");
    hash.update(secret.hash_prefix);
    let mut hash = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
    let mut hash_prefix = [0; 32];
    hash_prefix.copy_from_slice(&hash[..32]);
    hash.zeroize();
    ExpandedSecretKey {
        scalar: Scalar::from_bytes_mod_order(clamp_integer(factor)) * secret.scalar,
        hash_prefix,
    }
}

/// A mailbox with its private half, on the node whose it is. Cleared when dropped, never printed.
#[derive(Component)]
pub struct Mailbox {
    secret: ExpandedSecretKey,
    public: MailboxPublic,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl Mailbox {
    /// The mailbox of a 32-byte seed, as RFC 8032 makes a key pair of one.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let secret = ExpandedSecretKey::from_bytes(&hash);
        let point = EdwardsPoint::mul_base(&secret.scalar);
        let bytes = point.compress().0;
        Self {
            secret,
            public: MailboxPublic { bytes, point },
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &MailboxPublic {
        &self.public
    }

    /// The key of a day. Takes two scalar multiplications: keep it for the day.
    #[must_use]
    pub fn day_key(&self, day: u16) -> DayKey {
        let factor = self.public.factor(day);
        let point = blind(&self.public.point, factor);
        DayKey {
            day,
            secret: blind_secret(&self.secret, factor),
            tag: tag_of(&point.compress().0),
            public: VerifyingKey::from(point),
        }
    }
}

/// The key pair of one day of a mailbox.
pub struct DayKey {
    day: u16,
    secret: ExpandedSecretKey,
    public: VerifyingKey,
    tag: Tag,
}

impl DayKey {
    /// The day, in days since 1970-01-01.
    #[must_use]
    pub fn day(&self) -> u16 {
        self.day
    }

    /// The tag that packets to this mailbox carry on this day.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// Proves on one link, known by its handshake hash, that the mailbox is ours. Takes one signature.
    // PROTOCOL 4.2
    #[must_use]
    pub fn claim(&self, handshake_hash: &[u8; 32]) -> Claim {
        self.claim_with(self.sign(handshake_hash))
    }

    pub(crate) fn sign(&self, handshake_hash: &[u8; 32]) -> [u8; 64] {
        raw_sign::<Sha512>(&self.secret, &claimed(handshake_hash), &self.public).to_bytes()
    }

    /// The claim of which the signature is known.
    pub(crate) fn claim_with(&self, signature: [u8; 64]) -> Claim {
        Claim::Mailbox {
            day_key: self.public.to_bytes(),
            signature,
        }
    }
}

// PROTOCOL 4.2
fn claimed(handshake_hash: &[u8; 32]) -> [u8; 46] {
    let mut message = [0; 46];
    message[..14].copy_from_slice(b"dunlin 1 claim");
    message[14..].copy_from_slice(handshake_hash);
    message
}

/// What who fetches shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key of a mailbox's day, and its signature over the link's handshake hash.
    Mailbox {
        /// P_d.
        day_key: [u8; 32],
        /// Ed25519.
        signature: [u8; 64],
    },
    /// A tag that is used once: to know it is enough.
    Once(Token),
}

/// Said of a claim whose signature is not that of the key that it shows, on this link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim is not proved on this link")]
pub struct NotProved;

impl Claim {
    /// The tag that is claimed, if the proof holds on this link. For a mailbox it takes one verification.
    // PROTOCOL 4.2
    pub fn prove(&self, handshake_hash: &[u8; 32]) -> Result<Tag, NotProved> {
        match self {
            Claim::Once(token) => Ok(token.tag()),
            Claim::Mailbox { day_key, signature } => {
                let key = VerifyingKey::from_bytes(day_key).map_err(|_| NotProved)?;
                // Strict: a key of small order signs for everybody.
                key.verify_strict(&claimed(handshake_hash), &Signature::from_bytes(signature))
                    .map_err(|_| NotProved)?;
                Ok(tag_of(day_key))
            }
        }
    }

    /// By which it is known again.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut bytes = Vec::with_capacity(97);
        self.encode(&mut bytes);
        hash16("dunlin 1 shown claim", &bytes)
    }

    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Claim::Mailbox { day_key, signature } => {
                to.push(0);
                to.extend(day_key);
                to.extend(signature);
            }
            Claim::Once(token) => {
                to.push(1);
                to.extend(token.0);
            }
        }
    }

    /// Reads a claim, and leaves what follows it.
    pub(crate) fn decode<'a>(bytes: &mut &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let rest: &'a [u8] = rest;
        let (claim, rest) = match kind {
            0 => {
                let (day_key, rest) = rest.split_first_chunk::<32>()?;
                let (signature, rest) = rest.split_first_chunk::<64>()?;
                let (day_key, signature) = (*day_key, *signature);
                (Claim::Mailbox { day_key, signature }, rest)
            }
            1 => {
                let (token, rest) = rest.split_first_chunk::<16>()?;
                (Claim::Once(Token(*token)), rest)
            }
            _ => return None,
        };
        *bytes = rest;
        Some(claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn hex<const N: usize>(text: &serde_json::Value) -> [u8; N] {
        let bytes = HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap();
        bytes.try_into().unwrap()
    }

    // PROTOCOL 4.1
    #[test]
    fn keys_are_blinded_as_tor_does() {
        let vectors = include_str!("../../../tests/vectors/blinding/tor.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 10);
        for vector in vectors {
            let factor = hex(&vector["param"]);
            let public = CompressedEdwardsY(hex(&vector["public"])).decompress();
            let blinded = blind(&public.unwrap(), factor);
            assert_eq!(blinded.compress().0, hex(&vector["blinded_public"]));
            let secret = ExpandedSecretKey::from_bytes(&hex(&vector["expanded_secret"]));
            let blinded = blind_secret(&secret, factor);
            let expected: [u8; 64] = hex(&vector["blinded_secret"]);
            assert_eq!(blinded.hash_prefix, expected[32..]);
            assert_eq!(blinded.scalar.to_bytes(), expected[..32]);
        }
    }

    // PROTOCOL 4.1
    #[test]
    fn who_has_the_card_and_who_owns_the_mailbox_know_the_same_tag_of_a_day() {
        let mailbox = Mailbox::from_seed(&[7; 32]);
        let card = MailboxPublic::from_bytes(mailbox.public().to_bytes()).unwrap();
        for day in [0, 1, 20_000, u16::MAX] {
            assert_eq!(mailbox.day_key(day).tag(), card.tag(day));
        }
        assert_ne!(card.tag(20_000), card.tag(20_001));
        assert_ne!(card.tag(1), Mailbox::from_seed(&[8; 32]).public().tag(1));
    }

    // PROTOCOL 4.2
    #[test]
    fn a_claim_holds_on_its_own_link_and_on_no_other() {
        let key = Mailbox::from_seed(&[7; 32]).day_key(20_000);
        let claim = key.claim(&[1; 32]);
        assert_eq!(claim.prove(&[1; 32]), Ok(key.tag()));
        assert_eq!(claim.prove(&[2; 32]), Err(NotProved));
        let Claim::Mailbox { signature, .. } = claim else {
            panic!("a mailbox is claimed by its key");
        };
        let day_key = Mailbox::from_seed(&[8; 32]).public().to_bytes();
        let theirs = Claim::Mailbox { day_key, signature };
        assert_eq!(theirs.prove(&[1; 32]), Err(NotProved));
    }

    #[test]
    fn a_key_of_small_order_proves_nothing_and_is_no_mailbox() {
        let mut identity = [0; 32];
        identity[0] = 1;
        // With R the identity and s = 0 the plain equation holds for every message.
        let mut signature = [0; 64];
        signature[0] = 1;
        let day_key = identity;
        let claim = Claim::Mailbox { day_key, signature };
        assert_eq!(claim.prove(&[1; 32]), Err(NotProved));
        assert!(MailboxPublic::from_bytes(identity).is_none());
        // A torsion point added to a good key.
        let good = Mailbox::from_seed(&[7; 32]).public().point;
        let torsion = curve25519_dalek::constants::EIGHT_TORSION[1];
        assert!(MailboxPublic::from_bytes((good + torsion).compress().0).is_none());
    }

    #[test]
    fn claims_come_back_from_their_bytes() {
        let claims = [
            Mailbox::from_seed(&[7; 32]).day_key(1).claim(&[3; 32]),
            Claim::Once(Token([9; 16])),
        ];
        for claim in claims {
            let mut bytes = Vec::new();
            claim.encode(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Claim::decode(&mut &bytes[..cut]), None);
            }
            bytes.push(0xee);
            let mut rest = &bytes[..];
            assert_eq!(Claim::decode(&mut rest), Some(claim));
            assert_eq!(rest, [0xee]);
        }
        assert_eq!(Claim::decode(&mut &[2; 200][..]), None);
    }

    #[test]
    fn no_secret_is_printed() {
        assert_eq!(format!("{:?}", Mailbox::from_seed(&[7; 32])), "Mailbox");
    }
}
