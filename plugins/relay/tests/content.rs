//! Content that no message holds: in parts, resumed by both sides, whole or not at all. PROTOCOL 3.9

mod scene;

use dunlin_engine::{Items, Reply};
use dunlin_relay::{content_digest, limits};
use scene::{Kind, Scene, Who, minutes, person, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Bytes in which every fragment differs.
fn film(bytes: usize) -> Vec<u8> {
    let words = 0..bytes.div_ceil(8) as u64;
    let mut film: Vec<u8> = words
        .flat_map(|n| (n * 2_654_435_761).to_le_bytes())
        .collect();
    film.truncate(bytes);
    film
}

fn send(scene: &mut Scene, from: Who, card: &str, film: &[u8]) -> String {
    let node = from.id.to_string();
    let params = json!({ "node": node, "to": card, "name": "film.mkv" });
    let sent = scene.call("relay.send", params, film).unwrap();
    sent.value["id"].as_str().unwrap().to_owned()
}

/// What an application does with what it is told: writes parts where they belong, and says so.
#[derive(Default)]
struct Download {
    bytes: Vec<u8>,
    parts: BTreeSet<u64>,
    twice: usize,
    whole: Option<Value>,
}

impl Download {
    fn take(&mut self, item: &Reply) {
        let told = &item.value;
        if told["kind"] == "content" {
            assert!(item.body.is_empty() && self.whole.is_none());
            self.whole = Some(told.clone());
            return;
        }
        assert_eq!(
            (&told["kind"], &told["name"]),
            (&json!("part"), &json!("film.mkv"))
        );
        let at = told["offset"].as_u64().unwrap() as usize;
        self.bytes
            .resize(told["length"].as_u64().unwrap() as usize, 0);
        self.bytes[at..at + item.body.len()].copy_from_slice(&item.body);
        self.twice += usize::from(!self.parts.insert(told["part"].as_u64().unwrap()));
    }

    /// Until so many parts are here, or all of it.
    fn run(&mut self, scene: &mut Scene, who: Who, items: &Items, parts: usize) {
        while self.parts.len() < parts || parts == usize::MAX {
            let item = scene.next(items, minutes(20)).expect("another part");
            self.take(&item);
            scene.confirm(who, &item);
            if self.whole.is_some() {
                return;
            }
        }
    }
}

fn kind(outbox: Option<&Path>, seen: Option<&Path>) -> Kind {
    Kind {
        outbox: outbox.map(Path::to_owned),
        seen: seen.map(Path::to_owned),
        ..person()
    }
}

// PROTOCOL 3.9
#[test]
fn a_megabyte_comes_whole_in_parts_though_carriers_vanish_and_leaves_nothing_behind() {
    let mut scene = Scene::new(5, 10);
    let all = scene.carriers(12);
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    scene.knows(alice, 12);
    scene.knows(bob, 12);
    let film = film(1_000_000);
    let id = send(&mut scene, alice, &card, &film);
    scene.run.run_for(seconds(5));
    let told = scene.own(alice, &id);
    assert_eq!(
        (&told["parts"], &told["parts_delivered"]),
        (&json!(16), &json!(0))
    );
    let items = scene.receive(bob);
    let mut download = Download::default();
    download.run(&mut scene, bob, &items, 3);
    all[..3].iter().for_each(|carrier| scene.cut(*carrier));
    download.run(&mut scene, bob, &items, usize::MAX);
    assert!(download.bytes == film && download.twice == 0);
    let whole = download.whole.unwrap();
    let digest = data_encoding::HEXLOWER.encode(&content_digest(&film));
    assert_eq!(
        (&whole["digest"], &whole["id"]),
        (&json!(digest), &json!(id))
    );
    assert_eq!(whole["parts_had"], 16);
    let told = scene.until_state(alice, &id, "delivered", minutes(10));
    assert_eq!(told["parts_delivered"], 16);
    // Carriers that made a copy of their own while it was under way hear of its end when they next ask their neighbours, who may have
    // taken it from one another in between: within two rounds.
    scene.run.run_for(minutes(40));
    let left = all[3..].iter().map(|carrier| scene.packets(*carrier));
    assert_eq!(left.sum::<usize>(), 0);
}

// PROTOCOL 3.9
#[test]
fn what_both_sides_have_had_stays_had_though_both_are_killed_half_way() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, seen) = (folder.path().join("outbox"), folder.path().join("seen"));
    std::fs::create_dir(&outbox).unwrap();
    let mut scene = Scene::new(6, 5);
    scene.carriers(10);
    let alice = scene.spawn(1, kind(Some(&outbox), None));
    let bob = scene.spawn(2, kind(None, Some(&seen)));
    let card = scene.card(bob);
    scene.knows(alice, 10);
    scene.knows(bob, 10);
    let film = film(700_000);
    let id = send(&mut scene, alice, &card, &film);
    // A manifest and eleven parts, each in a file.
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 12);
    let items = scene.receive(bob);
    let mut download = Download::default();
    download.run(&mut scene, bob, &items, 5);
    // One more is on his screen, and on no disk, when both go.
    scene.next(&items, minutes(10)).expect("another part");
    drop(items);
    scene.end(bob);
    scene.end(alice);
    scene.run.run_for(minutes(3));

    let alice = scene.spawn(1, kind(Some(&outbox), None));
    let bob = scene.spawn(2, kind(None, Some(&seen)));
    scene.knows(alice, 10);
    scene.knows(bob, 10);
    let items = scene.receive(bob);
    download.run(&mut scene, bob, &items, usize::MAX);
    assert!(download.bytes == film);
    assert_eq!((download.parts.len(), download.twice), (11, 0));
    scene.until_state(alice, &id, "delivered", minutes(10));
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 1);
}

// PROTOCOL 3.9
#[test]
fn content_is_stored_once_every_part_of_it_is_and_then_its_sender_may_go() {
    let mut scene = Scene::new(7, 0);
    scene.carriers(12);
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    scene.knows(alice, 12);
    scene.knows(bob, 12);
    let film = film(300_000);
    let id = send(&mut scene, alice, &card, &film);
    let stored = |scene: &mut Scene| scene.own(alice, &id)["stored"].as_u64() >= Some(4);
    assert!((0..300).any(|_| {
        scene.run.run_for(seconds(1));
        stored(&mut scene)
    }));
    scene.end(alice);
    let items = scene.receive(bob);
    let mut download = Download::default();
    download.run(&mut scene, bob, &items, usize::MAX);
    assert!(download.bytes == film);
}

#[test]
fn more_than_16_mib_is_refused_and_what_is_cancelled_leaves_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(8, 0);
    scene.carriers(8);
    let alice = scene.spawn(1, kind(Some(folder.path()), None));
    let bob = scene.spawn(2, person());
    let card = scene.card(bob);
    let node = alice.id.to_string();
    let params = json!({ "node": node, "to": card, "name": "film.mkv" });
    let film = film(limits::CONTENT_BYTES_MAX + 1);
    let refused = scene.call("relay.send", params, &film).unwrap_err();
    assert_eq!(
        refused.message,
        "16777217 bytes are more than can be sent at once, 16777216"
    );
    let id = send(&mut scene, alice, &card, &film[..200_000]);
    scene.run.run_for(seconds(5));
    let params = json!({ "node": node, "id": id });
    scene.call("relay.cancel", params, b"").unwrap();
    scene.run.run_for(seconds(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let outbox = scene
        .call("relay.outbox", json!({ "node": node }), b"")
        .unwrap();
    assert_eq!(outbox.value, json!([]));
}
