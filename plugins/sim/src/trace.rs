//! The trace: one hash over all that happened on the network, so that two runs can be compared in 32 bytes.

use dunlin_engine::Time;

/// BLAKE3 over what was noted, in order.
#[derive(Default)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

/// Hashed at once: small pieces would cost BLAKE3 its speed.
const WAITING_BYTES: usize = 1 << 16;

impl Trace {
    /// Something with these bytes reached a node.
    pub(crate) fn note(&mut self, at: Time, number: u32, bytes: usize, digest: u64) {
        self.waiting.extend_from_slice(&at.0.to_le_bytes());
        self.waiting.extend_from_slice(&number.to_le_bytes());
        self.waiting
            .extend_from_slice(&(bytes as u32).to_le_bytes());
        self.waiting.extend_from_slice(&digest.to_le_bytes());
        if self.waiting.len() >= WAITING_BYTES {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
    }

    /// 64 hexadecimal digits.
    pub(crate) fn hash(&mut self) -> String {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
        self.hasher.finalize().to_hex().to_string()
    }
}
