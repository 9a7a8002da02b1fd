//! Own messages on disk, one file each, whole or not at all.

use crate::disk;
use crate::life;
use crate::limits::FRAGMENTS_MAX;
use crate::outbox::Outbox;
use crate::own_message::{End, OwnMessage, Piece};
use crate::own_packet::OwnPacket;
use crate::packet::{DeleteSecret, MessageId, Packet};
use crate::room::RoomId;
use bytes::Bytes;
use dunlin_engine::Time;
use dunlin_net::{ADDRESS_BYTES, PeerId, decode_address, encode_address};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"dunlin message 1";
/// Of a message in fragments.
const MAGIC_FRAGMENTS: &[u8; 16] = b"dunlin message 2";
/// Of larger content: its manifest, or a part of it.
const MAGIC_CONTENT: &[u8; 16] = b"dunlin message 3";
/// To a room: the room's id, then as one in fragments, however many there are.
const MAGIC_ROOM: &[u8; 16] = b"dunlin roommsg 1";
const CHECK_BYTES: usize = 16;
const EXTENSION: &str = "message";
/// Ended messages are forgotten so long after they expired.
const KEPT_MS: u64 = 7 * 86_400_000;

fn path(dir: &Path, id: MessageId) -> PathBuf {
    dir.join(format!("{id}.{EXTENSION}"))
}

/// Writes a message in place of what was there of it. It is on disk when this returns.
pub(crate) fn save(dir: &Path, id: MessageId, message: &OwnMessage) -> io::Result<()> {
    disk::replace(&path(dir, id), &encode(id, message))
}

/// Removes a message's file, if there is one.
pub(crate) fn remove(dir: &Path, id: MessageId) -> io::Result<()> {
    match fs::remove_file(path(dir, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The same, and it stays removed even if the power fails.
pub(crate) fn remove_for_good(dir: &Path, id: MessageId) -> io::Result<()> {
    remove(dir, id)?;
    disk::sync_folder(&path(dir, id))
}

/// Reads all messages of a folder, which it makes if there is none. A file that is not whole is left where it is, and named.
pub(crate) fn load(
    dir: &Path,
    outbox: &mut Outbox,
    now: Time,
    unix_ms: u64,
) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let mut damaged = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != EXTENSION)
        {
            continue;
        }
        let Some((id, message)) = decode(fs::read(&path)?, now) else {
            damaged.push(path);
            continue;
        };
        let packet = &message.head().packet;
        let expiry = life::expiry_ms(packet.day(), packet.expiry_hours());
        if message.end.is_some() && unix_ms > expiry + KEPT_MS {
            remove(dir, id)?;
        } else if let Some(oldest) = outbox.add(id, message) {
            remove(dir, oldest)?;
        }
    }
    for orphan in outbox.take_orphans() {
        remove(dir, orphan)?;
    }
    damaged.sort(); // A folder is read in any order.
    Ok(damaged)
}

pub(crate) fn encode(id: MessageId, message: &OwnMessage) -> Vec<u8> {
    let whole = message.parts.len() == 1 && message.piece == Piece::None && message.room.is_none();
    let mut bytes = match (message.piece, message.room) {
        (_, Some(room)) => [&MAGIC_ROOM[..], &room.0].concat(),
        (Piece::None, _) if whole => MAGIC.to_vec(),
        // Records are kept with the prekeys, and never come here.
        (Piece::None | Piece::Record, _) => MAGIC_FRAGMENTS.to_vec(),
        (Piece::Manifest { parts }, _) => {
            [MAGIC_CONTENT, &[0; 17][..], &parts.to_le_bytes()].concat()
        }
        (Piece::Part { of, number }, _) => {
            [MAGIC_CONTENT, &[1][..], &of.0, &number.to_le_bytes()].concat()
        }
    };
    bytes.extend(id.0);
    bytes.extend(message.to.as_bytes());
    bytes.extend(message.created_ms.to_le_bytes());
    match &message.end {
        None => bytes.push(0),
        Some(End::Delivered(secret)) => {
            bytes.push(1);
            bytes.extend(secret.as_bytes());
        }
        Some(End::Expired) => bytes.push(2),
    }
    for part in &message.parts {
        bytes.extend((part.stored.len() as u16).to_le_bytes()); // The book has at most 1,536 peers.
        for (carrier, address) in &part.stored {
            bytes.extend(carrier.as_bytes());
            bytes.extend(encode_address(*address));
        }
        if !whole {
            bytes.push(u8::from(part.ended));
            match &part.secret {
                None => bytes.extend([0; 17]),
                Some(secret) => {
                    bytes.push(1);
                    bytes.extend(secret.as_bytes());
                }
            }
            bytes.extend((part.packet.bytes().len() as u16).to_le_bytes()); // 320 or 1,088.
        }
        bytes.extend_from_slice(part.packet.bytes());
    }
    let check = blake3::hash(&bytes);
    bytes.extend(&check.as_bytes()[..CHECK_BYTES]);
    bytes
}

pub(crate) fn decode(bytes: Vec<u8>, now: Time) -> Option<(MessageId, OwnMessage)> {
    let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if blake3::hash(body).as_bytes()[..CHECK_BYTES] != *check {
        return None;
    }
    let (magic, rest) = body.split_first_chunk::<16>()?;
    let (piece, room, rest) = match magic {
        MAGIC | MAGIC_FRAGMENTS => (Piece::None, None, rest),
        MAGIC_CONTENT => {
            let (piece, rest) = piece(rest)?;
            (piece, None, rest)
        }
        MAGIC_ROOM => {
            let (room, rest) = rest.split_first_chunk()?;
            (Piece::None, Some(RoomId(*room)), rest)
        }
        _ => return None,
    };
    let whole = magic == MAGIC;
    let (id, rest) = rest.split_first_chunk()?;
    let (to, rest) = rest.split_first_chunk()?;
    let (created_ms, rest) = rest.split_first_chunk()?;
    let (end, mut rest) = rest.split_first()?; // What follows depends on it.
    let end = match end {
        0 => None,
        1 => {
            let (secret, after) = rest.split_first_chunk()?;
            rest = after;
            Some(End::Delivered(DeleteSecret::new(*secret)))
        }
        2 => Some(End::Expired),
        _ => return None,
    };
    let to = PeerId::from_bytes(*to).ok()?;
    let mut parts = Vec::new();
    while !rest.is_empty() && parts.len() <= FRAGMENTS_MAX {
        parts.push(part(&mut rest, whole, now)?);
    }
    if !rest.is_empty() || parts.is_empty() {
        return None;
    }
    let mut message = OwnMessage::new(to, parts, u64::from_le_bytes(*created_ms), now);
    (message.end, message.piece, message.room) = (end, piece, room);
    message.ask_first(now);
    Some((MessageId(*id), message))
}

/// What it is to larger content, and what follows.
fn piece(rest: &[u8]) -> Option<(Piece, &[u8])> {
    let (&[what], rest) = rest.split_first_chunk()?;
    let (of, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (of, number) = (MessageId(*of), u16::from_le_bytes(*number));
    let piece = match what {
        0 if of.0 == [0; 16] => Piece::Manifest { parts: number },
        1 => Piece::Part { of, number },
        _ => return None,
    };
    Some((piece, rest))
}

/// One packet and who has it; leaves what follows.
fn part(rest: &mut &[u8], whole: bool, now: Time) -> Option<OwnPacket> {
    let (count, mut left) = rest.split_first_chunk()?;
    let mut stored = Vec::new();
    for _ in 0..u16::from_le_bytes(*count) {
        let (carrier, after) = left.split_first_chunk()?;
        let (address, after) = after.split_first_chunk::<ADDRESS_BYTES>()?;
        stored.push((PeerId::from_bytes(*carrier).ok()?, decode_address(address)?));
        left = after;
    }
    let (mut ended, mut secret, mut bytes) = (false, None, left.len());
    if !whole {
        let (&[flag, has_secret], after) = left.split_first_chunk()?;
        let (shown, after) = after.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        secret = (has_secret != 0).then(|| DeleteSecret::new(*shown));
        (ended, bytes, left) = (flag != 0, u16::from_le_bytes(*length).into(), after);
    }
    let (packet, left) = left.split_at_checked(bytes)?;
    *rest = left;
    let mut part = OwnPacket::new(Packet::parse(Bytes::copy_from_slice(packet)).ok()?, now);
    (part.ended, part.secret) = (ended, secret);
    part.stored.extend(stored);
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_message::State;
    use crate::packet::{Class, Tag};
    use dunlin_net::Identity;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const ID: MessageId = MessageId([9; 16]);
    const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;

    fn message(end: Option<End>) -> OwnMessage {
        let packet = crate::packet::tests::packet(Class::Large, Tag([3; 16]), 20_000, 7);
        let peer = |n| Identity::generate(&mut ChaCha20Rng::seed_from_u64(n)).id();
        let mut message = OwnMessage::new(
            peer(0),
            vec![OwnPacket::new(packet, Time::ZERO)],
            NOON,
            Time::ZERO,
        );
        message.end = end;
        let address = "127.0.0.1:9000".parse().unwrap();
        message.parts[0]
            .stored
            .extend([(peer(1), address), (peer(2), address)]);
        message
    }

    #[test]
    fn a_message_is_there_after_a_restart_with_all_that_is_known_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let secret = DeleteSecret::new([7; 16]);
        for (end, state) in [
            (None, State::Stored(2)),
            (Some(End::Delivered(secret)), State::Delivered),
            (Some(End::Expired), State::Expired),
        ] {
            let message = message(end);
            save(dir.path(), ID, &message).unwrap();
            let mut outbox = Outbox::default();
            assert!(
                load(dir.path(), &mut outbox, Time::ZERO, NOON)
                    .unwrap()
                    .is_empty()
            );
            let again = outbox.get(ID).unwrap();
            assert_eq!(again.state(), state);
            assert_eq!((again.to, again.created_ms), (message.to, NOON));
            assert_eq!(again.head().packet, message.head().packet);
            assert_eq!(again.stored(), message.stored());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_message_in_fragments_comes_back_with_all_of_them() {
        let mut own = message(None);
        let address = "127.0.0.1:9000".parse().unwrap();
        for n in 1..=FRAGMENTS_MAX as u8 {
            let tag = Tag([n; 16]);
            let packet = crate::packet::tests::packet(Class::Large, tag, 20_000, n);
            let mut part = OwnPacket::new(packet, Time::ZERO);
            part.ended = n % 2 == 0;
            part.secret = Some(DeleteSecret::new([n; 16]));
            let carriers = (0..n % 3).map(|n| (own.to, n)).map(|(to, _)| (to, address));
            part.stored.extend(carriers);
            own.parts.push(part);
        }
        let (id, again) = decode(encode(ID, &own), Time::ZERO).unwrap();
        assert_eq!((id, again.parts.len()), (ID, 65));
        for (a, b) in own.parts.iter().zip(&again.parts) {
            assert_eq!((&a.packet, a.ended), (&b.packet, b.ended));
            assert_eq!(a.stored, b.stored);
            let secret = |part: &OwnPacket| part.secret.as_ref().map(|secret| *secret.as_bytes());
            assert_eq!(secret(a), secret(b));
        }
        // One more than any message has is none of ours.
        own.parts
            .push(OwnPacket::new(own.parts[1].packet.clone(), Time::ZERO));
        assert!(decode(encode(ID, &own), Time::ZERO).is_none());
    }

    #[test]
    fn a_message_to_a_room_comes_back_with_the_room_and_what_ends_it() {
        let mut own = message(None);
        own.room = Some(RoomId([5; 16]));
        own.parts[0].secret = Some(DeleteSecret::new([7; 16]));
        let (id, again) = decode(encode(ID, &own), Time::ZERO).unwrap();
        assert_eq!((id, again.room()), (ID, Some(RoomId([5; 16]))));
        let secret = again.parts[0].secret.as_ref().unwrap();
        assert_eq!(secret.as_bytes(), &[7; 16]);
        assert_eq!(again.stored(), own.stored());
        assert!(
            decode(encode(ID, &message(None)), Time::ZERO)
                .unwrap()
                .1
                .room()
                .is_none()
        );
    }

    #[test]
    fn a_file_that_is_not_whole_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), ID, &message(None)).unwrap();
        let path = path(dir.path(), ID);
        let whole = fs::read(&path).unwrap();
        for cut in [0, 15, 100, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            let damaged = load(dir.path(), &mut Outbox::default(), Time::ZERO, NOON).unwrap();
            assert_eq!(damaged, std::slice::from_ref(&path));
        }
        for bit in (0..whole.len() * 8).step_by(97) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(bytes, Time::ZERO).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), ID, &message(Some(End::Expired))).unwrap();
        let mut outbox = Outbox::default();
        let long_after = NOON + 22 * 86_400_000;
        load(dir.path(), &mut outbox, Time::ZERO, long_after).unwrap();
        assert!(outbox.get(ID).is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn on_a_full_disk_a_message_keeps_the_file_that_it_has() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), ID, &message(None)).unwrap();
        // What is written beside it goes where there is no space.
        let beside = path(dir.path(), ID).with_extension("new");
        std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
        let error = save(dir.path(), ID, &message(Some(End::Expired))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut outbox = Outbox::default();
        load(dir.path(), &mut outbox, Time::ZERO, NOON).unwrap();
        assert_eq!(outbox.get(ID).unwrap().state(), State::Stored(2));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let error = save(&gone, ID, &message(None)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
