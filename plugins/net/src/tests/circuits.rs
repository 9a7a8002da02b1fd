//! Links nested in links: who sees whom, what a neighbour passes on, and what it does not. PROTOCOL 2.5

use super::*;
use crate::frame::{Refused, kind, refusal};
use crate::limits::{CIRCUITS_LINK_MAX, CIRCUITS_MAX, NESTED_BODY_BYTES_MAX};
use crate::{CircuitUse, encode_address};
use bytes::BufMut;

const ALICE: &str = "203.0.113.1:4000";
const CAROL: &str = "192.0.2.1:4000";

/// Alice, some neighbours whom she has links with, and Carol, whom they know and she does not.
struct Scene {
    net: Net,
    alice: Entity,
    neighbours: Vec<Entity>,
    carol: Entity,
}

fn scene(neighbours: usize, edit: impl Fn(&mut LinkSettings)) -> Scene {
    let mut net = Net::new(seed());
    let alice = net.node_with(ALICE, |settings| {
        settings.outbound = 0;
        edit(settings);
    });
    let neighbours: Vec<Entity> = (0..neighbours)
        .map(|n| net.node(&format!("198.51.{n}.1:4000")))
        .collect();
    let carol = net.node(CAROL);
    for neighbour in &neighbours {
        net.link(alice, *neighbour);
    }
    net.run_for(seconds(1));
    Scene {
        net,
        alice,
        neighbours,
        carol,
    }
}

impl Scene {
    /// Alice hides from Carol.
    fn hide(&mut self) -> Entity {
        let (address, id) = (self.net.address(self.carol), self.net.id(self.carol));
        self.net.dial(self.alice, address, Some(id), true)
    }

    /// Datagrams that went straight from Alice to Carol or back.
    fn straight(&mut self) -> usize {
        let tape = self.net.wire().tape.clone().unwrap();
        let ends = [at(ALICE), at(CAROL)];
        let straight = tape
            .iter()
            .filter(|(from, to, _)| ends.contains(from) && ends.contains(to));
        straight.count()
    }

    fn hidden_at_carol(&mut self) -> Vec<(Entity, Peer)> {
        let mut peers = self.net.peers(self.carol);
        peers.retain(|(_, peer)| peer.anonymous);
        peers
    }
}

// PROTOCOL 2.5
#[test]
fn a_peer_sees_neither_who_nor_where_who_hides_from_it_is() {
    let mut scene = scene(1, |_| {});
    scene.net.wire().tape = Some(Vec::new());
    let link = scene.hide();
    scene.net.run_for(seconds(2));
    let peer = scene.net.get::<Peer>(link).clone();
    assert!(peer.hidden && peer.id == scene.net.id(scene.carol));
    let (at_carol, seen) = scene.hidden_at_carol().remove(0);
    assert_eq!(seen.handshake_hash, peer.handshake_hash);
    assert_ne!(seen.id, scene.net.id(scene.alice));
    // Carol sees her neighbour's address, and Alice's nowhere.
    assert_eq!(seen.address, scene.net.address(scene.neighbours[0]));
    assert_eq!(scene.net.links(scene.carol).observed(at_carol), None);
    // The largest frames go both ways.
    let body = vec![7; NESTED_BODY_BYTES_MAX];
    scene.net.frame(link, 0x20, &body);
    scene.net.frame(at_carol, 0x21, &body);
    scene.net.run_for(seconds(1));
    let (alice, carol) = (scene.alice, scene.carol);
    let frames = std::mem::take(&mut scene.net.log().frames);
    for expected in [(alice, link, 0x21), (carol, at_carol, 0x20)] {
        let came = |frame: &(Entity, Entity, u8, Bytes)| {
            (frame.0, frame.1, frame.2) == expected && frame.3 == body
        };
        assert!(frames.iter().any(came), "{expected:?}");
    }
    assert_eq!(scene.straight(), 0);
    // The neighbour learnt of nothing but that there is a circuit.
    let neighbour = scene.neighbours[0];
    assert!(frames.iter().all(|(node, ..)| *node != neighbour));
}

// PROTOCOL 2.5
#[test]
fn with_a_fifth_of_all_datagrams_lost_each_way_it_comes_up_all_the_same() {
    let mut scene = scene(3, |settings| settings.circuits = CircuitUse::Require);
    scene.net.wire().loss_percent = 20;
    let mut up = 0;
    for _ in 0..20 {
        let link = scene.hide();
        scene.net.run_for(seconds(10));
        up += u32::from(scene.net.run.app.world().get::<Peer>(link).is_some());
        scene.net.hang_up(link);
    }
    assert!(up >= 17, "{up} of 20");
    scene.net.wire().loss_percent = 0;
    scene.net.run_for(seconds(300));
    scene.net.check_bounds();
}

// PROTOCOL 2.5
#[test]
fn without_a_neighbour_it_goes_straight_or_not_at_all() {
    for (circuits, comes_up) in [(CircuitUse::Prefer, true), (CircuitUse::Require, false)] {
        let mut scene = scene(0, |settings| {
            (settings.circuits, settings.outbound) = (circuits, 8);
        });
        let link = scene.hide();
        scene.net.run_for(seconds(1));
        assert!(
            scene.hidden_at_carol().is_empty(),
            "a neighbour may still come"
        );
        scene.net.run_for(seconds(5));
        assert_eq!(scene.hidden_at_carol().len() == 1, comes_up, "{circuits:?}");
        if !comes_up {
            let end = scene.net.log().downs.last().copied().unwrap();
            assert_eq!((end.1, end.2), (link, DownReason::Unreachable));
            let carol = at(CAROL);
            assert!(!scene.net.wire().sent.contains_key(&carol));
        }
    }
}

// PROTOCOL 2.5
#[test]
fn switched_off_it_goes_straight_at_once() {
    let mut scene = scene(1, |settings| settings.circuits = CircuitUse::Off);
    scene.hide();
    scene.net.run_for(Duration::from_millis(400));
    let seen = scene.hidden_at_carol().remove(0).1;
    assert_eq!(seen.address, at(ALICE));
}

// PROTOCOL 2.5
#[test]
fn two_links_to_one_peer_go_through_different_neighbours() {
    let mut scene = scene(8, |_| {});
    for _ in 0..8 {
        scene.hide();
        scene.net.run_for(seconds(1));
    }
    let seen: std::collections::BTreeSet<SocketAddr> = scene
        .hidden_at_carol()
        .into_iter()
        .map(|(_, peer)| peer.address)
        .collect();
    assert_eq!(seen.len(), 8);
}

// PROTOCOL 2.5
#[test]
fn a_neighbour_that_passes_nothing_on_is_asked_once() {
    let mut net = Net::new(seed());
    let alice = net.node(ALICE);
    let stingy = net.node("198.51.0.1:4000");
    let carol = net.node(CAROL);
    let world = net.run.app.world_mut();
    world
        .entity_mut(stingy)
        .insert(crate::Bandwidth::new(Some(0), Time::ZERO));
    net.link(alice, stingy);
    net.run_for(seconds(1));
    let (address, id) = (net.address(carol), net.id(carol));
    for _ in 0..3 {
        net.dial(alice, address, Some(id), true);
        net.run_for(seconds(5));
    }
    assert_eq!(net.peers(carol).len(), 3);
    assert_eq!(net.drops(stingy, DropReason::CircuitRefused), 1);
}

// PROTOCOL 2.5
#[test]
fn nobody_is_dialled_for_others_more_than_three_times() {
    let mut scene = scene(1, |settings| settings.circuits = CircuitUse::Require);
    let nobody = at("192.0.2.99:9");
    let id = Identity::generate(&mut ChaCha20Rng::seed_from_u64(99)).id();
    let link = scene.net.dial(scene.alice, nobody, Some(id), true);
    scene.net.run_for(seconds(30));
    assert_eq!(scene.net.wire().outside.len(), 3);
    assert!(scene.net.links(scene.alice).get(link).is_none());
    // Nor is anybody whose address reaches less far than the asker's.
    let inside = at("192.168.0.1:9");
    scene.net.dial(scene.alice, inside, Some(id), true);
    scene.net.run_for(seconds(30));
    assert_eq!(scene.net.wire().outside.len(), 3);
}

// PROTOCOL 2.5
#[test]
fn what_is_hung_up_ends_everywhere_and_the_link_made_for_it_soon_after() {
    let mut scene = scene(1, |_| {});
    let link = scene.hide();
    scene.net.run_for(seconds(2));
    assert_eq!(scene.hidden_at_carol().len(), 1);
    scene.net.hang_up(link);
    scene.net.run_for(seconds(2));
    assert!(scene.hidden_at_carol().is_empty());
    for node in [scene.alice, scene.neighbours[0], scene.carol] {
        assert_eq!(scene.net.links(node).circuits().unwrap().len(), 0);
    }
    assert_eq!(
        scene.net.peers(scene.carol).len(),
        1,
        "the neighbour may be needed again"
    );
    scene.net.run_for(seconds(70));
    assert!(scene.net.peers(scene.carol).is_empty());
    assert_eq!(scene.net.peers(scene.alice).len(), 1);
}

// PROTOCOL 2.5
#[test]
fn it_falls_when_the_neighbour_does_and_lives_on_through_new_sessions() {
    let mut scene = scene(1, |_| {});
    let link = scene.hide();
    scene.net.run_for(seconds(2));
    let before = scene.net.get::<Peer>(link).handshake_hash;
    scene.net.run_for(seconds(1_300));
    assert_ne!(scene.net.get::<Peer>(link).handshake_hash, before);
    assert_eq!(scene.hidden_at_carol().len(), 1);
    let neighbour = scene.neighbours[0];
    scene.net.run.app.world_mut().despawn(neighbour);
    scene.net.run_for(seconds(120));
    assert!(scene.hidden_at_carol().is_empty());
    let end = scene
        .net
        .log()
        .downs
        .iter()
        .copied()
        .find(|down| down.1 == link);
    assert_eq!(end.unwrap().2, DownReason::Lost);
}

fn open_body(handle: u32, to: PeerId, address: SocketAddr) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u32_le(handle);
    body.put_slice(to.as_bytes());
    body.put_slice(&encode_address(address));
    body
}

/// A handle that is Alice's to choose on her link to a neighbour.
fn first_handle(scene: &Scene) -> u32 {
    let smaller = scene.net.id(scene.alice) < scene.net.id(scene.neighbours[0]);
    2 + u32::from(!smaller)
}

// PROTOCOL 5
#[test]
fn one_who_opens_circuits_without_end_has_its_share_and_others_have_theirs() {
    let mut scene = scene(1, |_| {});
    let (neighbour, carol) = (scene.neighbours[0], scene.net.id(scene.carol));
    let to_neighbour = scene.net.peer(scene.alice).0;
    let first = first_handle(&scene);
    for round in 0..40 {
        for n in 0..100 {
            let handle = first + 2 * (round * 100 + n);
            scene.net.frame(
                to_neighbour,
                kind::CIRCUIT_OPEN,
                &open_body(handle, carol, at(CAROL)),
            );
        }
        scene.net.run_for(seconds(1));
        scene.net.check_bounds();
    }
    let circuits = scene.net.links(neighbour).circuits().unwrap().len();
    assert!(circuits <= 2 * CIRCUITS_LINK_MAX, "{circuits}");
    let refused = scene.net.drops(neighbour, DropReason::CircuitRefused);
    assert_eq!(refused, 4_000 - CIRCUITS_LINK_MAX as u64);
    // Somebody else has a link through the same neighbour all the same.
    let other = scene.net.node("203.0.200.1:4000");
    scene.net.link(other, neighbour);
    scene.net.run_for(seconds(1));
    scene.net.dial(other, at(CAROL), Some(carol), true);
    scene.net.run_for(seconds(2));
    assert_eq!(scene.hidden_at_carol().len(), 1);
    assert!(circuits < CIRCUITS_MAX);
}

// PROTOCOL 2.5
#[test]
fn malformed_and_foreign_frames_are_dropped_and_open_nothing() {
    let mut scene = scene(1, |_| {});
    let neighbour = scene.neighbours[0];
    let to_neighbour = scene.net.peer(scene.alice).0;
    let (carol, first) = (scene.net.id(scene.carol), first_handle(&scene));
    let good = open_body(first, carol, at(CAROL));
    let not_ours = open_body(first ^ 1, carol, at(CAROL));
    let bad: [(u8, &[u8], DropReason); 10] = [
        (kind::CIRCUIT_OPEN, &[], DropReason::FrameMalformed),
        (kind::CIRCUIT_OPEN, &good[..54], DropReason::FrameMalformed),
        (kind::CIRCUIT_OPEN, &not_ours, DropReason::FrameMalformed),
        (kind::CIRCUIT_OPENED, &good[..4], DropReason::Unasked),
        (kind::CIRCUIT_OPENED, &good[..3], DropReason::FrameMalformed),
        (kind::CIRCUIT_DATA, &good[..3], DropReason::FrameMalformed),
        (kind::CIRCUIT_DATA, &good, DropReason::NoCircuit),
        (kind::CIRCUIT_CLOSE, &[1], DropReason::FrameMalformed),
        (kind::CIRCUIT_CLOSE, &good[..4], DropReason::FrameMalformed),
        (
            kind::CIRCUIT_OPEN,
            &open_zero(&good),
            DropReason::FrameMalformed,
        ),
    ];
    for (kind, body, reason) in bad {
        let before = scene.net.drops(neighbour, reason);
        scene.net.frame(to_neighbour, kind, body);
        scene.net.run_for(seconds(1));
        assert_eq!(
            scene.net.drops(neighbour, reason),
            before + 1,
            "{kind:#x} {body:?}"
        );
    }
    let open = scene
        .net
        .links(neighbour)
        .circuits()
        .map_or(0, |circuits| circuits.len());
    assert_eq!(open, 0);
    // An id that is none, and a circuit back to who asks.
    let mut nobody = good.clone();
    nobody[4..36].fill(0xff);
    let back = open_body(first + 2, scene.net.id(scene.alice), at(ALICE));
    for body in [nobody, back] {
        let before = scene.net.drops(neighbour, DropReason::CircuitRefused);
        scene.net.frame(to_neighbour, kind::CIRCUIT_OPEN, &body);
        scene.net.run_for(seconds(1));
        assert_eq!(
            scene.net.drops(neighbour, DropReason::CircuitRefused),
            before + 1
        );
    }
}

fn open_zero(good: &[u8]) -> Vec<u8> {
    let mut body = good.to_vec();
    body[..4].fill(0);
    body
}

// PROTOCOL 2.5
#[test]
fn through_a_circuit_nobody_comes_by_identity_and_nobody_pretends_to_from_outside() {
    let mut scene = scene(1, |_| {});
    let link = scene.hide();
    scene.net.run_for(seconds(2));
    // Carol's own circuits are at addresses that a datagram could bear, were it let in.
    let inside = scene
        .net
        .links(scene.carol)
        .iter()
        .find(|(_, link)| link.anonymous);
    let inside = inside.unwrap().1.address();
    let carol = scene.carol;
    let before = scene.net.drops(carol, DropReason::Unknown);
    scene.net.inject(inside, carol, &[7; 64]);
    scene.net.run_for(seconds(1));
    assert_eq!(scene.net.drops(carol, DropReason::Unknown), before + 1);
    // Alice, who hides, uses her identity in the same circuit: refused.
    let hop = scene.net.links(scene.alice).get(link).unwrap().address();
    let id = scene.net.id(carol);
    let mut random = ChaCha20Rng::seed_from_u64(5);
    let world = scene.net.run.app.world();
    let identity = world.get::<Identity>(scene.alice).unwrap();
    let secret = identity.link_secret();
    let begin = |random: &mut ChaCha20Rng, to| {
        let (own, index) = (identity.primitives(), 0x7777);
        crate::handshake::Initiation::begin(own, &secret, to, false, index, Time::ZERO, random)
    };
    let named = begin(&mut random, Some(&id)).unwrap().datagram();
    let unnamed = begin(&mut random, None).unwrap().datagram();
    let hop = crate::circuit::Hop::of(hop).unwrap();
    for datagram in [named, unnamed] {
        let before = scene.net.drops(carol, DropReason::HandshakeForged);
        let mut body = hop.handle.to_le_bytes().to_vec();
        body.extend_from_slice(&datagram);
        scene.net.frame(hop.link, kind::CIRCUIT_DATA, &body);
        scene.net.run_for(seconds(1));
        assert_eq!(
            scene.net.drops(carol, DropReason::HandshakeForged),
            before + 1
        );
    }
    assert_eq!(scene.net.peers(carol).len(), 2);
}

// PROTOCOL 2.5
#[test]
fn a_neighbour_of_an_older_version_is_gone_round() {
    let mut scene = scene(2, |settings| settings.circuits = CircuitUse::Require);
    let old = scene.neighbours[0];
    let id = scene.net.id(old);
    let mut links = scene.net.peers(scene.alice).into_iter();
    let to_old = links.find(|(_, peer)| peer.id == id).unwrap().0;
    // It answers as it does to any type of frame that it does not know.
    let refused = Refused {
        frame: kind::CIRCUIT_OPEN,
        reason: refusal::UNSUPPORTED,
        price_bits: 0,
        request: 0,
    };
    let back = scene.net.peers(old)[0].0;
    scene.net.frame(back, kind::REFUSED, &refused.encode());
    scene.net.run_for(seconds(1));
    for _ in 0..4 {
        scene.hide();
        scene.net.run_for(seconds(1));
    }
    assert_eq!(scene.hidden_at_carol().len(), 4);
    let over_old = scene
        .net
        .links(scene.alice)
        .circuits()
        .unwrap()
        .over(to_old)
        .count();
    assert_eq!(over_old, 0);
    scene.net.hang_up(to_old);
    scene.net.run_for(seconds(1));
    assert!(
        scene
            .net
            .links(scene.alice)
            .circuits()
            .unwrap()
            .unwilling
            .is_empty()
    );
}
