//! Carriers mend among themselves what others of them took with them when they went without a word.

mod scene;

use dunlin_relay::{Cache, Candidate, Packet, nearest as nearest_of};
use scene::{Scene, Who, carrier, minutes, person};
use std::collections::BTreeSet;

fn holders(scene: &Scene, all: &[Who]) -> BTreeSet<Who> {
    let holds = |who: &&Who| scene.packets(**who) > 0;
    all.iter().filter(holds).copied().collect()
}

/// The eight carriers of these on which a packet belongs.
fn nearest(all: &[Who], packet: &Packet) -> BTreeSet<Who> {
    let candidate = |who: &Who| Candidate {
        id: who.id,
        position: who.id.position(),
        address: who.address,
        eligible: true,
    };
    let candidates: Vec<Candidate> = all.iter().map(candidate).collect();
    let places = nearest_of(packet.tag(), &candidates, 8);
    let of = |place: &&Candidate| all.iter().find(|who| who.id == place.id);
    places.iter().filter_map(of).copied().collect()
}

struct Stored {
    scene: Scene,
    all: Vec<Who>,
    bob: Who,
    packet: Packet,
}

/// Seventeen carriers of which eight or nine keep a message of Alice's to Bob, who is away. She has gone too.
fn stored(seed: u64) -> Stored {
    let mut scene = Scene::new(seed, 5);
    let all: Vec<Who> = (0..17).map(|n| scene.spawn(100 + n, carrier())).collect();
    let (alice, bob) = (scene.spawn(1, person()), scene.spawn(2, person()));
    let card = scene.card(bob);
    for who in all.iter().chain([&alice, &bob]) {
        scene.knows(*who, 16);
    }
    // Younger carriers pull nothing.
    scene.run.run_for(minutes(20));
    scene.cut(bob);
    let message = scene.send(alice, &card, "Tea?");
    scene.until_state(alice, &message, "stored", minutes(5));
    scene.end(alice);
    let now = scene.run.now().time;
    let world = scene.run.app.world();
    let caches = all.iter().filter_map(|who| world.get::<Cache>(who.node));
    let packet = caches.flat_map(|cache| cache.longest_lived(1, now)).next();
    let packet = packet.expect("it is stored");
    Stored {
        scene,
        all,
        bob,
        packet,
    }
}

// PROTOCOL 3.12
#[test]
fn three_holders_die_without_a_word_and_after_a_round_the_eight_nearest_of_the_others_hold_it() {
    let Stored {
        mut scene,
        mut all,
        bob,
        packet,
    } = stored(21);
    let dead: BTreeSet<Who> = holders(&scene, &all).into_iter().take(3).collect();
    for who in &dead {
        scene.end(*who);
    }
    all.retain(|who| !dead.contains(who));
    let left = holders(&scene, &all);
    let wanted = nearest(&all, &packet);
    assert!(!wanted.is_subset(&left), "some are missing");
    // A round begins within 19 minutes, and who is asked asks back within 4.
    scene.run.run_for(minutes(25));
    let hold = holders(&scene, &all);
    assert!(wanted.is_subset(&hold), "{wanted:?} {hold:?}");
    // The rest die as well: those that pulled it are enough.
    for who in &left {
        scene.end(*who);
    }
    scene.join(bob);
    let inbox = scene.receive(bob);
    assert!(scene.next(&inbox, minutes(5)).is_some(), "Bob has it");
}

// PROTOCOL 3.12
#[test]
fn copies_are_made_where_the_packet_belongs_and_nowhere_else() {
    let Stored {
        mut scene,
        all,
        packet,
        ..
    } = stored(22);
    let first = holders(&scene, &all);
    scene.run.run_for(minutes(180));
    let belongs = nearest(&all, &packet);
    let hold = holders(&scene, &all);
    assert!(belongs.is_subset(&hold), "{belongs:?} {hold:?}");
    let more: BTreeSet<Who> = hold.difference(&first).copied().collect();
    assert!(more.is_subset(&belongs), "{more:?}");
}
