//! Cryptography's sizes without its cost: for scenarios of so many nodes that arithmetic would be all that is measured.
//!
//! It protects nothing. Whoever knows an id knows its secret. It exists only here: a node with it gets no socket.

use dunlin_net::{IdError, PeerId, Primitives};
use zeroize::Zeroizing;

/// The one stand-in.
pub(crate) static STAND_IN: StandIn = StandIn;

/// A secret is its public key turned over, so that both sides can compute what they share.
pub(crate) struct StandIn;

fn turned(key: &[u8; 32]) -> [u8; 32] {
    key.map(|byte| !byte)
}

/// Multiplies and folds: every bit of the input moves about half of the output's.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    (product as u64) ^ (product >> 64) as u64
}

/// 64 bits of anything, seeded.
pub(crate) fn digest(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ bytes.len() as u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        state = fold(state, u64::from_le_bytes(*chunk));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state, u64::from_le_bytes(last) ^ 0x5851_f42d)
}

fn spread(state: u64) -> [u8; 32] {
    let mut out = [0; 32];
    for (place, word) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *word = fold(state, place as u64 + 1).to_le_bytes();
    }
    out
}

fn keyed(key: &[u8; 32], counter: u64) -> u64 {
    digest(counter, key)
}

fn scramble(state: u64, text: &mut [u8]) {
    let (chunks, rest) = text.as_chunks_mut::<8>();
    let places = chunks.len() as u64;
    for (place, chunk) in (0..).zip(chunks) {
        let word = u64::from_le_bytes(*chunk) ^ fold(state, place);
        *chunk = word.to_le_bytes();
    }
    let last = fold(state, places).to_le_bytes();
    rest.iter_mut()
        .zip(last)
        .for_each(|(byte, mask)| *byte ^= mask);
}

fn tag(state: u64, authentic: &[u8], text: &[u8]) -> [u8; 16] {
    let sum = digest(digest(state, authentic), text);
    *spread(sum).first_chunk().expect("32 bytes begin with 16")
}

impl Primitives for StandIn {
    fn check_id(&self, bytes: &[u8; 32]) -> Result<(), IdError> {
        match bytes[31] & 0x80 {
            0 => Ok(()),
            _ => Err(IdError::SignBit),
        }
    }

    fn link_secret(&self, id: &PeerId, _: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(turned(id.as_bytes()))
    }

    fn link_key(&self, id: &PeerId) -> [u8; 32] {
        *id.as_bytes()
    }

    fn id_of(&self, link_key: &[u8; 32]) -> Result<[u8; 32], IdError> {
        // A throwaway key's sign bit is chance; X25519 ignores it.
        let mut id = *link_key;
        id[31] &= 0x7f;
        Ok(id)
    }

    fn public(&self, secret: &[u8; 32]) -> [u8; 32] {
        turned(secret)
    }

    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let (ours, theirs) = (digest(1, &turned(secret)), digest(1, public));
        Zeroizing::new(spread(fold(ours.min(theirs), ours.max(theirs))))
    }

    fn hash(&self, input: &[u8]) -> [u8; 32] {
        spread(digest(2, input))
    }

    fn seal(&self, key: &[u8; 32], counter: u64, authentic: &[u8], text: &mut [u8]) -> [u8; 16] {
        let state = keyed(key, counter);
        scramble(state, text);
        tag(state, authentic, text)
    }

    fn open(
        &self,
        key: &[u8; 32],
        counter: u64,
        authentic: &[u8],
        text: &mut [u8],
        shown: &[u8; 16],
    ) -> bool {
        let state = keyed(key, counter);
        let right = tag(state, authentic, text) == *shown;
        if right {
            scramble(state, text);
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_and_others_do_not() {
        let [alice, bob, eve] = [[1; 32], [2; 32], [3; 32]];
        let public = |secret| STAND_IN.public(secret);
        let shared = STAND_IN.agree(&alice, &public(&bob));
        assert_eq!(shared, STAND_IN.agree(&bob, &public(&alice)));
        assert_ne!(shared, STAND_IN.agree(&eve, &public(&alice)));
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_opens_unaltered_only() {
        for length in [0, 1, 7, 8, 9, 300] {
            let plain: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut text = plain.clone();
            let tag = STAND_IN.seal(&[7; 32], 5, b"head", &mut text);
            assert!(length < 7 || text != plain);
            for bit in 0..length * 8 {
                let mut altered = text.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    !STAND_IN.open(&[7; 32], 5, b"head", &mut altered, &tag),
                    "bit {bit}"
                );
            }
            assert!(!STAND_IN.open(&[8; 32], 5, b"head", &mut text.clone(), &tag));
            assert!(!STAND_IN.open(&[7; 32], 6, b"head", &mut text.clone(), &tag));
            assert!(!STAND_IN.open(&[7; 32], 5, b"Head", &mut text.clone(), &tag));
            assert!(STAND_IN.open(&[7; 32], 5, b"head", &mut text, &tag));
            assert_eq!(text, plain);
        }
    }
}
