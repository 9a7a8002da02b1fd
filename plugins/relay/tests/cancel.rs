//! A message that its sender takes back: the copies that were made stay, and it makes no others.

mod scene;

use dunlin_net::{About, LinkSettings};
use scene::{Kind, Scene, Who, minutes, person, seconds};
use serde_json::json;
use std::path::Path;

fn copies(scene: &Scene, all: &[Who]) -> usize {
    all.iter().map(|who| scene.packets(*who)).sum()
}

fn on_disk(outbox: &Path) -> Kind {
    Kind {
        outbox: Some(outbox.to_owned()),
        ..person()
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_cancelled_message_is_not_placed_again_not_even_after_a_restart() {
    cancel_when_stored("Tea?", 1);
}

#[test]
fn none_of_the_packets_of_a_cancelled_long_message_is_placed_again() {
    cancel_when_stored(&"Tea? ".repeat(1_000), 6);
}

/// A message of so many packets is stored, cancelled, and then loses four of its carriers.
fn cancel_when_stored(text: &str, packets: usize) {
    let dir = tempfile::tempdir().unwrap();
    let outbox = dir.path().join("outbox");
    let mut scene = Scene::new(5, 0);
    let all = scene.carriers(12);
    for who in &all {
        // Who pays for its bytes repairs nothing: every copy is of Alice's making.
        let mut settings = scene.world().get_mut::<LinkSettings>(who.node).unwrap();
        settings.about = settings.about.and(About::METERED);
    }
    let (alice, bob) = (scene.spawn(1, on_disk(&outbox)), scene.spawn(2, person()));
    let card = scene.card(bob);
    scene.knows(alice, 12);
    let message = scene.send(alice, &card, text);
    let stored = scene.until_state(alice, &message, "stored", minutes(2));
    assert_eq!(stored["packets"], packets);
    assert_eq!((copies(&scene, &all), files(&outbox)), (8 * packets, 1));
    let watch = scene
        .client
        .open("relay.watch", json!({ "node": alice.id.to_string() }));
    assert_eq!(
        scene.next(&watch, seconds(1)).unwrap().value["state"],
        "stored"
    );

    let params = json!({ "node": alice.id.to_string(), "id": message });
    let told = scene.call("relay.cancel", params.clone(), b"").unwrap();
    let holders: Vec<Who> = all
        .iter()
        .copied()
        .filter(|who| scene.packets(*who) > 0)
        .collect();
    assert_eq!(
        (&told.value["id"], &told.value["carriers"]),
        (&json!(message), &json!(holders.len()))
    );
    let heard = scene.next(&watch, seconds(1)).unwrap().value;
    assert_eq!(heard, json!({ "id": message, "state": "gone" }));
    assert_eq!(files(&outbox), 0);

    // Some of those that have copies go: a message under way would be placed on others. The first three are by whom Alice will begin.
    let is = |who: &Who, some: &[Who]| some.iter().any(|other| other.node == who.node);
    let gone = holders.into_iter().filter(|who| !is(who, &all[..3]));
    let gone: Vec<Who> = gone.take(4).collect();
    for who in &gone {
        scene.end(*who);
    }
    let left: Vec<Who> = all.into_iter().filter(|who| !is(who, &gone)).collect();
    let kept = copies(&scene, &left);
    scene.run.run_for(minutes(20));
    assert_eq!(copies(&scene, &left), kept);
    scene.end(alice);
    let again = scene.spawn(1, on_disk(&outbox));
    scene.knows(again, 8);
    scene.run.run_for(minutes(5));
    assert_eq!((copies(&scene, &left), files(&outbox)), (kept, 0));

    let unknown = scene.call("relay.cancel", params, b"").unwrap_err();
    assert_eq!(unknown.code, "unknown");
    assert!(unknown.message.contains(&message), "{unknown}");
    // Those copies still reach Bob: nobody can call them back.
    let inbox = scene.receive(bob);
    assert!(scene.next(&inbox, minutes(2)).is_some());
}

#[test]
fn what_ended_is_not_there_to_be_cancelled_and_what_is_no_id_is_refused() {
    let mut scene = Scene::new(6, 0);
    scene.carriers(8);
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    scene.knows(alice, 8);
    scene.knows(bob, 8);
    let message = scene.send(alice, &card, "Tea?");
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(2)).expect("the message");
    scene.confirm(bob, &item);
    scene.until_state(alice, &message, "delivered", minutes(30));
    let params = |id: &str| json!({ "node": alice.id.to_string(), "id": id });
    let ended = scene
        .call("relay.cancel", params(&message), b"")
        .unwrap_err();
    assert_eq!(ended.code, "ended");
    assert!(ended.message.contains("was delivered"), "{ended}");
    assert_eq!(scene.own(alice, &message)["state"], "delivered");
    let refused = scene.call("relay.cancel", params("tea"), b"").unwrap_err();
    assert_eq!(refused.code, "id");
}

#[test]
fn a_file_that_cannot_be_removed_leaves_the_message_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = dir.path().join("outbox");
    let mut scene = Scene::new(7, 0);
    let (alice, bob) = (scene.spawn(1, on_disk(&outbox)), scene.spawn(2, person()));
    let card = scene.card(bob);
    let message = scene.send(alice, &card, "Tea?");
    // A folder in its place cannot be removed as a file is.
    let file = outbox.join(format!("{message}.message"));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let params = json!({ "node": alice.id.to_string(), "id": message });
    let refused = scene.call("relay.cancel", params, b"").unwrap_err();
    assert_eq!(refused.code, "disk");
    let outbox = outbox.display().to_string();
    assert!(refused.message.contains(&outbox), "{refused}");
    assert_eq!(scene.own(alice, &message)["state"], "queued");
}
