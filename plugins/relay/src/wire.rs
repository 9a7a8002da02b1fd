//! Frames to bytes and back. PROTOCOL 2.3

use crate::answers::{Known, Outcome, Reason};
use crate::fields::{BadFrame, Fields};
use crate::frames::*;
use crate::limits::FOUND_MAX;
use crate::packet::DeleteSecret;
use crate::rows;
use bytes::Bytes;
use dunlin_net::PeerRow;

const FOUND_COUNT_MAX: u8 = FOUND_MAX as u8;

impl Frame {
    /// The type and the body.
    pub(crate) fn encode(&self) -> (u8, Bytes) {
        let mut body = Vec::with_capacity(128);
        let kind = match self {
            Frame::Deposit { request, packet } => {
                body.reserve_exact(packet.bytes().len());
                body.extend(request.to_le_bytes());
                body.push(0);
                body.extend_from_slice(packet.bytes());
                DEPOSIT
            }
            Frame::Deposited {
                request,
                outcome,
                price,
                id,
            } => {
                body.extend(request.to_le_bytes());
                body.extend([*outcome as u8, *price]);
                body.extend(id.0);
                DEPOSITED
            }
            Frame::Fetch {
                request,
                claim,
                after,
            } => {
                body.extend(request.to_le_bytes());
                claim.encode(&mut body);
                body.extend(after.0);
                FETCH
            }
            Frame::Fetched {
                request,
                left,
                packet,
            } => {
                body.extend(request.to_le_bytes());
                body.extend(left.to_le_bytes());
                if let Some(packet) = packet {
                    body.extend_from_slice(packet.bytes());
                }
                FETCHED
            }
            Frame::Subscribe { request, claim } => {
                body.extend(request.to_le_bytes());
                claim.encode(&mut body);
                SUBSCRIBE
            }
            Frame::Subscribed { request } => {
                body.extend(request.to_le_bytes());
                SUBSCRIBED
            }
            Frame::Pushed { packet } => return (PUSHED, packet.bytes().clone()),
            Frame::Receipt {
                request,
                id,
                secret,
            } => {
                body.extend(request.to_le_bytes());
                body.extend(id.0);
                body.extend(secret.as_bytes());
                RECEIPT
            }
            Frame::Ended { request, id } => {
                body.extend(request.to_le_bytes());
                body.extend(id.0);
                ENDED
            }
            Frame::Ask { request, id } => {
                body.extend(request.to_le_bytes());
                body.extend(id.0);
                ASK
            }
            Frame::Answer { request, id, known } => {
                body.extend(request.to_le_bytes());
                body.extend(id.0);
                match known {
                    Known::Unknown => body.push(0),
                    Known::Kept => body.push(1),
                    Known::Ended(secret) => {
                        body.push(3);
                        body.extend(secret.as_bytes());
                    }
                }
                ANSWER
            }
            Frame::Find {
                request,
                target,
                count,
            } => {
                body.extend(request.to_le_bytes());
                body.extend(target);
                body.push(*count);
                FIND
            }
            Frame::Found { request, rows } => {
                let rows = &rows[..rows.len().min(FOUND_MAX)];
                body.extend(request.to_le_bytes());
                body.push(rows.len() as u8);
                body.extend(rows.iter().flat_map(PeerRow::encode));
                FOUND
            }
            Frame::List {
                request,
                after,
                until,
            } => {
                body.extend(request.to_le_bytes());
                body.extend(after.0);
                body.extend(until.0);
                LIST
            }
            Frame::Listed {
                request,
                next,
                rows,
            } => {
                body.extend(request.to_le_bytes());
                body.extend(next.0);
                rows::encode(rows, &mut body);
                LISTED
            }
            Frame::Pull { request, id } => {
                body.extend(request.to_le_bytes());
                body.extend(id.0);
                PULL
            }
            Frame::Pulled { request, packet } => {
                body.extend(request.to_le_bytes());
                if let Some(packet) = packet {
                    body.extend_from_slice(packet.bytes());
                }
                PULLED
            }
            Frame::Refused {
                kind,
                reason,
                price,
                request,
            } => {
                body.extend([*kind, *reason as u8, *price, 0]);
                body.extend(request.to_le_bytes());
                REFUSED
            }
        };
        (kind, body.into())
    }

    /// Reads the body of a frame of a type. What stands after the fields is ignored, except after a packet,
    /// whose class says how long it is.
    // PROTOCOL 2.3
    pub(crate) fn decode(kind: u8, body: &Bytes) -> Result<Self, BadFrame> {
        let mut rest = Fields::of(body);
        let frame = match kind {
            DEPOSIT => {
                let request = rest.request()?;
                if rest.byte()? != 0 {
                    return Err(rest.bad(Reason::Unsupported)); // Hints of a later version.
                }
                Frame::Deposit {
                    request,
                    packet: rest.packet()?,
                }
            }
            DEPOSITED => Frame::Deposited {
                request: rest.request()?,
                outcome: match rest.byte()? {
                    1 => Outcome::Stored,
                    2 => Outcome::WasThere,
                    3 => Outcome::WasEnded,
                    _ => return Err(rest.bad(Reason::Malformed)),
                },
                price: rest.byte()?,
                id: rest.id()?,
            },
            FETCH => Frame::Fetch {
                request: rest.request()?,
                claim: rest.claim()?,
                after: rest.id()?,
            },
            FETCHED => Frame::Fetched {
                request: rest.request()?,
                left: u16::from_le_bytes(rest.take()?),
                packet: rest.packet_or_none()?,
            },
            SUBSCRIBE => Frame::Subscribe {
                request: rest.request()?,
                claim: rest.claim()?,
            },
            SUBSCRIBED => Frame::Subscribed {
                request: rest.request()?,
            },
            PUSHED => Frame::Pushed {
                packet: rest.packet()?,
            },
            RECEIPT => Frame::Receipt {
                request: rest.request()?,
                id: rest.id()?,
                secret: DeleteSecret::new(rest.take()?),
            },
            ENDED => Frame::Ended {
                request: rest.request()?,
                id: rest.id()?,
            },
            ASK => Frame::Ask {
                request: rest.request()?,
                id: rest.id()?,
            },
            ANSWER => Frame::Answer {
                request: rest.request()?,
                id: rest.id()?,
                known: match rest.byte()? {
                    0 => Known::Unknown,
                    1 => Known::Kept,
                    3 => Known::Ended(DeleteSecret::new(rest.take()?)),
                    _ => return Err(rest.bad(Reason::Malformed)),
                },
            },
            FIND => Frame::Find {
                request: rest.request()?,
                target: rest.take()?,
                count: match rest.byte()? {
                    count @ 1..=FOUND_COUNT_MAX => count,
                    _ => return Err(rest.bad(Reason::Malformed)),
                },
            },
            FOUND => Frame::Found {
                request: rest.request()?,
                rows: {
                    let count = usize::from(rest.byte()?);
                    let rows =
                        (count <= FOUND_MAX).then(|| PeerRow::decode_all(rest.rest(), count));
                    rows.flatten().ok_or_else(|| rest.bad(Reason::Malformed))?
                },
            },
            LIST => Frame::List {
                request: rest.request()?,
                after: rest.id()?,
                until: rest.id()?,
            },
            LISTED => Frame::Listed {
                request: rest.request()?,
                next: rest.id()?,
                rows: {
                    let rows = rows::decode(rest.rest());
                    rows.ok_or_else(|| rest.bad(Reason::Malformed))?
                },
            },
            PULL => Frame::Pull {
                request: rest.request()?,
                id: rest.id()?,
            },
            PULLED => Frame::Pulled {
                request: rest.request()?,
                packet: rest.packet_or_none()?,
            },
            REFUSED => {
                let [kind, reason, price, reserved] = rest.take()?;
                let reason = Reason::from_number(reason).filter(|_| reserved == 0);
                Frame::Refused {
                    kind,
                    reason: reason.ok_or_else(|| rest.bad(Reason::Malformed))?,
                    price,
                    request: rest.request()?,
                }
            }
            _ => {
                // Every frame with an answer begins with its request, so that a later one very likely does too.
                let request = rest.request().unwrap_or(0);
                return Err(BadFrame {
                    reason: Reason::Unsupported,
                    request,
                });
            }
        };
        Ok(frame)
    }
}
