//! The application has a message durably and says so; from then on the carriers hear of it. The call `relay.confirm`.

use crate::arrive::part_mark;
use crate::cache::Cache;
use crate::collector::Collector;
use crate::errands::Errands;
use crate::inbox::Inbox;
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::limits::{PART_PLACES, PLACES};
use crate::messages::{PacketGone, Work};
use crate::nodes::{NodeName, Nodes, failed, refused};
use crate::packet::MessageId;
use crate::placement::nearest;
use crate::receipts::Receipts;
use crate::seen::Seen;
use crate::task::Task;
use crate::tombstones::Tombstones;
use crate::topic::Topic;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, ClockError, Now, Params};
use serde::Deserialize;

/// What `relay.confirm` takes: the id of a message that the application now has durably.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmParams {
    id: String,
    #[serde(default)]
    node: NodeName,
}

impl Params for ConfirmParams {}

type Confirmer<'a> = (
    (
        &'a mut Inbox,
        &'a mut Collector,
        &'a mut Seen,
        &'a mut Receipts,
    ),
    (&'a mut Cache, &'a mut Tombstones),
    (&'a Carriers, &'a mut Errands),
    Option<&'a ClockError>,
);

/// Only from here on receipts go out: a message that the application lost before would be lost for good.
// PROTOCOL 4.3
pub(crate) fn call_confirm(
    In(call): In<Call<ConfirmParams>>,
    names: Nodes,
    mut nodes: Query<Confirmer>,
    now: Res<Now>,
    mut gone: MessageWriter<PacketGone>,
    mut work: MessageWriter<Work>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let message: MessageId = call
        .params
        .id
        .parse()
        .map_err(|error| refused("id", &error))?;
    let (own, (mut cache, mut tombstones), (carriers, mut errands), clock) =
        nodes.get_mut(node).map_err(|error| failed(&error))?;
    let (mut inbox, mut collector, mut seen, mut receipts) = own;
    let Some(id) = inbox.find(message) else {
        let text = format!(
            "no message {message} waits to be confirmed: it was confirmed before, or never came"
        );
        return Err(CallError::new("id", text));
    };
    let today = day_of(now.unix_ms_of(clock));
    let part = inbox.part(id);
    let mark = part.map_or(id, part_mark);
    seen.insert(mark, today).map_err(|error| {
        let text = format!("it was not confirmed, since that cannot be written down: {error}");
        CallError::new("disk", text)
    })?;
    match part {
        Some(tag) => collector.had(tag, now.time),
        None => collector.end(id),
    }
    if let Some(received) = inbox.take(id) {
        // The head's last: to its sender that is the proof for all of it.
        let fragments = received.fragments.iter();
        let fragments = fragments.map(|part| (part.id, part.tag, &part.secret, &part.carriers));
        let head = (id, received.tag, &received.secret, &received.carriers);
        let sender = Some(received.from).filter(|from| errands.is_direct(from));
        for (id, tag, secret, brought_by) in fragments.chain([head]) {
            // PROTOCOL 4.8
            if let Some(sender) = sender {
                let (secret, topic) = (secret.clone(), Topic::Direct);
                errands.add(sender, Task::Receipt { id, secret, topic }, now.time);
            }
            let is_fragment = tag != received.tag;
            let places = match part {
                Some(_) if is_fragment => PART_PLACES,
                _ => PLACES,
            };
            let all = carriers.list().iter();
            let reached = all.filter(|carrier| errands.may_reach(&carrier.id, now.time));
            // Its places may be any half of these.
            let nearest = nearest(tag, reached, 2 * places);
            let nearest = nearest.iter().map(|carrier| carrier.id);
            let told = brought_by.iter().copied().chain(nearest);
            receipts.tell((id, part.is_some()), secret, told, now.time);
            // We may be a carrier of it ourselves, and its sender may ask us.
            if cache.remove(id) {
                tombstones.insert(id, secret.clone(), now.time);
                gone.write(PacketGone { node, id });
            }
        }
        let first = received.fragments.iter().map(|part| part.id);
        receipts.hold(id, first.collect());
    }
    work.write(Work { node });
    Answer::of(())
}
