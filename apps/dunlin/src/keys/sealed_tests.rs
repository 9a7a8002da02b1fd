//! Sealed keys that somebody, or a disk, has altered.

use super::*;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// The least that Argon2 takes, so that thousands of files can be tried.
const CHEAP: Cost = Cost {
    memory_kib: 32,
    passes: 1,
    lanes: 4,
};
const PASSPHRASE: &[u8] = b"three stones under a dune";

fn keys() -> KeyFile {
    KeyFile::generate(&mut ChaCha20Rng::seed_from_u64(1))
}

fn sealed() -> Vec<u8> {
    seal(&keys(), PASSPHRASE, [7; 16], CHEAP).expect("sealed")
}

fn refusal(file: &[u8]) -> Option<Refusal> {
    open(file, PASSPHRASE, CHEAP).err()
}

/// What somebody would do who alters a file with intent.
fn with_right_check(mut file: Vec<u8>) -> Vec<u8> {
    let rest = SEALED_BYTES - CHECK_BYTES;
    let check = blake3::hash(&file[..rest]);
    file[rest..].copy_from_slice(&check.as_bytes()[..CHECK_BYTES]);
    file
}

#[test]
fn keys_come_back_with_the_passphrase_and_with_no_other() {
    let file = sealed();
    assert_eq!(file.len(), SEALED_BYTES);
    let opened = open(&file, PASSPHRASE, CHEAP).expect("the same passphrase");
    assert_eq!(opened.identity_seed, keys().identity_seed);
    assert_eq!(opened.mailbox_seed, keys().mailbox_seed);
    for other in [
        &b""[..],
        b"three stones under a dune ",
        b"Three stones under a dune",
    ] {
        let refused = open(&file, other, CHEAP).err();
        assert_eq!(refused, Some(Refusal::Passphrase));
    }
}

#[test]
fn neither_the_keys_nor_the_passphrase_stand_in_the_file() {
    let file = sealed();
    for secret in [
        &keys().identity_seed[..8],
        &keys().mailbox_seed[..8],
        &PASSPHRASE[..8],
    ] {
        assert!(memchr::memmem::find(&file, secret).is_none());
    }
    let other = seal(&keys(), PASSPHRASE, [8; 16], CHEAP).expect("sealed");
    assert_ne!(file[HEADER_BYTES..], other[HEADER_BYTES..], "another salt");
}

#[test]
fn a_bit_altered_anywhere_is_refused_and_so_is_one_whose_check_was_mended() {
    for bit in 0..SEALED_BYTES * 8 {
        let mut file = sealed();
        file[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0..15 => Refusal::NotOne,
            15 => Refusal::Version(file[15]),
            _ => Refusal::Torn,
        };
        assert_eq!(refusal(&file), Some(expected), "bit {bit}");
        if (16 * 8..112 * 8).contains(&bit) {
            let mended = with_right_check(file);
            assert_eq!(refusal(&mended), Some(Refusal::Passphrase), "bit {bit}");
        }
    }
}

#[test]
fn a_file_cut_or_lengthened_anywhere_is_refused() {
    let file = sealed();
    assert_eq!(refusal(&[]), Some(Refusal::NotOne));
    for length in 1..SEALED_BYTES {
        assert_eq!(
            refusal(&file[..length]),
            Some(Refusal::Torn),
            "{length} bytes"
        );
    }
    assert_eq!(refusal(&[&file[..], &[0]].concat()), Some(Refusal::Torn));
    assert_eq!(refusal(b"dunlin keys v1\n\0"), Some(Refusal::NotOne));
}

proptest! {
    #[test]
    fn any_byte_altered_is_refused(at in 0..SEALED_BYTES, by in 1..=u8::MAX, mend: bool) {
        let mut file = sealed();
        file[at] ^= by;
        if mend {
            file = with_right_check(file);
        }
        // Mending the check of a file whose check alone was altered gives the file itself.
        let whole = mend && at >= SEALED_BYTES - CHECK_BYTES;
        prop_assert_eq!(refusal(&file).is_none(), whole);
    }

    #[test]
    fn what_anybody_sends_is_refused(file in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(refusal(&file).is_some());
        let like_one = [&sealed()[..16], &file].concat();
        prop_assert!(refusal(&like_one).is_some());
    }
}
