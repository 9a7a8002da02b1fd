//! The address book: bounded, hard to fill by one teller, and safe on disk.

use super::*;
use crate::address::Prefix;
use crate::book_file::{decode, encode, load, save};
use crate::{AddressBook, KnownPeer};
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn id(number: u64) -> PeerId {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(number)).id()
}

fn place(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(0x0b00_0001 + (n << 16)).into(), 4_000)
}

fn book() -> AddressBook {
    let mut book = AddressBook::default();
    book.draw_key(&mut ChaCha20Rng::seed_from_u64(1));
    book
}

const ABOUT: About = About::TAKES_LINKS;
const MINUTE_MS: u64 = 60_000;

#[test]
fn one_teller_fills_an_eighth_of_what_we_are_told() {
    let mut book = book();
    let source = Prefix::wide(place(1));
    let taken = (0..2_000)
        .filter(|n| book.told(id(*n), place(*n as u32 * 7), ABOUT, source))
        .count();
    assert_eq!(taken, book.len());
    assert!((100..=128).contains(&taken), "{taken} of 1,024");
    // Others are heard beside it.
    let taken = (2_000..2_100)
        .filter(|n| {
            book.told(
                id(*n),
                place(*n as u32),
                ABOUT,
                Prefix::wide(place(*n as u32)),
            )
        })
        .count();
    assert!(taken >= 85, "{taken}");
}

#[test]
fn one_prefix_holds_an_eighth_of_what_we_tried() {
    let mut book = book();
    for n in 0..1_000_u32 {
        let address = SocketAddr::new(Ipv4Addr::from(0x0b00_0000 + n).into(), 4_000);
        book.heard(id(u64::from(n)), address, ABOUT, u64::from(n) + 1);
    }
    assert!((40..=64).contains(&book.len()), "{}", book.len());
}

#[test]
fn the_book_never_grows_past_its_bound() {
    let mut book = book();
    for n in 0..4_000_u32 {
        let address = place(n);
        if n % 2 == 0 {
            book.told(id(u64::from(n)), address, ABOUT, Prefix::wide(place(n / 3)));
        } else {
            book.heard(id(u64::from(n)), address, ABOUT, u64::from(n) * MINUTE_MS);
        }
    }
    assert!(book.len() <= 1_536 && book.len() > 1_200, "{}", book.len());
}

// PROTOCOL 3.6
#[test]
fn twenty_minutes_are_counted_from_the_first_hearing_without_a_long_gap() {
    let mut book = book();
    let (peer, address) = (id(1), place(1));
    let up = |book: &AddressBook| book.get(&peer).map(|known| known.seen_up_ms());
    book.told(peer, address, ABOUT, Prefix::wide(address));
    assert_eq!(up(&book), Some(0));
    book.heard(peer, address, ABOUT, 1_000 * MINUTE_MS);
    assert_eq!(up(&book), Some(0));
    book.heard(peer, address, ABOUT, 1_025 * MINUTE_MS);
    assert_eq!(up(&book), Some(25 * MINUTE_MS));
    book.heard(peer, address, ABOUT, 1_024 * MINUTE_MS); // The clock was put back.
    assert_eq!(up(&book), Some(25 * MINUTE_MS));
    book.heard(peer, address, ABOUT, 1_086 * MINUTE_MS); // More than an hour of silence.
    assert_eq!(up(&book), Some(0));
    // Another address of the same peer is the same peer.
    book.heard(peer, place(9), ABOUT, 1_100 * MINUTE_MS);
    assert_eq!((up(&book), book.len()), (Some(14 * MINUTE_MS), 1));
}

#[test]
fn hearsay_moves_nobody_whom_we_know() {
    let mut book = book();
    let (peer, address) = (id(1), place(1));
    book.heard(peer, address, ABOUT, 1);
    book.told(peer, place(2), ABOUT, Prefix::wide(place(3)));
    assert_eq!(book.get(&peer).unwrap().address, address);
    assert!(
        !book.told(id(2), place(2), About::CARRIES, Prefix::wide(place(3))),
        "it takes no links"
    );
    assert!(!book.told(id(2), at("0.0.0.0:1"), ABOUT, Prefix::wide(place(3))));
}

#[test]
fn a_failed_dial_is_not_repeated_at_once() {
    let mut book = book();
    book.heard(id(1), place(1), ABOUT, 1);
    let ready = |book: &AddressBook, unix_ms| book.draw(unix_ms, |_| true, [0; 3]).is_some();
    assert!(ready(&book, 1_000_000));
    book.failed(&id(1), 1_000_000);
    assert!(!ready(&book, 1_029_999) && ready(&book, 1_030_000));
    for _ in 0..100 {
        book.failed(&id(1), 1_000_000);
    }
    assert!(!ready(&book, 2_919_999) && ready(&book, 2_920_000));
    assert!(
        ready(&book, 5),
        "a clock that was put back by more than we ever wait"
    );
}

fn full_book() -> AddressBook {
    let mut book = book();
    for n in 0..40_u32 {
        book.told(
            id(u64::from(n)),
            place(n),
            ABOUT,
            Prefix::wide(place(n % 5)),
        );
    }
    for n in 20..60_u32 {
        book.heard(
            id(u64::from(n)),
            place(n),
            ABOUT.and(About::CARRIES),
            u64::from(n) * MINUTE_MS,
        );
    }
    book.failed(&id(3), 1);
    book.set_anchors(vec![id(30), id(31), id(32)]);
    book
}

/// Its bytes, made once: each id in it takes a while to draw.
static FULL: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| encode(&full_book()));

fn facts(book: &AddressBook) -> Vec<KnownPeer> {
    book.entries().collect()
}

#[test]
fn a_book_survives_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    assert!(load(&path).unwrap().is_empty());
    let book = full_book();
    save(&path, &encode(&book)).unwrap();
    save(&path, &encode(&book)).unwrap();
    let read = load(&path).unwrap();
    assert_eq!(facts(&read), facts(&book));
    assert_eq!(read.anchors(), [id(30), id(31)]);
    assert_eq!(read.key(), book.key());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("no").join("book");
    assert!(save(&nowhere, b"x").is_err());
}

#[test]
fn a_torn_book_loses_rows_and_nothing_else() {
    let (book, bytes) = (full_book(), encode(&full_book()));
    let all = facts(&book);
    let mut most = 0;
    for length in (0..bytes.len()).step_by(7) {
        let read = decode(&bytes[..length]);
        assert!(facts(&read).iter().all(|peer| all.contains(peer)));
        assert!(read.len() >= most && read.len() <= all.len());
        most = read.len();
    }
    assert!(most >= all.len() - 1);
    // A hole in the middle costs the rows that it touches.
    let mut holed = bytes.clone();
    holed[1_000..1_100].fill(0);
    assert!((all.len() - 3..all.len()).contains(&decode(&holed).len()));
}

proptest! {
    #[test]
    fn any_file_gives_a_book_within_its_bounds(mut bytes in prop::collection::vec(any::<u8>(), 0..3_000), whole: bool, flips in prop::collection::vec(any::<u16>(), 0..20)) {
        if whole {
            bytes.clone_from(&FULL);
            let bits = bytes.len() * 8;
            for flip in flips {
                let bit = usize::from(flip) % bits;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let book = decode(&bytes);
        prop_assert!(book.len() <= 1_536);
        prop_assert!(book.anchors().len() <= 2);
        prop_assert!(book.entries().all(|peer| crate::is_reachable(&peer.address)));
        prop_assert_eq!(facts(&decode(&encode(&book))), facts(&book));
    }
}

#[test]
fn a_node_that_starts_again_comes_back_to_its_anchors_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let mut net = Net::new(seed());
    let others: Vec<Entity> = (0..12)
        .map(|n| net.node(&format!("198.{n}.0.1:4000")))
        .collect();
    for other in &others[1..] {
        net.link(*other, others[0]);
    }
    net.run_for(seconds(1));
    let start = |net: &mut Net, entry: Vec<_>| {
        let path = path.clone();
        net.node_with("100.64.0.1:4000", |settings| {
            (settings.book, settings.entry) = (Some(path), entry);
        })
    };
    let alice = start(&mut net, vec![(None, at("198.0.0.1:4000"))]);
    net.run_for(seconds(120));
    assert_eq!(net.peers(alice).len(), 8);
    let saved = load(&path).unwrap();
    assert_eq!((saved.len(), saved.anchors().len()), (12, 2));
    net.run.app.world_mut().despawn(alice);
    net.wire().addresses.remove(&alice);

    // The same again, with nothing but its book.
    let alice = start(&mut net, vec![]);
    net.run_for(seconds(5));
    let peers: Vec<PeerId> = net.peers(alice).iter().map(|(_, peer)| peer.id).collect();
    assert_eq!(peers.len(), 8);
    assert!(saved.anchors().iter().all(|anchor| peers.contains(anchor)));

    // A disk that refuses is lived with.
    let nowhere = folder.path().join("no").join("book");
    let bob = net.node_with("100.65.0.1:4000", |settings| {
        (settings.book, settings.entry) = (Some(nowhere), vec![(None, at("198.0.0.1:4000"))]);
    });
    net.run_for(seconds(120));
    assert_eq!(net.peers(bob).len(), 8);
}
