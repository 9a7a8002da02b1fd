//! How two peers prove their keys to each other: IK if the responder is known, else XX. PROTOCOL 2.2.
//!
//! Pure state: bytes, time and chance come in, bytes and sessions go out.

use crate::datagram::{Header, Kind};
use crate::frame::{Frames, kind};
use crate::limits::{COOKIE_BYTES, HEADER_BYTES};
use crate::noise::{Noise, NoiseError, Pattern};
use crate::retry::Retry;
use crate::session::Session;
use crate::{DropReason, PeerId, Primitives};
use bytes::Bytes;
use dunlin_engine::Time;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

type Secret = Zeroizing<[u8; 32]>;

const ANONYMOUS: u8 = 1;

// PROTOCOL 2.2
fn hello(anonymous: bool) -> [u8; 4] {
    [u8::from(anonymous) * ANONYMOUS, 1, 0, 0]
}

/// Checks a hello; says whether its sender is anonymous.
// PROTOCOL 2.2
fn read_hello(payload: Vec<u8>) -> Result<bool, DropReason> {
    let payload = Bytes::from(payload);
    let [flags, version, 0, 0] = payload[..].get(..4).ok_or(DropReason::HandshakeForged)? else {
        return Err(DropReason::HandshakeForged);
    };
    let known = flags & !ANONYMOUS == 0 && *version >= 1;
    let mut frames = Frames::of(payload.slice(4..));
    let padded = frames.all(|frame| frame.is_ok_and(|frame| frame.kind == kind::PADDING));
    if known && padded {
        Ok(flags & ANONYMOUS != 0)
    } else {
        Err(DropReason::HandshakeForged)
    }
}

fn open_hello(payload: Vec<u8>) -> Result<(), DropReason> {
    match read_hello(payload)? {
        // Only the initiator of IK may hide.
        true => Err(DropReason::HandshakeForged),
        false => Ok(()),
    }
}

fn prologue(header: &[u8; HEADER_BYTES]) -> [u8; 13 + HEADER_BYTES] {
    let mut bytes = [0; 13 + HEADER_BYTES];
    bytes[..13].copy_from_slice(b"dunlin link 1");
    bytes[13..].copy_from_slice(header);
    bytes
}

fn proved_id(noise: &Noise) -> Result<PeerId, DropReason> {
    let key = noise.remote_key().ok_or(DropReason::HandshakeForged)?;
    PeerId::of_link_key(noise.primitives(), &key).map_err(|_| DropReason::HandshakeId)
}

fn draw(random: &mut impl CryptoRng) -> Secret {
    let mut bytes = Secret::default();
    random.fill_bytes(&mut *bytes);
    bytes
}

fn datagram(header: Header, parts: &[&[u8]]) -> Bytes {
    let mut bytes = header.encode().to_vec();
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

/// The initiator's side, until the responder has answered.
pub(crate) struct Initiation {
    header: Header,
    pattern: Pattern,
    noise: Noise,
    message: Vec<u8>,
    cookie: [u8; COOKIE_BYTES],
    /// When to send [`datagram`](Initiation::datagram) again.
    pub retry: Retry,
}

/// What the initiator has when the responder's answer verified.
pub(crate) struct Established {
    pub session: Session,
    pub id: PeerId,
    /// XX-3, to be sent until the responder is heard on the session.
    pub third: Option<Bytes>,
}

impl Initiation {
    /// Begins with a peer whose id is known (IK), or with whoever answers (XX). `index` is the one we choose for the session.
    // PROTOCOL 2.2
    pub(crate) fn begin(
        primitives: &'static dyn Primitives,
        secret: &Secret,
        to: Option<&PeerId>,
        anonymous: bool,
        index: u32,
        now: Time,
        random: &mut impl CryptoRng,
    ) -> Result<Initiation, NoiseError> {
        let (pattern, kind) = match to {
            Some(_) => (Pattern::Ik, Kind::Ik1),
            None => (Pattern::Xx, Kind::Xx1),
        };
        let header = Header {
            kind,
            index,
            counter: random.next_u64(),
        };
        let remote = to.map(|id| primitives.link_key(id));
        let mut noise = Noise::initiator(
            primitives,
            pattern,
            &prologue(&header.encode()),
            secret,
            remote.as_ref(),
            &draw(random),
        )?;
        let mut message = Vec::new();
        let payload = match pattern {
            Pattern::Ik => &hello(anonymous)[..],
            Pattern::Xx => &[], // It would go in the clear.
        };
        noise.write(payload, &mut message)?;
        Ok(Initiation {
            header,
            pattern,
            noise,
            message,
            cookie: [0; COOKIE_BYTES],
            retry: Retry::new(now),
        })
    }

    /// The index we chose.
    pub(crate) fn index(&self) -> u32 {
        self.header.index
    }

    /// The first message; the same each time but for the cookie.
    pub(crate) fn datagram(&self) -> Bytes {
        datagram(self.header, &[&self.cookie, &self.message])
    }

    /// Takes a cookie if it answers this initiation: nobody off the path knows its index and counter.
    // PROTOCOL 2.2
    pub(crate) fn take_cookie(&mut self, header: &Header, body: &[u8]) -> bool {
        let ours = header.index == self.header.index && header.counter == self.header.counter;
        let Ok(cookie) = body.try_into() else {
            return false;
        };
        // A cookie that we have already shown gains nothing: whoever repeats it does not draw more from us.
        let fresh = ours && self.cookie != cookie;
        if fresh {
            self.cookie = cookie;
        }
        fresh
    }

    /// Whether somebody answered at all.
    pub(crate) fn has_cookie(&self) -> bool {
        self.cookie != [0; COOKIE_BYTES]
    }

    /// Reads IK-2 or XX-2. A forgery leaves all as it was.
    // PROTOCOL 2.2
    pub(crate) fn finish(
        &mut self,
        header: &Header,
        body: &[u8],
        now: Time,
    ) -> Result<Established, DropReason> {
        let expected = match self.pattern {
            Pattern::Ik => Kind::Ik2,
            Pattern::Xx => Kind::Xx2,
        };
        if header.kind != expected || header.index != self.header.index {
            return Err(DropReason::Unasked);
        }
        let remote = header.counter as u32; // The high half is zero: `Header::decode`.
        open_hello(self.noise.read(body).map_err(forged)?)?;
        let id = proved_id(&self.noise)?;
        let third = match self.pattern {
            Pattern::Ik => None,
            Pattern::Xx => {
                let mut message = Vec::new();
                self.noise
                    .write(&hello(false), &mut message)
                    .map_err(forged)?;
                let header = Header {
                    kind: Kind::Xx3,
                    index: remote,
                    counter: 0,
                };
                Some(datagram(header, &[&message]))
            }
        };
        let split = self.noise.split().ok_or(DropReason::HandshakeForged)?;
        Ok(Established {
            session: Session::new(&split, true, self.header.index, remote, now),
            id,
            third,
        })
    }
}

/// The answer to a wrong cookie.
// PROTOCOL 2.2
pub(crate) fn cookie_datagram(to: &Header, cookie: &[u8; COOKIE_BYTES]) -> Bytes {
    let header = Header {
        kind: Kind::Cookie,
        ..*to
    };
    datagram(header, &[cookie])
}

/// What the responder keeps of a handshake between its answer and the initiator's proof.
pub(crate) enum Pending {
    /// IK: the first data message proves it.
    Data {
        session: Box<Session>,
        id: PeerId,
        anonymous: bool,
    },
    /// XX: the third message does.
    Third(Box<Third>),
}

/// A responder that waits for XX-3.
pub(crate) struct Third {
    noise: Noise,
    /// With what the same state can be made again, should a forgery have spoilt it.
    first: Header,
    message: Vec<u8>,
    ephemeral: Secret,
    forgeries: u8,
}

/// Forged third messages that are lived with; only who sees the handshake can send one, and each costs us three multiplications.
const FORGERIES_MAX: u8 = 8; // guess

/// Reads a first message (after its cookie) and answers it. `index` is the one we choose for the session.
// PROTOCOL 2.2
pub(crate) fn respond(
    primitives: &'static dyn Primitives,
    secret: &Secret,
    header: &Header,
    message: &[u8],
    index: u32,
    now: Time,
    random: &mut impl CryptoRng,
) -> Result<(Bytes, Pending), DropReason> {
    let (pattern, kind) = match header.kind {
        Kind::Ik1 => (Pattern::Ik, Kind::Ik2),
        Kind::Xx1 => (Pattern::Xx, Kind::Xx2),
        _ => return Err(DropReason::Unasked),
    };
    let ephemeral = draw(random);
    let (mut noise, payload, reply) =
        answer(primitives, pattern, secret, header, message, &ephemeral).map_err(forged)?;
    let pending = match pattern {
        Pattern::Ik => {
            let (anonymous, id) = (read_hello(payload)?, proved_id(&noise)?);
            let split = noise.split().ok_or(DropReason::HandshakeForged)?;
            Pending::Data {
                session: Box::new(Session::new(&split, false, index, header.index, now)),
                id,
                anonymous,
            }
        }
        Pattern::Xx => Pending::Third(Box::new(Third {
            noise,
            first: *header,
            message: message.to_vec(),
            ephemeral,
            forgeries: 0,
        })),
    };
    let header = Header {
        kind,
        index: header.index,
        counter: index.into(),
    };
    Ok((datagram(header, &[&reply]), pending))
}

fn forged(_: NoiseError) -> DropReason {
    DropReason::HandshakeForged
}

/// A responder that has read the first message and written the second; what it read, and what it wrote.
fn answer(
    primitives: &'static dyn Primitives,
    pattern: Pattern,
    secret: &Secret,
    header: &Header,
    message: &[u8],
    ephemeral: &Secret,
) -> Result<(Noise, Vec<u8>, Vec<u8>), NoiseError> {
    let prologue = prologue(&header.encode());
    let mut noise = Noise::responder(primitives, pattern, &prologue, secret, ephemeral)?;
    let payload = noise.read(message)?;
    let mut reply = Vec::new();
    noise.write(&hello(false), &mut reply)?;
    Ok((noise, payload, reply))
}

impl Third {
    /// Reads XX-3. A forgery leaves all as it was, but for a few that only who sees the handshake could send.
    // PROTOCOL 2.2
    pub(crate) fn conclude(
        &mut self,
        secret: &Secret,
        header: &Header,
        message: &[u8],
        now: Time,
    ) -> Result<(Session, PeerId), DropReason> {
        let Ok(payload) = self.noise.read(message) else {
            if self.forgeries < FORGERIES_MAX {
                self.forgeries += 1;
                let again = answer(
                    self.noise.primitives(),
                    Pattern::Xx,
                    secret,
                    &self.first,
                    &self.message,
                    &self.ephemeral,
                );
                (self.noise, ..) = again.map_err(forged)?;
            }
            return Err(DropReason::HandshakeForged);
        };
        open_hello(payload)?;
        let id = proved_id(&self.noise)?;
        let split = self.noise.split().ok_or(DropReason::HandshakeForged)?;
        let session = Session::new(&split, false, header.index, self.first.index, now);
        Ok((session, id))
    }
}
