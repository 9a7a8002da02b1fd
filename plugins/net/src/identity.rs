//! Who a peer is: an Ed25519 key, the X25519 key that follows from it, and its place in the key space. PROTOCOL 1.

use crate::link_table::Links;
use crate::{AddressBook, Bandwidth, Curve25519, Drops, LinkSettings, Primitives, Traffic};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::traits::IsIdentity;
use data_encoding::BASE32_NOPAD;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// A peer's id: its Ed25519 public key, known to be valid (PROTOCOL 1.1), so one key has one id.
///
/// As text: 52 characters of base32 (RFC 4648), lower case, without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

/// Why 32 bytes, or a text, are no peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is not 52 characters of lower-case base32.
    #[error("a peer id is 52 characters, a to z and 2 to 7")]
    Text,
    /// Bit 255 is set: the id of some other tool's key, or the negative of a valid one.
    #[error("the sign bit of the key is set, which this network does not allow")]
    SignBit,
    /// Not the canonical encoding of a point of the curve.
    #[error("the bytes are not the canonical encoding of a point")]
    NotAPoint,
    /// A point outside the prime-order subgroup, or its neutral element.
    #[error("the point is not of the prime-order subgroup")]
    Torsion,
}

impl PeerId {
    /// Checks all of PROTOCOL 1.1. Costs one scalar multiplication.
    ///
    /// # Errors
    /// If the bytes are not the one valid encoding of a key.
    // PROTOCOL 1.1
    pub fn from_bytes(bytes: [u8; 32]) -> Result<PeerId, IdError> {
        if bytes[31] & 0x80 != 0 {
            return Err(IdError::SignBit);
        }
        let encoded = CompressedEdwardsY(bytes);
        let point = encoded.decompress().ok_or(IdError::NotAPoint)?;
        if point.compress() != encoded {
            return Err(IdError::NotAPoint);
        }
        if point.is_identity() || !point.is_torsion_free() {
            return Err(IdError::Torsion);
        }
        Ok(PeerId(bytes))
    }

    /// The id whose agreement key is `key`, as a handshake proved it.
    ///
    /// # Errors
    /// If no valid id has this agreement key.
    // PROTOCOL 1.2
    pub fn from_agreement_key(key: &[u8; 32]) -> Result<PeerId, IdError> {
        let point = MontgomeryPoint(*key)
            .to_edwards(0)
            .ok_or(IdError::NotAPoint)?;
        PeerId::from_bytes(point.compress().to_bytes())
    }

    /// The id of these bytes, by the arithmetic of whoever is told of it.
    pub(crate) fn checked(primitives: &dyn Primitives, bytes: [u8; 32]) -> Result<PeerId, IdError> {
        primitives.check_id(&bytes).map(|()| PeerId(bytes))
    }

    /// The id whose key for links is `key`, as a handshake proved it.
    pub(crate) fn of_link_key(
        primitives: &dyn Primitives,
        key: &[u8; 32],
    ) -> Result<PeerId, IdError> {
        primitives.id_of(key).map(PeerId)
    }

    /// The public key's 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The X25519 public key for agreement with this peer.
    // PROTOCOL 1.2
    #[must_use]
    pub fn agreement_key(&self) -> [u8; 32] {
        let point = CompressedEdwardsY(self.0).decompress();
        // Checked in `from_bytes`; were it wrong, the all-zero agreement would be refused.
        point.map_or([0; 32], |point| point.to_montgomery().to_bytes())
    }

    /// Where the peer stands in the key space; compare by XOR, read as big-endian.
    // PROTOCOL 1.3
    #[must_use]
    pub fn position(&self) -> [u8; 16] {
        let mut position = [0; 16];
        let mut hasher = blake3::Hasher::new_derive_key("dunlin 1 position");
        hasher.update(&self.0).finalize_xof().fill(&mut position);
        position
    }

    /// Whether `signature` is this peer's over `message`, by the strict rules: no signature has a second form.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(message, &Signature::from_bytes(signature))
                .is_ok()
        })
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// The first eight characters of the text: enough to tell peers apart in a log.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "PeerId({})", &text[..8])
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<PeerId, IdError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(IdError::Text);
        }
        let bytes = BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .map_err(|_| IdError::Text)?;
        PeerId::from_bytes(bytes.try_into().map_err(|_| IdError::Text)?)
    }
}

/// A device's own keys, on its [`Node`](dunlin_engine::Node). Erased from memory when dropped, and in no `Debug` output.
///
/// With it come the node's links, address book, settings and counters.
#[derive(Component)]
#[require(Links, AddressBook, Drops, Traffic, LinkSettings, Bandwidth)]
pub struct Identity {
    /// Of which the signing key is made when it is needed, which is seldom: expanded it takes 224 bytes.
    seed: Zeroizing<[u8; 32]>,
    agreement: Zeroizing<[u8; 32]>,
    id: PeerId,
    primitives: &'static dyn Primitives,
}

impl Identity {
    /// The identity of a 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// [`IdError::SignBit`] for every other seed: draw again.
    // PROTOCOL 1.1
    pub fn from_seed(seed: &[u8; 32]) -> Result<Identity, IdError> {
        let signing = SigningKey::from_bytes(seed);
        let public = signing.verifying_key().to_bytes();
        if public[31] & 0x80 != 0 {
            return Err(IdError::SignBit);
        }
        // A multiple of the base point by a clamped scalar, encoded here: all else that 1.1 asks of others' bytes holds.
        let id = PeerId(public);
        let agreement = Zeroizing::new(curve25519_dalek::scalar::clamp_integer(
            signing.to_scalar_bytes(),
        ));
        Ok(Identity {
            seed: Zeroizing::new(*seed),
            agreement,
            id,
            primitives: &Curve25519,
        })
    }

    /// Draws seeds until one gives a valid id: two on average.
    #[must_use]
    pub fn generate(random: &mut impl CryptoRng) -> Identity {
        let mut seed = Zeroizing::new([0; 32]);
        loop {
            random.fill_bytes(&mut *seed);
            if let Ok(identity) = Identity::from_seed(&seed) {
                return identity;
            }
        }
    }

    /// The same identity with other arithmetic for its links, which then reach only who has the same.
    #[must_use]
    pub fn with_primitives(self, primitives: &'static dyn Primitives) -> Identity {
        Identity { primitives, ..self }
    }

    /// The arithmetic of its links.
    #[must_use]
    pub fn primitives(&self) -> &'static dyn Primitives {
        self.primitives
    }

    pub(crate) fn link_secret(&self) -> Zeroizing<[u8; 32]> {
        self.primitives.link_secret(&self.id, &self.agreement)
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// The X25519 private key, clamped.
    // PROTOCOL 1.2
    #[must_use]
    pub fn agreement_secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.agreement
    }

    /// An Ed25519 signature (RFC 8032) over `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.seed).sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?}, secret)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    fn random() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    #[test]
    fn an_id_survives_its_text_and_only_its_own_text() {
        let id = Identity::generate(&mut random()).id();
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(
            text.to_ascii_uppercase().parse::<PeerId>(),
            Err(IdError::Text)
        );
        assert_eq!(text[1..].parse::<PeerId>(), Err(IdError::Text));
        assert_eq!(format!("{text}a").parse::<PeerId>(), Err(IdError::Text));
    }

    // PROTOCOL 1.1
    #[test]
    fn one_key_has_one_id() {
        let id = Identity::generate(&mut random()).id();
        let point = CompressedEdwardsY(*id.as_bytes()).decompress().unwrap();
        let negative = (-point).compress().to_bytes();
        assert_eq!(PeerId::from_bytes(negative), Err(IdError::SignBit));
        for torsion in &EIGHT_TORSION[1..] {
            let mut twin = (point + torsion).compress().to_bytes();
            twin[31] &= 0x7f; // Either sign: the twin is no id.
            assert_eq!(PeerId::from_bytes(twin), Err(IdError::Torsion));
        }
        assert_eq!(EIGHT_TORSION.len(), 8);
    }

    // PROTOCOL 1.1
    #[test]
    fn points_of_small_order_and_encodings_that_are_not_canonical_are_refused() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(PeerId::from_bytes(neutral), Err(IdError::Torsion));
        assert_eq!(PeerId::from_bytes([0; 32]), Err(IdError::Torsion)); // Order 4.
        let mut prime_plus_one = [0xff; 32]; // y = p + 1 is y = 1 again.
        prime_plus_one[0] = 0xee;
        prime_plus_one[31] = 0x7f;
        assert_eq!(PeerId::from_bytes(prime_plus_one), Err(IdError::NotAPoint));
        let mut not_on_the_curve = [0; 32];
        not_on_the_curve[0] = 2;
        assert_eq!(
            PeerId::from_bytes(not_on_the_curve),
            Err(IdError::NotAPoint)
        );
    }

    // PROTOCOL 1.2
    #[test]
    fn an_agreement_key_leads_back_to_its_id() {
        let mut random = random();
        for _ in 0..20 {
            let identity = Identity::generate(&mut random);
            let id = identity.id();
            let public = x25519_dalek::x25519(
                **identity.agreement_secret(),
                x25519_dalek::X25519_BASEPOINT_BYTES,
            );
            assert_eq!(public, id.agreement_key());
            assert_eq!(PeerId::from_agreement_key(&public), Ok(id));
        }
        assert!(PeerId::from_agreement_key(&[0; 32]).is_err());
    }

    // PROTOCOL 1.3
    #[test]
    fn positions_are_spread_and_repeatable() {
        let mut random = random();
        let ids: Vec<PeerId> = (0..64)
            .map(|_| Identity::generate(&mut random).id())
            .collect();
        let high = ids.iter().filter(|id| id.position()[0] & 0x80 != 0).count();
        assert_eq!(ids[0].position(), ids[0].position());
        assert!((16..48).contains(&high), "{high} of 64 in the upper half");
    }

    #[test]
    fn a_signature_holds_for_its_message_and_signer_only() {
        let mut random = random();
        let (alice, bob) = (
            Identity::generate(&mut random),
            Identity::generate(&mut random),
        );
        let signature = alice.sign(b"tea");
        assert!(alice.id().verify(b"tea", &signature));
        assert!(!alice.id().verify(b"tee", &signature));
        assert!(!bob.id().verify(b"tea", &signature));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let mut seed = [0; 32];
        let mut random = random();
        let identity = loop {
            random.fill_bytes(&mut seed);
            if let Ok(identity) = Identity::from_seed(&seed) {
                break identity;
            }
        };
        assert_eq!(
            format!("{identity:?}"),
            format!("Identity({:?}, secret)", identity.id())
        );
    }
}
