//! The call `relay.cancel`: a message under way leaves the outbox, in memory and on disk, and is not placed again. Of one to a
//! room its author has what ends it, so its copies are ended too.

use crate::cache::Cache;
use crate::errands::Errands;
use crate::messages::{PacketGone, Work};
use crate::nodes::{NodeName, Nodes, failed, refused};
use crate::outbox::Outbox;
use crate::outbox_disk;
use crate::packet::MessageId;
use crate::receipts::Receipts;
use crate::settings::RelaySettings;
use crate::task::Task;
use crate::tombstones::Tombstones;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Now, Params};
use dunlin_net::PeerId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which message is not to be sent any more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelParams {
    id: String,
    #[serde(default)]
    node: NodeName,
}

impl Params for CancelParams {}

/// What is known of the copies that were made before, and which nobody can call back.
#[derive(Serialize)]
struct Cancelled {
    id: String,
    carriers: usize,
    /// Whether they are told to end them, as far as they can be reached: of a message to a room.
    ending: bool,
    /// The last of them lose it then, by our clock; theirs may be a day off.
    expires_ms: u64,
}

type Canceller<'a> = (
    (&'a mut Outbox, &'a mut Errands, &'a mut Receipts),
    (&'a mut Cache, &'a mut Tombstones),
    &'a RelaySettings,
);

// PROTOCOL 4.6
pub(crate) fn call_cancel(
    In(call): In<Call<CancelParams>>,
    names: Nodes,
    mut nodes: Query<Canceller>,
    now: Res<Now>,
    mut gone: MessageWriter<PacketGone>,
    mut work: MessageWriter<Work>,
) -> Result<Answer, CallError> {
    let node = names.find(&call.params.node)?;
    let id: MessageId = call
        .params
        .id
        .parse()
        .map_err(|error| refused("id", &error))?;
    let ((mut outbox, mut errands, mut receipts), (mut cache, mut tombstones), settings) =
        nodes.get_mut(node).map_err(|error| failed(&error))?;
    let Some(message) = outbox.get(id) else {
        let text = format!("no message in this outbox has the id {id}");
        return Err(CallError::new("unknown", text));
    };
    if message.has_ended() {
        let how = match message.proof() {
            Some(_) => "was delivered",
            None => "has expired",
        };
        let text = format!("message {id} {how}: there is nothing left to cancel");
        return Err(CallError::new("ended", text));
    }
    let own = outbox.parts_of(id).chain([message]);
    let copies = own.flat_map(|message| &message.parts);
    let carriers: BTreeSet<PeerId> = copies.flat_map(|part| part.holders()).collect();
    let expires_ms = message.expires_ms();
    // The file goes first: a message that is gone from memory alone would be back after a restart.
    if let Some(dir) = &settings.outbox {
        outbox_disk::remove_for_good(dir, id).map_err(|error| {
            let text = format!(
                "message {id} was not cancelled, since it cannot be taken out of {}: {error}",
                dir.display()
            );
            CallError::new("disk", text)
        })?;
    }
    let ending = message.room().is_some();
    let parts = message.parts.iter().filter(|_| ending);
    for part in parts {
        let Some(secret) = &part.secret else {
            continue; // Of a room's messages each packet has one.
        };
        let id = part.packet.id();
        receipts.tell((id, false), secret, part.holders(), now.time);
        // We may be a carrier of it ourselves.
        if cache.remove(id) {
            tombstones.insert(id, secret.clone(), now.time);
            gone.write(PacketGone { node, id });
        }
    }
    outbox.cancel(id);
    errands.cancel(
        |task| matches!(task, Task::Deposit { message, .. } | Task::Ask { message, .. } if *message == id),
    );
    work.write(Work { node });
    Answer::of(Cancelled {
        id: id.to_string(),
        carriers: carriers.len(),
        ending,
        expires_ms,
    })
}
