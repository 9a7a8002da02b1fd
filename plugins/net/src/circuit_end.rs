//! How circuits end: at the word of either side, with the links that carry them, or because nobody uses them. PROTOCOL 2.5

use crate::circuit::{End, Hop};
use crate::desk::{Desk, Parts, PartsItem};
use crate::dial::end;
use crate::frame::{Refused, refusal};
use crate::limits::CIRCUIT_LINK_IDLE;
use crate::link_table::Held;
use crate::nested::elsewhere;
use crate::pass::{Why, handle, pass, refuse, say_closed};
use crate::{CloseReason, DownReason, DropReason};
use dunlin_engine::Due;
use dunlin_engine::bevy_ecs::prelude::*;
use std::net::SocketAddr;
/// Timer of a link that was made for circuits: time to see whether it still has any.
pub(crate) struct Unused;

/// The other side of a link ended a circuit.
// PROTOCOL 2.5
pub(crate) fn on_circuit_close(
    parts: &mut PartsItem,
    link: Entity,
    body: &[u8],
    desk: &mut Desk,
) -> Result<(), DropReason> {
    let handle = handle(body)?;
    let why = match body.get(4).ok_or(DropReason::FrameMalformed)? {
        0 => Why::HungUp,
        _ => Why::Lost,
    };
    ended(parts, Hop { link, handle }, why, desk);
    Ok(())
}

/// The other side of a link will not open what we asked for.
pub(crate) fn on_refused(parts: &mut PartsItem, link: Entity, refused: &Refused, desk: &mut Desk) {
    let circuits = parts.links.circuits_mut();
    if matches!(refused.reason, refusal::UNSUPPORTED | refusal::CARRY) {
        circuits.unwilling.insert(link);
    }
    // A peer that knows nothing of circuits names none.
    let all = refused.reason == refusal::UNSUPPORTED && refused.request == 0;
    let is = |hop: Hop| all || hop.handle == refused.request;
    let over: Vec<Hop> = circuits
        .over(link)
        .filter(|(hop, circuit)| is(*hop) && !circuit.asked && !circuit.open)
        .map(|(hop, _)| hop)
        .collect();
    for hop in over {
        ended(parts, hop, Why::Lost, desk);
    }
}

/// A circuit is over on the side of this link; so it is on its other.
fn ended(parts: &mut PartsItem, hop: Hop, why: Why, desk: &mut Desk) {
    let circuits = parts.links.circuits_mut();
    let Some(circuit) = circuits.remove(hop) else {
        return;
    };
    match circuit.end {
        End::Own(nested) => {
            let waits = parts
                .links
                .get(nested)
                .is_some_and(|link| link.opening().is_some());
            let over = match waits {
                true => elsewhere(parts, nested, desk).err(),
                false => Some(why.reason()),
            };
            end_link(parts, nested, over, desk);
        }
        End::Here => {
            let nested = parts
                .links
                .iter()
                .find(|(_, link)| link.is_at(hop.address()));
            if let Some(nested) = nested.map(|(entity, _)| entity) {
                end_link(parts, nested, Some(why.reason()), desk);
            }
        }
        End::On(other) => match circuits.remove(other) {
            Some(circuit) if circuit.asked && !circuit.open => {
                refuse(other, refusal::UNREACHED, desk)
            }
            Some(_) => say_closed(other, why, desk),
            None => {}
        },
        End::Waits { .. } => {}
    }
}

fn end_link(parts: &mut PartsItem, entity: Entity, over: Option<DownReason>, desk: &mut Desk) {
    if let Some(link) = parts.links.get_mut(entity) {
        link.over = link.over.or(over);
        desk.arm(entity, link);
    }
}

/// Ends a circuit on both its sides.
pub(crate) fn close(parts: &mut PartsItem, hop: Hop, desk: &mut Desk) {
    if parts
        .links
        .circuits()
        .is_some_and(|circuits| circuits.get(hop).is_some())
    {
        say_closed(hop, Why::Lost, desk);
        ended(parts, hop, Why::Lost, desk);
    }
}

/// A link is gone, and with it the circuits over it and the one it was nested in.
pub(crate) fn link_down(
    parts: &mut PartsItem,
    entity: Entity,
    address: SocketAddr,
    reason: DownReason,
    desk: &mut Desk,
) {
    if parts.links.circuits().is_none() {
        return;
    }
    if let Some(hop) = Hop::of(address) {
        let circuits = parts.links.circuits_mut();
        if circuits.remove(hop).is_some() {
            say_closed(hop, Why::HungUp, desk);
        }
        return;
    }
    let circuits = parts.links.circuits_mut();
    if reason == DownReason::Unreachable && !circuits.waiting(entity).is_empty() {
        circuits.dialled_in_vain(address, desk.time());
    }
    circuits.forget_link(entity);
    let (over, waiting): (Vec<Hop>, _) = (
        circuits.over(entity).map(|(hop, _)| hop).collect(),
        circuits.waiting(entity),
    );
    for hop in over {
        ended(parts, hop, Why::Lost, desk);
    }
    for (hop, to) in waiting {
        // They may have dialled us meanwhile.
        match parts.links.by_id(&to) {
            Some(link) => pass(parts, hop, link, &to, desk),
            None => {
                parts.links.circuits_mut().remove(hop);
                refuse(hop, refusal::UNREACHED, desk);
            }
        }
    }
}

/// Links that were made for circuits go when they have had none for a while. In `Maintain`, set `NetSystems::Keep`.
pub(crate) fn end_unused(
    mut due: MessageReader<Due<Unused>>,
    holders: Query<&Held>,
    mut nodes: Query<Parts>,
    mut desk: Desk,
) {
    for due in due.read() {
        if let Ok(held) = holders.get(due.entity)
            && let Ok(mut parts) = nodes.get_mut(held.0)
        {
            end_if_unused(&mut parts, due.entity, &mut desk);
        }
    }
}

fn end_if_unused(parts: &mut PartsItem, entity: Entity, desk: &mut Desk) {
    let used = parts.links.circuits().is_some_and(|circuits| {
        circuits.over(entity).next().is_some() || !circuits.waiting(entity).is_empty()
    });
    let Some(link) = parts.links.get_mut(entity) else {
        return;
    };
    // One that they began as well is theirs to end.
    if link.is_up() && !link.initiator() {
        return;
    }
    if used || !link.is_up() || link.has_other_session() {
        let at = desk.time() + CIRCUIT_LINK_IDLE;
        desk.timers.set::<Unused>(entity, at);
        return;
    }
    end(link, entity, CloseReason::Idle, desk);
}
