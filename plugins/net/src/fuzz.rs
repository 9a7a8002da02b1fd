//! Decoders of strangers' bytes as plain functions, for the fuzzers in `tests/fuzz`. Each panics where a decoder breaks its
//! word: what it takes, it gives back.

use crate::book_file::{self, MAGIC, ROW_BYTES, put_checked};
use crate::datagram::Header;
use crate::frame::{Frames, Refused, kind, put};
use crate::limits::{BOOK_ANCHORS, PLAIN_BYTES_MAX};
use crate::{ADDRESS_BYTES, AddressBook, decode_address, encode_address};
use bytes::{Bytes, BytesMut};

/// A datagram's header.
// PROTOCOL 2.1
pub fn datagram(bytes: &[u8]) {
    if let Ok((header, rest)) = Header::decode(bytes) {
        assert_eq!([&header.encode()[..], rest].concat(), bytes);
    }
}

/// The plaintext of a data message, and those of its frames that every link reads.
// PROTOCOL 2.3
pub fn frames(bytes: &[u8]) {
    if bytes.len() > PLAIN_BYTES_MAX {
        return; // No datagram brings so much.
    }
    let mut packed = BytesMut::new();
    let mut overruns = 0;
    for frame in Frames::of(Bytes::copy_from_slice(bytes)) {
        let Ok(frame) = frame else {
            overruns += 1;
            continue;
        };
        put(&mut packed, frame.kind, &frame.body);
        match frame.kind {
            kind::REFUSED => {
                if let Some(refused) = Refused::decode(&frame.body) {
                    assert!(frame.body.starts_with(&refused.encode()));
                }
            }
            kind::OBSERVED => {
                if let Some(body) = frame.body.first_chunk::<ADDRESS_BYTES>()
                    && let Some(address) = decode_address(body)
                {
                    assert_eq!(encode_address(address), *body);
                }
            }
            _ => {}
        }
    }
    assert!(bytes.starts_with(&packed));
    assert_eq!(overruns, usize::from(packed.len() < bytes.len()));
}

/// An address book's file as it is, and one of these rows with sums that are right: a hostile disk's, or an older version's.
pub fn book(bytes: &[u8]) {
    survives_its_file(&book_file::decode(bytes));
    let key = [7; 32];
    let mut file = Vec::new();
    let anchors = bytes.first_chunk().unwrap_or(&[0; 32 * BOOK_ANCHORS]);
    put_checked(&mut file, &key, &[&MAGIC[..], &key, anchors].concat());
    for row in bytes.chunks_exact(ROW_BYTES) {
        put_checked(&mut file, &key, row);
    }
    survives_its_file(&book_file::decode(&file));
}

fn survives_its_file(book: &AddressBook) {
    let file = book_file::encode(book);
    let again = book_file::decode(&file);
    assert_eq!(again.len(), book.len());
    assert_eq!(book_file::encode(&again), file);
}
