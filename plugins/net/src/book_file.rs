//! The address book on disk. Written whole beside the old one, then put in its place; read row by row, so that a torn or hostile
//! file costs rows and never the start.

use crate::AddressBook;
use crate::address::{ADDRESS_BYTES, decode_address, encode_address};
use crate::book_row::{Bucket, KnownPeer, Row};
use crate::limits::{BOOK_ANCHORS, BOOK_ROWS_MAX};
use crate::{About, PeerId};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const MAGIC: &[u8; 8] = b"dunbook1";
const HEAD_BYTES: usize = 8 + 32 + BOOK_ANCHORS * 32;
const CHECK_BYTES: usize = 4;
pub(crate) const ROW_BYTES: usize = 32 + ADDRESS_BYTES + 1 + 8 + 8 + 2 + 1;
const FILE_BYTES_MAX: usize = HEAD_BYTES + CHECK_BYTES + BOOK_ROWS_MAX * (ROW_BYTES + CHECK_BYTES);

pub(crate) fn put_checked(out: &mut Vec<u8>, key: &[u8; 32], part: &[u8]) {
    out.extend_from_slice(part);
    out.extend_from_slice(&blake3::keyed_hash(key, part).as_bytes()[..CHECK_BYTES]);
}

fn checked<'a, const N: usize>(bytes: &mut &'a [u8], key: &[u8; 32]) -> Option<&'a [u8; N]> {
    let (part, rest) = bytes.split_first_chunk::<N>()?;
    let (check, rest) = rest.split_first_chunk::<CHECK_BYTES>()?;
    *bytes = rest;
    (blake3::keyed_hash(key, part).as_bytes()[..CHECK_BYTES] == check[..]).then_some(part)
}

/// The file's bytes.
pub(crate) fn encode(book: &AddressBook) -> Vec<u8> {
    let key = book.key().copied().unwrap_or_default();
    let mut out = Vec::with_capacity(HEAD_BYTES + book.len() * (ROW_BYTES + CHECK_BYTES));
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&key);
    for place in 0..BOOK_ANCHORS {
        let anchor = book.anchors().get(place);
        head.extend_from_slice(&anchor.map_or([0; 32], |id| *id.as_bytes()));
    }
    put_checked(&mut out, &key, &head);
    for row in book.rows() {
        let peer = row.peer();
        let mut bytes = Vec::with_capacity(ROW_BYTES);
        bytes.extend_from_slice(peer.id.as_bytes());
        bytes.extend_from_slice(&encode_address(peer.address));
        bytes.push(peer.about.byte());
        bytes.extend_from_slice(&peer.first_heard.to_le_bytes());
        bytes.extend_from_slice(&peer.last_heard.to_le_bytes());
        bytes.extend_from_slice(&match row.bucket {
            Bucket::New(bucket) => [0, bucket],
            Bucket::Tried(bucket) => [1, bucket],
        });
        bytes.push(row.failures);
        put_checked(&mut out, &key, &bytes);
    }
    out
}

/// Reads what can be read; an empty book at worst.
pub(crate) fn decode(mut bytes: &[u8]) -> AddressBook {
    let mut book = AddressBook::default();
    let key = bytes.get(8..40).and_then(|key| key.try_into().ok());
    let Some(key): Option<[u8; 32]> = key else {
        return book;
    };
    let Some(head) = checked::<HEAD_BYTES>(&mut bytes, &key) else {
        return book;
    };
    if &head[..8] != MAGIC {
        return book;
    }
    for _ in 0..BOOK_ROWS_MAX {
        if bytes.len() < ROW_BYTES + CHECK_BYTES {
            break; // The end, or the tear.
        }
        let row = checked::<ROW_BYTES>(&mut bytes, &key);
        if let Some(row) = row.and_then(decode_row) {
            book.restore(key, row);
        }
    }
    let anchors = head[40..].chunks_exact(32).filter_map(|id| {
        let id = PeerId::from_bytes(id.try_into().ok()?).ok()?;
        book.get(&id).map(|peer| peer.id)
    });
    book.set_anchors(anchors.collect());
    book
}

fn decode_row(bytes: &[u8; ROW_BYTES]) -> Option<Row> {
    let (id, rest) = bytes.split_first_chunk::<32>()?;
    let (address, rest) = rest.split_first_chunk::<ADDRESS_BYTES>()?;
    let (about, rest) = rest.split_first()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let (last, rest) = rest.split_first_chunk::<8>()?;
    let &[table, bucket, failures] = rest else {
        return None;
    };
    let peer = KnownPeer {
        id: PeerId::from_bytes(*id).ok()?,
        address: decode_address(address)?,
        about: About::from_byte(*about)?,
        first_heard: u64::from_le_bytes(*first),
        last_heard: u64::from_le_bytes(*last),
    };
    let bucket = match table {
        0 => Bucket::New(bucket),
        1 => Bucket::Tried(bucket),
        _ => return None,
    };
    let mut row = Row::new(&peer, bucket);
    row.failures = failures;
    Some(row)
}

/// Puts the bytes in the file's place, whole: a crash leaves the old file or the new one. Only its owner can read whom we know.
///
/// # Errors
/// What the system says: a full disk, a folder that is not there, a missing right.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Two at once, the last of a run and one before it, must not share a file.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{count}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    let placed = written.and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    placed
}

/// Reads a book; an empty one if there is no file.
///
/// # Errors
/// What the system says, other than that there is none.
pub(crate) fn load(path: &Path) -> io::Result<AddressBook> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(decode(&bytes))
}
