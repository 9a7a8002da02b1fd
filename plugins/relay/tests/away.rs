//! Promise 1: a message waits for someone who is away, even when its sender leaves too.

mod scene;

use dunlin_relay::DropReason;
use scene::{Kind, Scene, minutes, person, seconds};

fn away(seed: u64, loss_percent: u32, gone: usize) {
    let dir = tempfile::tempdir().unwrap();
    let sender = || Kind {
        outbox: Some(dir.path().into()),
        ..person()
    };
    let mut scene = Scene::new(seed, loss_percent);
    let carriers = scene.carriers(12);
    // Bob's card is known, and Bob is not there.
    let bob = scene.spawn(2, person());
    let card = scene.card(bob);
    scene.end(bob);

    let alice = scene.spawn(1, sender());
    scene.knows(alice, 12);
    let message = scene.send(alice, &card, "Tea at four?");
    let told = scene.until_state(alice, &message, "stored", minutes(10));
    scene.end(alice);

    let held: Vec<_> = carriers
        .iter()
        .filter(|carrier| scene.packets(**carrier) == 1)
        .collect();
    assert!(held.len() >= 8, "{told}");
    // The first carriers are those at whom Bob begins; he would find nobody without them.
    let cut = &held[held.len() - gone..];
    for carrier in cut {
        scene.cut(**carrier);
    }

    let bob = scene.spawn(2, person());
    let inbox = scene.receive(bob);
    let item = scene.next(&inbox, minutes(10)).expect("the message");
    assert_eq!(
        (&item.body[..], item.value["kind"].as_str()),
        (&b"Tea at four?"[..], Some("text"))
    );
    assert_eq!(item.value["from"], alice.id.to_string());
    assert_eq!(item.value["id"], message);
    scene.confirm(bob, &item);
    scene.run.run_for(minutes(2));
    assert!(scene.next(&inbox, seconds(1)).is_none());

    let alice = scene.spawn(1, sender());
    let told = scene.until_state(alice, &message, "delivered", minutes(10));
    let proof = told["proof"]
        .as_str()
        .unwrap()
        .parse::<dunlin_relay::PacketId>()
        .unwrap();
    let hash = dunlin_relay::DeleteSecret::new(proof.0).hash();
    assert_eq!(
        told["delete_hash"],
        dunlin_relay::PacketId(hash).to_string()
    );

    scene.run.run_for(minutes(5));
    // Delivery ended every copy that it could reach, and nobody forged anything.
    for carrier in &carriers {
        let is_cut = cut.iter().any(|cut| cut.id == carrier.id);
        assert_eq!(scene.packets(*carrier), usize::from(is_cut));
        for reason in [
            DropReason::ReceiptForged,
            DropReason::NotProved,
            DropReason::Malformed,
        ] {
            assert_eq!(scene.drops(*carrier, reason), 0);
        }
    }
    assert!(!scene.wire_has_shown(b"Tea at four?"));
}

#[test]
fn bob_gets_the_message_although_alice_left_before_he_came_back() {
    away(1, 0, 3);
}

#[test]
fn it_works_when_every_tenth_datagram_is_lost() {
    away(2, 10, 3);
}

#[test]
fn it_works_when_half_of_all_datagrams_are_lost_each_way() {
    away(3, 51, 3);
}
