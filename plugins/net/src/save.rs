//! The address book goes to disk; and what a node does when its app ends.

use crate::desk::{Parts, PartsItem, Save};
use crate::frame::kind;
use crate::link_state::Purpose;
use crate::{CloseReason, FrameOut, PeerId, book_file};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::{Due, Time, bevy_ecs};
use dunlin_io::Io;
use std::path::PathBuf;

/// The file's place and bytes, if this node keeps one.
fn file_of(parts: &mut PartsItem) -> Option<(PathBuf, Vec<u8>)> {
    let path = parts.settings.book.clone()?;
    let mut links: Vec<(Time, PeerId)> = parts
        .links
        .iter()
        .filter(|(_, link)| link.outbound && link.hidden.is_none() && link.over.is_none())
        .filter(|(_, link)| matches!(link.purpose, Purpose::Asked | Purpose::Chosen))
        .filter_map(|(_, link)| Some((link.up()?, link.id?)))
        .collect();
    links.sort_unstable(); // The oldest links have proved most.
    if !links.is_empty() {
        let anchors = links.into_iter().map(|(_, id)| id).collect();
        parts.book.set_anchors(anchors);
    }
    parts.book.take_changed();
    Some((path, book_file::encode(&parts.book)))
}

/// Saves books that changed. In `Maintain`, set `NetSystems::Keep`.
pub(crate) fn save_books(
    mut due: MessageReader<Due<Save>>,
    mut nodes: Query<Parts>,
    io: Option<Res<Io>>,
) {
    for due in due.read() {
        let Ok(mut parts) = nodes.get_mut(due.entity) else {
            continue;
        };
        let Some((path, bytes)) = file_of(&mut parts) else {
            continue;
        };
        let save = move || report(book_file::save(&path, &bytes), &path);
        match &io {
            // A disk may take its time; the engine does not wait for it.
            Some(io) => _ = io.handle().spawn_blocking(save),
            None => save(),
        }
    }
}

fn report(saved: std::io::Result<()>, path: &std::path::Path) {
    if let Err(error) = saved {
        tracing::warn!(path = %path.display(), %error, "cannot save the address book; the one of last time stays");
    }
}

/// At the end: peers are told, and books saved, by this thread, since there is no other time.
pub(crate) fn leave(mut nodes: Query<Parts>, mut frames: MessageWriter<FrameOut>) {
    let mut all: Vec<Entity> = nodes.iter().map(|parts| parts.node).collect();
    all.sort_unstable();
    for node in all {
        let Ok(mut parts) = nodes.get_mut(node) else {
            continue;
        };
        for (peer, link) in parts.links.iter() {
            if link.is_up() {
                frames.write(FrameOut {
                    peer,
                    kind: kind::CLOSE,
                    body: Bytes::from_static(&[CloseReason::GoingAway as u8]),
                });
            }
        }
        if let Some((path, bytes)) = file_of(&mut parts) {
            report(book_file::save(&path, &bytes), &path);
        }
    }
}
