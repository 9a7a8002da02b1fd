//! Noise (revision 34) over the crates we already link: snow keeps the state machine, this file gives it the arithmetic.
//! PROTOCOL 2.2. Checked against published vectors in `tests/vectors/noise.json`.
//!
//! snow does not erase its chaining key; the keys we hold ourselves are erased.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;
const IK: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
const XX: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";

/// Which handshake: IK if the initiator knows the responder's key, else XX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Two messages.
    Ik,
    /// Three messages.
    Xx,
}

/// One side of a handshake. A message that does not verify leaves it as it was, so a forgery costs only its own work; but for the
/// third of XX, whose first half may verify and move the state: whoever reads that must be able to begin again.
pub struct Noise(HandshakeState);

/// The two data keys and the handshake hash.
pub struct Split {
    /// Initiator to responder.
    pub forth: Zeroizing<[u8; 32]>,
    /// Responder to initiator.
    pub back: Zeroizing<[u8; 32]>,
    /// Noise's `GetHandshakeHash`.
    pub hash: [u8; 32],
}

/// A handshake message that does not verify, or that is not this side's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handshake message does not verify")]
pub struct NoiseError;

impl Noise {
    /// The initiator's side; `remote` is the responder's X25519 key, which IK needs and XX does not take. `ephemeral` is 32 random
    /// bytes, never used twice with other messages.
    ///
    /// # Errors
    /// If the pattern needs another set of keys.
    pub fn initiator(
        pattern: Pattern,
        prologue: &[u8],
        secret: &Zeroizing<[u8; 32]>,
        remote: Option<&[u8; 32]>,
        ephemeral: &Zeroizing<[u8; 32]>,
    ) -> Result<Noise, NoiseError> {
        let builder = builder(pattern, prologue, secret, ephemeral)?;
        let builder = match remote {
            Some(key) => builder.remote_public_key(key).map_err(|_| NoiseError)?,
            None => builder,
        };
        builder.build_initiator().map(Noise).map_err(|_| NoiseError)
    }

    /// The responder's side.
    ///
    /// # Errors
    /// None with a 32-byte secret.
    pub fn responder(
        pattern: Pattern,
        prologue: &[u8],
        secret: &Zeroizing<[u8; 32]>,
        ephemeral: &Zeroizing<[u8; 32]>,
    ) -> Result<Noise, NoiseError> {
        builder(pattern, prologue, secret, ephemeral)?
            .build_responder()
            .map(Noise)
            .map_err(|_| NoiseError)
    }

    /// Writes the next message with `payload` at the end of `out`.
    ///
    /// # Errors
    /// If it is not this side's turn.
    pub fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let start = out.len();
        out.resize(start + payload.len() + 128, 0); // 128: the largest message's keys and tags take 112.
        let written = self.0.write_message(payload, &mut out[start..]);
        out.truncate(start + written.as_ref().map_or(0, |length| *length));
        written.map(|_| ()).map_err(|_| NoiseError)
    }

    /// Reads the other side's next message and returns its payload.
    ///
    /// # Errors
    /// If it does not verify, or an agreement is all zeros.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut payload = vec![0; message.len()];
        let length = self
            .0
            .read_message(message, &mut payload)
            .map_err(|_| NoiseError)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// The other side's static X25519 key, once a message brought it.
    #[must_use]
    pub fn remote_key(&self) -> Option<[u8; 32]> {
        self.0.get_remote_static()?.try_into().ok()
    }

    /// The data keys, once the last message is read or written; `None` before.
    #[must_use]
    pub fn split(&mut self) -> Option<Split> {
        if !self.0.is_handshake_finished() {
            return None;
        }
        let hash = self.0.get_handshake_hash().try_into().ok()?;
        let (forth, back) = self.0.dangerously_get_raw_split();
        Some(Split {
            forth: Zeroizing::new(forth),
            back: Zeroizing::new(back),
            hash,
        })
    }
}

fn builder<'key>(
    pattern: Pattern,
    prologue: &'key [u8],
    secret: &'key Zeroizing<[u8; 32]>,
    ephemeral: &Zeroizing<[u8; 32]>,
) -> Result<Builder<'key>, NoiseError> {
    let name = match pattern {
        Pattern::Ik => IK,
        Pattern::Xx => XX,
    };
    let resolver = Box::new(Primitives {
        ephemeral: ephemeral.clone(),
    });
    Builder::with_resolver(name.parse().map_err(|_| NoiseError)?, resolver)
        .local_private_key(&secret[..])
        .and_then(|builder| builder.prologue(prologue))
        .map_err(|_| NoiseError)
}

/// Hands snow our primitives, and one ephemeral key: chance is an argument here too.
struct Primitives {
    ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        (*choice == DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        (*choice == HashChoice::Blake2s).then(|| Box::new(Blake2s::default()) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        (*choice == CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly(None)) as Box<dyn Cipher>)
    }
}

/// Each of our patterns draws one ephemeral key a side; a second draw would repeat it, so it is an error.
struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        if out.len() != bytes.len() {
            return Err(snow::Error::Rng);
        }
        out.copy_from_slice(&bytes[..]);
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl X25519 {
    fn derive(&mut self) {
        self.public = x25519_dalek::x25519(*self.secret, x25519_dalek::X25519_BASEPOINT_BYTES);
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        self.secret.copy_from_slice(secret);
        self.derive();
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        random.try_fill_bytes(&mut self.secret[..])?;
        self.derive();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret[..]
    }

    // PROTOCOL 1.2: an all-zero agreement is refused.
    fn dh(&self, remote: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let remote = remote.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let shared = Zeroizing::new(x25519_dalek::x25519(*self.secret, *remote));
        if bool::from(shared[..].ct_eq(&[0; 32])) {
            return Err(snow::Error::Dh);
        }
        out[..32].copy_from_slice(&shared[..]);
        Ok(())
    }
}

struct ChaChaPoly(Option<ChaCha20Poly1305>);

/// Four zero bytes and the counter, little-endian: Noise's ChaChaPoly, and our data messages.
pub(crate) fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(ChaCha20Poly1305::new(key.into()));
    }

    fn encrypt(&self, counter: u64, authentic: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let cipher = self.0.as_ref().expect("snow sets a key before it encrypts");
        out[..plain.len()].copy_from_slice(plain);
        let tag = cipher
            .encrypt_inout_detached(
                &nonce(counter).into(),
                authentic,
                (&mut out[..plain.len()]).into(),
            )
            .expect("a handshake message is far below the cipher's limit of 256 GiB");
        out[plain.len()..plain.len() + TAG_BYTES].copy_from_slice(&tag);
        plain.len() + TAG_BYTES
    }

    fn decrypt(
        &self,
        counter: u64,
        authentic: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let cipher = self.0.as_ref().ok_or(snow::Error::Decrypt)?;
        let (sealed, tag) = sealed
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..sealed.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(sealed);
        cipher
            .decrypt_inout_detached(
                &nonce(counter).into(),
                authentic,
                out.into(),
                &Tag::from(*tag),
            )
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(sealed.len())
    }
}

#[derive(Default)]
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = std::mem::take(&mut self.0).finalize();
        out[..32].copy_from_slice(&hash);
    }
}
