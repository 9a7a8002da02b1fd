//! Messages between people who may be there or away, with clocks, disks and carriers that are not as they should be.

mod scene;

use dunlin_relay::{Cache, DeleteSecret, DropReason, PacketId, Seen, Tombstones};
use scene::{Kind, Scene, Who, carrier, minutes, person, seconds};
use serde_json::json;

/// Some carriers, Alice, and Bob with his card.
fn scene(carriers: u64, alice: Kind, bob: Kind) -> (Scene, Vec<Who>, Who, Who, String) {
    let mut scene = Scene::new(5, 0);
    let all = scene.carriers(carriers);
    let (alice, bob) = (scene.spawn(1, alice), scene.spawn(2, bob));
    let card = scene.card(bob);
    scene.knows(alice, carriers as usize);
    scene.knows(bob, carriers as usize);
    (scene, all, alice, bob, card)
}

fn holders(scene: &Scene, all: &[Who]) -> Vec<Who> {
    let holds = |who: &&Who| scene.packets(**who) > 0;
    all.iter().filter(holds).copied().collect()
}

#[test]
fn a_file_comes_with_its_name_and_one_too_large_is_refused_with_its_size_and_the_limit() {
    let (mut scene, _, alice, bob, card) = scene(8, person(), person());
    let node = alice.id.to_string();
    let send = |scene: &mut Scene, name: Option<&str>, body: &[u8]| {
        let params = json!({ "node": node, "to": card, "name": name });
        scene.call("relay.send", params, body)
    };
    let too_large = vec![7; 16 * 1_024 * 1_024 + 1];
    let refused = send(&mut scene, Some("notes.txt"), &too_large).unwrap_err();
    assert_eq!(refused.code, "message");
    assert_eq!(
        refused.message,
        "16777217 bytes are more than can be sent at once, 16777216"
    );
    let refused = send(&mut scene, Some("../notes.txt"), b"x").unwrap_err();
    assert_eq!(refused.code, "message");
    let refused = send(&mut scene, None, &[0xff]).unwrap_err();
    assert_eq!(refused.message, "text that is not UTF-8");
    let params = json!({ "node": node, "to": "dunlin:abc", "text": "x" });
    assert_eq!(
        scene.call("relay.send", params, b"").unwrap_err().code,
        "card"
    );

    send(&mut scene, Some("notes.txt"), &[7; 883]).unwrap();
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(2)).expect("the file");
    assert_eq!(
        (&item.value["kind"], &item.value["name"]),
        (&json!("file"), &json!("notes.txt"))
    );
    assert_eq!(item.body, vec![7; 883]);
}

/// Bytes in which every fragment differs.
fn long(bytes: u32) -> Vec<u8> {
    (0..bytes)
        .flat_map(|n| {
            (n / 4)
                .to_le_bytes()
                .into_iter()
                .skip(n as usize % 4)
                .take(1)
        })
        .collect()
}

// PROTOCOL 3.5
#[test]
fn a_message_of_64_kib_comes_whole_though_its_sender_and_three_carriers_are_gone() {
    let mut scene = Scene::new(5, 10);
    let all = scene.carriers(12);
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    scene.knows(alice, 12);
    scene.knows(bob, 12);
    let file = long(65_536);
    let params = json!({ "node": alice.id.to_string(), "to": card, "name": "film.bin" });
    let sent = scene.call("relay.send", params, &file).unwrap();
    assert_eq!(sent.value["bytes"], 320 + 64 * 1_088);
    let copies = |scene: &Scene| {
        all.iter()
            .map(|carrier| scene.packets(*carrier))
            .sum::<usize>()
    };
    assert!((0..600).any(|_| {
        scene.run.run_for(seconds(1));
        copies(&scene) >= 65 * 8
    }));
    scene.end(alice);
    all[..3].iter().for_each(|carrier| scene.cut(*carrier));
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(10)).expect("the file");
    assert_eq!(item.value["name"], "film.bin");
    assert!(item.body == file);
    // Once the application has it, its packets are ended wherever they may be kept.
    scene.confirm(bob, &item);
    scene.run.run_for(minutes(5));
    let left = all[3..].iter().map(|carrier| scene.packets(*carrier));
    assert_eq!(left.sum::<usize>(), 0);
}

// PROTOCOL 3.5
#[test]
fn what_others_put_under_a_fragments_tag_does_not_hide_the_fragment() {
    let (mut scene, all, alice, bob, card) = scene(9, person(), person());
    let text = "tea ".repeat(400);
    let message = scene.send(alice, &card, &text);
    scene.until_state(alice, &message, "stored", minutes(5));
    scene.end(alice);
    let now = scene.run.now().time;
    let from = dunlin_net::Prefix::of("198.51.100.1:9".parse().unwrap());
    let mut hidden = 0;
    for who in &all {
        let mut cache = scene.world().get_mut::<Cache>(who.node).unwrap();
        for packet in cache.longest_lived(9, now) {
            // The head is the small one; in front of each fragment come five others.
            let mut bytes = packet.bytes().to_vec();
            let mut in_front = 0;
            while bytes.len() == 1_088 && in_front < 5 {
                let (counter, _) = bytes[48..].split_first_chunk_mut::<4>().unwrap();
                *counter = u32::from_le_bytes(*counter).wrapping_add(1).to_le_bytes();
                let forged = dunlin_relay::Packet::parse(bytes.clone().into()).unwrap();
                if forged.id() < packet.id() {
                    cache.insert(&forged, from, now + minutes(60));
                    in_front += 1;
                }
            }
            hidden += in_front;
        }
    }
    assert!(hidden >= 5 * 2 * 8, "{hidden}");
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(5)).expect("the text");
    assert!(item.body == text.as_bytes());
}

// PROTOCOL 3.5, 4.3
#[test]
fn the_sender_of_fragments_learns_that_all_have_arrived_from_the_head_alone() {
    let (mut scene, all, alice, bob, card) = scene(9, person(), person());
    let text = "tea ".repeat(2_000);
    let inbox = scene.receive(bob);
    let message = scene.send(alice, &card, &text);
    let item = scene.next(&inbox, minutes(5)).expect("the text");
    assert!(item.body == text.as_bytes());
    let told = scene.own(alice, &message);
    assert_ne!(told["state"], "delivered", "before the application has it");
    assert_eq!(
        (&told["packets"], &told["packets_stored"]),
        (&json!(9), &json!(9))
    );
    // He leaves as soon as the proof is out; the rest of the copies are hers to end.
    scene.confirm(bob, &item);
    scene.until_state(alice, &message, "delivered", minutes(5));
    scene.end(bob);
    scene.run.run_for(minutes(2));
    assert!(holders(&scene, &all).is_empty());
    drop(inbox);
}

#[test]
fn a_message_is_told_until_it_is_confirmed_and_never_after() {
    let dir = tempfile::tempdir().unwrap();
    let with_seen = || Kind {
        seen: Some(dir.path().join("seen")),
        ..person()
    };
    let (mut scene, all, alice, bob, card) = scene(9, person(), with_seen());
    let message = scene.send(alice, &card, "Once?");
    scene.until_state(alice, &message, "stored", minutes(1));
    scene.end(alice); // Or she would end the copies too, once she knows.
    let held = holders(&scene, &all);
    let inbox = scene.receive(bob);
    assert!(scene.next(&inbox, minutes(2)).is_some());
    let holding = |who: &Who| scene.packets(*who) == 1;
    assert!(
        held.iter().all(holding),
        "told before the application has it"
    );
    // The application dies before it has it, and comes back.
    drop(inbox);
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(2)).expect("told again");
    // One carrier is out of reach while the others hear of the delivery.
    let late = held[0];
    scene.cut(late);
    scene.confirm(bob, &item);
    scene.run.run_for(minutes(10));
    assert_eq!(holders(&scene, &all).len(), 1);
    scene.end(bob);
    scene.join(late);

    let bob = scene.spawn(2, with_seen());
    let inbox = scene.receive(bob);
    assert!(
        scene.next(&inbox, minutes(5)).is_none(),
        "it had been confirmed"
    );
    assert!(scene.drops(bob, DropReason::Repeated) >= 1);
    assert_eq!(
        holders(&scene, &all).len(),
        0,
        "and now the late one has heard"
    );
    let confirm = json!({ "node": bob.id.to_string(), "id": message });
    assert_eq!(
        scene.call("relay.confirm", confirm, b"").unwrap_err().code,
        "id"
    );
}

#[test]
fn a_disk_that_takes_no_message_is_an_error_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = dir.path().join("outbox");
    let on_disk = Kind {
        outbox: Some(outbox.clone()),
        ..person()
    };
    let (mut scene, all, alice, _, card) = scene(8, on_disk, person());
    std::fs::remove_dir(&outbox).unwrap();
    let params = json!({ "node": alice.id.to_string(), "to": card, "text": "Tea?" });
    let refused = scene.call("relay.send", params, b"").unwrap_err();
    assert_eq!(refused.code, "disk");
    let begin = format!(
        "the message was not sent, since it cannot be kept in {}",
        outbox.display()
    );
    assert!(refused.message.starts_with(&begin), "{refused}");
    scene.run.run_for(minutes(1));
    assert_eq!(holders(&scene, &all).len(), 0);
}

#[test]
fn a_message_is_not_confirmed_if_that_cannot_be_written_down() {
    let (mut scene, all, alice, bob, card) = scene(8, person(), person());
    let message = scene.send(alice, &card, "Tea?");
    scene.until_state(alice, &message, "stored", minutes(1));
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(2)).unwrap();
    // Writing to it fails with "no space left on device".
    let full = Seen::on_full_disk();
    scene.world().entity_mut(bob.node).insert(full);
    let params = json!({ "node": bob.id.to_string(), "id": item.value["id"] });
    let refused = scene.call("relay.confirm", params, b"").unwrap_err();
    assert!(
        refused.code == "disk" && refused.message.contains("No space left"),
        "{refused}"
    );
    scene.run.run_for(minutes(1));
    assert_eq!(holders(&scene, &all).len(), 8, "no receipt went out");
}

// PROTOCOL 4.3
#[test]
fn a_carrier_that_says_delivered_without_proof_is_not_believed() {
    let (mut scene, all, alice, _, card) = scene(9, person(), person());
    let message = scene.send(alice, &card, "Tea?");
    let told = scene.until_state(alice, &message, "stored", minutes(1));
    let id: PacketId = told["packet"].as_str().unwrap().parse().unwrap();
    let liar = holders(&scene, &all)[0];
    let now = scene.run.now().time;
    let mut carrier = scene.world().entity_mut(liar.node);
    assert!(carrier.get_mut::<Cache>().unwrap().remove(id));
    let secret = DeleteSecret::new([1; 16]);
    carrier
        .get_mut::<Tombstones>()
        .unwrap()
        .insert(id, secret, now);
    scene.run.run_for(minutes(3));
    assert!(scene.drops(alice, DropReason::ProofForged) >= 1);
    // The ninth has the copy instead.
    let told = scene.own(alice, &message);
    assert_eq!(
        (&told["state"], &told["stored"]),
        (&json!("stored"), &json!(8))
    );
    assert_eq!(holders(&scene, &all).len(), 8);
}

#[test]
fn watchers_hear_each_state_and_latecomers_the_latest() {
    let (mut scene, _, alice, bob, card) = scene(8, person(), person());
    let inbox = scene.receive(bob);
    let params = json!({ "node": alice.id.to_string() });
    let watch = scene.client.open("relay.watch", params.clone());
    let message = scene.send(alice, &card, "Tea?");
    let item = scene.next(&inbox, minutes(1)).unwrap();
    scene.confirm(bob, &item);
    scene.until_state(alice, &message, "delivered", minutes(1));
    let mut states = Vec::new();
    while let Some(told) = watch.take() {
        states.push(told.value["state"].as_str().unwrap().to_owned());
    }
    states.dedup();
    assert_eq!(states, ["queued", "sent", "stored", "delivered"]);
    let late = scene.client.open("relay.watch", params);
    scene.run.run_for(seconds(1));
    let told = late.take().unwrap().value;
    assert_eq!(
        (&told["id"], &told["state"]),
        (&json!(message), &json!("delivered"))
    );
    assert!(late.take().is_none());
}

#[test]
fn calls_say_which_node_they_mean_or_are_told_to() {
    let mut scene = Scene::new(5, 0);
    let (first, second) = (scene.spawn(1, person()), scene.spawn(2, carrier()));
    let error = scene.call("relay.status", json!({}), b"").unwrap_err();
    assert_eq!(
        error.message,
        "2 nodes run here: name one by its peer id, as \"node\""
    );
    let status = |who: Who| json!({ "node": who.id.to_string() });
    let told = scene
        .call("relay.status", status(first), b"")
        .unwrap()
        .value;
    assert_eq!(
        (&told["carry"], &told["cache_capacity"]),
        (&json!(false), &json!(0))
    );
    let told = scene
        .call("relay.status", status(second), b"")
        .unwrap()
        .value;
    assert_eq!(told["cache_capacity"], 16_000_000);
    let error = scene.call("relay.card", status(second), b"").unwrap_err();
    assert_eq!(error.code, "mailbox");
}
