//! Sending larger content: its manifest is sealed at once, and its parts one a turn, so that nothing else waits for them. PROTOCOL 3.9

use crate::head::{Head, Kind};
use crate::limits::{MESSAGE_BYTES_MAX, PACKINGS_MAX};
use crate::manifest::Manifest;
use crate::messages::Work;
use crate::nodes::refused;
use crate::outbox::Outbox;
use crate::outbox_disk;
use crate::own_message::{OwnMessage, Piece};
use crate::packet::{MessageId, Token};
use crate::seal::{Envelope, Recipient, SealError, seal, seal_manifest};
use crate::send::{self, SentReply};
use crate::settings::RelaySettings;
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{CallError, Due, Now, Random, Reply, Responder, Time, Timers};
use dunlin_net::Identity;

/// Fires when the next part is to be sealed.
pub(crate) struct PackTimer;

/// Content of which parts are still to be sealed. It counts as sent, and leaves, once all of them are.
#[derive(Component)]
pub(crate) struct Packing {
    node: Entity,
    to: Recipient,
    envelope: Envelope,
    manifest: Manifest,
    content: Bytes,
    id: MessageId,
    own: Option<OwnMessage>,
    tokens: Vec<Token>,
    parts: Vec<(MessageId, OwnMessage)>,
    pub(crate) answer: Option<Responder>,
}

/// Begins with content of `bytes` that no message holds.
pub(crate) fn begin(
    (node, from): (Entity, &Identity),
    to: Recipient,
    envelope: Envelope,
    (manifest, content): (Manifest, Bytes),
    random: &mut Random,
    now: Time,
) -> Result<Packing, SealError> {
    let sealed = seal_manifest(from, to, envelope, &manifest, &mut random.0)?;
    let (message, tokens) = (sealed.message, sealed.parts.clone());
    let mut own = OwnMessage::of(to.id, sealed, manifest.sent_at_ms, now);
    let parts = tokens.len() as u16; // At most 256.
    own.piece = Piece::Manifest { parts };
    Ok(Packing {
        node,
        to,
        envelope,
        manifest,
        content,
        id: message,
        own: Some(own),
        tokens,
        parts: Vec::new(),
        answer: None,
    })
}

/// How many bytes a node has not sealed yet, unless it packs too much already.
pub(crate) fn room(packings: &Query<&Packing>, node: Entity) -> Result<usize, CallError> {
    let mine = || packings.iter().filter(|packing| packing.node == node);
    if mine().count() >= PACKINGS_MAX {
        let text = format!("{PACKINGS_MAX} contents are being sealed already: try again soon");
        return Err(CallError::new("busy", text));
    }
    Ok(mine().map(|packing| packing.content.len()).sum())
}

impl Packing {
    /// Seals the next part, and writes it down if there is a folder for it.
    fn seal_next(
        &mut self,
        (from, settings): (&Identity, &RelaySettings),
        random: &mut Random,
        now: Time,
    ) -> Result<(), CallError> {
        let number = self.parts.len();
        let from_byte = number * MESSAGE_BYTES_MAX;
        let to_byte = from_byte + self.manifest.part_bytes(number);
        let head = Head {
            kind: Kind::Part,
            sent_at_ms: self.manifest.sent_at_ms,
            message: self.content[from_byte..to_byte].to_vec(),
        };
        let tag = self.tokens[number].tag();
        let envelope = Envelope {
            tag,
            ..self.envelope
        };
        let sealed = seal(from, self.to, envelope, &head, &mut random.0)
            .map_err(|error| refused("message", &error))?;
        let id = sealed.message;
        let mut own = OwnMessage::of(self.to.id, sealed, self.manifest.sent_at_ms, now);
        own.piece = Piece::Part {
            of: self.id,
            number: number as u16, // At most 256.
        };
        if let Some(dir) = &settings.outbox {
            outbox_disk::save(dir, id, &own).map_err(|error| send::not_kept(dir, &error))?;
        }
        self.parts.push((id, own));
        Ok(())
    }

    /// All parts are on disk: the manifest follows, and with it all counts as sent.
    fn finish(
        &mut self,
        settings: &RelaySettings,
        outbox: &mut Outbox,
    ) -> Result<Option<Reply>, CallError> {
        let Some(manifest) = &self.own else {
            return Ok(None); // It was finished before.
        };
        if let Some(dir) = &settings.outbox {
            outbox_disk::save(dir, self.id, manifest)
                .map_err(|error| send::not_kept(dir, &error))?;
        }
        let parts = self.parts.iter().map(|(_, part)| part.bytes());
        let reply = Reply::of(SentReply {
            id: self.id.to_string(),
            packet: manifest.packet_id().to_string(),
            bytes: parts.sum::<usize>() + manifest.bytes(),
            forward_secret: self.to.prekey.is_some(),
        })?;
        for (part, own) in self.parts.drain(..) {
            outbox.add(part, own);
        }
        let oldest = self.own.take().and_then(|own| outbox.add(self.id, own));
        if let (Some(oldest), Some(dir)) = (oldest, &settings.outbox) {
            send::forget(dir, oldest);
        }
        Ok(Some(reply))
    }
}

type Packer<'a> = (
    &'a Identity,
    &'a RelaySettings,
    &'a mut Outbox,
    &'a mut Random,
);

pub(crate) fn pack_parts(
    mut due: MessageReader<Due<PackTimer>>,
    mut packings: Query<&mut Packing>,
    mut nodes: Query<Packer>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
    mut work: MessageWriter<Work>,
    mut commands: Commands,
) {
    for Due { entity, .. } in due.read() {
        let Ok(mut packing) = packings.get_mut(*entity) else {
            continue;
        };
        let Ok((identity, settings, mut outbox, mut random)) = nodes.get_mut(packing.node) else {
            commands.entity(*entity).despawn(); // Its node has gone.
            continue;
        };
        let own = (identity, settings);
        let done = if packing.parts.len() < packing.tokens.len() {
            packing.seal_next(own, &mut random, now.time).map(|()| None)
        } else {
            packing.finish(settings, &mut outbox)
        };
        let answer = match done {
            Ok(None) => {
                timers.set::<PackTimer>(*entity, now.time);
                continue;
            }
            Ok(Some(reply)) => Ok(reply),
            Err(error) => {
                // Nothing of it was sent, and nothing of it stays.
                for (part, _) in &packing.parts {
                    if let Some(dir) = &settings.outbox {
                        send::forget(dir, *part);
                    }
                }
                Err(error)
            }
        };
        if let Some(responder) = packing.answer.take() {
            responder.answer(answer);
        }
        work.write(Work { node: packing.node });
        commands.entity(*entity).despawn();
    }
}
