//! Nodes that find each other.

use super::*;
use crate::address::Prefix;
use crate::{AddressBook, CloseReason};

fn known(net: &Net, node: Entity) -> usize {
    net.get::<AddressBook>(node).len()
}

// PROTOCOL 2.3
#[test]
fn twelve_nodes_that_know_one_address_come_to_know_each_other() {
    let mut net = Net::new(seed());
    let mut nodes = vec![net.node_with("203.0.113.1:4000", |_| {})];
    for n in 1..12 {
        let node = net.node_with(&format!("198.{n}.100.1:4000"), |settings| {
            settings.entry = vec![(None, at("203.0.113.1:4000"))];
        });
        nodes.push(node);
        net.run_for(seconds(1));
    }
    net.wire().loss_percent = 10;
    // Who has its eight links asks somebody every ten minutes.
    net.run_for(seconds(1_500));
    for node in &nodes {
        assert_eq!(known(&net, *node), 11);
        assert!(net.peers(*node).len() >= 8, "{}", net.peers(*node).len());
    }
    let (mut pairs, mut links) = (std::collections::BTreeSet::new(), 0);
    for node in &nodes {
        let id = net.id(*node);
        for (_, peer) in net.peers(*node) {
            pairs.insert((id.min(peer.id), id.max(peer.id)));
            links += 1;
        }
    }
    assert_eq!(
        links,
        pairs.len() * 2,
        "each link has two ends, and no pair has two links"
    );
    net.check_bounds();
}

#[test]
fn a_node_makes_eight_links_over_at_least_four_wide_prefixes() {
    let mut net = Net::new(seed());
    let hub = net.node("203.0.113.1:4000");
    for n in 0..24_u32 {
        // Eighteen of an attacker in one /16, six honest ones elsewhere.
        let address = match n {
            0..18 => format!("198.51.{n}.1:4000"),
            _ => format!("192.{n}.0.1:4000"),
        };
        let node = net.node(&address);
        net.link(node, hub);
    }
    net.run_for(seconds(2));
    let alice = net.node_with("100.64.0.1:4000", |settings| {
        settings.entry = vec![
            (
                Some(
                    PeerId::from_bytes([1; 32])
                        .unwrap_or(Identity::generate(&mut ChaCha20Rng::seed_from_u64(9)).id()),
                ),
                at("192.0.2.222:1"),
            ),
            (None, at("203.0.113.1:4000")),
        ];
    });
    net.run_for(seconds(120));
    let peers = net.peers(alice);
    let mut wide: BTreeMap<Prefix, usize> = BTreeMap::new();
    for (_, peer) in &peers {
        assert!(peer.outbound);
        *wide.entry(Prefix::wide(peer.address)).or_default() += 1;
    }
    assert_eq!(peers.len(), 8);
    assert!(
        wide.len() >= 4 && wide.values().all(|links| *links <= 2),
        "{wide:?}"
    );
}

#[test]
fn a_lost_link_is_replaced_by_another() {
    let mut net = Net::new(seed());
    let hub = net.node("203.0.113.1:4000");
    let others: Vec<Entity> = (0..12)
        .map(|n| net.node(&format!("198.{n}.0.1:4000")))
        .collect();
    for other in &others {
        net.link(*other, hub);
    }
    net.run_for(seconds(2));
    let alice = net.node_with("100.64.0.1:4000", |settings| {
        settings.entry = vec![(None, at("203.0.113.1:4000"))];
    });
    net.run_for(seconds(60));
    assert_eq!(net.peers(alice).len(), 8);
    let linked: Vec<PeerId> = net.peers(alice).iter().map(|(_, peer)| peer.id).collect();
    let dead: Vec<Entity> = others
        .iter()
        .filter(|node| linked.contains(&net.id(**node)))
        .take(3)
        .copied()
        .collect();
    for node in dead {
        net.run.app.world_mut().despawn(node);
        net.wire().addresses.remove(&node);
    }
    net.run_for(seconds(120));
    assert_eq!(net.peers(alice).len(), 8);
}

#[test]
fn whom_a_node_was_only_told_of_is_tried_before_it_is_needed_and_let_go_again() {
    let mut net = Net::new(seed());
    let hub = net.node("203.0.113.1:4000");
    let others: Vec<Entity> = (0..6)
        .map(|n| net.node(&format!("198.{n}.0.1:4000")))
        .collect();
    for other in &others {
        net.link(*other, hub);
    }
    net.run_for(seconds(2));
    let alice = net.node_with("100.64.0.1:4000", |settings| {
        settings.outbound = 1;
        settings.entry = vec![(None, at("203.0.113.1:4000"))];
    });
    net.run_for(seconds(20));
    let nobody = Identity::generate(&mut ChaCha20Rng::seed_from_u64(9)).id();
    let world = net.run.app.world_mut();
    let mut book = world.get_mut::<AddressBook>(alice).unwrap();
    let source = Prefix::wide(at("203.0.113.1:4000"));
    assert!(book.told(nobody, at("192.0.2.66:6"), About::TAKES_LINKS, source));
    // A round every ten minutes tries one; the one who is not there has a wait of its own after each failure.
    net.run_for(seconds(12 * 600));
    let book = net.get::<AddressBook>(alice);
    assert_eq!(book.len(), 8);
    for peer in book.entries() {
        assert_eq!(peer.last_heard > 0, peer.id != nobody, "{:?}", peer.id);
    }
    assert_eq!(net.peer(alice).1.id, net.id(hub), "and it kept its link");
    let felt = net.log().downs.clone();
    let felt = felt.iter().filter(|(node, ..)| *node == alice);
    let ends: std::collections::BTreeSet<_> = felt
        .map(|(_, _, reason, _)| format!("{reason:?}"))
        .collect();
    assert_eq!(
        ends.into_iter().collect::<Vec<_>>(),
        ["HungUp(Idle)", "Unreachable"]
    );
    for other in others {
        assert_eq!(net.peers(other).len(), 1, "the hub alone");
    }
}

#[test]
fn an_entry_that_closes_on_us_is_not_dialled_again_and_again() {
    let mut net = Net::new(seed());
    let hub = net.node("203.0.113.1:4000");
    let alice = net.node_with("100.64.0.1:4000", |settings| {
        settings.entry = vec![(None, at("203.0.113.1:4000"))];
    });
    for _ in 0..60 {
        for (link, _) in net.peers(hub) {
            net.write(HangUp {
                peer: link,
                reason: CloseReason::TooMany,
            });
        }
        net.run_for(seconds(1));
    }
    let ups = net
        .log()
        .ups
        .iter()
        .filter(|(node, ..)| *node == alice)
        .count();
    assert!(ups <= 4, "{ups}");
}

#[test]
fn a_peer_told_of_with_a_wrong_address_makes_room_after_three_failures() {
    let mut net = Net::new(seed());
    let alice = net.node_with("100.64.0.1:4000", |settings| settings.outbound = 4);
    let bob = net.node("198.51.100.1:4000");
    let (id, right) = (net.id(bob), net.address(bob));
    let told = |net: &mut Net, address| {
        let world = net.run.app.world_mut();
        let mut book = world.get_mut::<AddressBook>(alice).unwrap();
        book.told(id, address, About::TAKES_LINKS, Prefix::wide(right));
    };
    told(&mut net, at("192.0.2.66:6"));
    told(&mut net, right);
    net.run_for(seconds(60));
    assert_eq!(
        net.get::<AddressBook>(alice).get(&id).unwrap().address,
        at("192.0.2.66:6")
    );
    net.run_for(seconds(600));
    told(&mut net, right);
    net.run_for(seconds(400));
    assert_eq!(net.peer(alice).1.id, id);
}

#[test]
fn hidden_and_lan_addresses_are_not_told_to_strangers() {
    let mut net = Net::new(seed());
    let hub = net.node("203.0.113.1:4000");
    let neighbour = net.node("192.168.1.7:4000");
    net.link(neighbour, hub);
    let (address, id) = (net.address(hub), net.id(hub));
    let hiding = net.node("198.51.100.9:4000");
    net.dial(hiding, address, Some(id), true);
    let alice = net.node_with("100.64.0.1:4000", |settings| {
        settings.entry = vec![(None, at("203.0.113.1:4000"))];
    });
    net.run_for(seconds(100));
    assert_eq!(known(&net, alice), 1, "the hub alone");
    let second = net.node_with("192.168.1.8:4000", |settings| {
        settings.entry = vec![(None, at("203.0.113.1:4000"))];
    });
    net.run_for(seconds(100));
    assert!(
        net.get::<AddressBook>(second)
            .get(&net.id(neighbour))
            .is_none(),
        "told by one far away: not taken"
    );
    assert!(net.drops(second, DropReason::PeersRefused) > 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = Net::new(7);
        (net.wire().loss_percent, net.wire().twice_percent) = (15, 5);
        net.wire().tape = Some(Vec::new());
        for n in 0..6 {
            net.node_with(&format!("198.{n}.100.1:4000"), |settings| {
                settings.entry = vec![(None, at("198.0.100.1:4000"))];
            });
        }
        net.run_for(seconds(200));
        let mut hasher = blake3::Hasher::new();
        for (from, to, bytes) in net.wire().tape.take().unwrap() {
            hasher
                .update(format!("{from} {to}").as_bytes())
                .update(&bytes);
        }
        hasher.finalize()
    };
    assert_eq!(run(), run());
}
