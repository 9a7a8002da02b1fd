//! One packet in the cache, and what it is charged.

use crate::depositor::Depositor;
use crate::limits::INDEX_BYTES;
use crate::packet::{Packet, Tag};
use bytes::Bytes;
use dunlin_engine::Time;

pub(crate) struct Kept {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) from: Depositor,
    pub(crate) expires: Time,
    pub(crate) work: u8,
}

impl Kept {
    pub(crate) fn charge(&self) -> u64 {
        charge(self.bytes.len())
    }

    pub(crate) fn tag(&self) -> Tag {
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.bytes[16..32]);
        Tag(tag)
    }

    pub(crate) fn packet(&self) -> Option<Packet> {
        // Copied, so that no reader keeps an evicted packet's memory uncounted. It was checked when it came.
        Packet::parse(Bytes::copy_from_slice(&self.bytes)).ok()
    }
}

pub(crate) fn charge(packet_bytes: usize) -> u64 {
    packet_bytes as u64 + INDEX_BYTES
}
