//! Forward secrecy for who is away: what was sent on a day opens while it may still arrive, and never after. PROTOCOL 4.5

mod scene;

use dunlin_relay::{Cache, Packet, Prekeys, Tag, day_of, open, open_own, prekey_tokens};
use scene::{Kind, Scene, Who, minutes, person};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

fn kept(folder: &Path) -> Kind {
    Kind {
        seen: Some(folder.join("seen")),
        prekeys: Some(folder.join("prekeys")),
        ..person()
    }
}

fn sent(scene: &mut Scene, from: Who, card: &str, text: &str) -> Value {
    let params = json!({ "node": from.id.to_string(), "to": card, "text": text });
    scene.call("relay.send", params, b"").unwrap().value
}

/// Some carriers, Alice, and Bob, who was there once, with a folder of his own.
fn scene(folder: &Path, carriers: u64) -> (Scene, Vec<Who>, Who, String) {
    let mut scene = Scene::new(11, 0);
    let all = scene.carriers(carriers);
    let alice = scene.spawn(1, person());
    scene.knows(alice, carriers as usize);
    let bob = scene.spawn(2, kept(folder));
    let card = scene.card(bob);
    scene.knows(bob, carriers as usize);
    let items = scene.receive(bob);
    scene.run.run_for(minutes(2));
    drop(items);
    scene.end(bob);
    (scene, all, alice, card)
}

/// A copy of the mail that somebody keeps.
fn mail(scene: &Scene, all: &[Who], bob: &dunlin_relay::MailboxPublic) -> Packet {
    let now = scene.run.now();
    let tokens = prekey_tokens(bob, day_of(now.unix_ms)).into_iter();
    let records: Vec<Tag> = tokens.map(|token| token.tag()).collect();
    let caches = all
        .iter()
        .filter_map(|who| scene.run.app.world().get::<Cache>(who.node));
    let mut packets = caches.flat_map(|cache| cache.longest_lived(cache.len(), now.time));
    let mail = packets.find(|packet| !records.contains(&packet.tag()));
    mail.expect("somebody keeps it")
}

fn bob_mailbox() -> dunlin_relay::Mailbox {
    dunlin_relay::Mailbox::from_seed(&scene::mailbox_seed(2))
}

fn bob_identity() -> dunlin_net::Identity {
    use rand_core::SeedableRng;
    dunlin_net::Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(2))
}

// PROTOCOL 4.5
#[test]
fn with_every_key_that_a_device_holds_18_days_later_nothing_opens() {
    let folder = tempfile::tempdir().unwrap();
    let (mut scene, all, alice, card) = scene(folder.path(), 10);
    let answer = sent(&mut scene, alice, &card, "Tea at four?");
    assert_eq!(answer["forward_secret"], true);
    let id = answer["id"].as_str().unwrap().to_owned();
    scene.until_state(alice, &id, "stored", minutes(5));
    let packet = mail(&scene, &all, bob_mailbox().public());
    let day = packet.day();
    assert_eq!(day, day_of(scene.run.now().unix_ms));
    // Who recorded the packet and takes the device 17 days later reads it; the identity and the mailbox alone do not.
    let path = folder.path().join("prekeys");
    let (me, all_keys) = (bob_identity(), |day| Prekeys::open(&path, day).unwrap());
    assert!(open(&me, &packet).is_err());
    assert!(open_own(&me, &all_keys(day + 17), &packet).is_ok());
    let before = std::fs::read(&path).unwrap();
    assert!(open_own(&me, &all_keys(day + 18), &packet).is_err());
    // On no disk either: the file was written anew, and what it holds opens nothing whatever day it is taken to be.
    assert!(std::fs::read(&path).unwrap().len() < before.len());
    assert!(open_own(&me, &all_keys(day), &packet).is_err());
}

// PROTOCOL 4.5
#[test]
fn who_comes_back_when_the_mail_has_almost_expired_reads_it_and_who_was_away_for_19_days_lost_nothing_to_erasure()
 {
    let folder = tempfile::tempdir().unwrap();
    // Two carriers: each day takes its time, and keeps links alive.
    let (mut scene, _, alice, card) = scene(folder.path(), 2);
    // Bob is away for five days already when she writes; his prekeys of that day were published before.
    scene.run.run_for(5 * DAY);
    let answer = sent(&mut scene, alice, &card, "Tea in two weeks?");
    assert_eq!(answer["forward_secret"], true);
    scene.run.run_for(minutes(5));
    assert_eq!(
        scene.own(alice, answer["id"].as_str().unwrap())["stored"],
        2
    );
    scene.end(alice);
    // 13 days and some hours later: 19 days without Bob.
    scene.run.run_for(13 * DAY + Duration::from_hours(10));
    let bob = scene.spawn(2, kept(folder.path()));
    scene.knows(bob, 2);
    let items = scene.receive(bob);
    let item = scene.next(&items, minutes(30)).expect("his mail");
    assert_eq!(item.body, "Tea in two weeks?");
}

// PROTOCOL 4.5
#[test]
fn without_a_record_the_sender_is_told_and_the_message_arrives_all_the_same() {
    let mut scene = Scene::new(12, 0);
    scene.carriers(10);
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    scene.knows(alice, 10);
    scene.knows(bob, 10);
    // He has never received anything, so there is nothing of his.
    let answer = sent(&mut scene, alice, &card, "Tea?");
    assert_eq!(answer["forward_secret"], false);
    let items = scene.receive(bob);
    let item = scene.next(&items, minutes(5)).expect("it");
    assert_eq!(item.body, "Tea?");
    scene.confirm(bob, &item);
    // From then on there is.
    scene.run.run_for(minutes(6));
    assert_eq!(
        sent(&mut scene, alice, &card, "Cake?")["forward_secret"],
        true
    );
    let item = scene.next(&items, minutes(5)).expect("it");
    assert_eq!(item.body, "Cake?");
}

// PROTOCOL 4.5
#[test]
fn a_clock_that_is_a_day_wrong_either_way_finds_a_prekey() {
    for (seed, clock_ms) in [(13, -86_400_000), (14, 86_400_000)] {
        let mut scene = Scene::new(seed, 0);
        scene.carriers(10);
        let alice = Kind {
            clock_ms,
            ..person()
        };
        let (alice, bob) = (scene.spawn(1, alice), scene.spawn(2, person()));
        let card = scene.card(bob);
        scene.knows(alice, 10);
        scene.knows(bob, 10);
        let items = scene.receive(bob);
        scene.run.run_for(minutes(2));
        let answer = sent(&mut scene, alice, &card, "Tea?");
        assert_eq!(answer["forward_secret"], true, "{clock_ms}");
        let item = scene.next(&items, minutes(5)).expect("it");
        assert_eq!(item.body, "Tea?");
    }
}

// PROTOCOL 4.5, 4.1
#[test]
fn a_leaked_card_lets_its_holder_write_and_not_fetch_count_or_follow() {
    use dunlin_relay::{Claim, Mailbox, Token};
    let mut scene = Scene::new(15, 0);
    scene.carriers(10);
    let (bob, eve) = (scene.spawn(2, person()), scene.spawn(3, person()));
    let card = scene.card(bob);
    scene.knows(eve, 10);
    scene.knows(bob, 10);
    let items = scene.receive(bob);
    scene.run.run_for(minutes(2));
    // She writes.
    let answer = sent(&mut scene, eve, &card, "Who am I?");
    assert_eq!(answer["forward_secret"], true);
    let item = scene.next(&items, minutes(5)).expect("it");
    assert_eq!(item.value["from"], eve.id.to_string());
    // What fetches a mailbox, tells how much is in it, or hears of what comes is a claim. By the card she knows its tags, and the public keys of
    // its days: enough for no claim of either kind.
    let now = scene.run.now();
    let day = day_of(now.unix_ms);
    let parsed: dunlin_relay::Card = card.parse().unwrap();
    let tag = parsed.mailbox().tag(day);
    let handshake = [7; 32];
    let his = bob_mailbox().day_key(day).claim(&handshake);
    assert_eq!(his.prove(&handshake), Ok(tag));
    let Claim::Mailbox { day_key, .. } = his else {
        panic!("a mailbox is claimed by its key");
    };
    let hers = Mailbox::from_seed(&[9; 32]).day_key(day).claim(&handshake);
    let Claim::Mailbox { signature, .. } = hers else {
        panic!("a mailbox is claimed by its key");
    };
    assert!(
        Claim::Mailbox { day_key, signature }
            .prove(&handshake)
            .is_err()
    );
    // And his own claim, seen on one link, is worth nothing on another.
    assert!(his.prove(&[8; 32]).is_err());
    // The tag itself in place of a token leads elsewhere.
    assert_ne!(Claim::Once(Token(tag.0)).prove(&handshake), Ok(tag));
}

// PROTOCOL 4.5
#[test]
fn a_program_that_runs_on_erases_too_though_nobody_listens_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(16, 0);
    scene.carriers(2);
    let bob = scene.spawn(2, kept(folder.path()));
    scene.knows(bob, 2);
    let items = scene.receive(bob);
    scene.run.run_for(minutes(2));
    let day = day_of(scene.run.now().unix_ms);
    let path = folder.path().join("prekeys");
    let before = std::fs::read(&path).unwrap().len();
    drop(items);
    scene.run.run_for(19 * DAY);
    assert!(std::fs::read(&path).unwrap().len() < before);
    let left = Prekeys::open(&path, day).unwrap();
    assert!(!left.has(day) && !left.has(day + 1));
}
