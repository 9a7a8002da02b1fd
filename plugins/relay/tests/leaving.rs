//! Carriers that are told to end, one after another, while both the sender and the recipient are away.

mod scene;

use dunlin_engine::{Exit, ExitHolds};
use dunlin_relay::GoesAway;
use scene::{Kind, Scene, Who, carrier, minutes, person, seconds};
use std::time::Duration;

/// Four of the eight that keep Alice's message leave within a minute. How many copies there are then, and whether Bob gets it.
fn four_leave(hand_over: bool) -> usize {
    let mut scene = Scene::new(11, 5);
    let kind = || Kind {
        hand_over,
        ..carrier()
    };
    let all: Vec<Who> = (0..16).map(|n| scene.spawn(100 + n, kind())).collect();
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    for who in all.iter().chain([&alice, &bob]) {
        scene.knows(*who, 12);
    }
    let message = scene.send(alice, &card, "Tea?");
    scene.until_state(alice, &message, "stored", minutes(5));
    scene.end(alice);
    let holds = |scene: &Scene, who: &Who| scene.packets(*who) > 0;
    let holders: Vec<Who> = all
        .iter()
        .filter(|who| holds(&scene, who))
        .copied()
        .collect();
    assert_eq!(holders.len(), 8);
    for leaver in &holders[..4] {
        // One World holds them all, so the others are told that they need not mind.
        for who in all.iter().filter(|who| *who != leaver) {
            let world = scene.world();
            if let Some(mut settings) = world.get_mut::<dunlin_relay::RelaySettings>(who.node) {
                settings.hand_over = false;
            }
        }
        let world = scene.world();
        world
            .get_mut::<dunlin_relay::RelaySettings>(leaver.node)
            .unwrap()
            .hand_over = hand_over;
        world.insert_resource(Exit(Some("told to".into())));
        scene.run.run_for(Duration::from_millis(1));
        let held = !scene.world().resource::<ExitHolds>().0.is_empty();
        assert_eq!(held, hand_over, "the run waits for who hands over");
        scene.run.run_for(seconds(4));
        let world = scene.world();
        assert!(
            world.resource::<ExitHolds>().0.is_empty(),
            "and no longer than 4 s"
        );
        world.insert_resource(Exit::default());
        scene.end(*leaver);
        scene.run.run_for(seconds(10));
    }
    let stayed = all.iter().filter(|who| !holders[..4].contains(who));
    let copies = stayed.filter(|who| holds(&scene, who)).count();
    let inbox = scene.receive(bob);
    assert!(scene.next(&inbox, minutes(5)).is_some(), "Bob has it");
    copies
}

#[test]
fn carriers_that_are_told_to_end_leave_as_many_copies_as_there_were() {
    assert_eq!(four_leave(false), 4);
    let copies = four_leave(true);
    assert!((8..=10).contains(&copies), "{copies}");
}

#[test]
fn a_carrier_that_goes_while_its_app_stays_leaves_a_copy_as_well() {
    let mut scene = Scene::new(12, 5);
    let all: Vec<Who> = (0..16).map(|n| scene.spawn(100 + n, carrier())).collect();
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    for who in all.iter().chain([&alice, &bob]) {
        scene.knows(*who, 12);
    }
    let message = scene.send(alice, &card, "Tea?");
    scene.until_state(alice, &message, "stored", minutes(5));
    scene.end(alice);
    let copies = |scene: &Scene| all.iter().map(|who| scene.packets(*who)).sum::<usize>();
    let before = copies(&scene);
    let leaver = all.iter().find(|who| scene.packets(**who) > 0).unwrap();
    scene.world().entity_mut(leaver.node).insert(GoesAway);
    scene.run.run_for(seconds(4));
    let held = &scene.world().resource::<ExitHolds>().0;
    assert!(held.is_empty(), "and keeps no app from ending");
    assert!(copies(&scene) >= before.max(9), "its own is one too many");
}
