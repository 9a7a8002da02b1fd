//! The fields of a frame's body, one after another. PROTOCOL 2.3

use crate::answers::Reason;
use crate::mailbox::Claim;
use crate::packet::{Malformed, Packet, PacketId};
use bytes::Bytes;

/// Why a body is not the frame that its type says, and the request it named, if it came so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadFrame {
    pub(crate) reason: Reason,
    pub(crate) request: u32,
}

pub(crate) struct Fields<'a> {
    body: &'a Bytes,
    at: usize,
    request: u32,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(body: &'a Bytes) -> Fields<'a> {
        Fields {
            body,
            at: 0,
            request: 0,
        }
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    pub(crate) fn bad(&self, reason: Reason) -> BadFrame {
        BadFrame {
            reason,
            request: self.request,
        }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        let field = self.body[self.at..].first_chunk().copied();
        let field = field.ok_or_else(|| self.bad(Reason::Malformed))?;
        self.at += N;
        Ok(field)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BadFrame> {
        self.take().map(|[byte]| byte)
    }

    pub(crate) fn request(&mut self) -> Result<u32, BadFrame> {
        self.request = u32::from_le_bytes(self.take()?);
        Ok(self.request)
    }

    pub(crate) fn id(&mut self) -> Result<PacketId, BadFrame> {
        self.take().map(PacketId)
    }

    pub(crate) fn claim(&mut self) -> Result<Claim, BadFrame> {
        let mut rest = &self.body[self.at..];
        let claim = Claim::decode(&mut rest).ok_or_else(|| self.bad(Reason::Malformed))?;
        self.at = self.body.len() - rest.len();
        Ok(claim)
    }

    pub(crate) fn packet_or_none(&mut self) -> Result<Option<Packet>, BadFrame> {
        let ends = self.at == self.body.len();
        (!ends).then(|| self.packet()).transpose()
    }

    pub(crate) fn packet(&mut self) -> Result<Packet, BadFrame> {
        // A slice of the datagram: nothing is copied until the packet is kept.
        let packet = Packet::parse(self.body.slice(self.at..));
        self.at = self.body.len();
        packet.map_err(|malformed| {
            self.bad(match malformed {
                Malformed::Suite | Malformed::Version => Reason::Unsupported,
                _ => Reason::Malformed,
            })
        })
    }
}
