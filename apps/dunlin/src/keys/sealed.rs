//! All keys of a device in a file that only a passphrase opens. Version 1 has 116 bytes:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 15 | `dunlin key copy` |
//! | 15 | 1 | the version, 1 |
//! | 16 | 16 | salt, random |
//! | 32 | 64 | ChaCha20-Poly1305 (RFC 8439) of the identity's seed and the mailbox's seed, 32 bytes each |
//! | 96 | 16 | its tag |
//! | 112 | 4 | the first bytes of BLAKE3 over all before: tells a torn file from a wrong passphrase |
//!
//! The key is Argon2id (RFC 9106, version 0x13) of the passphrase's bytes and the salt, with the parameters of [`VERSION_1`]. It seals
//! nothing but this file, so the nonce is zero. Bytes 0 to 31 are associated data. The parameters belong to the version and do not stand
//! in the file: whoever forges one cannot ask the reader for more memory or time.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use dunlin_net::KeyFile;
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8; 15] = b"dunlin key copy";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 32;
const KEYS_BYTES: usize = 64;
const CHECK_BYTES: usize = 4;
/// A whole file.
pub(crate) const SEALED_BYTES: usize = HEADER_BYTES + KEYS_BYTES + 16 + CHECK_BYTES;

/// What each guess at the passphrase costs.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// RFC 9106, section 4, the second recommended option: 64 MiB, which a phone has too. The first takes 2 GiB.
pub(crate) const VERSION_1: Cost = Cost {
    memory_kib: 1 << 16,
    passes: 3,
    lanes: 4,
};

/// Why a file gives no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Something else.
    NotOne,
    /// Of a version that this program does not know.
    Version(u8),
    /// Cut short, or altered.
    Torn,
    /// Another passphrase, or altered by somebody who mended the check.
    Passphrase,
    /// There is no memory for it.
    Memory,
}

/// Seals keys under a passphrase. The salt must be random.
pub(crate) fn seal(
    keys: &KeyFile,
    passphrase: &[u8],
    salt: [u8; 16],
    cost: Cost,
) -> Result<Vec<u8>, Refusal> {
    let mut file = Vec::with_capacity(SEALED_BYTES);
    file.extend_from_slice(MAGIC);
    file.push(VERSION);
    file.extend_from_slice(&salt);
    let mut seeds = Zeroizing::new([0; KEYS_BYTES]);
    seeds[..32].copy_from_slice(&keys.identity_seed);
    seeds[32..].copy_from_slice(&keys.mailbox_seed);
    let tag = cipher(passphrase, &salt, cost)?
        .encrypt_inout_detached(&Nonce::default(), &file, (&mut seeds[..]).into())
        .map_err(|_| Refusal::NotOne)?;
    file.extend_from_slice(&*seeds); // Sealed by now.
    file.extend_from_slice(&tag);
    let check = blake3::hash(&file);
    file.extend_from_slice(&check.as_bytes()[..CHECK_BYTES]);
    Ok(file)
}

/// What can be said of a file without the passphrase.
pub(crate) fn look(file: &[u8]) -> Result<&[u8; SEALED_BYTES], Refusal> {
    // A file that was cut anywhere is torn; one that begins otherwise was never one.
    let begin = file.len().min(MAGIC.len());
    if file.is_empty() || file[..begin] != MAGIC[..begin] {
        return Err(Refusal::NotOne);
    }
    match file.get(MAGIC.len()) {
        Some(&VERSION) => {}
        Some(&other) => return Err(Refusal::Version(other)),
        None => return Err(Refusal::Torn),
    }
    let file: &[u8; SEALED_BYTES] = file.try_into().map_err(|_| Refusal::Torn)?;
    let (rest, check) = file.split_at(SEALED_BYTES - CHECK_BYTES);
    if blake3::hash(rest).as_bytes()[..CHECK_BYTES] != *check {
        return Err(Refusal::Torn);
    }
    Ok(file)
}

/// Opens a file.
pub(crate) fn open(file: &[u8], passphrase: &[u8], cost: Cost) -> Result<KeyFile, Refusal> {
    let file = look(file)?;
    let (header, rest) = file.split_at(HEADER_BYTES);
    let mut seeds = Zeroizing::new([0; KEYS_BYTES]);
    seeds.copy_from_slice(&rest[..KEYS_BYTES]);
    let mut tag = Tag::default();
    tag.copy_from_slice(&rest[KEYS_BYTES..KEYS_BYTES + 16]);
    cipher(passphrase, &header[16..], cost)?
        .decrypt_inout_detached(&Nonce::default(), header, (&mut seeds[..]).into(), &tag)
        .map_err(|_| Refusal::Passphrase)?;
    let mut keys = KeyFile {
        identity_seed: [0; 32],
        mailbox_seed: [0; 32],
    };
    keys.identity_seed.copy_from_slice(&seeds[..32]);
    keys.mailbox_seed.copy_from_slice(&seeds[32..]);
    // Who sealed it had the passphrase, and sealed seeds that make no keys.
    keys.identity().map_err(|_| Refusal::Torn)?;
    Ok(keys)
}

/// The cipher of a passphrase. It forgets its key when it is dropped, and the memory that it took is wiped here.
fn cipher(passphrase: &[u8], salt: &[u8], cost: Cost) -> Result<ChaCha20Poly1305, Refusal> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| Refusal::Memory)?;
    let mut memory: Vec<Block> = Vec::new();
    memory
        .try_reserve_exact(params.block_count())
        .map_err(|_| Refusal::Memory)?;
    memory.resize(params.block_count(), Block::new());
    let mut key = Zeroizing::new([0; 32]);
    let made = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, &mut *key, &mut memory);
    memory.zeroize();
    made.map_err(|_| Refusal::Memory)?;
    Ok(ChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
