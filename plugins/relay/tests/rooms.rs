//! Rooms: what members hear of each other, there or away, and what none of them can do.

mod scene;

use dunlin_engine::{Items, Reply};
use dunlin_relay::{DropReason, Tombstones};
use scene::{Kind, Scene, Who, minutes, person, seconds};
use serde_json::json;
use std::collections::BTreeSet;

struct Group {
    scene: Scene,
    carriers: Vec<Who>,
    people: Vec<Who>,
    room: String,
}

/// A room that the first of so many people made, in a network of so many carriers.
fn group(carriers: u64, people: u64, loss_percent: u32) -> Group {
    let mut scene = Scene::new(5, loss_percent);
    let carriers = scene.carriers(carriers);
    let kind = |n| match n % 2 {
        1 => person(),
        _ => Kind::default(), // A room needs no mailbox.
    };
    let people: Vec<Who> = (1..=people).map(|n| scene.spawn(n, kind(n))).collect();
    people
        .iter()
        .for_each(|who| scene.knows(*who, carriers.len()));
    let params = json!({ "node": people[0].id.to_string(), "name": "Tea" });
    let made = scene.call("room.new", params, b"").unwrap();
    let room = made.value["invitation"].as_str().unwrap().to_owned();
    Group {
        scene,
        carriers,
        people,
        room,
    }
}

impl Group {
    fn say(&mut self, from: Who, text: &str) -> String {
        let params = json!({ "node": from.id.to_string(), "room": self.room, "text": text });
        let sent = self.scene.call("room.send", params, b"").unwrap();
        sent.value["id"].as_str().unwrap().to_owned()
    }

    fn listen(&mut self, who: Who, own: bool) -> Items {
        let params = json!({ "node": who.id.to_string(), "room": self.room, "own": own });
        let items = self.scene.client.open("room.listen", params);
        self.scene.run.turn();
        items.opened().expect("at once").expect("a room");
        items
    }

    fn stored(&mut self, who: Who, id: &str) {
        let told = self.scene.until_state(who, id, "stored", minutes(5));
        assert_eq!(told["room"], told["to"]);
    }

    fn next(&mut self, items: &Items, limit: u64) -> Option<(String, String)> {
        let item = self.scene.next(items, seconds(limit))?;
        Some(said(&item))
    }

    fn confirm(&mut self, who: Who, item: &Reply) {
        let params = json!({ "node": who.id.to_string(), "id": item.value["id"] });
        self.scene.call("room.confirm", params, b"").unwrap();
    }

    fn asked_all(&mut self, who: Who) -> bool {
        let params = json!({ "node": who.id.to_string(), "room": self.room });
        let status = self.scene.call("room.status", params, b"").unwrap();
        status.value["asked_all"] == true
    }

    fn until_asked_all(&mut self, who: Who) {
        let all = (0..120).any(|_| {
            self.scene.run.run_for(seconds(1));
            self.asked_all(who)
        });
        assert!(all, "lanes are still asked for");
    }
}

fn said(item: &Reply) -> (String, String) {
    let from = item.value["from"].as_str().unwrap().to_owned();
    (from, String::from_utf8(item.body.to_vec()).unwrap())
}

fn by(who: Who, text: &str) -> (String, String) {
    (who.id.to_string(), text.to_owned())
}

// PROTOCOL 4.6
#[test]
fn two_members_hear_each_other_at_once_and_an_absent_one_hears_both_later() {
    let mut group = group(10, 3, 0);
    let [alice, bob, carol] = group.people[..] else {
        panic!("three people");
    };
    let (at_alices, at_bobs) = (group.listen(alice, false), group.listen(bob, false));
    group.until_asked_all(alice);
    group.until_asked_all(bob);
    let tea = group.say(alice, "Tea at four?");
    // Pushed by who keeps it: two round trips, a dial, and no waiting for the next round.
    assert_eq!(group.next(&at_bobs, 2), Some(by(alice, "Tea at four?")));
    let gladly = group.say(bob, "Gladly.");
    assert_eq!(group.next(&at_alices, 2), Some(by(bob, "Gladly.")));
    group.stored(alice, &tea);
    group.stored(bob, &gladly);
    // Neither hears itself, nor anything twice, though nothing was confirmed.
    assert_eq!(group.next(&at_alices, 600), None);
    assert_eq!(group.next(&at_bobs, 1), None);
    assert!(group.scene.drops(alice, DropReason::OwnInRoom) > 0);
    // Both go. Nothing is ever called delivered, and what was said waits for who was away.
    assert_eq!(group.scene.own(alice, &tea)["state"], "stored");
    group.scene.end(alice);
    group.scene.end(bob);
    let three: Vec<Who> = group.carriers[..3].to_vec();
    three.iter().for_each(|carrier| group.scene.cut(*carrier));
    let at_carols = group.listen(carol, false);
    let heard: BTreeSet<_> = (0..2).filter_map(|_| group.next(&at_carols, 60)).collect();
    assert_eq!(
        heard,
        [by(alice, "Tea at four?"), by(bob, "Gladly.")].into()
    );
    assert!(!group.scene.wire_has_shown(b"Tea at four?"));
}

#[test]
fn who_asks_for_it_hears_its_own_messages_too() {
    let mut group = group(8, 1, 0);
    let alice = group.people[0];
    let silent = group.listen(alice, false);
    let items = group.listen(alice, true);
    let id = group.say(alice, "Is anybody there?");
    let item = group.scene.next(&items, seconds(60)).expect("her own");
    assert_eq!(
        (&item.value["own"], &item.value["id"]),
        (&json!(true), &json!(id))
    );
    assert_eq!(group.next(&silent, 60), None);
}

#[test]
fn what_was_confirmed_is_not_told_again_after_a_restart_and_what_was_not_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = group(8, 1, 0);
    let alice = group.people[0];
    let bob = || Kind {
        seen: Some(folder.path().join("seen")),
        ..person()
    };
    let first = group.scene.spawn(2, bob());
    group.scene.knows(first, 8);
    for text in ["one", "two"] {
        let id = group.say(alice, text);
        group.stored(alice, &id);
    }
    let items = group.listen(first, false);
    let one = group.scene.next(&items, seconds(60)).expect("the one");
    let two = group.scene.next(&items, seconds(60)).expect("the other");
    group.confirm(first, &one);
    let again = json!({ "node": first.id.to_string(), "id": one.value["id"] });
    let refused = group.scene.call("room.confirm", again, b"").unwrap_err();
    assert_eq!(refused.code, "id");
    drop(items);
    group.scene.end(first);

    let second = group.scene.spawn(2, bob());
    group.scene.knows(second, 8);
    let items = group.listen(second, false);
    assert_eq!(group.next(&items, 60), Some(said(&two)));
    group.until_asked_all(second);
    assert_eq!(group.next(&items, 600), None);
    assert!(group.scene.drops(second, DropReason::Repeated) > 0);
}

// PROTOCOL 3.8, 3.5
#[test]
fn a_file_of_64_kib_comes_whole_over_links_that_lose_a_tenth() {
    let mut group = group(10, 2, 10);
    let (alice, bob) = (group.people[0], group.people[1]);
    let file: Vec<u8> = (0..65_536_u32).map(|n| (n / 7) as u8).collect();
    let params = json!({ "node": alice.id.to_string(), "room": group.room, "name": "film.bin" });
    let sent = group
        .scene
        .call("room.send", params.clone(), &file)
        .unwrap();
    let id = sent.value["id"].as_str().unwrap().to_owned();
    group.stored(alice, &id);
    let refused = group.scene.call("room.send", params, &[7; 65_537]);
    assert_eq!(refused.unwrap_err().code, "message");
    group.scene.end(alice);
    let items = group.listen(bob, false);
    let item = group.scene.next(&items, minutes(5)).expect("the file");
    assert_eq!(item.value["name"], "film.bin");
    assert!(item.body == file);
}

// PROTOCOL 4.6
#[test]
fn its_author_takes_a_message_back_everywhere_and_no_member_can() {
    let mut group = group(8, 3, 0);
    let [alice, bob, carol] = group.people[..] else {
        panic!("three people");
    };
    let id = group.say(alice, "Forget it");
    group.stored(alice, &id);
    let items = group.listen(bob, false);
    let item = group.scene.next(&items, seconds(60)).expect("it");
    let cancel = |scene: &mut Scene, who: Who| {
        let params = json!({ "node": who.id.to_string(), "id": id });
        scene.call("relay.cancel", params, b"")
    };
    // To a member it is none of its own; and that it has read it ends it for nobody.
    assert_eq!(cancel(&mut group.scene, bob).unwrap_err().code, "unknown");
    group.confirm(bob, &item);
    group.scene.run.run_for(minutes(2));
    let copies =
        |scene: &Scene, all: &[Who]| all.iter().map(|who| scene.packets(*who)).sum::<usize>();
    assert_eq!(copies(&group.scene, &group.carriers), 8);

    let done = cancel(&mut group.scene, alice).unwrap();
    assert_eq!(
        (&done.value["ending"], &done.value["carriers"]),
        (&json!(true), &json!(8))
    );
    group.scene.run.run_for(seconds(10));
    assert_eq!(copies(&group.scene, &group.carriers), 0);
    let world = group.scene.run.app.world();
    let tombstones = |who: &Who| world.get::<Tombstones>(who.node).unwrap().len();
    assert!(group.carriers.iter().all(|who| tombstones(who) == 1));
    let items = group.listen(carol, false);
    group.until_asked_all(carol);
    assert_eq!(group.next(&items, 1), None);
}

#[test]
fn who_has_no_invitation_hears_nothing_and_says_nothing() {
    let mut group = group(8, 2, 0);
    let (alice, bob) = (group.people[0], group.people[1]);
    let theirs = group.room.clone();
    let params = json!({ "node": bob.id.to_string(), "name": "Tea" });
    let made = group.scene.call("room.new", params, b"").unwrap();
    group.room = made.value["invitation"].as_str().unwrap().to_owned();
    let at_bobs = group.listen(bob, false);
    group.room = theirs;
    let at_alices = group.listen(alice, false);
    group.say(alice, "For members");
    assert_eq!(group.next(&at_bobs, 600), None);
    assert_eq!(group.next(&at_alices, 1), None);
    for (room, code) in [("tea", "room"), ("dunlin-room:abc", "room")] {
        let params = json!({ "node": bob.id.to_string(), "room": room, "text": "Hello" });
        let refused = group.scene.call("room.send", params, b"").unwrap_err();
        assert_eq!(refused.code, code);
        assert!(!refused.message.contains("abc"), "{}", refused.message);
    }
}

#[test]
fn sixteen_rooms_are_listened_to_and_one_that_is_left_makes_room() {
    let mut group = group(4, 1, 0);
    let alice = group.people[0];
    let mut items: Vec<Items> = Vec::new();
    let open = |group: &mut Group| {
        let params = json!({ "node": alice.id.to_string(), "name": "Tea" });
        let made = group.scene.call("room.new", params, b"").unwrap();
        let room = &made.value["invitation"];
        let params = json!({ "node": alice.id.to_string(), "room": room });
        let items = group.scene.client.open("room.listen", params);
        group.scene.run.turn();
        items.opened().expect("at once").map(|_| items)
    };
    for _ in 0..16 {
        items.push(open(&mut group).expect("there is room"));
    }
    assert_eq!(open(&mut group).err().expect("one too many").code, "full");
    items.pop();
    group.scene.run.run_for(seconds(2));
    open(&mut group).expect("there is room again");
}
