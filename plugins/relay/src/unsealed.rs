//! Messages that are not sealed yet: first it is looked whether there are prekeys for who gets them. PROTOCOL 4.5

use crate::card::Card;
use crate::errands::Errands;
use crate::head::{Head, Kind};
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::limits::{MESSAGE_BYTES_MAX, UNSEALED_MAX};
use crate::manifest::Manifest;
use crate::messages::Work;
use crate::nodes::refused;
use crate::outbox::Outbox;
use crate::outbox_disk;
use crate::own_message::OwnMessage;
use crate::pack::{self, PackTimer, Packing};
use crate::prekey_search::PrekeyBook;
use crate::seal::{Envelope, Recipient, seal};
use crate::send::{SentReply, forget, not_kept};
use crate::settings::RelaySettings;
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{CallError, ClockError, Now, Random, Reply, Responder, Timers};
use dunlin_net::Identity;
use std::collections::BTreeSet;

/// A message that waits, an entity of its own.
#[derive(Component)]
pub(crate) struct Unsealed {
    pub(crate) node: Entity,
    pub(crate) card: Card,
    pub(crate) name: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) expiry_hours: u16,
    pub(crate) answer: Option<Responder>,
}

/// How many bytes of a node wait here, unless there are too many messages already.
pub(crate) fn room(all: &Query<&Unsealed>, node: Entity) -> Result<usize, CallError> {
    let mine = || all.iter().filter(|unsealed| unsealed.node == node);
    if mine().count() >= UNSEALED_MAX {
        let text = format!("{UNSEALED_MAX} messages wait to be sealed already: try again soon");
        return Err(CallError::new("busy", text));
    }
    Ok(mine().map(|unsealed| unsealed.body.len()).sum())
}

type Sealer<'a> = (
    (&'a Identity, &'a RelaySettings),
    (&'a mut Outbox, &'a mut PrekeyBook, &'a mut Errands),
    &'a Carriers,
    &'a mut Random,
    Option<&'a ClockError>,
);

/// Looks for prekeys, and seals what need not wait any more.
pub(crate) fn seal_waiting(
    mut all: Query<(Entity, &mut Unsealed)>,
    mut nodes: Query<Sealer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut work: MessageWriter<Work>,
    mut commands: Commands,
) {
    let searching: BTreeSet<Entity> = all.iter().map(|(_, unsealed)| unsealed.node).collect();
    for node in searching {
        let Ok((_, (_, mut book, mut errands), carriers, ..)) = nodes.get_mut(node) else {
            continue;
        };
        let may_reach = |carrier: &_| errands.may_reach(carrier, now.time);
        for (carrier, task) in book.poll(now.time, carriers.list(), may_reach) {
            errands.add(carrier, task, now.time);
        }
    }
    let mut waiting: Vec<_> = all.iter_mut().collect();
    waiting.sort_by_key(|(entity, _)| *entity);
    for (entity, mut unsealed) in waiting {
        let Ok((own, (mut outbox, book, _), _, mut random, clock)) = nodes.get_mut(unsealed.node)
        else {
            commands.entity(entity).despawn(); // Its node has gone.
            continue;
        };
        let unix_ms = now.unix_ms_of(clock);
        let Some(prekey) = book.of(&unsealed.card.id(), day_of(unix_ms), now.time) else {
            continue;
        };
        commands.entity(entity).despawn();
        let Some(answer) = unsealed.answer.take() else {
            continue;
        };
        let times = (unix_ms, now.time);
        match unsealed.seal(own, &mut outbox, prekey, &mut random, times) {
            Ok(Sealing::Done(reply)) => answer.answer(Ok(reply)),
            Ok(Sealing::Parts(mut packing)) => {
                packing.answer = Some(answer);
                let packing = commands.spawn(*packing).id();
                timers.set::<PackTimer>(packing, now.time);
            }
            Err(error) => answer.answer(Err(error)),
        }
        work.write(Work {
            node: unsealed.node,
        });
    }
}

enum Sealing {
    Done(Reply),
    Parts(Box<Packing>),
}

impl Unsealed {
    fn seal(
        &self,
        (identity, settings): (&Identity, &RelaySettings),
        outbox: &mut Outbox,
        prekey: Option<[u8; 32]>,
        random: &mut Random,
        (unix_ms, now): (u64, dunlin_engine::Time),
    ) -> Result<Sealing, CallError> {
        let refuse = |error: &dyn std::error::Error| refused("message", error);
        let day = day_of(unix_ms);
        let envelope = Envelope {
            tag: self.card.mailbox().tag(day),
            day,
            expiry_hours: self.expiry_hours,
        };
        let to = Recipient {
            id: self.card.id(),
            prekey,
        };
        let name = self.name.clone();
        if self.body.len() > MESSAGE_BYTES_MAX {
            let manifest =
                Manifest::of(name, unix_ms, &self.body).map_err(|error| refuse(&error))?;
            let own = (self.node, identity);
            let content = (manifest, self.body.clone());
            let packing = pack::begin(own, to, envelope, content, random, now);
            return Ok(Sealing::Parts(Box::new(
                packing.map_err(|error| refuse(&error))?,
            )));
        }
        let head = Head {
            kind: name.map_or(Kind::Text, Kind::File),
            sent_at_ms: unix_ms,
            message: self.body.to_vec(),
        };
        let sealed = seal(identity, to, envelope, &head, &mut random.0);
        let sealed = sealed.map_err(|error| refuse(&error))?;
        let reply = SentReply {
            id: sealed.message.to_string(),
            packet: sealed.packet.id().to_string(),
            bytes: 0,
            forward_secret: prekey.is_some(),
        };
        let id = sealed.message;
        let message = OwnMessage::of(to.id, sealed, unix_ms, now);
        let bytes = message.bytes();
        if let Some(dir) = &settings.outbox {
            outbox_disk::save(dir, id, &message).map_err(|error| not_kept(dir, &error))?;
        }
        let oldest = outbox.add(id, message);
        if let (Some(oldest), Some(dir)) = (oldest, &settings.outbox) {
            forget(dir, oldest);
        }
        Reply::of(SentReply { bytes, ..reply }).map(Sealing::Done)
    }
}
