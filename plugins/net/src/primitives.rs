//! The arithmetic under links: agreement, hash and cipher. Everything above it, the handshake's steps included, is one code.

use crate::{IdError, PeerId};
use blake2::{Blake2s256, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use zeroize::Zeroizing;

/// What links compute with. [`Curve25519`] is what ships; a simulation of many nodes may bring a stand-in whose keys, hashes and
/// tags have the same sizes. It comes with an [`Identity`](crate::Identity), and `UdpPlugin` gives no socket to a node whose
/// identity brings another than `Curve25519`.
pub trait Primitives: Send + Sync + 'static {
    /// Whether it protects anything.
    fn is_real(&self) -> bool {
        false
    }

    /// Whether 32 bytes are the id of a peer.
    ///
    /// # Errors
    /// If no key has this id.
    fn check_id(&self, bytes: &[u8; 32]) -> Result<(), IdError>;

    /// The secret with which an identity agrees on links; `agreement` is its X25519 key.
    fn link_secret(&self, id: &PeerId, agreement: &[u8; 32]) -> Zeroizing<[u8; 32]>;

    /// The public key for agreement on links with this peer.
    fn link_key(&self, id: &PeerId) -> [u8; 32];

    /// The bytes of the id whose [`link_key`](Primitives::link_key) this is.
    ///
    /// # Errors
    /// If no id has this key.
    fn id_of(&self, link_key: &[u8; 32]) -> Result<[u8; 32], IdError>;

    /// The public key of a secret.
    fn public(&self, secret: &[u8; 32]) -> [u8; 32];

    /// What both sides get from one's secret and the other's public key; all zeros is refused by who asks.
    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]>;

    /// The handshake's hash.
    fn hash(&self, input: &[u8]) -> [u8; 32];

    /// Encrypts in place, and returns the tag over `authentic` and the ciphertext.
    fn seal(&self, key: &[u8; 32], counter: u64, authentic: &[u8], text: &mut [u8]) -> [u8; 16];

    /// Decrypts in place if the tag is right; says whether it was.
    #[must_use]
    fn open(
        &self,
        key: &[u8; 32],
        counter: u64,
        authentic: &[u8],
        text: &mut [u8],
        tag: &[u8; 16],
    ) -> bool;
}

/// X25519 (RFC 7748) with the keys that follow from Ed25519 ids, BLAKE2s, ChaCha20-Poly1305 (RFC 8439).
#[derive(Clone, Copy, Debug)]
pub struct Curve25519;

impl Primitives for Curve25519 {
    fn is_real(&self) -> bool {
        true
    }

    fn check_id(&self, bytes: &[u8; 32]) -> Result<(), IdError> {
        PeerId::from_bytes(*bytes).map(drop)
    }

    fn link_secret(&self, _: &PeerId, agreement: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*agreement)
    }

    // PROTOCOL 1.2
    fn link_key(&self, id: &PeerId) -> [u8; 32] {
        id.agreement_key()
    }

    fn id_of(&self, link_key: &[u8; 32]) -> Result<[u8; 32], IdError> {
        PeerId::from_agreement_key(link_key).map(|id| *id.as_bytes())
    }

    fn public(&self, secret: &[u8; 32]) -> [u8; 32] {
        x25519_dalek::x25519(*secret, x25519_dalek::X25519_BASEPOINT_BYTES)
    }

    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(x25519_dalek::x25519(*secret, *public))
    }

    fn hash(&self, input: &[u8]) -> [u8; 32] {
        Blake2s256::digest(input).into()
    }

    fn seal(&self, key: &[u8; 32], counter: u64, authentic: &[u8], text: &mut [u8]) -> [u8; 16] {
        ChaCha20Poly1305::new(key.into())
            .encrypt_inout_detached(&nonce(counter).into(), authentic, text.into())
            .expect("a datagram is far below the cipher's limit of 256 GiB")
            .into()
    }

    fn open(
        &self,
        key: &[u8; 32],
        counter: u64,
        authentic: &[u8],
        text: &mut [u8],
        tag: &[u8; 16],
    ) -> bool {
        ChaCha20Poly1305::new(key.into())
            .decrypt_inout_detached(
                &nonce(counter).into(),
                authentic,
                text.into(),
                &Tag::from(*tag),
            )
            .is_ok()
    }
}

/// Four zero bytes and the counter, little-endian: Noise's ChaChaPoly, and our data messages.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}
