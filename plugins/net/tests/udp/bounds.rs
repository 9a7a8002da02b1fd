//! What floods meet: bounds, and counters.

use crate::support::*;
use dunlin_engine::prelude::*;
use dunlin_io::IoPlugin;
use dunlin_net::{Socket, UdpDrop, UdpPlugin};
use serde_json::json;
use std::time::Instant;

#[test]
fn a_reader_that_does_not_keep_up_is_told_how_many_it_missed() {
    let rig = Rig::start();
    let bob = rig
        .client
        .bind(json!({ "address": "127.0.0.1", "recvBufferSize": 1 << 20 }));
    let inbox = rig.client.receive(bob.socket);
    let alice = plain("127.0.0.1:0");
    let mut sent: u64 = 0;
    let end = Instant::now() + LIMIT;
    while rig.drops.of(UdpDrop::ReaderFull) < 10 {
        for _ in 0..50 {
            alice.send_to(&sent.to_le_bytes(), bob.at).expect("sent");
            sent += 1;
        }
        // Until all of these have come, so that the kernel has no reason to drop any.
        while inbox.receiver().len() as u64 + rig.drops.of(UdpDrop::ReaderFull) < sent {
            rig.client
                .done("udp.address", json!({ "socket": bob.socket }));
            assert!(Instant::now() < end, "some were neither kept nor counted");
        }
    }
    // The items that fitted are the first ones, in order; the one after says how many were dropped between.
    let mut taken = 0;
    while let Some(item) = inbox.take() {
        assert_eq!(item.value["dropped"], 0);
        assert_eq!(item.body[..], u64::to_le_bytes(taken));
        taken += 1;
    }
    let inbox_full = rig.drops.of(UdpDrop::InboxFull);
    assert_eq!((taken, inbox_full), (1_024, 0));
    alice.send_to(b"marker!!", bob.at).expect("sent");
    let mut missed = 0;
    loop {
        let item = inbox.wait(LIMIT).expect("the marker");
        missed += item.value["dropped"].as_u64().expect("a number");
        taken += 1;
        if &item.body[..] == b"marker!!" {
            break;
        }
    }
    assert_eq!(missed, rig.drops.of(UdpDrop::ReaderFull));
    assert_eq!(taken + missed, sent + 1);
}

#[test]
fn what_comes_in_faster_than_turns_take_it_is_dropped_and_counted() {
    let mut hand = ByHand::start();
    let node = hand.node("127.0.0.1:0");
    hand.turn();
    let to = hand.bound(node);
    let stranger = plain("127.0.0.1:0");
    let mut sent = 0;
    let end = Instant::now() + LIMIT;
    while hand.drops.of(UdpDrop::InboxFull) < 100 {
        stranger.send_to(&[7; 100], to).expect("sent");
        sent += 1;
        assert!(Instant::now() < end, "the inbox never filled");
        if sent % 64 == 0 {
            std::thread::yield_now();
        }
    }
    let mut came = 0;
    hand.until(|app| {
        came += std::mem::take(&mut app.world_mut().resource_mut::<Came>().0).len();
        app.inbox().dropped() > 0 && came >= 512
    });
    let dropped = hand.drops.of(UdpDrop::InboxFull);
    assert!(
        came as u64 + dropped <= sent,
        "{came} + {dropped} of {sent}"
    );
    // The flood over, all is as it was.
    stranger.send_to(b"after", to).expect("sent");
    hand.until(|app| {
        app.world()
            .resource::<Came>()
            .0
            .iter()
            .any(|datagram| &datagram.bytes[..] == b"after")
    });
}

#[test]
fn what_comes_in_for_a_socket_that_was_just_closed_is_counted() {
    let mut app = App::new();
    let client = app.client(Grants::everything());
    let mut hand = ByHand::from(app);
    let ticket = client.call(
        "udp.bind",
        json!({ "address": "127.0.0.1" }),
        Default::default(),
    );
    hand.turn();
    let bound = ticket.take().expect("answered").expect("bound").value;
    let items = client.open("udp.receive", json!({ "socket": bound["socket"] }));
    hand.turn();
    items.wait_open(LIMIT).expect("open");
    // Calls have rung the bell as well; the next ring is the datagram's.
    hand.turn();
    let stranger = plain("127.0.0.1:0");
    hand.drain_bell();
    stranger.send_to(b"late", address(&bound)).expect("sent");
    hand.wait_rung();
    let closed = client.call(
        "udp.close",
        json!({ "socket": bound["socket"] }),
        Default::default(),
    );
    hand.until(|_| closed.take().is_some());
    assert_eq!(hand.drops.of(UdpDrop::NoReader), 1);
}

#[test]
fn each_reason_not_to_send_has_its_counter_and_none_is_fatal() {
    let mut hand = ByHand::start();
    let node = hand.node("127.0.0.1:0");
    let deaf = hand.app.world_mut().spawn(Node).id();
    let peer = plain("127.0.0.1:0");
    let to = peer.local_addr().expect("an address");
    hand.turn();
    hand.send(deaf, to, "no socket");
    hand.send(node, to, vec![0; 65_508]);
    hand.send(
        node,
        "255.255.255.255:9".parse().expect("an address"),
        "broadcast was not enabled",
    );
    hand.send(
        node,
        "[::1]:9".parse().expect("an address"),
        "not of its family",
    );
    hand.send(node, to, "hello");
    hand.turn();
    assert_eq!(next_plain(&peer), (hand.bound(node), b"hello".to_vec()));
    for (reason, count) in [
        (UdpDrop::NoSocket, 1),
        (UdpDrop::TooLong, 1),
        (UdpDrop::Forbidden, 1),
        (UdpDrop::Refused, 1),
        (UdpDrop::BacklogFull, 0),
    ] {
        assert_eq!(hand.drops.of(reason), count, "{reason:?}");
    }
    let world = hand.app.world_mut();
    let socket = world.query::<&Socket>().single(world).expect("the node's");
    assert_eq!(socket.drops(UdpDrop::TooLong), 1);
    assert_eq!(socket.drops(UdpDrop::NoSocket), 0);
    assert_eq!(
        socket.local_address().expect("an address"),
        hand.bound(node)
    );
}

#[test]
fn an_app_without_io_says_that_sockets_need_it() {
    let mut app = App::new();
    app.add_plugins(UdpPlugin::default());
    let error = app.start().expect_err("io is missing").to_string();
    assert!(error.contains("IoPlugin"), "{error}");
    let mut app = App::new();
    app.add_plugins((IoPlugin, UdpPlugin::default(), UdpPlugin::default()));
    let error = app.start().expect_err("it is there twice").to_string();
    assert!(error.contains("UdpPlugin"), "{error}");
}
