//! Noise (revision 34) over the crates we already link: snow keeps the state machine, this file gives it the arithmetic.
//! PROTOCOL 2.2. Checked against published vectors in `tests/vectors/noise.json`.
//!
//! snow does not erase its chaining key; the keys we hold ourselves are erased.

use crate::Primitives;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;
/// A hash of the handshake takes the last hash and one message, which a datagram bounds.
const INPUT_BYTES: usize = crate::limits::DATAGRAM_BYTES_MAX + 128;
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
pub struct Noise {
    state: HandshakeState,
    primitives: &'static dyn Primitives,
}

/// The two data keys and the handshake hash.
pub struct Split {
    /// What the keys are for.
    pub primitives: &'static dyn Primitives,
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
        primitives: &'static dyn Primitives,
        pattern: Pattern,
        prologue: &[u8],
        secret: &Zeroizing<[u8; 32]>,
        remote: Option<&[u8; 32]>,
        ephemeral: &Zeroizing<[u8; 32]>,
    ) -> Result<Noise, NoiseError> {
        let builder = builder(primitives, pattern, prologue, secret, ephemeral)?;
        let builder = match remote {
            Some(key) => builder.remote_public_key(key).map_err(|_| NoiseError)?,
            None => builder,
        };
        let state = builder.build_initiator().map_err(|_| NoiseError)?;
        Ok(Noise { state, primitives })
    }

    /// The responder's side.
    ///
    /// # Errors
    /// None with a 32-byte secret.
    pub fn responder(
        primitives: &'static dyn Primitives,
        pattern: Pattern,
        prologue: &[u8],
        secret: &Zeroizing<[u8; 32]>,
        ephemeral: &Zeroizing<[u8; 32]>,
    ) -> Result<Noise, NoiseError> {
        let builder = builder(primitives, pattern, prologue, secret, ephemeral)?;
        let state = builder.build_responder().map_err(|_| NoiseError)?;
        Ok(Noise { state, primitives })
    }

    /// Writes the next message with `payload` at the end of `out`.
    ///
    /// # Errors
    /// If it is not this side's turn.
    pub fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let start = out.len();
        out.resize(start + payload.len() + 128, 0); // 128: the largest message's keys and tags take 112.
        let written = self.state.write_message(payload, &mut out[start..]);
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
            .state
            .read_message(message, &mut payload)
            .map_err(|_| NoiseError)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// The other side's static X25519 key, once a message brought it.
    #[must_use]
    pub fn remote_key(&self) -> Option<[u8; 32]> {
        self.state.get_remote_static()?.try_into().ok()
    }

    /// The arithmetic of this handshake.
    pub(crate) fn primitives(&self) -> &'static dyn Primitives {
        self.primitives
    }

    /// The data keys, once the last message is read or written; `None` before.
    #[must_use]
    pub fn split(&mut self) -> Option<Split> {
        if !self.state.is_handshake_finished() {
            return None;
        }
        let hash = self.state.get_handshake_hash().try_into().ok()?;
        let (forth, back) = self.state.dangerously_get_raw_split();
        Some(Split {
            primitives: self.primitives,
            forth: Zeroizing::new(forth),
            back: Zeroizing::new(back),
            hash,
        })
    }
}

fn builder<'key>(
    primitives: &'static dyn Primitives,
    pattern: Pattern,
    prologue: &'key [u8],
    secret: &'key Zeroizing<[u8; 32]>,
    ephemeral: &Zeroizing<[u8; 32]>,
) -> Result<Builder<'key>, NoiseError> {
    let name = match pattern {
        Pattern::Ik => IK,
        Pattern::Xx => XX,
    };
    let resolver = Box::new(Resolver {
        primitives,
        ephemeral: ephemeral.clone(),
    });
    Builder::with_resolver(name.parse().map_err(|_| NoiseError)?, resolver)
        .local_private_key(&secret[..])
        .and_then(|builder| builder.prologue(prologue))
        .map_err(|_| NoiseError)
}

/// Hands snow our primitives, and one ephemeral key: chance is an argument here too.
struct Resolver {
    primitives: &'static dyn Primitives,
    ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let agreement = Agreement {
            primitives: self.primitives,
            secret: Zeroizing::default(),
            public: [0; 32],
        };
        (*choice == DHChoice::Curve25519).then(|| Box::new(agreement) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        let hash = Blake2s {
            primitives: self.primitives,
            input: Zeroizing::default(),
        };
        (*choice == HashChoice::Blake2s).then(|| Box::new(hash) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let cipher = ChaChaPoly {
            primitives: self.primitives,
            key: Zeroizing::default(),
        };
        (*choice == CipherChoice::ChaChaPoly).then(|| Box::new(cipher) as Box<dyn Cipher>)
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

struct Agreement {
    primitives: &'static dyn Primitives,
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Dh for Agreement {
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
        self.public = self.primitives.public(&self.secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        random.try_fill_bytes(&mut self.secret[..])?;
        self.public = self.primitives.public(&self.secret);
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
        let shared = self.primitives.agree(&self.secret, remote);
        if bool::from(shared[..].ct_eq(&[0; 32])) {
            return Err(snow::Error::Dh);
        }
        out[..32].copy_from_slice(&shared[..]);
        Ok(())
    }
}

struct ChaChaPoly {
    primitives: &'static dyn Primitives,
    key: Zeroizing<[u8; 32]>,
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key.copy_from_slice(key);
    }

    fn encrypt(&self, counter: u64, authentic: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (text, tag) = out.split_at_mut(plain.len());
        text.copy_from_slice(plain);
        let sealed = self.primitives.seal(&self.key, counter, authentic, text);
        tag[..TAG_BYTES].copy_from_slice(&sealed);
        plain.len() + TAG_BYTES
    }

    fn decrypt(
        &self,
        counter: u64,
        authentic: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (sealed, tag) = sealed
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..sealed.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(sealed);
        match self
            .primitives
            .open(&self.key, counter, authentic, out, tag)
        {
            true => Ok(sealed.len()),
            false => Err(snow::Error::Decrypt),
        }
    }
}

/// Gathers what is to be hashed: a few hundred bytes, keys among them.
struct Blake2s {
    primitives: &'static dyn Primitives,
    input: Zeroizing<Vec<u8>>,
}

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
        self.input.clear();
    }

    fn input(&mut self, data: &[u8]) {
        if self.input.capacity() == 0 {
            self.input.reserve_exact(INPUT_BYTES); // Growing would leave copies behind.
        }
        self.input.extend_from_slice(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.primitives.hash(&self.input));
        self.input.clear();
    }
}
