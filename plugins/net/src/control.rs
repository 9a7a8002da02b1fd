//! The frames that links handle themselves. PROTOCOL 2.3. (Later: 0x10 to 0x1f, NAT traversal.)

use crate::address::{ADDRESS_BYTES, decode_address};
use crate::circuit::Hop;
use crate::data::{Opened, on_pong};
use crate::desk::{Desk, PartsItem, about};
use crate::exchange;
use crate::feel::felt;
use crate::frame::{Frame, Frames, Refused, kind, refusal};
use crate::limits::REFUSED_A_DATAGRAM_MAX;
use crate::link_state::Slot;
use crate::moment::Moment;
use crate::{About, CloseReason, DownReason, DropReason, FrameKinds, circuit_end, pass};
use bytes::Bytes;
use std::net::SocketAddr;

/// Hands out the frames of an opened message.
// PROTOCOL 2.3
pub(crate) fn on_frames(
    parts: &mut PartsItem,
    from: SocketAddr,
    opened: Opened,
    kinds: &FrameKinds,
    desk: &mut Desk,
) {
    let mut refusals = 0;
    for frame in Frames::of(opened.plain.clone()) {
        let Ok(frame) = frame else {
            parts.drops.count(DropReason::FrameOverrun);
            break;
        };
        if parts.links.get(opened.link).is_none() {
            break; // CLOSE stood before it.
        }
        match on_frame(parts, from, &opened, &frame, kinds, desk) {
            Ok(()) => {}
            Err(DropReason::FrameUnknown) if refusals < REFUSED_A_DATAGRAM_MAX => {
                refusals += 1;
                parts.drops.count(DropReason::FrameUnknown);
                refuse(&opened, frame.kind, refusal::UNSUPPORTED, 0, desk);
            }
            Err(reason) => parts.drops.count(reason),
        }
    }
}

fn refuse(opened: &Opened, frame: u8, reason: u8, request: u32, desk: &mut Desk) {
    let refused = Refused {
        frame,
        reason,
        price_bits: 0,
        request,
    };
    desk.frame_out(opened.link, kind::REFUSED, refused.encode());
}

fn on_frame(
    parts: &mut PartsItem,
    from: SocketAddr,
    opened: &Opened,
    frame: &Frame,
    kinds: &FrameKinds,
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let body = &frame.body;
    match frame.kind {
        kind::PADDING => Ok(()),
        kind::PING => {
            first::<4>(body)?;
            desk.frame_out(opened.link, kind::PONG, body.slice(..4));
            desk.note_heard(parts, opened.link);
            Ok(())
        }
        kind::PONG => {
            let id = u32::from_le_bytes(*first(body)?);
            on_pong(parts, opened.link, from, id, desk);
            Ok(())
        }
        kind::OBSERVED => on_observed(parts, opened, body),
        kind::CLOSE => on_close(parts, opened, body, desk),
        kind::PEERS_ASK => match exchange::on_ask(parts, opened.link, body, desk) {
            Err(DropReason::Share) => {
                let request = u32::from_le_bytes(*first(body)?);
                refuse(opened, kind::PEERS_ASK, refusal::SHARE, request, desk);
                Err(DropReason::Share)
            }
            other => other,
        },
        kind::PEERS => exchange::on_peers(parts, opened.link, body, desk),
        kind::ABOUT => on_about(parts, opened, body, desk),
        kind::CIRCUIT_OPEN => pass::on_open(parts, opened.link, body, desk),
        kind::CIRCUIT_OPENED => pass::on_opened(parts, opened.link, body, desk),
        kind::CIRCUIT_DATA => pass::on_circuit(parts, opened.link, body, kinds, desk),
        kind::CIRCUIT_CLOSE => circuit_end::on_circuit_close(parts, opened.link, body, desk),
        kind::REFUSED => {
            let refused = Refused::decode(body).ok_or(DropReason::FrameMalformed)?;
            if refused.frame == kind::CIRCUIT_OPEN {
                circuit_end::on_refused(parts, opened.link, &refused, desk);
            } else if kinds.has(refused.frame) {
                desk.frame_in(parts.node, opened.link, frame.kind, body.clone());
            }
            Ok(())
        }
        kind if kinds.has(kind) => {
            desk.frame_in(parts.node, opened.link, kind, body.clone());
            Ok(())
        }
        kind::SKIPPABLE.. => Ok(()),
        _ => Err(DropReason::FrameUnknown),
    }
}

fn first<const N: usize>(body: &[u8]) -> Result<&[u8; N], DropReason> {
    body.first_chunk().ok_or(DropReason::FrameMalformed)
}

fn on_observed(parts: &mut PartsItem, opened: &Opened, body: &[u8]) -> Result<(), DropReason> {
    let observed = *first::<ADDRESS_BYTES>(body)?;
    decode_address(&observed).ok_or(DropReason::FrameMalformed)?;
    let link = parts
        .links
        .get_mut(opened.link)
        .ok_or(DropReason::NoSession)?;
    link.observed = Some(observed);
    Ok(())
}

/// Only the present session ends a link: an older one that is closed late was replaced already.
fn on_close(
    parts: &mut PartsItem,
    opened: &Opened,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let [reason] = *first::<1>(body)?;
    if opened.slot == Slot::Current {
        let reason = DownReason::Closed(CloseReason::from_byte(reason));
        desk.down(parts, opened.link, reason);
    }
    Ok(())
}

/// What the peer is. Who began the session says so until it is told the same, so a lost datagram costs a repetition.
// PROTOCOL 2.3
fn on_about(
    parts: &mut PartsItem,
    opened: &Opened,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let [flags, reserved] = *first::<2>(body)?;
    let flags = About::from_byte(flags).filter(|_| reserved == 0);
    let flags = flags.ok_or(DropReason::FrameMalformed)?;
    let link = parts
        .links
        .get_mut(opened.link)
        .ok_or(DropReason::NoSession)?;
    if link.about != flags {
        (link.about, link.noted) = (flags, Moment::NONE);
        desk.note_change(parts.node, opened.link);
    }
    let session = link.session_mut(opened.slot);
    if session.is_some_and(|session| session.initiator) {
        link.greeting = None;
    } else {
        let ours = Bytes::copy_from_slice(&about(parts.settings, link));
        let observed = Bytes::copy_from_slice(&crate::encode_address(link.address()));
        desk.frame_out(opened.link, kind::ABOUT, ours);
        if Hop::of(link.address()).is_none() {
            desk.frame_out(opened.link, kind::OBSERVED, observed);
        }
    }
    desk.note_heard(parts, opened.link);
    felt(parts, opened.link, desk);
    Ok(())
}
