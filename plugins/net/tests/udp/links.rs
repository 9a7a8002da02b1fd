//! The links' side: datagrams of nodes.

use crate::support::*;
use dunlin_net::{BatchSocket, Bound, Buffers, Listen, Outgoing, Socket, SocketOptions};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

#[test]
fn two_nodes_of_one_world_exchange_datagrams_over_ipv4_and_ipv6() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let mut hand = ByHand::start();
        let [alice, bob] = [(); 2].map(|()| hand.node(at));
        hand.turn();
        let [alice_at, bob_at] = [alice, bob].map(|node| hand.bound(node));
        hand.send(alice, bob_at, "hello bob");
        let came = hand.take(1);
        assert_eq!((came[0].node, came[0].from), (bob, alice_at));
        assert_eq!(came[0].bytes, "hello bob");
        hand.send(bob, alice_at, "hello alice");
        let came = hand.take(1);
        assert_eq!((came[0].node, came[0].from), (alice, bob_at));
    }
}

#[test]
fn a_node_on_all_interfaces_of_both_families_knows_an_ipv4_peer_by_its_ipv4_address() {
    let mut hand = ByHand::start();
    let node = hand.node("[::]:0");
    hand.turn();
    let port = hand.bound(node).port();
    for loopback in ["127.0.0.1", "::1"] {
        let peer = plain(&SocketAddr::new(loopback.parse().expect("an address"), 0).to_string());
        let peer_at = peer.local_addr().expect("an address");
        peer.send_to(b"hello", (loopback, port)).expect("sent");
        let came = hand.take(1);
        assert_eq!(came[0].from, peer_at);
        hand.send(node, peer_at, "back");
        hand.turn();
        assert_eq!(next_plain(&peer).1, b"back");
    }
}

#[test]
fn a_train_arrives_as_the_datagrams_that_it_was_made_of() {
    let mut hand = ByHand::start();
    let node = hand.node("127.0.0.1:0");
    hand.turn();
    let [one, two] = [(); 2].map(|()| plain("127.0.0.1:0"));
    // Interleaved destinations, three sizes, one of them empty: sent as trains where they can be.
    let size = |n: usize| match n % 25 {
        23 => 700,
        24 => 0,
        _ => 1_200,
    };
    for n in 0..120 {
        let mut bytes = vec![0; size(n)];
        bytes
            .iter_mut()
            .take(8)
            .zip(n.to_le_bytes())
            .for_each(|(byte, of_n)| *byte = of_n);
        for peer in [&one, &two] {
            hand.send(node, peer.local_addr().expect("an address"), bytes.clone());
        }
    }
    hand.turn();
    for peer in [one, two] {
        for n in 0..120_usize {
            let (from, bytes) = next_plain(&peer);
            assert_eq!(from, hand.bound(node));
            assert_eq!(bytes.len(), size(n), "datagram {n}");
            assert!(
                bytes
                    .iter()
                    .take(8)
                    .eq(n.to_le_bytes().iter().take(bytes.len()))
            );
        }
    }
}

#[test]
fn trains_that_the_kernel_hands_over_whole_are_taken_apart() {
    let mut hand = ByHand::start();
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let node = hand.node(at);
        hand.turn();
        let sender = BatchSocket::bind(at.parse().expect("an address"), SocketOptions::links())
            .expect("bound");
        if cfg!(target_os = "linux") {
            assert!(
                sender.train_max() > 1,
                "this kernel has no GSO, which Linux has since 4.18"
            );
        }
        let to = hand.bound(node);
        let train: Vec<_> = (0..50_u8)
            .map(|n| Outgoing {
                to,
                bytes: vec![n; if n == 49 { 10 } else { 1_200 }].into(),
            })
            .collect();
        let mut joined = Vec::new();
        let sent = sender.send(&train, &mut joined, |datagram, error| {
            panic!("{datagram:?}: {error}")
        });
        assert_eq!(sent, 50);
        let came = hand.take(50);
        for (came, sent) in came.iter().zip(&train) {
            assert_eq!(came.from, sender.local_address().expect("an address"));
            assert_eq!(came.bytes, sent.bytes);
        }
    }
}

#[test]
fn a_stranger_may_send_nothing_and_anything() {
    let mut hand = ByHand::start();
    let node = hand.node("127.0.0.1:0");
    hand.turn();
    let stranger = plain("127.0.0.1:0");
    let sizes = [0, 1, 1_200, 1_201, 9_000, 65_507, 0];
    for size in sizes {
        stranger
            .send_to(&vec![1; size], hand.bound(node))
            .expect("sent");
    }
    let came = hand.take(sizes.len());
    assert!(came.iter().map(|datagram| datagram.bytes.len()).eq(sizes));
}

#[test]
fn a_node_that_asks_for_another_address_moves_and_one_that_asks_no_more_is_closed() {
    let mut hand = ByHand::start();
    let node = hand.node("127.0.0.1:0");
    hand.turn();
    let first = hand.bound(node);
    let second: SocketAddr = "127.0.0.2:0".parse().expect("an address");
    hand.app.world_mut().entity_mut(node).insert(Listen(second));
    hand.turn();
    assert_eq!(hand.bound(node).ip(), second.ip());
    free_in_time(&mut hand, first);
    let second = hand.bound(node);
    let peer = plain("127.0.0.1:0");
    peer.send_to(b"found you", second).expect("sent");
    assert_eq!(hand.take(1)[0].bytes, "found you");

    let taken = Listen(peer.local_addr().expect("an address"));
    for same in [Listen(second), taken] {
        hand.app.world_mut().entity_mut(node).insert(same);
        hand.turn();
        assert_eq!(hand.bound(node), second, "it keeps what it has");
    }
    peer.send_to(b"still there", second).expect("sent");
    assert_eq!(hand.take(1)[0].bytes, "still there");

    hand.app.world_mut().entity_mut(node).remove::<Listen>();
    hand.turn();
    assert_eq!(hand.app.world().get::<Bound>(node), None);
    free_in_time(&mut hand, second);
    let third = hand.node("127.0.0.1:0");
    hand.turn();
    let third_at = hand.bound(third);
    hand.app.world_mut().despawn(third);
    free_in_time(&mut hand, third_at);
    let world = hand.app.world_mut();
    assert_eq!(world.query::<&Socket>().iter(world).count(), 0);
}

fn free_in_time(hand: &mut ByHand, at: SocketAddr) {
    let end = Instant::now() + LIMIT;
    hand.until(|_| {
        assert!(Instant::now() < end, "{at} is still taken");
        UdpSocket::bind(at).is_ok()
    });
}

#[test]
fn datagrams_of_links_are_never_fragmented_and_those_of_apps_may_be() {
    let bind = |options| {
        BatchSocket::bind("127.0.0.1:0".parse().expect("an address"), options).expect("bound")
    };
    assert!(!bind(SocketOptions::links()).may_fragment());
    assert!(bind(SocketOptions::default()).may_fragment());
    let socket = bind(SocketOptions::links());
    let nothing = socket.receive(&mut Buffers::default(), |_, _| panic!("nobody sent"));
    assert_eq!(
        nothing.expect_err("nothing waits").kind(),
        std::io::ErrorKind::WouldBlock
    );
}
